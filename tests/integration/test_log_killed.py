"""A recorder that is killed without warning leaves a valid trace of what it had acknowledged."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coda.log import FileWrote, check_trace, open_trace

ROOT = Path(__file__).resolve().parents[2]

# Writes for ever; says the number of each event only after it was appended.
RECORDER = """
import sys
from coda.log import FileWrote, Header, Note, TraceWriter
from tests.support.traces import started
out = TraceWriter(sys.argv[1], Header(run="killed"), seal_bytes=20_000)
out.append(started())
while True:
    for index in range(50):
        out.append(Note(text="x" * index))
    data = str(out.next_seq).encode() * 100
    seq = out.append(FileWrote(path="f", digest=out.blobs.put(data), size=len(data)))
    print(seq, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 3, 10, 40])
def test_a_killed_recorder_leaves_what_it_acknowledged(tmp_path: Path, after: int) -> None:
    path = tmp_path / "t.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = 0
    for _ in range(after):
        acknowledged = int(process.stdout.readline())
    assert open_trace(path).live
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stdout.close()
    trace = open_trace(path)
    assert not trace.live
    assert trace.finished is None
    events = list(trace.events())
    assert [event.seq for event in events] == list(range(trace.count()))
    assert trace.count() > acknowledged
    assert isinstance(events[acknowledged].record, FileWrote)
    report = check_trace(path)
    assert report.consistent, report.damage
    assert not report.finished
    whole = path.read_bytes()
    assert report.torn_bytes == len(whole) - (whole.rindex(b"\n") + 1)
