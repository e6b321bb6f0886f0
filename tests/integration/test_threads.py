"""Programs with threads: one at a time in an order that the log has, with calls and sleeps that overlap."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import coda
from coda.forking import fork
from coda.log import open_trace
from coda.replay import replay, state_at
from coda.runtime import BlockResult, Sandbox
from tests.conftest import RunCoda
from tests.support.concurrent import thread_program
from tests.support.doctoring import Row, doctored
from tests.support.programs import dedent

pytestmark = pytest.mark.slow

PROGRAMS = 120


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    """An empty workspace."""
    folder = tmp_path / "ws"
    folder.mkdir()
    return folder


@coda.tool(effect="pure")
def work(value: int, ms: float) -> int:
    """Takes a while."""
    threading.Event().wait(ms / 1000)
    return value


def boxed(ws: Path, **given: Any) -> Sandbox:
    """A sandbox in a workspace, its trace beside it."""
    return Sandbox(root=ws, trace=ws.parent / "run.jsonl", **{"tools": [work], **given})


def executed(sandbox: Sandbox, source: str) -> BlockResult:
    """A block that ran to its end."""
    done = sandbox.execute(dedent(source))
    assert done.error is None, done.error
    return done


def marks(trace: Path) -> list[str]:
    """What the trace says of itself that a replay cannot hold."""
    return [event.record.what for event in open_trace(trace).events(types={"limit.hit"})]  # type: ignore[union-attr]


def faithful(trace: Path) -> None:
    """A trace that has no marks and replays."""
    assert marks(trace) == []
    verdict = replay(trace)
    assert (verdict.diverged, verdict.notes) == (None, ())


def test_a_hundred_programs_replay_as_they_went(ws: Path, tmp_path: Path) -> None:
    with boxed(ws) as sandbox:
        for seed in range(PROGRAMS):
            executed(sandbox, thread_program(seed))
    faithful(sandbox.writer.path)

    def exchange(rows: list[Row]) -> None:
        woken = [row for row in rows if row["type"] == "loop.woke"]
        one, other = next(pair for pair in pairwise(woken) if pair[0].get("timers") and pair[1].get("timers"))
        one["timers"], other["timers"] = other["timers"], one["timers"]

    other = doctored(sandbox.writer.path, tmp_path / "other.jsonl", exchange)
    assert replay(other).diverged is not None


def test_calls_of_threads_and_tasks_run_at_the_same_time(ws: Path) -> None:
    together = threading.Barrier(3)

    @coda.tool(effect="pure")
    def meet(name: str) -> str:
        together.wait(20)  # breaks, and so fails, when one of them comes alone
        return name

    @coda.tool(effect="pure")
    async def meet_later(name: str) -> str:
        return str(meet(name))

    with boxed(ws, tools=[meet]) as sandbox:
        done = executed(
            sandbox,
            """
            import asyncio
            from concurrent.futures import ThreadPoolExecutor
            with ThreadPoolExecutor(3) as pool:
                print(list(pool.map(meet, "abc")))
            print(await asyncio.gather(*(asyncio.to_thread(meet, name) for name in "def")))
            """,
        )
    assert done.stdout == "['a', 'b', 'c']\n['d', 'e', 'f']\n"
    faithful(sandbox.writer.path)


def test_a_thread_that_never_blocks_passes_the_baton_on(ws: Path) -> None:
    with boxed(ws) as sandbox:
        done = executed(
            sandbox,
            """
            import threading
            seen, stop = [], False
            def wait():
                global stop
                seen.append(work(1, 30))
                stop = True
            thread = threading.Thread(target=wait)
            thread.start()
            def spin():
                turns = 0
                while not stop:
                    turns += 1
                return turns
            turns = spin()
            print(turns > 0, seen)
            """,
        )
        executed(sandbox, "print(turns)")
        executed(
            sandbox, "stop = False\nthread = threading.Thread(target=wait)\nthread.start()\nprint(spin())"
        )
    assert done.stdout == "True [1]\n"
    trace = open_trace(sandbox.writer.path)
    assert [event.type for event in trace.events(types={"thread.preempted"})]
    faithful(sandbox.writer.path)


def test_threads_are_numbered_and_their_lines_are_theirs(ws: Path) -> None:
    with boxed(ws) as sandbox:
        executed(
            sandbox,
            """
            import threading
            def inner(n):
                work(n, 1)
                here = n
            def outer(n):
                each = threading.Thread(target=inner, args=(n,), name=f"inner {n}")
                each.start()
                each.join()
                here = n
            threads = [threading.Thread(target=outer, args=(n,), name=f"outer {n}") for n in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            """,
        )
    trace = open_trace(sandbox.writer.path)
    started: list[Any] = [event.record for event in trace.events(types={"thread.started"})]
    numbers = {record.thread: record.name for record in started}
    assert {(record.name, numbers.get(record.by, "main")) for record in started} == {
        ("outer 0", "main"), ("outer 1", "main"), ("inner 0", "outer 0"), ("inner 1", "outer 1"),
    }  # fmt: skip
    ended: list[Any] = [event.record for event in trace.events(types={"thread.finished"})]
    assert {record.thread for record in ended} == set(numbers)
    running, said = 0, []
    for event in trace.events():
        if event.type == "thread.switched":
            running = event.value
        elif event.type == "line" and event.source == "here = n":
            state = state_at(trace, event.seq)
            said.append((numbers[running], state.frames[0].function, state.frames[0].locals["n"].repr))
            assert any(other.startswith("thread MainThread, line ") for other in state.others), state.others
    assert sorted(said) == [
        ("inner 0", "inner", "0"), ("inner 1", "inner", "1"),
        ("outer 0", "outer", "0"), ("outer 1", "outer", "1"),
    ]  # fmt: skip


def test_a_thread_goes_on_in_the_next_block_that_waits(ws: Path) -> None:
    with boxed(ws) as sandbox:
        first = executed(
            sandbox,
            """
            import threading, time
            def tick():
                for n in range(3):
                    time.sleep(0.001)
                    seen.append(n)
            seen = []
            thread = threading.Thread(target=tick, name="ticker", daemon=True)
            thread.start()
            """,
        )
        second = executed(sandbox, "thread.join()\nprint(seen)")
    finished: Any = open_trace(sandbox.writer.path).event(first.last_seq).record
    assert (finished.pending, second.stdout) == (("ticker",), "[0, 1, 2]\n")
    faithful(sandbox.writer.path)


def test_a_fact_that_is_made_of_others_is_one_observation(ws: Path) -> None:
    with boxed(ws) as sandbox:
        executed(
            sandbox,
            "import os\nfrom concurrent.futures import ThreadPoolExecutor\n"
            "getattr(os, 'process_cpu_count', os.cpu_count)()\n"
            "with ThreadPoolExecutor() as pool:\n    print(list(pool.map(abs, range(3))))",
        )
    faithful(sandbox.writer.path)


def test_a_server_in_a_thread_works_and_is_marked(ws: Path) -> None:
    with boxed(ws) as sandbox:
        done = executed(
            sandbox,
            """
            import http.server, threading, urllib.request
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(b"hello")
                def log_message(self, *args):
                    pass
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as answer:
                print(answer.read())
            server.shutdown()
            thread.join()
            """,
        )
    assert done.stdout == "b'hello'\n"
    assert "threads" in marks(sandbox.writer.path)


def test_real_threads_are_a_choice_that_is_marked(ws: Path) -> None:
    with boxed(ws, threads="real") as sandbox:
        done = executed(
            sandbox,
            "import threading\nseen = []\nthread = threading.Thread(target=lambda: seen.append(work(1, 1)))\n"
            "thread.start()\nthread.join()\nprint(seen)\n"
            "import asyncio\nprint(await asyncio.wait_for(asyncio.to_thread(abs, -2), 3600))",
        )
    assert done.stdout == "[1]\n2\n"
    assert marks(sandbox.writer.path) == ["threads"]
    assert open_trace(sandbox.writer.path).started.threads == "real"


def test_a_block_whose_threads_sleep_and_spin_is_stopped_in_time(ws: Path) -> None:
    with boxed(ws, timeout_s=0.6) as sandbox:
        asleep = sandbox.execute(
            "import threading, time\nthread = threading.Thread(target=time.sleep, args=(3600,))\n"
            "thread.start()\nthread.join()"
        )
        spinning = sandbox.execute(
            "import threading\ndef spin():\n    while True:\n        pass\n"
            "other = threading.Thread(target=spin, daemon=True)\nother.start()\nother.join()"
        )
        after = executed(sandbox, "print('after')")
    assert [block.outcome for block in (asleep, spinning)] == ["interrupted"] * 2
    assert after.stdout == "after\n"


def test_a_fork_among_threads_goes_on_with_the_calls_under_way(ws: Path, tmp_path: Path) -> None:
    with boxed(ws) as sandbox:
        executed(
            sandbox,
            """
            from concurrent.futures import ThreadPoolExecutor
            def each(n):
                factor = 10
                got = work(n, 3 * n)
                return got * factor
            with ThreadPoolExecutor(3) as pool:
                print(list(pool.map(each, range(4))))
            """,
        )
    trace = open_trace(sandbox.writer.path)
    lines = [event.seq for event in trace.events(types={"line"}) if event.source.startswith("got = ")]
    made = fork(trace, lines[2], sets=[("factor", "99")], out=tmp_path / "fork.jsonl")
    printed = [event.value for event in open_trace(made.path).events(types={"output"})]
    assert (made.outcome, printed) == ("ok", ["[0, 10, 198, 30]\n"])
    assert replay(made.path).diverged is None


def test_programs_end_as_in_python(tmp_path: Path, coda: RunCoda) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        dedent(
            """
            import atexit, queue, threading, time
            atexit.register(print, "atexit")
            def late():
                time.sleep(0.01)
                print("late")
            threading.Thread(target=late).start()
            threading.Thread(target=queue.Queue().get, daemon=True).start()
            def fails():
                raise ValueError("in a thread")
            failing = threading.Thread(target=fails)
            failing.start()
            failing.join()
            print("main ends")
            """
        )
    )
    trace = tmp_path / "trace.jsonl"
    ended = coda("exec", "-o", str(trace), str(program), cwd=tmp_path)
    assert (ended.status, ended.out) == (0, "main ends\nlate\natexit\n")
    assert "ValueError: in a thread" in ended.err
    faithful(trace)
