"""Programs that ask for the time, chance, input and their surroundings, or start processes and threads."""

from __future__ import annotations

from tests.support.programs import program

WORLD = [
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
    program(
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
