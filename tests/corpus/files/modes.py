from pathlib import Path

path = Path("notes.txt")
path.write_text("first\nsecond\n", encoding="utf-8")
with path.open("a", encoding="utf-8") as f:
    f.write("third\n")
with path.open("r+", encoding="utf-8") as f:
    lines = f.readlines()
    f.seek(0)
    f.writelines(reversed(lines))
    f.truncate()
print(path.read_text().splitlines(), path.stat().st_size)
with open("raw.bin", "wb") as f:
    f.write(bytes(range(256)))
with open("raw.bin", "rb") as f:
    f.seek(100)
    print(f.read(4), f.tell())
# %%
try:
    open("no/such/file.txt")
except FileNotFoundError as error:
    print(type(error).__name__, error.filename)
try:
    Path("notes.txt").mkdir()
except FileExistsError as error:
    print(error.strerror)
