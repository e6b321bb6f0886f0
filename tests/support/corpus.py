"""Ordinary programs of many kinds: what people and models write in a day.

Each prints the same on every run (clocks and randomness only through what is true of all their values),
so a recorded run can be compared with a plain one, byte for byte.
"""

from __future__ import annotations

import io
import zipfile

from tests.support.programs import Program, dedent

_HELPER = "def double(x):\n    y = x * 2\n    return y\n"


def _p(name: str, source: str, **given: object) -> Program:
    return Program(name, dedent(source), **given)  # type: ignore[arg-type]


FILES = [
    _p(
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
    _p(
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
    _p(
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
    _p(
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
    _p(
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
    _p(
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
    _p(
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
    _p(
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

LANGUAGE = [
    _p(
        "classes",
        """
        from abc import ABC, abstractmethod
        class Shape(ABC):
            count = 0
            def __init_subclass__(cls, **kw):
                super().__init_subclass__(**kw)
                print("made", cls.__name__)
            @abstractmethod
            def area(self): ...
            @property
            def double(self):
                return self.area() * 2
            @classmethod
            def make(cls, *args):
                Shape.count += 1
                return cls(*args)
        class Square(Shape):
            __slots__ = ("side",)
            def __init__(self, side):
                self.side = side
            def area(self):
                return self.side ** 2
            def __eq__(self, other):
                return isinstance(other, Square) and self.side == other.side
            def __hash__(self):
                return hash(self.side)
        a, b = Square.make(2), Square.make(2)
        print(a == b, len({a, b}), a.double, Shape.count)
        try:
            Shape()
        except TypeError as error:
            print(error)
        class Meta(type):
            def __call__(cls, *args):
                instance = super().__call__(*args)
                instance.tag = "meta"
                return instance
        class Tagged(metaclass=Meta): pass
        print(Tagged().tag, object())
        """,
    ),
    _p(
        "generators",
        """
        def fib(n):
            a, b = 0, 1
            for _ in range(n):
                got = yield a
                if got:
                    a, b = got, got + 1
                a, b = b, a + b
            return "done"
        def outer():
            result = yield from fib(4)
            print("inner gave", result)
            try:
                yield 99
            finally:
                print("closing")
        print(list(fib(8)))
        g = fib(3)
        print(next(g), g.send(10), next(g, "over"))
        o = outer()
        print([next(o) for _ in range(5)])
        o.close()
        e = fib(9)
        next(e)
        try:
            e.throw(ValueError("in"))
        except ValueError as error:
            print("out", error)
        """,
    ),
    _p(
        "closures_decorators",
        """
        import functools
        def counter(start):
            n = start
            def step(by=1):
                nonlocal n
                n += by
                return n
            return step
        up = counter(10)
        print(up(), up(5), [f(3) for f in [lambda x, k=k: x * k for k in range(3)]])
        def logged(prefix):
            def wrap(f):
                @functools.wraps(f)
                def inner(*args, **kw):
                    print(prefix, f.__name__, args, kw)
                    return f(*args, **kw)
                return inner
            return wrap
        @logged(">")
        @functools.lru_cache(None)
        def square(x): return x * x
        print(square(4), square(4), square.__wrapped__.cache_info())
        print(up.__closure__[0].cell_contents, functools.reduce(lambda a, b: a + b, range(5)))
        """,
    ),
    _p(
        "recursion",
        """
        def hanoi(n, a, b, c):
            return 0 if n == 0 else hanoi(n - 1, a, c, b) + 1 + hanoi(n - 1, c, b, a)
        def depth(n=0):
            try:
                return depth(n + 1)
            except RecursionError:
                return n
        print(hanoi(6, "a", "b", "c"), depth())
        def boom(n):
            return boom(n + 1)
        try:
            boom(0)
        except RecursionError as error:
            print("rec", error)
        """,
    ),
    _p(
        "comprehensions",
        """
        rows = [{"k": k, "v": v} for k, v in zip("abc", range(3)) if v != 1]
        nested = [[x * y for x in range(3)] for y in range(3)]
        print(rows, nested, {r["k"]: r["v"] for r in rows}, {x % 2 for x in range(9)})
        gen = (x for x in range(10) if (half := x // 2) > 2)
        print(next(gen), half, sum(gen), [*range(3), *"ab"], {**{"a": 1}, "b": 2})
        print(any(x > 2 for x in range(5)), sorted("banana", key=lambda c: (c != "n", c)))
        first, *middle, last = range(6)
        print(first, middle, last, f"{last!r:>4}|{3.14159:.2f}|{'nested ' + f'{first}'}")
        """,
    ),
    _p(
        "match",
        """
        import dataclasses
        @dataclasses.dataclass
        class Point:
            x: int
            y: int
        def kind(v):
            match v:
                case 0: return "zero"
                case int(n) if n < 0: return f"negative {n}"
                case [a, b, *rest]: return f"list {a} {b} {rest}"
                case {"type": "x", **more}: return f"mapping {more}"
                case Point(x=0, y=y): return f"on axis {y}"
                case Point(): return "point"
                case "a" | "b" as letter: return letter
                case _: return "other"
        for v in (0, -3, [1, 2, 3], {"type": "x", "z": 1}, Point(0, 2), Point(1, 1), "b", 1.5):
            print(kind(v))
        """,
    ),
    _p(
        "asyncio_gather",
        """
        import asyncio
        async def work(n):
            await asyncio.sleep(0.002 * n)
            return n * 2
        async def produce(q):
            for i in range(3):
                await q.put(i)
            await q.put(None)
        async def main():
            print(await asyncio.gather(*(work(i) for i in range(4))))
            q = asyncio.Queue()
            task = asyncio.create_task(produce(q))
            while (item := await q.get()) is not None:
                print("got", item)
            await task
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 0.01)
            except asyncio.TimeoutError:
                print("timeout")
            async with asyncio.timeout(5):
                print(await work(1))
        asyncio.run(main())
        """,
    ),
    _p(
        "async_generators",
        """
        import asyncio
        class Manager:
            async def __aenter__(self):
                print("in")
                return self
            async def __aexit__(self, *exc):
                print("out", exc[0])
                return True
        async def ticks(n):
            try:
                for i in range(n):
                    await asyncio.sleep(0)
                    yield i
            finally:
                print("done")
        async def main():
            async with Manager():
                print([i async for i in ticks(3)])
                raise ValueError("swallowed")
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(asyncio.sleep(0, i)) for i in range(3)]
            print([t.result() for t in tasks])
            task = asyncio.create_task(asyncio.sleep(60))
            await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled")
        asyncio.run(main())
        """,
    ),
    _p(
        "dataclasses_enums",
        """
        from dataclasses import dataclass, field, asdict, replace
        from enum import Enum, Flag, auto
        from typing import NamedTuple
        from collections import defaultdict, Counter, OrderedDict, deque
        class Color(Enum):
            RED = auto()
            BLUE = auto()
        class Mode(Flag):
            R = 1
            W = 2
        class Pair(NamedTuple):
            a: int
            b: str = "x"
        @dataclass(order=True, frozen=True)
        class Item:
            name: str
            tags: list = field(default_factory=list, compare=False)
            color: Color = Color.RED
        a = Item("a", ["t"])
        print(a, asdict(a), replace(a, name="b") > a, Color(2), Mode.R | Mode.W, Pair(1)._replace(b="y"))
        counts = Counter("mississippi")
        groups = defaultdict(list)
        for word in "one two three four".split():
            groups[len(word)].append(word)
        print(counts.most_common(2), dict(groups), deque([1, 2, 3], 2), OrderedDict(a=1))
        """,
    ),
    _p(
        "context_managers",
        """
        import contextlib, io
        @contextlib.contextmanager
        def tag(name):
            print(f"<{name}>")
            try:
                yield name.upper()
            finally:
                print(f"</{name}>")
        with tag("a") as a, tag("b") as b:
            print(a, b)
        with contextlib.suppress(KeyError), tag("c"):
            {}["missing"]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            print("captured")
        print(repr(out.getvalue()))
        with contextlib.ExitStack() as stack:
            for name in "xy":
                stack.enter_context(tag(name))
            stack.callback(print, "callback")
        for i in range(4):
            try:
                if i == 1: continue
                if i == 3: break
                print("i", i)
            finally:
                print("finally", i)
        else:
            print("never")
        """,
    ),
    _p(
        "gc_del",
        """
        import gc, weakref
        class Node:
            def __init__(self, n):
                self.n = n
            def __del__(self):
                print("del", self.n)
        for i in range(3):
            node = Node(i)
            node.me = node
        ref = weakref.ref(node)
        del node
        gc.collect()
        print(ref())
        plain = Node("plain")
        del plain
        print("end")
        """,
    ),
]

WORLD = [
    _p(
        "clocks",
        """
        import time, datetime
        from time import time as now
        start, mono = time.time(), time.monotonic()
        time.sleep(0.002)
        print(time.time() >= start, time.monotonic() - mono >= 0.002, now() >= start)
        print(type(datetime.datetime.now()) is datetime.datetime)
        print(datetime.date.today() >= datetime.date(2020, 1, 1))
        aware = datetime.datetime.now(datetime.timezone.utc)
        print(aware.tzinfo, aware - aware, time.strftime("%Y") >= "2020", time.localtime().tm_year >= 2020)
        class Timer:
            clock = time.perf_counter
        print(Timer().clock() > 0, time.perf_counter_ns() > 0, isinstance(time.ctime(), str))
        stamps = [time.time_ns() for _ in range(50)]
        print(stamps == sorted(stamps), time.process_time() >= 0)
        """,
    ),
    _p(
        "randomness",
        """
        import random, uuid, secrets, os
        random.seed(7)
        print(random.random(), random.sample(range(100), 3), random.Random(3).gauss(0, 1))
        free = random.Random()
        print(0 <= free.random() < 1, 1 <= random.SystemRandom().randint(1, 6) <= 6)
        ids = {uuid.uuid4() for _ in range(20)} | {uuid.uuid1()}
        print(len(ids), len(secrets.token_hex(8)), len(os.urandom(5)), uuid.uuid5(uuid.NAMESPACE_DNS, "a.b"))
        letters = list("abcdef")
        random.shuffle(letters)
        print(letters, secrets.choice("x"), len(secrets.token_urlsafe()) > 10)
        """,
    ),
    _p(
        "environment",
        """
        import os, sys
        print(os.environ["APP_MODE"], os.getenv("NOT_THERE", "default"), "APP_MODE" in os.environ)
        os.environ["NEW_ONE"] = "set here"
        print(os.environ["NEW_ONE"], os.path.expandvars("$APP_MODE/x"), os.environ.get("EMPTY"))
        del os.environ["NEW_ONE"]
        try:
            os.environ["NEW_ONE"]
        except KeyError as error:
            print("gone", error)
        print(sorted(name for name in os.environ if name.startswith("APP_")), os.sep, sys.byteorder)
        print(os.getpid() > 0, os.cpu_count() > 0, os.path.expanduser("~") != "~")
        """,
        env={"APP_MODE": "test", "APP_LEVEL": "3", "EMPTY": ""},
    ),
    _p(
        "input_lines",
        """
        import sys
        name = input("name? ")
        print(f"hello {name}")
        second = sys.stdin.readline()
        rest = sys.stdin.read()
        print(repr(second), repr(rest))
        try:
            input("more? ")
        except EOFError as error:
            print("eof", error)
        """,
        stdin="bob\nl1\nl2\nünï\n",
    ),
    _p(
        "input_loop",
        """
        import sys
        total = 0
        for line in sys.stdin:
            total += int(line)
        print(total)
        """,
        stdin="1\n2\n3\n",
    ),
    _p(
        "argv",
        """
        import argparse, sys
        print(sys.argv, __name__, __file__)
        parser = argparse.ArgumentParser()
        parser.add_argument("files", nargs="*")
        parser.add_argument("--verbose", "-v", action="count", default=0)
        parser.add_argument("-o")
        print(parser.parse_known_args())
        """,
        args=("a b", "-vv", "--verbose", "-o", "x", "--", "-z", ""),
    ),
    _p(
        "argv_usage_error",
        """
        import argparse
        parser = argparse.ArgumentParser(prog="tool")
        parser.add_argument("--number", type=int, required=True)
        parser.parse_args()
        """,
        args=("--help-me",),
        status=2,
    ),
    _p(
        "processes",
        """
        import os, subprocess
        print(subprocess.check_output(["echo", "hi"], text=True))
        print(subprocess.run("echo err >&2; echo out; exit 3", shell=True, capture_output=True, text=True))
        for command in (["false"], ["not-a-command-at-all"]):
            try:
                subprocess.run(command, check=True)
            except (subprocess.CalledProcessError, FileNotFoundError) as error:
                print(type(error).__name__, error)
        try:
            subprocess.run(["sleep", "5"], timeout=0.05)
        except subprocess.TimeoutExpired as error:
            print("timeout", error.cmd)
        subprocess.run(["sh", "-c", "echo made > made.txt"])
        print(open("made.txt").read(), os.system("true"))
        print(subprocess.run(["cat"], input=b"abc", stdout=subprocess.PIPE).stdout)
        print(subprocess.getoutput("echo x"))
        print(subprocess.run(["sh", "-c", "echo $X"], env={"X": "given"}, capture_output=True).stdout)
        print(subprocess.run(["pwd"], cwd="sub", capture_output=True, text=True).stdout.strip()[-3:])
        with open("to.txt", "w") as f:
            subprocess.run(["echo", "into a file"], stdout=f)
        print(open("to.txt").read(), subprocess.call(["sh", "-c", "exit 4"]))
        """,
        files={"sub/x": ""},
    ),
    _p(
        "threads",
        """
        import threading, queue
        from concurrent.futures import ThreadPoolExecutor
        def square(x):
            return x * x
        with ThreadPoolExecutor(4) as pool:
            print(list(pool.map(square, range(10))))
            futures = [pool.submit(divmod, 7, n) for n in (1, 0, 2)]
        print([f.exception() or f.result() for f in futures])
        q, lock, found = queue.Queue(), threading.Lock(), []
        def worker():
            while (item := q.get()) is not None:
                with lock:
                    found.append(item * 2)
        threads = [threading.Thread(target=worker) for _ in range(3)]
        for t in threads: t.start()
        for i in range(20): q.put(i)
        for _ in threads: q.put(None)
        for t in threads: t.join()
        print(sorted(found))
        """,
    ),
    _p(
        "logging_warnings",
        """
        import logging, warnings
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
        log = logging.getLogger("app")
        log.info("started %d", 1)
        log.debug("hidden")
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("failed")
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
        """,
    ),
]

MACHINE = [
    _p(
        "interpreter",
        """
        import gc, inspect, logging, os, sys, traceback
        print(gc.isenabled(), sys.getrecursionlimit(), sys.getswitchinterval())
        gc.disable()
        print(gc.isenabled())
        gc.enable()
        def depth(n=0):
            try:
                return depth(n + 1)
            except RecursionError:
                return n
        sys.setrecursionlimit(300)
        print(gc.isenabled(), sys.getrecursionlimit(), depth())
        sys.setrecursionlimit(2000)
        print(depth())
        for bad in (0, "x"):
            try:
                sys.setrecursionlimit(bad)
            except (ValueError, TypeError) as error:
                print(error)
        def where():
            traceback.print_stack()
            print([frame.function for frame in inspect.stack()], len(traceback.extract_stack()))
            print(inspect.getmodule(where).__name__)
        where()
        logging.warning("here", stack_info=True)
        with open(__file__) as first, open(__file__) as second:
            print(first.fileno(), second.fileno(), os.dup(1))
        """,
    ),
    _p(
        "host_facts",
        """
        import os, resource, socket
        print(os.uname().sysname, type(os.uname()).__name__, type(os.times()).__name__, os.getsid(0) > 0)
        print(os.getuid() >= 0, os.getpgid(0) == os.getpgrp(), os.getresuid()[0] == os.getuid())
        print(socket.gethostname() == os.uname().nodename, resource.getrusage(0).ru_maxrss > 0)
        print(sorted(os.sched_getaffinity(0)) == sorted(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE"))
        for ask in (lambda: os.getpgid(999_999_999), lambda: os.readlink("prog.py"), os.get_terminal_size):
            try:
                print(ask())
            except OSError as error:
                print(error.errno, error.filename)
        print(os.access("prog.py", os.R_OK), os.access("nowhere", os.F_OK))
        """,
    ),
    _p(
        "environment_changes",
        """
        import os
        os.environ["MODE"] = "prod"
        print(os.environ.setdefault("LEVEL", "5"), os.environ["LEVEL"], os.environ.pop("MODE"))
        print(os.environ["APP"], os.environ.get("MODE"), "APP='ä'" in repr(os.environ).replace(": ", "="))
        os.environ["APP"] = "other"
        del os.environ["APP"]
        print(os.getenv("APP"), os.environ.get("LEVEL"), dict(os.environ)["LEVEL"], "LEVEL" in os.environ)
        """,
        env={"APP": "ä"},
    ),
    _p(
        "left_out_folders",
        """
        import os
        from pathlib import Path
        print(sorted(os.listdir(".")), sorted(path.as_posix() for path in Path(".").rglob("*")))
        print(open(".git/HEAD").read(), os.listdir("node_modules/x"))
        for act in (lambda: os.mkdir("__pycache__"), lambda: os.rmdir("node_modules")):
            try:
                act()
            except OSError as error:
                print(type(error).__name__, error)
        for act in (lambda: os.rename("no", "x"), lambda: os.link("no", "y"), lambda: os.truncate("no", 3)):
            try:
                act()
            except OSError as error:
                print(type(error).__name__, error, error.filename2)
        os.makedirs("sub/.venv/bin", exist_ok=True)
        with os.scandir("sub") as entries:
            for entry in entries:
                print(entry, entry.is_dir(), entry.is_file(), entry.is_symlink(), entry.path)
                print(isinstance(entry, os.DirEntry), entry.inode() == entry.stat().st_ino, os.fspath(entry))
        """,
        files={".git/HEAD": "ref", "node_modules/x/y.js": "", "__pycache__/z.pyc": "", "sub/a.txt": "a"},
    ),
    _p(
        "plug_ins",
        """
        import importlib.util, pkgutil, runpy, sys, zipfile
        spec = importlib.util.spec_from_file_location("plug", "plugins/plug.py")
        plug = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(plug)
        print(plug.name(), runpy.run_path("plugins/other.py")["X"])
        with zipfile.ZipFile("stamped.zip", "w") as archive:
            archive.writestr("zipped/__init__.py", "from .inner import Y")
            archive.writestr("zipped/inner.py", "Y = 'from a zip'")
        sys.path.insert(0, "stamped.zip")
        import zipped
        print(zipped.Y, [module.name for module in pkgutil.iter_modules(["plugins", "stamped.zip"])])
        """,
        files={"plugins/plug.py": "def name():\n    return __name__\n", "plugins/other.py": "X = 1\n"},
    ),
]

OUTPUT = [
    _p(
        "print_forms",
        """
        import sys
        print()
        print("a", 1, None, sep="-", end="|")
        print("b", end="")
        print("c", flush=True)
        print(*range(3), sep="\\n")
        print("err", file=sys.stderr)
        sys.stdout.write("written\\n")
        sys.stdout.writelines(["x\\n", "y\\n"])
        sys.stderr.write("more err\\n")
        print(sys.stdout.write("count") , sys.stdout.encoding, sys.stdout.isatty())
        """,
    ),
    _p(
        "output_bytes",
        """
        import os, sys
        sys.stdout.buffer.write(b"bytes \\xe2\\x82\\xac\\n")
        sys.stdout.flush()
        print("text")
        sys.stdout.flush()
        sys.stderr.buffer.write(b"to err\\n")
        sys.stderr.flush()
        sys.stdout.buffer.write(memoryview(b"view\\n"))
        print(sys.stdout.fileno(), sys.stdout.name, sys.stdout.errors, flush=True)
        sys.stdout.buffer.write(bytes(range(256)))
        sys.stdout.flush()
        for number in range(3):
            print("text", number, flush=True)
            os.write(1, b"to the descriptor\\n")
            os.write(2, memoryview(b"error\\xff\\n"))
        saved = os.dup(1)
        file = os.open("caught.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.write(1, b"caught\\n")
        os.dup2(saved, 1)
        os.write(1, b"again\\n")
        print(open("caught.txt").read(), os.write)
        for bad in ((1, "x"), (99, b"x"), (1,)):
            try:
                os.write(*bad)
            except (TypeError, OSError) as error:
                print(type(error).__name__, error)
        """,
    ),
    _p(
        "reconfigured",
        """
        import sys, io, codecs
        print("start")
        sys.stdout.reconfigure(encoding="ascii", errors="backslashreplace")
        print("snow \\u2603")
        sys.stdout.reconfigure(errors="xmlcharrefreplace")
        print("snow \\u2603")
        sys.stdout.reconfigure(encoding="latin-1", errors="strict")
        print("caf\\xe9")
        try:
            print("\\u2603")
        except UnicodeEncodeError as e:
            print("enc", e.reason)
        sys.stdout.reconfigure(encoding="utf-8", newline="\\r\\n")
        print("crlf\\nx")
        sys.stdout.reconfigure(newline="\\n", write_through=True, line_buffering=True)
        print("done", sys.stdout.encoding, sys.stdout.errors)
        w = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-16-le", write_through=True)
        w.write("wide\\n")
        w.detach()
        print("after", sys.stdout.closed)
        cw = codecs.getwriter("utf-8")(sys.stdout.buffer)
        cw.write("via codecs é\\n")
        old = sys.stdout.detach()
        old.write(b"detached\\n")
        old.flush()
        sys.stdout = io.TextIOWrapper(old, encoding="utf-8")
        print("rewrapped é")
        sys.stdout.flush()
        """,
    ),
    _p(
        "unicode",
        """
        größe = "naïve café 漢字 🎉"
        print(größe, len(größe), größe.encode().hex(), ascii(größe))
        print("\\x1b[1mbold\\x1b[0m tab\\tnul\\x00 line\\u2028sep")
        with open("ünï.txt", "w", encoding="utf-16") as f:
            f.write(größe)
        print(open("ünï.txt", encoding="utf-16").read() == größe, repr("\\ud800"), b"\\xff".decode("latin-1"))
        try:
            "\\ud800".encode()
        except UnicodeEncodeError as error:
            print(error.reason)
        """,
    ),
    _p("nothing", ""),
    _p("only_comment", "# nothing at all"),
    _p("docstring", '"""The docstring."""\nprint(__doc__, __name__, __builtins__ is not None)\n'),
    Program("bom_bytes", b"\xef\xbb\xbfprint('after a mark: \xc3\xa9')\n"),
    Program("latin1", "# -*- coding: latin-1 -*-\nprint('caf\xe9', ascii('\xe9'))\n".encode("latin-1")),
    Program("crlf", b"x = 1\r\nif x:\r\n    print('crlf', repr('''a\r\nb'''))\r\n"),
    Program("no_newline", b"print('no newline at the end')"),
    Program("form_feed_tabs", b"def f():\n\tif 1:\n\t\treturn 'tabs'\n\x0c\nprint(f())\n"),
]

ENDS = [
    _p(
        "uncaught",
        """
        def f(x):
            return g(x) + 1
        def g(x):
            return {"a": 1}[x]
        f(
            "b"
        )
        """,
        status=1,
    ),
    _p(
        "chained",
        """
        class Custom(Exception):
            def __str__(self):
                return "custom text"
        def inner():
            try:
                [][1]
            except IndexError as error:
                error.add_note("a note")
                raise Custom("x") from error
        try:
            inner()
        except Custom:
            raise RuntimeError("while handling")
        """,
        status=1,
    ),
    _p(
        "grouped",
        """
        try:
            inner = ExceptionGroup("in", [KeyError("k")])
            raise ExceptionGroup("group", [ValueError(1), TypeError(2), inner])
        except* ValueError as group:
            print("values", group.exceptions)
        except* TypeError:
            print("types")
        """,
        status=1,
    ),
    _p("exit_3", "import sys\nprint('bye')\nsys.exit(3)\n", status=3),
    _p("exit_text", "import sys\nsys.exit('a message')\n", status=1),
    _p("exit_none", "print('x')\nraise SystemExit\n"),
    _p("exit_builtin", "try:\n    exit(5)\nfinally:\n    print('cleanup')\n", status=5),
    _p("exit_true", "import sys\nsys.exit(True)\n", status=1),
    _p(
        "atexit",
        """
        import atexit, sys
        @atexit.register
        def last():
            print("last", x)
        atexit.register(print, "first of all")
        x = 1
        print("body")
        x = 2
        sys.exit(4)
        """,
        status=4,
    ),
    _p(
        "thread_outlives",
        """
        import threading
        gate = threading.Event()
        def late():
            gate.wait()
            print("from the thread")
        threading.Thread(target=late).start()
        print("main is done")
        gate.set()
        """,
    ),
    _p("keyboard_interrupt", "print('a')\nraise KeyboardInterrupt\n", status=130),
    _p("syntax_error", "x = 1\nprint(x\n", status=1),
    _p("indentation_error", "x = 1\n  y = 2\n", status=1),
    _p("null_name_error", "print(undefined_name)\n", status=1),
    _p("raise_in_del", "class A:\n    def __del__(self):\n        1 / 0\na = A()\ndel a\nprint('on')\n"),
    _p(
        "excepthook",
        "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1 / 0\n",
        status=1,
    ),
    _p("unraisable_assert", "def f():\n    assert 1 == 2, 'not equal'\nf()\n", status=1),
]


def _zipped(**members: str) -> bytes:
    """A zip file with a fixed date."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__slash__", "/") + ".py"), text)
    return buffer.getvalue()


_ZIP_MAIN = """\
import os, sys
import inner
from pk.mod import V
print(__name__, inner.f(3), V, sys.argv, os.path.basename(__file__), sys.path[0] == os.path.dirname(__file__))
print(type(__loader__).__name__, __spec__.name, repr(__package__), __cached__)
# %% a second cell
x = inner.f(20)
sys.exit(x)
"""
_ZIP_HELPERS = {
    "inner": "def f(x):\n    return x * 2\n",
    "pk__slash____init__": "",
    "pk__slash__mod": "V = 1\n",
}

LAYOUT = [
    Program(
        "zip_program", _zipped(__main__=_ZIP_MAIN, **_ZIP_HELPERS), file="app.pyz", args=("a",), status=40
    ),
    _p("module_missing", "", files={"pk/__init__.py": "print('looked')\n"}, module="pk.nowhere", status=1),
    _p(
        "package_that_fails",
        "",
        files={
            "bad/__init__.py": "import sys\nprint('begun')\nsys.exit(7)\n",
            "bad/tool.py": "print('never')\n",
        },
        module="bad.tool",
        status=7,
    ),
    _p(
        "cells",
        """
        from __future__ import annotations
        x = 1
        # %% second
        def f(a: NotThere) -> int:
            return a + x
        s = '''
        # %% not a cell
        '''
        # %% third
        print(f(2), len(s), f.__annotations__)
        """,
    ),
    _p("cell_error", "print('one')\n# %%\n1 / 0\n# %%\nprint('never')\n", status=1),
    _p("cell_syntax_error", "print('never')\n# %%\nprint(\n", status=1),
    _p("cell_exit", "import sys\n# %%\nsys.exit(6)\n# %%\nprint('never')\n", status=6),
    _p(
        "workspace_modules",
        """
        import importlib
        import helper
        from pkg import sub
        from pkg.deep import thing as renamed
        print(helper.double(4), sub.NAME, renamed.value(), helper.__name__, __package__)
        with open("late.py", "w") as f:
            f.write("X = 5\\n")
        import late
        print(late.X)
        with open("late.py", "w") as f:
            f.write("X = 'changed'\\n")
        importlib.reload(late)
        print(late.X)
        try:
            import broken
        except SyntaxError as error:
            print("broken", error.lineno)
        try:
            import nothing_of_this_name
        except ModuleNotFoundError as error:
            print(error)
        """,
        files={
            "helper.py": _HELPER,
            "broken.py": "x = (\n",
            "pkg/__init__.py": "from . import deep\n",
            "pkg/sub.py": "NAME = __name__\n",
            "pkg/deep/__init__.py": "",
            "pkg/deep/thing.py": "from .. import sub\ndef value():\n    return sub.NAME + '!'\n",
        },
    ),
    _p(
        "module_form",
        "print('unused')\n",
        files={
            "pkg/__init__.py": "print('package')\n",
            "pkg/tool.py": "import sys\nfrom .other import X\nprint(__name__, sys.argv[1:], X)\n",
            "pkg/other.py": "X = 1\n",
        },
        module="pkg.tool",
        args=("a", "-m", "--x"),
    ),
    _p(
        "module_main",
        "print('unused')\n",
        files={
            "pkg/__init__.py": "",
            "pkg/__main__.py": "print('main of', __package__)\nraise SystemExit(9)\n",
        },
        module="pkg",
        status=9,
    ),
    _p(
        "other_folder",
        """
        import os, sys
        import beside
        print(os.path.basename(os.getcwd()), sys.argv[0], beside.WHO, os.path.basename(sys.path[0]))
        print(os.listdir("."))
        """,
        file="tools/prog.py",
        files={"tools/beside.py": "WHO = 'beside'\n", "data/only.txt": "x"},
        cwd="data",
    ),
    _p(
        "main_module",
        """
        import sys, inspect, pickle
        class Here:
            pass
        def f(): pass
        main = sys.modules["__main__"]
        print(main.Here is Here, Here.__module__, f.__globals__ is globals(), main.__dict__ is vars())
        print(type(pickle.loads(pickle.dumps(Here()))) is Here, inspect.getsource(f).strip())
        print(sorted(name for name in globals() if not name.startswith("__")), __spec__, __doc__)
        if __name__ == "__main__":
            print("run as main")
        """,
    ),
]

STDLIB = [
    _p(
        "stdlib_mix",
        """
        import collections, decimal, fractions, hashlib, itertools, math, operator, re, statistics, string
        import base64, bisect, copy, heapq, textwrap, types, urllib.parse, html, difflib, calendar, zlib
        print(decimal.Decimal("0.1") + 1, fractions.Fraction(1, 3), hashlib.sha256(b"x").hexdigest()[:8])
        print(list(itertools.groupby("aab"))[0][0], math.isclose(math.pi, 3.14159, abs_tol=1e-4))
        print(re.sub(r"(\\d+)", lambda m: str(int(m[1]) * 2), "a1b22"), statistics.mean([1, 2, 3]))
        print(base64.b64encode(b"hi"), bisect.bisect([1, 2, 4], 3), heapq.nsmallest(2, [3, 1, 2]))
        print(urllib.parse.urlsplit("http://a/b?c=d").query, html.escape("<a>"), zlib.crc32(b"abc"))
        print(list(difflib.unified_diff(["a"], ["b"], lineterm=""))[2:], calendar.isleap(2024))
        deep = copy.deepcopy({"a": [1, {"b": 2}]})
        deep["a"][1]["b"] = 3
        print(deep, string.Template("$x").substitute(x=1), types.SimpleNamespace(a=1))
        """,
    ),
    _p(
        "exec_eval",
        """
        scope = {}
        exec("def f(x):\\n    return x + 1\\ny = f(1)", scope)
        print(scope["y"], eval("y * 2", scope), eval("[i for i in range(3)]"))
        code = compile("a = 5\\nb = a", "<made>", "exec")
        exec(code)
        print(a, b)
        try:
            exec("1 / 0")
        except ZeroDivisionError as error:
            print(error.__traceback__.tb_next.tb_frame.f_code.co_filename)
        print(sorted(set(dir()) & {"a", "b", "scope"}), locals() is globals())
        """,
    ),
    _p(
        "numbers_text",
        """
        nan, inf = float("nan"), float("-inf")
        big = 2 ** 200
        print(nan, inf, big, -0.0, 1e300 * 1e10, 0.1 + 0.2, 10 ** 18, ~5, 7 // -2, -7 % 3, True + 1)
        values = [nan, inf, big, (1, 2), {3, 4}, b"\\x00", "\\ud83d", 1 + 2j, ..., None, range(3), slice(1)]
        for value in values:
            kept = value
            print(type(kept).__name__, ascii(kept))
        def f(a, /, b, *c, d=4, **e): return a, b, c, d, e
        print(f(1, 2, 3, d=5, z=6), f.__kwdefaults__)
        """,
    ),
    _p(
        "del_global",
        """
        x = [1, 2, 3]
        y = x
        del x[0]
        y += [9]
        def f():
            global z
            z = len(y)
            del globals()["x"]
        f()
        try:
            x
        except NameError as error:
            print(error)
        print(y, z)
        a = b = c = 0
        a, b = b + 1, a
        i: int = 5
        i <<= 2
        print(a, b, c, i, __annotations__)
        """,
    ),
]

PROGRAMS: list[Program] = [*FILES, *LANGUAGE, *WORLD, *MACHINE, *OUTPUT, *ENDS, *LAYOUT, *STDLIB]
BY_NAME = {program.name: program for program in PROGRAMS}
