import os
import stat

fd = os.open("low.txt", os.O_RDWR | os.O_CREAT, 0o640)
os.write(fd, b"0123456789")
os.lseek(fd, 2, os.SEEK_SET)
print(os.read(fd, 3), os.fstat(fd).st_size)
os.ftruncate(fd, 5)
os.close(fd)
os.chmod("low.txt", 0o600)
print(stat.filemode(os.stat("low.txt").st_mode), os.access("low.txt", os.W_OK))
os.utime("low.txt", (1_700_000_000, 1_700_000_001))
print(os.stat("low.txt").st_mtime)
os.link("low.txt", "hard.txt")
print(os.stat("hard.txt").st_nlink, os.path.samefile("low.txt", "hard.txt"))
os.replace("hard.txt", "moved.txt")
with os.scandir(".") as entries:
    print([(e.name, e.is_file()) for e in entries if e.name in ("low.txt", "moved.txt", "hard.txt")])
