"""Programs that work with files, folders, archives and databases."""

from __future__ import annotations

from tests.support.programs import program

FILES = [
    program(
        "files_text",
        """
        import os
        with open("a.txt", "w") as f:
            f.write("one\\n")
            f.writelines(["two\\n", "three\\n"])
        with open("a.txt") as f:
            for number, line in enumerate(f, 1):
                print(number, line.rstrip())
        with open("a.txt", "a") as f:
            print(f.tell() > 0, file=f)
        with open("a.txt", "r+") as f:
            text = f.read()
            f.seek(0)
            f.write(text.upper())
        print(open("a.txt").read())
        try:
            open("missing.txt")
        except FileNotFoundError as error:
            print(error, error.errno)
        try:
            open("a.txt", "x")
        except FileExistsError as error:
            print("exists", error.filename)
        print(os.path.getsize("a.txt"), os.path.exists("nope"), os.stat("a.txt").st_size)
        """,
    ),
    program(
        "files_bytes",
        """
        import os, struct
        with open("b.bin", "wb") as f:
            for i in range(5):
                f.write(struct.pack("<Id", i, i / 3))
        with open("b.bin", "rb", buffering=0) as f:
            print(f.read(12), f.seek(-12, os.SEEK_END), f.read().hex())
        fd = os.open("c.bin", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, b"\\x00\\xff raw")
        os.close(fd)
        print(open("c.bin", "rb").read(), oct(os.stat("c.bin").st_mode))
        buffer = bytearray(4)
        with open("b.bin", "rb") as f:
            print(f.readinto(buffer), buffer)
        """,
    ),
    program(
        "csv_json",
        """
        import csv, json, io
        with open("data.csv", newline="") as f:
            rows = list(csv.DictReader(f))
        total = sum(float(row["price"]) for row in rows)
        print(rows, total)
        with open("out.json", "w") as f:
            json.dump({"rows": rows, "total": total, "none": None}, f, indent=1, sort_keys=True)
        print(json.load(open("out.json")) == {"rows": rows, "total": total, "none": None})
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerows([[1, "a,b"], [2, 'q"q']])
        print(out.getvalue())
        try:
            json.loads("{broken")
        except json.JSONDecodeError as error:
            print(error)
        """,
        files={"data.csv": "name,price\npear,1.5\nfig,2\n"},
    ),
    program(
        "pathlib_shutil",
        """
        import shutil
        from pathlib import Path
        base = Path("d")
        (base / "x" / "y").mkdir(parents=True)
        for i in range(3):
            (base / f"{i}.txt").write_text(str(i))
        shutil.copy("d/0.txt", "d/x/copy.txt")
        shutil.copytree("d/x", "d/z")
        (base / "1.txt").rename(base / "one.txt")
        (base / "2.txt").unlink()
        print(sorted(str(path) for path in base.rglob("*")))
        print([path.name for path in sorted(base.iterdir())], base.exists(), base.is_dir())
        (base / "link").symlink_to("0.txt")
        print((base / "link").read_text(), (base / "link").is_symlink(), Path("d/link").resolve().name)
        shutil.move("d/z", "moved")
        shutil.rmtree("d")
        print(base.exists(), sorted(path.as_posix() for path in Path(".").glob("**/*.txt")))
        """,
    ),
    program(
        "archives",
        """
        import zipfile, tarfile, gzip, io
        with zipfile.ZipFile("stamped.zip", "w") as z:
            z.writestr("one.txt", "first")
            z.write("src.txt")
        with zipfile.ZipFile("stamped.zip") as z:
            print(z.namelist(), z.read("one.txt"), z.testzip())
            z.extract("src.txt", "out")
        print(open("out/src.txt").read())
        with gzip.open("stamped.gz", "wt") as f:
            f.write("zipped" * 10)
        print(gzip.open("stamped.gz", "rt").read()[:12])
        with tarfile.open("stamped.tar", "w") as t:
            t.add("src.txt")
        with tarfile.open("stamped.tar") as t:
            print(t.getnames(), t.extractfile("src.txt").read())
        """,
        files={"src.txt": "the source\n"},
    ),
    program(
        "sqlite",
        """
        import sqlite3
        with sqlite3.connect("t.db") as c:
            c.execute("create table t(a integer, b text)")
            c.executemany("insert into t values (?, ?)", [(i, chr(97 + i)) for i in range(5)])
        print(sqlite3.connect("t.db").execute("select sum(a), group_concat(b) from t").fetchall())
        m = sqlite3.connect(":memory:")
        m.row_factory = sqlite3.Row
        m.create_function("twice", 1, lambda x: x * 2)
        print(dict(m.execute("select twice(21) as answer").fetchone()))
        try:
            m.execute("select nonsense")
        except sqlite3.OperationalError as error:
            print(error)
        """,
    ),
    program(
        "tempfiles",
        """
        import os, tempfile
        from pathlib import Path
        with tempfile.NamedTemporaryFile("w+", suffix=".txt") as t:
            t.write("hello")
            t.flush()
            t.seek(0)
            print(t.read(), os.path.exists(t.name))
        print(os.path.exists(t.name))
        with tempfile.TemporaryDirectory() as folder:
            p = Path(folder) / "x"
            p.write_bytes(b"\\x00\\x01")
            print(p.read_bytes(), os.listdir(folder), p.stat().st_size)
        print(os.path.exists(folder))
        handle, name = tempfile.mkstemp(text=True)
        os.write(handle, b"raw")
        os.close(handle)
        print(open(name).read())
        os.unlink(name)
        with tempfile.SpooledTemporaryFile(max_size=4) as s:
            s.write(b"longer than four")
            s.seek(0)
            print(s.read())
        """,
    ),
    program(
        "walk_glob",
        """
        import os, glob, fnmatch
        for folder, folders, names in os.walk("tree"):
            print(folder, sorted(folders), sorted(names))
        print(sorted(glob.glob("tree/**/*.py", recursive=True)), fnmatch.filter(os.listdir("tree"), "a*"))
        with os.scandir("tree") as entries:
            print(sorted((entry.name, entry.is_dir()) for entry in entries))
        print(os.path.basename(os.getcwd()), os.access("tree/a.py", os.R_OK), os.path.isfile("tree"))
        os.chdir("tree")
        print(os.path.basename(os.getcwd()), os.listdir(), open("a.py").read())
        """,
        files={"tree/a.py": "1\n", "tree/sub/b.py": "2\n", "tree/sub/c.txt": "3\n"},
    ),
]
