import os

state = {"step": 1}
# %%
state["step"] = 2
os._exit(3)
# ends: exited
# %%
print(state)
