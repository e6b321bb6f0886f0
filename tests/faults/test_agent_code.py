"""Agent code that breaks what it can reach: its block ends in the one way that it should, the next block
runs, every act that was performed is in the log, and the log is whole."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

import coda
from coda.log import ToolCalled, Trace, check_trace, open_trace
from coda.runtime import BlockResult, Sandbox

pytestmark = pytest.mark.slow

SPOIL = dedent("""
    def spoil(*modules):
        for module in modules:
            for name in dir(module):
                if not name.startswith("__"):
                    try:
                        setattr(module, name, None)
                    except AttributeError:
                        pass
    """)


class Case(NamedTuple):
    """A program, how its block ends, what it prints, and what `act` is called with."""

    code: str
    outcome: str = "ok"
    out: str = ""
    acts: tuple[int, ...] = ()
    error: str | None = None


CASES = {
    "open": Case("import builtins\nbuiltins.open = open = None\nact(1)", acts=(1,)),
    "no streams": Case("import sys\nsys.stdout = sys.stderr = None\nprint('lost')\nact(1)", acts=(1,)),
    "streams deleted": Case("import sys\ndel sys.stdout, sys.stderr, sys.__stdout__\nact(1)", acts=(1,)),
    "a stream that raises": Case(
        """
        import sys
        class Stream:
            def write(self, text): raise RuntimeError("no")
            def flush(self): raise SystemExit(3)
        sys.stdout = sys.stderr = Stream()
        act(1)
        """,
        acts=(1,),
    ),
    "print": Case("import builtins\nbuiltins.print = lambda *a: 1 / 0\nact(1)", acts=(1,)),
    "import": Case("import builtins\nbuiltins.__import__ = None\nact(1)", acts=(1,)),
    "builtins": Case(
        """
        import builtins
        vars(builtins).clear()
        act(1)
        ctx.x = [1, {"a": (2, 3)}]
        raise act
        """,
        "error",
        acts=(1,),
        error="TypeError",
    ),
    "own builtins": Case("__builtins__ = {}\nact(1)", acts=(1,)),
    "os": Case(
        "import os\nos.write = os.read = os.close = os.getpid = os.path.join = os._exit = None\n"
        "print('a')\nact(1)",
        out="a\n",
        acts=(1,),
    ),
    "time": Case(f"{SPOIL}\nimport time\nspoil(time)\nprint('a')\nact(1)", out="a\n", acts=(1,)),
    "threading": Case(
        f"{SPOIL}\nimport threading, _thread\nspoil(threading, _thread)\nprint('a')\nact(1)",
        out="a\n",
        acts=(1,),
    ),
    "msgspec": Case(
        f"{SPOIL}\nimport msgspec.msgpack, msgspec.json\n"
        "spoil(msgspec.msgpack, msgspec.json, msgspec)\nctx.x = (1,)\nact(1)",
        acts=(1,),
    ),
    "traceback": Case(
        f"{SPOIL}\nimport traceback, linecache, ast, inspect\n"
        "spoil(traceback, linecache, ast, inspect)\n1 / 0",
        "error",
        error="ZeroDivisionError",
    ),
    "hooks of sys": Case(
        "import sys\nsys.excepthook = sys.displayhook = sys.unraisablehook = sys._getframe = 3\n"
        "sys.setrecursionlimit = sys.settrace = sys.getrecursionlimit = None\nact(1)\n1 / 0",
        "error",
        acts=(1,),
        error="ZeroDivisionError",
    ),
    "modules": Case("import sys\nsys.modules.clear()\nact(1)", acts=(1,)),
    "codas modules": Case(
        "import sys\nfor name in list(sys.modules):\n"
        "    if name.startswith('coda'): sys.modules[name] = None\nact(1)",
        acts=(1,),
    ),
    "main": Case("import sys\nsys.modules['__main__'] = None\nact(1)", acts=(1,)),
    "finders": Case(
        """
        import sys
        class Finder:
            def find_spec(self, *args): raise SystemExit(2)
        sys.meta_path.insert(0, Finder())
        try:
            import wave
        except BaseException as error:
            print(type(error).__name__)
        act(1)
        """,
        out="SystemExit\n",
        acts=(1,),
    ),
    "garbage collector": Case(
        """
        import gc
        gc.enable()
        gc.set_threshold(1)
        gc.callbacks.append(lambda *args: 1 / 0)
        gc.collect = gc.isenabled = gc.get_count = None
        for number in range(50):
            [[]].append(number)
        act(1)
        """,
        acts=(1,),
    ),
    "a tracer": Case(
        """
        import sys
        def f(): pass
        sys.settrace(lambda *args: 1 / 0)
        try:
            f()
        except ZeroDivisionError:
            print("traced")
        sys.settrace(lambda *args: None)
        """,
        out="traced\n",
    ),
    "a profiler": Case(
        "import sys\ndef profiler(*args): raise SystemExit(4)\nsys.setprofile(profiler)", "exited"
    ),
    "audit": Case("import sys\nsys.addaudithook(lambda name, args: None)\nact(1)", acts=(1,)),
    "__del__": Case(
        """
        class A:
            def __del__(self): raise SystemExit(9)
        a = A()
        del a
        a = A()
        a.itself = a
        del a
        act(1)
        """,
        acts=(1,),
    ),
    "__repr__": Case(
        """
        class A:
            def __repr__(self): raise KeyboardInterrupt
            __eq__ = __hash__ = __str__ = __len__ = __iter__ = __bool__ = __reduce_ex__ = __repr__
        x = A()
        ctx.x = [x, {1: x}]
        try:
            act(x)
        except TypeError as error:
            print(error)
        """,
        out="tool arguments are values; got __main__.A in argument 'n'\n",
    ),
    "lists that raise": Case(
        """
        class L(list):
            def __len__(self): raise KeyboardInterrupt
            __iter__ = __getitem__ = __eq__ = __len__
        class D(dict):
            def items(self): raise SystemExit
            __iter__ = __len__ = keys = __contains__ = items
        x, y = L(), D()
        ctx.x, ctx.y = x, y
        act(1)
        """,
        acts=(1,),
    ),
    "an exception whose text exits": Case(
        "class E(Exception):\n    def __str__(self): raise SystemExit(4)\n"
        "    __repr__ = __str__\nraise E('x')",
        "error",
        error="__main__.E",
    ),
    "an exception that lies": Case(
        """
        class M(type):
            def __getattribute__(cls, name): raise KeyboardInterrupt
            def mro(cls): return [cls, BaseException, object]
        class E(BaseException, metaclass=M):
            def __getattribute__(self, name): raise SystemExit
            def __bool__(self): raise SystemExit
            def with_traceback(self, tb): raise KeyboardInterrupt
        raise E
        """,
        "error",
        error="__main__.E",
    ),
    "exceptions in a circle": Case(
        "a, b = ValueError('a'), ValueError('b')\na.__cause__, b.__context__ = b, a\nraise a",
        "error",
        error="ValueError",
    ),
    "a long message": Case("raise ValueError('x' * 50_000_000)", "error", error="ValueError"),
    "a status that is none": Case("raise SystemExit(10 ** 100)", "exited"),
    "a status that raises": Case(
        "class I(int):\n    def __and__(self, other): raise KeyboardInterrupt\nraise SystemExit(I(3))",
        "exited",
    ),
    "exits in a group": Case(
        "raise BaseExceptionGroup('g', [KeyboardInterrupt(), SystemExit(2)])",
        "error",
        error="BaseExceptionGroup",
    ),
    "recursion": Case("def f(): return f()\nf()", "error", error="RecursionError"),
    "recursion that acts": Case(
        "def f():\n    try: return f()\n    except RecursionError: return act(1)\nf()", acts=(1,)
    ),
    "a deep argument": Case(
        "x = []\nfor _ in range(100_000): x = [x]\nctx.x = x\nact(x)", "error", error="TypeError"
    ),
    "a folder that is gone": Case(
        """
        import os, tempfile
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)
        for mode in "rw":
            try:
                open("x", mode)
            except OSError as error:
                print(error.errno)
        act(1)
        """,
        out="2\n2\n",
        acts=(1,),
    ),
    "no more files": Case(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            open("x", "w")
        except OSError as error:
            print(error.errno)
        act(1)
        """,
        out="24\n",
        acts=(1,),
    ),
    "the recorder's buffers emptied": Case(
        """
        import gc
        for item in gc.get_objects():
            if type(item).__name__ in ("Buffer", "Values"):
                item.clear()
        act(1)
        """,
        acts=(1,),
    ),
    "every descriptor": Case(
        """
        import os
        for fd in range(1001):
            try:
                os.close(fd)
            except OSError:
                pass
        os.closerange(3, 70_000)
        for fd in range(980, 1030):
            try:
                os.dup2(os.open("/dev/null", os.O_RDONLY), fd)
                os.close(fd)
            except OSError:
                pass
        print("closed")
        act(1)
        """,
        out="closed\n",
        acts=(1,),
    ),
    "a child that goes on": Case(
        """
        import os
        child = os.fork()
        x = 1
        if child == 0:
            print("child", flush=True)
            open("made", "w").close()
            try:
                act(3)
            except PermissionError:
                os._exit(3)
            os._exit(0)
        act(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        out="child\n",
        acts=(3,),
    ),
    "a child that becomes another": Case(
        """
        import os
        child = os.fork()
        if child == 0:
            os.execv("/bin/true", ["true"])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        act(1)
        """,
        out="0\n",
        acts=(1,),
    ),
    "a handler that raises all the time": Case(
        """
        import signal
        raised = 0
        inside = False
        def handler(*args):
            global raised, inside
            if inside:
                inside, raised = False, raised + 1
                raise SystemExit(5)
        signal.signal(signal.SIGALRM, handler)
        assert signal.getsignal(signal.SIGALRM) is handler
        signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
        n = 0
        while n < 200 or raised < 20:
            try:
                inside = True
                n += 1
                ctx.n = n
                print("x", end="")
                inside = False
            except SystemExit:
                pass
        signal.setitimer(signal.ITIMER_REAL, 0)
        del ctx.n
        act(1)
        """,
        out="",
        acts=(1,),
    ),
    "a timer that runs on": Case(
        """
        import signal
        count = 0
        def handler(*args):
            global count
            count += 1
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
        while count < 3: pass
        act(1)
        """,
        acts=(1,),
    ),
    "threads without end": Case(
        """
        import threading, time
        def spin():
            while True: time.sleep(0.001)
        for daemon in (True, False):
            threading.Thread(target=spin, daemon=daemon).start()
        act(1)
        """,
        acts=(1,),
    ),
    "a loop that is stopped": Case(
        "import asyncio\nasyncio.get_running_loop().stop()\nawait asyncio.sleep(1)",
        "error",
        error="RuntimeError",
    ),
}


def performed(trace: Trace) -> list[object]:
    """The arguments of the calls that the trace tells of."""
    calls = [event.record for event in trace.events(types={"tool.called"})]
    return [call.args[0] for call in calls if isinstance(call, ToolCalled)]


@pytest.mark.parametrize("name", CASES)
def test_what_agent_code_breaks_is_its_own(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    acts: list[int] = []

    @coda.tool
    def act(n: int) -> None:
        """Takes a note."""
        acts.append(n)

    (tmp_path / "ws").mkdir()
    path = tmp_path / "t.jsonl"
    with Sandbox(root=tmp_path / "ws", trace=path, tools=[act], timeout_s=60) as sandbox:
        result: BlockResult = sandbox.execute(dedent(case.code))
        after = sandbox.execute("act(2)")
    assert (result.outcome, result.state) == (case.outcome, "kept"), result.error
    assert result.stdout.strip("x") == case.out
    assert (result.error.kind if result.error is not None else None) == case.error
    assert acts == [*case.acts, *([2] if after.outcome == "ok" else [])], after.error
    assert after.outcome == "ok", after.error
    report = check_trace(path)
    assert (report.damage, report.finished, report.torn_bytes) == ((), True, 0)
    trace = open_trace(path)
    assert performed(trace) == acts
    assert trace.finished is not None
    assert trace.finished.dropped == 0  # no failure of the recorder was swallowed
