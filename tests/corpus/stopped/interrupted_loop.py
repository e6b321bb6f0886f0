count, seen = 0, []
while True:
    count += 1
    seen.append(sum(range(20_000)) * count)
# ends: interrupted
# %%
print(len(seen) in (count, count - 1), count > 0)
