import time

before = "kept"
time.sleep(30)
# ends: interrupted
# %%
print("next")
