"""A recorder that is killed at any system call of its writer leaves a trace that opens, and that holds every
act that reached the world and everything that was acknowledged."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from coda.errors import LogError
from coda.log import (
    FileOpened,
    FileRenamed,
    RunResumed,
    ToolCalled,
    Trace,
    check_trace,
    open_trace,
    resume_trace,
)
from coda.replay import replay

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


class Told(NamedTuple):
    """What a diary says."""

    acts: list[int]
    acknowledged: int
    ended: bool
    worker: int | None


def diary(folder: Path) -> Told:
    rows = [line.split(" ", 1) for line in (folder / "diary").read_text().splitlines()]
    workers = [int(value) for what, value in rows if what == "worker"]
    return Told(
        [int(value) for what, value in rows if what == "act"],
        max((int(value) for what, value in rows if what == "seq"), default=-1),
        any(what == "end" for what, _ in rows),
        workers[0] if workers else None,
    )


def killed(scenario: str, folder: Path, *, first: int, step: int) -> Iterator[tuple[Path, int]]:
    """The folders of children that were killed at their N-th call, in order, and how each ended."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.killing", scenario, str(folder), str(first), str(step)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        at, status = json.loads(line)
        yield folder / str(at), status


def judge(folder: Path) -> Trace | None:
    """Reads a trace in every way there is; None when the recorder had not even written its header."""
    path, told = folder / "t.jsonl", diary(folder)
    if not path.exists():
        assert told == Told([], -1, False, None)
        return None
    try:
        trace = open_trace(path)
    except LogError as error:
        assert told.acknowledged == -1
        assert told.acts == []
        assert "nothing was recorded" in error.message
        return None
    assert not trace.live
    events = list(trace.events())
    assert trace.count() == sum(event.n for event in events) > told.acknowledged
    intents = [event.record.args[0] for event in events if isinstance(event.record, ToolCalled)]
    assert told.acts == intents[: len(told.acts)]  # each act had been announced, in order
    assert len(intents) - len(told.acts) in (0, 1)
    report = check_trace(path)
    assert [problem.what for problem in report.damage] in ([], ["it holds no events"])
    whole = path.read_bytes()
    assert report.torn_bytes == len(whole) - (whole.rindex(b"\n") + 1)
    assert report.finished or not told.ended
    return trace


def go_on(trace: Trace) -> None:
    """Writing goes on behind what was there; the torn bytes are kept."""
    path, count = trace.path, trace.count()
    torn = check_trace(path).torn_bytes
    cut = path.read_bytes()[-torn:] if torn else b""
    with resume_trace(path) as out:
        assert out.next_seq == count + 1
    again = open_trace(path)
    record = again.event(count).record
    assert isinstance(record, RunResumed)
    assert record.cut_bytes == torn
    assert (again.blobs.get(record.cut_sha256) if torn else b"") == cut
    report = check_trace(path)
    assert (report.damage, report.torn_bytes, report.events) == ((), 0, count + 1)


def test_a_writer_that_is_killed_at_any_of_its_calls(tmp_path: Path) -> None:
    ends = []
    torn = 0
    for folder, status in killed("writing", tmp_path, first=1, step=1):
        ends.append(status)
        trace = judge(folder)
        if trace is not None and trace.finished is None:
            torn += trace.torn is not None
            go_on(trace)
    assert len(ends) > 60
    assert ends == [-9] * (len(ends) - 1) + [0]
    assert torn > 5


def world(folder: Path, trace: Trace) -> None:
    """What agent code did to files was announced before it was done."""
    records = [event.record for event in trace.events()]
    opened = {record.path for record in records if isinstance(record, FileOpened)}
    renamed = {record.to for record in records if isinstance(record, FileRenamed)}
    for path in (folder / "ws").iterdir():
        assert path.name in opened | renamed


def test_a_host_that_is_killed_at_any_call_of_its_writer(tmp_path: Path) -> None:
    step = 3
    ends, faithful = [], 0
    for number, (folder, status) in enumerate(killed("recording", tmp_path, first=2, step=step)):
        ends.append(status)
        trace = judge(folder)
        if trace is None:
            continue
        world(folder, trace)
        worker = diary(folder).worker
        assert worker is None or status == 0 or gone(worker)
        if number % 8 == 5:
            verdict = replay(trace)
            assert verdict.faithful, verdict
            faithful += 1
    assert len(ends) > 20
    assert ends == [-9] * (len(ends) - 1) + [0]
    assert faithful > 1


def gone(pid: int) -> bool:
    """A worker notices within milliseconds that its host is gone; it is nobody's child here."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 20)[0])
    finally:
        os.close(fd)
