"""Forks of programs that never end: by their time, by Ctrl-C, by whoever waits for them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coda.forking import fork
from coda.log import Trace, open_trace
from coda.replay import replay
from tests.conftest import RunCoda

pytestmark = pytest.mark.slow

PROGRAM = """\
import time
i = 0
while True:
    i += 1
    try:
        time.sleep(0.001)
    except BaseException:
        pass
    if i == 20:
        print("there", flush=True)
"""


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """A run that was killed."""
    folder = tmp_path_factory.mktemp("endless")
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "coda", "exec", "-o", "k.jsonl", "program.py"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    process.kill()
    process.wait()
    process.stdout.close()
    return open_trace(folder / "k.jsonl")


def check_whole(path: Path, text: str) -> None:
    """The trace is complete, says how it ended, and can be followed to its end."""
    made = open_trace(path)
    assert made.finished is not None
    assert (made.finished.outcome, made.finished.text) == ("interrupted", text)
    assert made.torn is None
    assert replay(path).diverged is None


def test_a_fork_is_ended_when_its_time_is_over(coda: RunCoda, endless: Trace, tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    done = coda("fork", endless.path, "--at", "20", "--set", "i=1000", "--timeout", "0.3", "-o", path)
    assert (done.status, done.err) == (0, "")
    assert "interrupted: its time of 0.3 s was over" in done.out
    check_whole(path, "its time of 0.3 s was over")


def test_somebody_else_may_end_it_and_is_told_how_far_it_is(endless: Trace, tmp_path: Path) -> None:
    seen: list[int] = []
    path = tmp_path / "f.jsonl"

    def note(_seconds: float, events: int) -> None:
        seen.append(events)

    def is_tired() -> bool:
        return len(seen) > 2

    made = fork(endless, 20, sets=[("i", "1000")], out=path, cancelled=is_tired, on_progress=note)
    assert (made.outcome, made.ended) == ("interrupted", "it was cancelled")
    assert seen == sorted(seen)
    check_whole(path, "it was cancelled")


def test_ctrl_c_ends_it_and_leaves_a_whole_trace(endless: Trace, tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    command = [sys.executable, "-m", "coda", "fork", str(endless.path), "--at", "20", "--set", "i=1"]
    process = subprocess.Popen(
        [*command, "-o", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not path.exists() or path.stat().st_size < 8000:  # it is written to: it runs live
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "coda: interrupted\n")
    check_whole(path, "Ctrl-C")
