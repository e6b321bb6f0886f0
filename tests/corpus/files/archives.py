import gzip
import io
import tarfile
import zipfile

with zipfile.ZipFile("bundle.zip", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("a.txt", "alpha" * 100)
    z.writestr("sub/b.txt", "beta")
with zipfile.ZipFile("bundle.zip") as z:
    print([(info.filename, info.file_size, info.date_time[0] > 2000) for info in z.infolist()])
    z.extractall("unzipped")
print(open("unzipped/sub/b.txt").read())
with gzip.open("log.gz", "wt") as f:
    f.write("line\n" * 50)
print(sum(1 for _ in gzip.open("log.gz", "rt")))
buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w:gz") as t:
    t.add("unzipped", arcname="data")
buffer.seek(0)
with tarfile.open(fileobj=buffer) as t:
    print(sorted(t.getnames()))
