"""Blocks in the caller's own process: what is observed, what is left alone, what a replay promises."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import coda
from coda.errors import UsageError
from coda.log import FileWrote, check_trace, open_trace
from coda.replay import replay, state_at
from coda.runtime import BlockResult, Limits, Sandbox
from tests.conftest import RunCoda
from tests.support.programs import dedent

pytestmark = pytest.mark.slow


def boxed(folder: Path, name: str = "run", **given: Any) -> Sandbox:
    """A sandbox in this process."""
    work = folder / "ws"
    work.mkdir(exist_ok=True)
    return Sandbox(root=work, trace=folder / f"{name}.jsonl", inprocess=True, **given)


def test_a_block_in_this_process_is_observed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @coda.tool
    def shout(text: str) -> str:
        print("from the tool")
        return text.upper()

    work = tmp_path / "ws"
    streams, tracing, recursion = (sys.stdout, sys.stderr), sys.gettrace(), sys.getrecursionlimit()
    with boxed(tmp_path, tools=[shout]) as sandbox, boxed(tmp_path, "other") as other:
        first = sandbox.execute("x = 1\ndef f(n):\n    return n + x\nprint(f(2))\nctx.rows = [x]")
        assert (first.outcome, first.stdout, first.lines) == ("ok", "3\n", 5), first.error
        said = sandbox.execute("x = 9\nprint(shout('hi'), x)\nctx.rows.append(x)")
        assert said.stdout == "HI 9\n"
        assert [(change.op, change.name) for change in said.ctx] == [("mutated", "rows")]
        # What the tool prints is the caller's; another sandbox has its own names, whatever runs in between.
        assert capsys.readouterr().out == "from the tool\n"
        assert other.execute("print('x' in globals())").stdout == "False\n"
        (work / "not-told.txt").write_text("by the caller")
        files = sandbox.execute(
            dedent(f"""
            with open({str(work / "told.txt")!r}, "w") as file:
                file.write("told")
            print(open({str(work / "told.txt")!r}).read(), write("more.txt", "x"))
            1 / 0
            """)
        )
        assert (files.outcome, files.stdout) == ("error", "told 1\n")
        assert files.error is not None
        assert "line 4, in <module>\n    1 / 0" in files.error.traceback
        left = sandbox.execute("import sys\nsys.exit(3)")
        assert (left.outcome, left.code) == ("exited", 3)
    assert (streams, tracing, recursion) == (
        (sys.stdout, sys.stderr), sys.gettrace(), sys.getrecursionlimit(),
    )  # fmt: skip
    report = check_trace(sandbox.writer.path)
    assert (report.damage, report.finished) == ((), True)
    trace = open_trace(sandbox.writer.path)
    assert trace.started.fidelity == "observed"
    opened = [event.record.path for event in trace.events(types={"file.opened"})]  # type: ignore[union-attr]
    assert opened == ["told.txt"]
    wrote = {r.path: r.by for e in trace.events(types={"file.wrote"}) if isinstance(r := e.record, FileWrote)}
    assert wrote == {"told.txt": "agent", "not-told.txt": "unseen", "more.txt": "tool"}
    with pytest.raises(UsageError, match=r"fidelity: observed.*--best-effort"):
        replay(trace)
    verdict = replay(trace, best_effort=True)
    assert verdict.diverged is None
    assert "clock, chance, environment" in verdict.notes[0]
    assert state_at(trace, "2:1", best_effort=True).globals["x"].repr == "9"


def test_a_block_in_this_process_can_be_interrupted_not_killed(tmp_path: Path) -> None:
    with boxed(tmp_path, timeout_s=0.2) as sandbox:
        result = sandbox.execute("n = 0\nwhile True:\n    n += 1")
        assert (result.outcome, result.state, result.code) == ("interrupted", "kept", 124)
        assert sandbox.execute("print(n > 0)").stdout == "True\n"
    assert replay(sandbox.writer.path, best_effort=True).diverged is None
    with pytest.raises(UsageError, match="limits of the caller"):
        boxed(tmp_path, "limited", limits=Limits(memory_bytes=1 << 30))


def test_blocks_of_two_threads_do_not_mix(tmp_path: Path) -> None:
    found: dict[int, list[BlockResult]] = {0: [], 1: []}
    boxes = [boxed(tmp_path, str(number)) for number in found]

    def work(number: int) -> None:
        for _ in range(5):
            found[number].append(boxes[number].execute(f"for i in range(50):\n    print({number})"))

    threads = [threading.Thread(target=work, args=(number,)) for number in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, box in enumerate(boxes):
        box.close()
        assert [result.stdout for result in found[number]] == [f"{number}\n" * 50] * 5
        assert replay(box.writer.path, best_effort=True).diverged is None


def test_what_was_only_observed_is_replayed_on_demand(tmp_path: Path, coda: RunCoda) -> None:
    with boxed(tmp_path) as sandbox:
        sandbox.execute("x = 1\ny = x + 1")
    trace = sandbox.writer.path
    refused = coda("replay", trace)
    assert (refused.status, "--best-effort" in refused.err) == (2, True)
    told = coda("replay", trace, "--best-effort")
    assert (told.status, "fidelity: observed" in told.out) == (0, True)
    assert coda("state", trace, "--at", "1:1", "--best-effort").status == 0
    fork = coda("fork", trace, "--at", "1:1", "--set", "x=5", "-o", tmp_path / "f.jsonl", "--best-effort")
    assert fork.status == 0, fork.err
