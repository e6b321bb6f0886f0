value = 41
# %%
lost = "gone"
pattern_matches = sum(1 for _ in range(10))
total = sum(range(10**15))
# ends: killed
# %%
print(value + 1, "lost" in globals())
