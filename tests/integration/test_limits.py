"""What a sandbox may use: each limit is an event, an outcome, and a sentence for the model."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from coda.errors import UsageError
from coda.log import Trace, check_trace, open_trace
from coda.replay import replay
from coda.runtime import BlockResult, Limits, Sandbox, feedback_text
from tests.support.programs import output_of

pytestmark = pytest.mark.slow

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of processes")


def ran(folder: Path, code: str, **limits: Any) -> tuple[BlockResult, BlockResult, Trace]:
    """A block under limits, the block after it, and the trace, which is whole and replays."""
    work = folder / "ws"
    work.mkdir()
    with Sandbox(root=work, trace=folder / "run.jsonl", limits=Limits(**limits)) as sandbox:
        first = sandbox.execute(code)
        after = sandbox.execute("print('and on')")
    report = check_trace(sandbox.writer.path)
    assert (report.damage, report.finished) == ((), True)
    trace = open_trace(sandbox.writer.path)
    assert replay(trace).diverged is None
    assert after.stdout == "and on\n"
    return first, after, trace


def hits(trace: Trace) -> dict[str, str]:
    """What was reached, with its words."""
    return {e.record.what: e.record.detail for e in trace.events(types={"limit.hit"})}  # type: ignore[union-attr]


def test_output_over_the_limit_is_in_the_log_alone(tmp_path: Path) -> None:
    code = "import os\nfor _ in range(30):\n    print('é' * 9)\nprint('end')"
    result, _, trace = ran(tmp_path, code, output_bytes=100)
    assert result.outcome == "ok"
    assert len(result.stdout.encode()) <= 100
    assert result.stdout.startswith("é" * 9)
    assert result.left_out_bytes + len(result.stdout.encode()) in (30 * 19 + 4, 30 * 19 + 3)
    assert output_of(trace) == "ééééééééé\n" * 30 + "end\nand on\n"
    assert hits(trace) == {"output": "the rest of the output of block 1 is in the log alone"}
    assert f"[... {result.left_out_bytes} more bytes of output are not shown" in feedback_text(
        [result], emitted=1
    )


def test_the_output_of_a_whole_run_has_a_limit(tmp_path: Path) -> None:
    with Sandbox(root=tmp_path, trace=tmp_path / "run.jsonl", limits=Limits(run_output_bytes=12)) as sandbox:
        found = [sandbox.execute("print('12345')") for _ in range(3)]
    assert [each.stdout for each in found] == ["12345\n", "12345\n", ""]
    assert [each.left_out_bytes for each in found] == [0, 0, 6]


def test_a_block_that_floods_the_log_is_stopped(tmp_path: Path) -> None:
    result, _, trace = ran(
        tmp_path, "n = 0\nwhile True:\n    n += 1\n    print('x' * 99)", logged_bytes=50_000
    )
    assert (result.outcome, result.state) == ("interrupted", "kept")
    assert result.error is not None
    assert result.error.message == "stopped: the run has written more than 50000 bytes"
    assert "logged-output" in hits(trace)


@linux
@pytest.mark.parametrize(
    ("code", "outcome"),
    [("n = 0\nwhile True:\n    n += 1", "interrupted"), ("max(iter(int, 1))", "killed")],
)
def test_processor_time_is_not_wall_time(code: str, outcome: str, tmp_path: Path) -> None:
    result, _, trace = ran(tmp_path, code, cpu_s=0.2, wall_s=60)
    assert result.outcome == outcome
    assert result.error is not None
    assert result.error.message == "stopped after 0.2 s of processor time"
    assert hits(trace)["cpu"] == "block 1 used more than 0.2 s of processor time"
    assert "wall" not in hits(trace)


@linux
def test_too_many_processes_are_killed(tmp_path: Path) -> None:
    code = (
        "import subprocess\n"
        "done = subprocess.run('for i in 1 2 3 4 5 6; do sleep 100 & done; wait', shell=True)\n"
        "print(done.returncode)"
    )
    result, _, trace = ran(tmp_path, code, processes=3)
    assert (result.outcome, result.stdout) == ("ok", f"{-signal.SIGKILL}\n")
    assert "more than 3: all were killed" in hits(trace)["processes"]


@linux
def test_memory_ends_in_an_error_of_the_block(tmp_path: Path) -> None:
    code = "kept = 1\nrows = []\nwhile True:\n    rows.append(bytearray(10 << 20))"
    result, _, trace = ran(tmp_path, code, memory_bytes=600 << 20)
    # Where it happened cannot be found again, and the memory is needed: the worker goes.
    assert (result.outcome, result.state) == ("error", "lost")
    assert result.error is not None
    assert result.error.kind == "MemoryError"
    assert hits(trace)["memory"] == f"block 1 came to the limit of {600 << 20} bytes of memory"


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            "killed",
            "ended by SIGKILL, not by coda",
        ),
        ("import ctypes\nctypes.string_at(0)", "killed", "ended by SIGSEGV: C code crashed"),
        ("import os\nos.abort()", "killed", "ended by SIGABRT"),
        (
            "import ctypes\nctypes.CDLL(None).exit(7)",
            "killed",
            "ended with status 7, though nothing asked it to",
        ),
    ],
)
def test_a_worker_that_dies_says_of_what(code: str, outcome: str, words: str, tmp_path: Path) -> None:
    with Sandbox(root=tmp_path, trace=tmp_path / "run.jsonl") as sandbox:
        result = sandbox.execute(code)
        assert (result.outcome, result.state) == (outcome, "lost")
        assert result.error is not None
        assert words in result.error.message
        assert sandbox.execute("print('and on')").stdout == "and on\n"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"wall_s": 0}, "wall_s is a number above 0"),
        ({"memory_bytes": 1.5}, "memory_bytes is a whole number above 0"),
        ({"processes": True}, "processes is a whole number above 0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        Sandbox(root=tmp_path, trace=tmp_path / "run.jsonl", limits=Limits(**limits))
    assert not os.listdir(tmp_path)
