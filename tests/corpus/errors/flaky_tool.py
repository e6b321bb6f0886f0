content = read("does-not-exist.txt")
# ends: error FileNotFoundError
# %%
try:
    content = read("does-not-exist.txt")
except FileNotFoundError as error:
    write("does-not-exist.txt", "now it does")
    content = read("does-not-exist.txt")
print(content)
print(edit("does-not-exist.txt", "now", "then"), read("does-not-exist.txt"))
# %%
try:
    edit("does-not-exist.txt", "absent", "x")
except Exception as error:
    print(type(error).__name__)
ctx.notes = {"tries": 2}
ctx.notes["tries"] += 1
print(ctx.notes)
