"""Handlers of signals: run where a replay, which sets no alarm, finds the place again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from coda.forking import fork
from coda.log import open_trace
from coda.replay import replay, state_at
from coda.runtime import BlockResult, Sandbox
from tests.support.doctoring import Row, doctored
from tests.support.programs import dedent

pytestmark = pytest.mark.slow

PROGRAMS = 20
PRELUDE = """
import os, signal, time
class TooLong(Exception):
    pass
def too_long(number, frame):
    raise TooLong(signal.Signals(number).name, frame.f_code.co_name)
seen = []
def note(number, frame):
    seen.append((number, frame.f_lineno))
"""


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    """An empty workspace."""
    folder = tmp_path / "ws"
    folder.mkdir()
    return folder


def boxed(ws: Path, **given: Any) -> Sandbox:
    """A sandbox in a workspace, its trace beside it, with handlers at hand."""
    sandbox = Sandbox(root=ws, trace=ws.parent / "run.jsonl", **given)
    executed(sandbox, PRELUDE)
    return sandbox


def executed(sandbox: Sandbox, source: str) -> BlockResult:
    """A block that ran to its end."""
    done = sandbox.execute(dedent(source))
    assert done.error is None, done.error
    return done


def marks(trace: Path) -> list[str]:
    """What the trace says of itself that a replay cannot hold."""
    return [event.record.what for event in open_trace(trace).events(types={"limit.hit"})]  # type: ignore[union-attr]


def program(seed: int) -> str:
    """Loops that an alarm ends, at some statement, and handlers that go on."""
    rng = random.Random(seed)
    ms = rng.randrange(1, 12) / 1000
    often = f", {rng.randrange(1, 4) / 1000}" if rng.random() < 0.5 else ""
    return (
        f"seen.clear()\nsignal.signal(signal.SIGALRM, {'note' if often else 'too_long'})\n"
        "def count(n):\n    total = 0\n    for i in range(n):\n        total += i % 7\n    return total\n"
        f"signal.setitimer(signal.ITIMER_REAL, {ms}{often})\n"
        "try:\n"
        f"    rounds = 0\n    while len(seen) < {rng.randrange(1, 5)}:\n"
        "        count(300)\n        rounds += 1\n"
        "    print('all', rounds)\n"
        "except TooLong as e:\n    print(e, rounds)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\nprint(len(seen), seen[:5])\n"
    )


def test_handlers_run_at_the_same_statements(ws: Path, tmp_path: Path) -> None:
    with boxed(ws) as sandbox:
        for seed in range(PROGRAMS):
            executed(sandbox, program(seed))
    assert marks(sandbox.writer.path) == []
    trace = open_trace(sandbox.writer.path)
    assert len([event.seq for event in trace.events(types={"signal"})]) > PROGRAMS
    assert replay(sandbox.writer.path).diverged is None

    def later(rows: list[Row]) -> None:
        """Moves one delivery behind the statement that came after it."""
        for row in rows:
            ids = row.get("ids", [])
            if -20 in ids[:-1]:
                place = ids.index(-20)
                if ids[place + 1] >= 0:
                    ids[place], ids[place + 1] = ids[place + 1], ids[place]
                    return

    assert replay(doctored(sandbox.writer.path, tmp_path / "other.jsonl", later)).diverged is not None


def test_calls_that_wait_or_send_run_handlers_inside(ws: Path) -> None:
    with boxed(ws) as sandbox:
        done = executed(
            sandbox,
            """
            print(signal.signal(signal.SIGALRM, too_long) is signal.SIG_DFL, signal.alarm(1))
            try:
                time.sleep(60)
            except TooLong as e:
                print(e)
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            try:
                signal.pause()
            except TooLong as e:
                print(e, signal.getitimer(signal.ITIMER_REAL))
            print(signal.signal(signal.SIGUSR1, note))
            os.kill(os.getpid(), signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR1)
            print(len(seen), signal.getsignal(signal.SIGUSR1) is note)
            signal.signal(signal.SIGALRM, note)
            signal.setitimer(signal.ITIMER_REAL, 0.005)
            time.sleep(0.03)
            print(len(seen))
            """,
        )
    assert done.stdout == (
        "True 0\n('SIGALRM', '<module>')\n('SIGALRM', '<module>') (0.0, 0.0)\n0\n2 True\n3\n"
    )
    assert marks(sandbox.writer.path) == []
    assert replay(sandbox.writer.path).diverged is None


def test_the_state_in_a_handler_and_a_fork_from_it(ws: Path, tmp_path: Path) -> None:
    with boxed(ws) as sandbox:
        executed(
            sandbox,
            """
            turns, stop = 0, False
            def end(number, frame):
                global stop
                reached = turns
                stop = True
            signal.signal(signal.SIGALRM, end)
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            while not stop:
                turns += 1
            print(turns > 0)
            """,
        )
    trace = open_trace(sandbox.writer.path)
    line = next(event for event in trace.events(types={"line"}) if event.source == "stop = True")
    state = state_at(trace, line.seq)
    assert state.frames[0].function == "end"
    assert state.frames[0].locals["reached"].repr == state.globals["turns"].repr
    made = fork(trace, line.seq, sets=[("turns", "-1")], out=tmp_path / "fork.jsonl")
    assert made.outcome == "ok"
    assert replay(made.path).diverged is None


def test_what_cannot_be_placed_is_marked(ws: Path) -> None:
    with boxed(ws) as sandbox:
        done = executed(
            sandbox,
            """
            signal.signal(signal.SIGALRM, too_long)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            try:
                sum(i % 3 for i in iter(int, 1))
            except TooLong as e:
                print(e)
            """,
        )
    assert done.stdout.startswith("('SIGALRM'")
    assert marks(sandbox.writer.path) == ["signal"]
