import glob
import os
import time

for name in ("one", "two", "three"):
    with open(f"report-{name}.txt", "w") as f:
        f.write(name)
    time.sleep(0.002)
newest = sorted(glob.glob("report-*.txt"), key=os.path.getmtime, reverse=True)
print(newest)
for path in newest:
    info = os.stat(path)
    print(path, info.st_size, info.st_mtime_ns, info.st_ino, time.time() - info.st_mtime < 60)
