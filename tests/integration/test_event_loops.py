"""Programs with event loops: recorded as they went, replayed the same, looked into and forked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coda.forking import fork
from coda.log import LoopWoke, open_trace
from coda.replay import replay, state_at
from coda.runtime import BlockResult, Sandbox
from tests.support.concurrent import async_program
from tests.support.doctoring import Row, doctored
from tests.support.programs import dedent

pytestmark = pytest.mark.slow

PROGRAMS = 100


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    """An empty workspace."""
    folder = tmp_path / "ws"
    folder.mkdir()
    return folder


def boxed(ws: Path, **given: Any) -> Sandbox:
    """A sandbox in a workspace, its trace beside it."""
    return Sandbox(root=ws, trace=ws.parent / "run.jsonl", **given)


def executed(sandbox: Sandbox, source: str) -> BlockResult:
    """A block that ran to its end."""
    done = sandbox.execute(dedent(source))
    assert done.error is None, done.error
    return done


def marks(trace: Path) -> list[str]:
    """What the trace says of itself that a replay cannot hold."""
    return [event.record.what for event in open_trace(trace).events(types={"limit.hit"})]  # type: ignore[union-attr]


def test_a_hundred_programs_replay_as_they_went(ws: Path, tmp_path: Path) -> None:
    with boxed(ws) as sandbox:
        for seed in range(PROGRAMS):
            executed(sandbox, async_program(seed, main="await" if seed % 3 else "run"))
    assert marks(sandbox.writer.path) == []
    verdict = replay(sandbox.writer.path)
    assert (verdict.diverged, verdict.notes) == (None, ())
    woken = [event.record for event in open_trace(sandbox.writer.path).events(types={"loop.woke"})]
    assert len(woken) > 5 * PROGRAMS
    assert any(isinstance(woke, LoopWoke) and woke.turns > 1 for woke in woken)  # a busy loop was not starved

    def swap(rows: list[Row]) -> None:
        for row in rows:
            if row["type"] == "loop.woke":
                row.get("timers", []).reverse()

    # The order is what is replayed: with another one in the log the programs take another way.
    assert replay(doctored(sandbox.writer.path, tmp_path / "other.jsonl", swap)).diverged is not None


def test_a_replay_sleeps_not_at_all(ws: Path) -> None:
    with boxed(ws) as sandbox:
        executed(sandbox, "import asyncio, time\nbegan = time.monotonic()\nawait asyncio.sleep(0.4)\n")
        executed(sandbox, "assert time.monotonic() - began >= 0.4")

    def lengthen(rows: list[Row]) -> None:
        for row in rows:
            if row["type"] == "block.started":
                row["source"] = row["source"].replace("sleep(0.4)", "sleep(4e9)")

    path = doctored(sandbox.writer.path, ws.parent / "long.jsonl", lengthen)
    assert replay(path).diverged is None


def test_tasks_go_on_in_later_blocks(ws: Path) -> None:
    with boxed(ws) as sandbox:
        first = executed(
            sandbox,
            """
            import asyncio
            async def work(n):
                await asyncio.sleep(n / 1000)
                return n
            tasks = [asyncio.create_task(work(n), name=f"work {n}") for n in (3, 1, 2)]
            await asyncio.sleep(0)
            """,
        )
        executed(sandbox, "print('no loop here')")
        last = executed(sandbox, "for each in asyncio.as_completed(tasks):\n    print(await each)")
    assert last.stdout == "1\n2\n3\n"
    trace = open_trace(sandbox.writer.path)
    finished: Any = trace.event(first.last_seq).record
    assert finished.pending == ("work 1", "work 2", "work 3")
    assert replay(sandbox.writer.path).diverged is None


def test_what_the_loop_calls_now_is_true(ws: Path) -> None:
    with boxed(ws) as sandbox:
        done = executed(
            sandbox,
            """
            import asyncio
            loop = asyncio.get_running_loop()
            began = loop.time()
            await asyncio.sleep(0.05)
            sum(range(2_000_000))
            print(0.05 < loop.time() - began)
            at = loop.time() + 0.01
            ran = loop.create_future()
            loop.call_at(at, ran.set_result, True)
            print(await ran, loop.time() >= at)
            """,
        )
    assert done.stdout == "True\nTrue True\n"
    assert replay(sandbox.writer.path).diverged is None


def test_a_loop_that_sleeps_is_stopped_in_time(ws: Path) -> None:
    with boxed(ws, timeout_s=0.5) as sandbox:
        stopped = sandbox.execute("import asyncio\nawait asyncio.sleep(3600)")
        again = executed(sandbox, "import asyncio\nawait asyncio.sleep(0.001)\nprint(1)")
    assert (stopped.outcome, again.stdout) == ("interrupted", "1\n")


def test_the_state_inside_a_coroutine(ws: Path) -> None:
    source = """
        import asyncio
        async def work(n):
            await asyncio.sleep(n / 1000)
            square = n * n
            return square
        print(sum(await asyncio.gather(work(2), work(1))))
        """
    with boxed(ws) as sandbox:
        executed(sandbox, source)
    trace = open_trace(sandbox.writer.path)
    returns = [e.seq for e in trace.events(types={"line"}) if e.source == "return square"]
    states = [state_at(trace, seq) for seq in returns]
    assert [(s.frames[0].function, s.frames[0].locals["n"].repr) for s in states] == [
        ("work", "1"),
        ("work", "2"),
    ]
    assert [s.frames[0].locals["square"].repr for s in states] == ["1", "4"]


def test_a_fork_inside_a_coroutine_goes_on_alone(ws: Path, tmp_path: Path) -> None:
    with boxed(ws) as sandbox:
        executed(
            sandbox,
            """
            import asyncio
            async def work(n):
                await asyncio.sleep(n / 1000)
                factor = 10
                await asyncio.sleep(0.001)
                return n * factor
            async with asyncio.timeout(5):
                print(await asyncio.gather(work(2), work(1), work(3)))
            """,
        )
    trace = open_trace(sandbox.writer.path)
    seconds = [e.seq for e in trace.events(types={"line"}) if "0.001" in e.source]
    made = fork(trace, seconds[0], sets=[("factor", "99")], out=tmp_path / "fork.jsonl")
    assert made.outcome == "ok"
    printed = [e.value for e in open_trace(made.path).events(types={"output"})]
    assert printed == ["[20, 99, 30]\n"]
    assert replay(made.path).diverged is None


def test_libraries_on_our_loop_replay_and_other_loops_are_marked(ws: Path, tmp_path: Path) -> None:
    with boxed(ws) as sandbox:
        done = executed(
            sandbox,
            """
            import anyio
            async def child(n, out):
                await anyio.sleep(n / 1000)
                out.append(await anyio.to_thread.run_sync(abs, -n))
            async def main():
                out = []
                async with anyio.create_task_group() as group:
                    for n in (3, 1, 2):
                        group.start_soon(child, n, out)
                with anyio.move_on_after(0.01) as scope:
                    await anyio.sleep(60)
                return sorted(out), scope.cancelled_caught
            print(anyio.run(main))
            """,
        )
    assert done.stdout == "([1, 2, 3], True)\n"
    assert marks(sandbox.writer.path) == []
    assert replay(sandbox.writer.path).diverged is None
    library = tmp_path / "library"
    library.mkdir()
    (library / "trio.py").write_text("")
    with Sandbox(root=ws, trace=tmp_path / "other.jsonl") as other:
        executed(other, f"import sys\nsys.path.append({str(library)!r})\nimport trio")
    assert marks(other.writer.path) == ["asyncio"]


def test_a_loop_handles_signals(ws: Path) -> None:
    with boxed(ws) as sandbox:
        done = executed(
            sandbox,
            """
            import asyncio, os, signal
            loop, came = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, came.set)
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(came.wait(), 5)
            print(loop.remove_signal_handler(signal.SIGUSR1), loop.remove_signal_handler(signal.SIGUSR1))
            """,
        )
    assert done.stdout == "True False\n"
    assert replay(sandbox.writer.path).diverged is None
