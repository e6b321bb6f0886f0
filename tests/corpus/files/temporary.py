import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    name = os.path.join(folder, "data.txt")
    with open(name, "w") as f:
        f.write("temporary")
    print(os.path.basename(folder), os.listdir(folder))
print(os.path.exists(folder))
with tempfile.NamedTemporaryFile("w+", suffix=".log", delete=False) as f:
    f.write("kept")
print(os.path.basename(f.name), open(f.name).read())
os.unlink(f.name)
with tempfile.SpooledTemporaryFile(max_size=10) as spool:
    spool.write(b"more than ten bytes")
    spool.seek(0)
    print(spool.read())
