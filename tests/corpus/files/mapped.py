import mmap
import os
import struct

with open("table.bin", "wb") as f:
    for number in range(100):
        f.write(struct.pack("<If", number, number / 2))
with open("table.bin", "r+b") as f, mmap.mmap(f.fileno(), 0) as view:
    print(struct.unpack_from("<If", view, 8 * 50), view.find(struct.pack("<I", 99)))
    view[0:4] = b"\xff\xff\xff\xff"
print(open("table.bin", "rb").read(4), os.path.getsize("table.bin"))
