"""Blocks that must not go on: how they are ended, what the log says of it, and that it replays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coda.forking import fork
from coda.log import LimitHit, Record, Signal, Trace, check_trace, open_trace
from coda.replay import ReplayRestorer, replay, state_at
from coda.runtime import BlockResult, Prepare, Sandbox, feedback_text
from coda.runtime.stopping import NotCompiled
from tests.support.programs import ROOT, output_of

pytestmark = pytest.mark.slow


def boxed(folder: Path, **given: Any) -> Sandbox:
    """A sandbox whose blocks have little time."""
    work = folder / "ws"
    work.mkdir(exist_ok=True)
    return Sandbox(root=work, trace=folder / "run.jsonl", **{"timeout_s": 0.2, **given})


def run(sandbox: Sandbox, code: str) -> BlockResult:
    """Runs a block that is written as an indented text."""
    return sandbox.execute(textwrap.dedent(code).strip("\n"))


def only(trace: Trace, kind: str) -> Any:
    """The one record of a type."""
    (event,) = trace.events(types={kind})
    return event.record


@pytest.mark.parametrize("level", ["lines", "values"])
def test_a_block_is_interrupted_before_a_statement(level: str, tmp_path: Path) -> None:
    with boxed(tmp_path, level=level, line_limit=50_000) as sandbox:
        result = run(
            sandbox,
            """
            import sys, traceback
            n, log = 0, []
            def count():
                global n
                while True:
                    n += 1
            try:
                count()
            except BaseException as error:
                log.append(repr(error))
                traceback.print_exc(file=sys.stdout)
                raise
            finally:
                log.append("cleaned")
            """,
        )
        assert (result.outcome, result.state) == ("interrupted", "kept")
        assert result.error is not None
        assert (result.error.kind, result.error.message) == (
            "KeyboardInterrupt",
            "stopped after the time limit of 0.2 s",
        )
        # What the block itself prints of it shows its own lines alone.
        assert [line for line in result.stdout.splitlines() if "File" in line] == [
            '  File "<block 1>", line 8, in <module>',
            '  File "<block 1>", line 6, in count',
        ]
        after = sandbox.execute("print(n, log)")
        count, _, log = after.stdout.partition(" ")
        assert log == "[\"KeyboardInterrupt('stopped after the time limit of 0.2 s')\", 'cleaned']\n"
    trace = open_trace(sandbox.writer.path)
    signal = only(trace, "signal")
    assert isinstance(signal, Signal)
    assert (signal.name, signal.detail) == ("interrupt", "stopped after the time limit of 0.2 s")
    assert signal.statement is not None
    assert trace.statement(signal.statement).line == signal.line
    assert signal.line in (5, 6)
    limits = [event.record for event in trace.events(types={"limit.hit"})]
    assert ("wall", "block 1 ran longer than 0.2 s") in [(hit.what, hit.detail) for hit in limits]  # type: ignore[union-attr]
    verdict = replay(trace)
    assert verdict.diverged is None
    assert verdict.lines > int(count)
    before = state_at(trace, signal.seq)
    assert (before.function, before.globals["n"].repr) == ("count", count)
    assert state_at(trace, "2:0").globals["n"].repr == count


def test_a_block_that_catches_its_interruption_was_interrupted(tmp_path: Path) -> None:
    with boxed(tmp_path) as sandbox:
        result = run(
            sandbox,
            """
            n = 0
            try:
                while True:
                    n += 1
            except KeyboardInterrupt:
                done = "in time"
            """,
        )
        assert (result.outcome, result.state) == ("interrupted", "kept")
        assert result.error is not None
        assert result.error.message == "stopped after the time limit of 0.2 s"
        assert sandbox.execute("print(done)").stdout == "in time\n"
    assert replay(sandbox.writer.path).diverged is None


def test_a_block_is_interrupted_on_demand(tmp_path: Path) -> None:
    ready = threading.Event()
    with boxed(tmp_path, timeout_s=None, tools=[ready.set]) as sandbox:

        def stop() -> None:
            ready.wait()
            sandbox.interrupt("enough")

        waiting = threading.Thread(target=stop)
        waiting.start()
        result = sandbox.execute("n = 0\nset()\nwhile True:\n    n += 1")
        waiting.join()
        assert (result.outcome, result.state) == ("interrupted", "kept")
        assert result.error is not None
        assert (result.error.kind, result.error.message) == ("KeyboardInterrupt", "enough")
        sandbox.interrupt("nothing runs")
        after = sandbox.execute("print(n >= 0)")
        assert after.stdout == "True\n", after
    assert replay(sandbox.writer.path).diverged is None
    assert [event.type for event in open_trace(sandbox.writer.path).events(types={"limit.hit"})] == []


ENDLESS = {
    "sleeps": "import time\nx = 1\ntime.sleep(1000)",
    "loops in C": "x = 1\nmax(iter(int, 1))",
    "catches everything": """
        x = 1
        while True:
            try:
                while True: pass
            except BaseException:
                pass
        """,
    "loops in a library": "import itertools\nx = 1\nsum(itertools.repeat(0))",
    "ignores the signal": """
        import signal, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(1000)
        """,
    "waits for a process": "import subprocess\nx = 1\nsubprocess.run(['sleep', '1000'])",
    "closes its descriptors": "import os, time\nos.closerange(3, 64)\ntime.sleep(1000)",
}
"""Programs that no exception before a statement can end."""


@pytest.mark.parametrize("what", ENDLESS)
def test_whatever_it_does_a_block_ends(what: str, tmp_path: Path) -> None:
    with boxed(tmp_path, line_limit=1000) as sandbox:
        result = run(sandbox, "print('begun')\n" + textwrap.dedent(ENDLESS[what]).strip("\n"))
        assert result.outcome in ("interrupted", "killed")
        # What holds the interpreter's lock from then on keeps the last milliseconds from being sent.
        assert result.stdout in ("begun\n", "")
        assert result.error is not None
        # Nobody can restore it here: the next block starts without any variables.
        assert result.state == "lost"
        after = sandbox.execute(
            "import random\nprint(sorted(set(globals()) & {'x', 'time', 'ls', 'ctx'}))\ny = 2"
        )
        assert after.stdout == "['ctx', 'ls']\n"
    report = check_trace(sandbox.writer.path)
    assert (report.damage, report.finished) == ((), True)
    trace = open_trace(sandbox.writer.path)
    assert [event.record.worker for event in trace.events(types={"sandbox.started"})] == [0, 1]  # type: ignore[union-attr]
    verdict = replay(trace)
    assert verdict.diverged is None
    assert f"block 1 was {result.outcome} from outside" in " ".join(verdict.notes)
    assert state_at(trace, "2:1").globals.keys() == {"random"}
    lines = [event for event in trace.events(types={"line"}) if event.block == 1]
    if len(lines) > 1:
        assert verdict.lines > len(lines[:-1])
        assert state_at(trace, lines[-1].seq).output == "begun\n"


def test_after_a_kill_the_variables_are_those_of_before(tmp_path: Path) -> None:
    with boxed(tmp_path, restorer=ReplayRestorer(), timeout_s=0.5) as sandbox:
        first = run(
            sandbox,
            """
            import os, random, time, uuid
            rows, drawn = [1], [random.random()]
            log = open("log.txt", "w")
            log.write("one\\n")
            log.flush()
            def count():
                return len(rows)
            ctx.seen = [1]
            os.environ["MINE"] = "set"
            open("kept.txt", "w").write("first")
            """,
        )
        assert first.outcome == "ok", first.error
        lost = run(
            sandbox,
            """
            rows.append(2)
            ctx.seen.append(2)
            ctx.gone = 1
            made = uuid.uuid4()
            open("kept.txt", "w").write("changed")
            os.rename("kept.txt", "moved.txt")
            write("new.txt", "made")
            print(random.random(), made)
            time.sleep(1000)
            """,
        )
        assert (lost.outcome, lost.state) == ("interrupted", "rolled_back")
        assert lost.acts == ("opened kept.txt", "renamed kept.txt", "write('new.txt')")
        told = feedback_text([lost], emitted=1)
        assert "All variables are as they were before it." in told
        assert "Not undone: opened kept.txt; renamed kept.txt; write('new.txt')." in told
        assert "gone" not in told
        after = run(
            sandbox,
            """
            log.write("two\\n")
            log.close()
            print(random.random(), uuid.uuid4())
            print(count(), ctx.seen, "gone" in ctx, "made" in globals(), os.environ["MINE"])
            print(sorted(os.listdir(".")), open("moved.txt").read(), time.time() > 1e9)
            """,
        )
        drawn, rest = after.stdout.split("\n", 1)
        # Chance goes on as if the block had not been; what must be unique is not drawn a second time.
        assert drawn.split()[0] == lost.stdout.split()[0]
        assert drawn.split()[1] != lost.stdout.split()[1]
        assert rest == "1 [1] False False set\n['log.txt', 'moved.txt', 'new.txt'] changed True\n"
        assert (tmp_path / "ws" / "log.txt").read_text() == "one\ntwo\n"
        left = run(sandbox, "rows.append(3)\nos._exit(3)")
        assert (left.outcome, left.code, left.state) == ("exited", 3, "rolled_back")
        assert sandbox.execute("print(rows)\nwhile True:\n    rows.append(4)").state == "kept"
        os.kill(sandbox.engine.pid, 9)
        assert sandbox.execute("print(rows[:2], len(rows) > 2)").stdout == "[1, 4] True\n"
    trace = open_trace(sandbox.writer.path)
    started = [event.record for event in trace.events(types={"sandbox.started"})]
    assert [(each.worker, each.state) for each in started] == [  # type: ignore[union-attr]
        (0, "new"), (1, "restored"), (2, "restored"), (3, "restored"),
    ]  # fmt: skip
    verdict = replay(trace)
    assert verdict.diverged is None
    assert len([note for note in verdict.notes if "no part of what follows" in note]) == 2
    inside = next(event for event in trace.events(types={"ctx.set"}) if event.record.name == "gone")  # type: ignore[union-attr]
    assert state_at(trace, inside.seq + 1).globals["rows"].repr == "[1, 2]"
    assert state_at(trace, "3:0").globals["rows"].repr == "[1]"
    assert state_at(trace, "3:0").ctx.keys() == {"seen"}
    made = fork(trace, "3:2", sets=[("rows", "[7, 8]")], out=tmp_path / "fork.jsonl")
    assert "2 [1] False" in output_of(made.path)


def test_what_cannot_be_rebuilt_is_lost_and_said(tmp_path: Path) -> None:
    with boxed(tmp_path, restorer=ReplayRestorer()) as sandbox:
        sandbox.execute(
            "import socket\ns = socket.socket()\ntry: s.connect(('127.0.0.1', 9))\nexcept OSError: pass"
        )
        lost = sandbox.execute("max(iter(int, 1))")
        assert (lost.outcome, lost.state) == ("killed", "lost")
        assert sandbox.execute("print('socket' in globals())").stdout == "False\n"
    marks = [event.record for event in open_trace(sandbox.writer.path).events(types={"limit.hit"})]
    (why,) = [mark.detail for mark in marks if mark.what == "restore"]  # type: ignore[union-attr]
    assert why.startswith("the variables could not be rebuilt: ")


LONG = "x = 1\n" * 400_000
"""Nothing to run, and much to compile."""


def test_a_block_is_stopped_while_it_is_compiled(tmp_path: Path) -> None:
    with boxed(tmp_path, restorer=ReplayRestorer()) as sandbox:
        sandbox.execute("kept = 7")
        began = threading.Event()
        ended = threading.Event()

        def interrupt() -> None:
            began.wait()
            while not ended.wait(0.05):
                sandbox.interrupt("enough")

        thread = threading.Thread(target=interrupt)
        thread.start()
        began.set()
        result = sandbox.execute(LONG)
        ended.set()
        thread.join()
        assert (result.outcome, result.state, result.lines) == ("killed", "rolled_back", 0)
        assert result.error is not None
        assert (result.error.kind, result.error.message) == ("KeyboardInterrupt", "enough")
        assert sandbox.execute("print(kept)").stdout == "7\n"
    trace = open_trace(tmp_path / "run.jsonl")
    assert check_trace(trace.path).consistent
    verdict = replay(trace)
    assert verdict.diverged is None
    assert len(verdict.notes) == 1
    assert verdict.notes[0].startswith("block 2 was killed from outside, and its variables are no part")


def test_compiling_has_a_time_limit(tmp_path: Path) -> None:
    with boxed(tmp_path) as sandbox:
        message = Prepare(block=1, source=LONG, file="<block 1>", first_line=1, flags=0, top_level_await=True)
        with pytest.raises(NotCompiled) as stopped:
            sandbox.engine.prepare(message, sandbox.recording, timeout_s=0.3)
        done = stopped.value.done(1)
        assert (done.outcome, done.code, done.broken) == ("killed", 124, True)
        assert not sandbox.engine.is_alive  # type: ignore[union-attr]
        # The next block finds a worker that has ended.
        assert sandbox.execute("print(1)").stdout == "1\n"
    hits = [event.record for event in open_trace(tmp_path / "run.jsonl").events(types={"limit.hit"})]
    assert [(hit.what, hit.detail) for hit in hits] == [("wall", "block 1 was not compiled in 0.3 s")]  # type: ignore[union-attr]
    assert replay(tmp_path / "run.jsonl").diverged is None


HOT = {
    "all spin": "while True:\n    n[2] += 1",
    "an executor": "with ThreadPoolExecutor(2) as pool:\n    list(pool.map(spin, range(2)))",
}


@pytest.mark.parametrize(
    ("level", "threads"), [("effects", "serial"), ("values", "serial"), ("values", "real")]
)
def test_a_block_with_hot_threads_ends(level: str, threads: str, tmp_path: Path) -> None:
    begin = """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        n = [0, 0, 0]
        def spin(i):
            while True:
                n[i] += 1
        threads = [threading.Thread(target=spin, args=(i,), daemon=True) for i in range(2)]
        for t in threads:
            t.start()
        """
    said: list[str] = []
    given = {"restorer": ReplayRestorer(), "timeout_s": 0.3, "line_limit": 1000}
    with boxed(tmp_path, level=level, threads=threads, on_append=_told(said), **given) as sandbox:
        for code in HOT.values():
            sandbox.execute("kept = 'kept'")
            result = run(sandbox, textwrap.dedent(begin).strip("\n") + "\n" + code)
            assert result.outcome in ("interrupted", "killed")
            if result.state == "kept":
                os.kill(sandbox.engine.pid, 9)  # what it has left spinning must not reach the next block
            after = sandbox.execute("print(kept)").stdout
            assert after == "kept\n" or said.pop() == "restore"
    assert check_trace(tmp_path / "run.jsonl").consistent


def _told(said: list[str]) -> Callable[[Record, bytes], None]:
    """Notes the limits that a run comes to, as they are written."""

    def tell(record: Record, _raw: bytes) -> None:
        if isinstance(record, LimitHit):
            said.append(record.what)

    return tell


ORDINARY = """
import os, sys
from pathlib import Path
from coda.log import check_trace
from coda.replay import ReplayRestorer, replay
from coda.runtime import Sandbox

folder = Path(sys.argv[1])
with Sandbox(root=folder, trace=folder.parent / "t.jsonl", restorer=ReplayRestorer()) as sandbox:
    sandbox.execute("kept = [1]\\ndef f(): return kept\\nopen('x','w').write('abc')\\nh=open('x');h.read(1)")
    lost = sandbox.execute("kept.append(2)\\nopen('y', 'w').write('z')\\nimport os\\nos.kill(os.getpid(), 9)")
    then = sandbox.execute("print(f(), h.read(), open('y').read())\\nopen('w', 'w').write('after')")
    print(os.getuid(), lost.state, then.outcome, then.stdout.strip())
print(sorted(os.listdir(folder)), check_trace(folder.parent / "t.jsonl").consistent)
verdict = replay(folder.parent / "t.jsonl")
print(verdict.isolation, verdict.diverged)
"""


def test_an_ordinary_user_gets_the_variables_back(tmp_path: Path) -> None:
    uid = os.getuid()
    command = [sys.executable, "-c", ORDINARY, str(tmp_path / "ws")]
    if uid == 0:  # a namespace of users in which we are one without any rights
        uid = 1000
        become = ["unshare", "--user", f"--map-user={uid}", f"--map-group={uid}"]
        if shutil.which("unshare") is None or subprocess.run([*become, "true"], check=False).returncode:
            pytest.skip("no namespaces of users here")
        command = [*become, *command]
    (tmp_path / "ws").mkdir()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    first, files, verdict = done.stdout.splitlines()
    assert first == f"{uid} rolled_back ok [1] bc z"
    assert files == "['w', 'x', 'y'] True"
    assert verdict.endswith(" None")
