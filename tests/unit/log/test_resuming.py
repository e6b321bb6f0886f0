"""Going on in a trace that was cut short: what was there stays, what was torn is kept elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.errors import LogError, UsageError
from coda.log import Note, RunFinished, RunResumed, check_trace, open_trace, resume_trace
from tests.support.traces import fork_trace, program_trace, started, ticking, writer


def test_writing_goes_on_behind_the_last_whole_record(tmp_path: Path) -> None:
    path = program_trace(tmp_path / "t.jsonl", finish=False)
    before = path.read_bytes()
    count, last = open_trace(path).count(), list(open_trace(path).events())[-1]
    torn = b'{"type":"note","seq":%d,"te' % count
    path.write_bytes(before + torn)
    with resume_trace(path, clock=ticking()) as out:
        with pytest.raises(UsageError, match="run in progress"):
            resume_trace(path)
        out.append(Note(text="after"))
        out.append(RunFinished(outcome="ok"))
    assert path.read_bytes().startswith(before + b'{"type":"run.resumed"')
    trace = open_trace(path)
    events = list(trace.events())
    assert [event.seq for event in events] == list(range(count + 3))
    resumed = events[count].record
    assert isinstance(resumed, RunResumed)
    assert trace.blobs.get(resumed.cut_sha256) == torn
    assert resumed.cut_bytes == len(torn)
    assert [event.t - last.t for event in events[count:]] == [1000, 2000, 3000]  # time goes on, too
    report = check_trace(path)
    assert (report.damage, report.finished, report.unsealed_bytes) == ((), True, 0)
    (trace.blobs.path(resumed.cut_sha256)).unlink()
    assert "is missing" in check_trace(path).damage[0].what


def test_nothing_torn_is_said_as_such_and_a_fork_keeps_its_numbers(tmp_path: Path) -> None:
    parent = program_trace(tmp_path / "p.jsonl")
    path = fork_trace(tmp_path / "f.jsonl", parent, 12)
    data = path.read_bytes()
    end = data.index(b'{"type":"run.finished"')
    path.write_bytes(data[:end])
    count = open_trace(path).count()
    with resume_trace(path) as out:
        assert out.next_seq == count + 1
    assert open_trace(path).event(count).record == RunResumed(seq=count, t=open_trace(path).event(count).t)
    assert check_trace(path).damage == ()


def test_what_cannot_be_gone_on_with_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = program_trace(tmp_path / "t.jsonl")
    whole = path.read_bytes()
    with pytest.raises(UsageError, match="has finished"):
        resume_trace(path)
    assert path.read_bytes() == whole
    cases = {
        b"not a trace\n": "no header",
        whole[:100]: "cut short inside its header",
        whole[:2000].replace(b'"seq":2', b'"seq":3'): r"event 3 at byte \d+, expected event 2",
    }
    for data, words in cases.items():
        path.write_bytes(data)
        with pytest.raises(LogError, match=words):
            resume_trace(path)
        assert path.read_bytes() == data
    with writer(tmp_path / "s.jsonl", seal_bytes=100) as out:
        out.append(started())
        out.append(Note(text="text"))
    data = (tmp_path / "s.jsonl").read_bytes().replace(b'"text":"text"', b'"text":"TEXT"')
    (tmp_path / "s.jsonl").write_bytes(data)
    with pytest.raises(LogError, match="seal at byte"):
        resume_trace(tmp_path / "s.jsonl")
    with pytest.raises(UsageError, match="No such file"):
        resume_trace(tmp_path / "nowhere.jsonl")
