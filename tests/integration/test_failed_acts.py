"""Acts on files that fail: every reader says so, and none takes a change from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.collector import spans
from coda.forking import diff, fork
from coda.log import FileFailed, Trace, open_trace
from coda.query import Hit, query
from coda.replay import replay
from tests.conftest import RunCoda
from tests.support.programs import dedent, line_of, lines_at

pytestmark = pytest.mark.slow

FAILS = dedent(
    """
    import os, pathlib
    k = 1
    def tried(act, *args):
        try:
            act(*args)
        except OSError as error:
            print(type(error).__name__)
    tried(os.remove, "ghost.txt")
    pathlib.Path("ghost.txt").unlink(missing_ok=True)
    tried(os.rmdir, "full")
    tried(os.rename, "nope.txt", "kept.txt")
    tried(os.mkdir, "full")
    tried(open, "nodir/w.txt", "w")
    tried(open, "kept.txt", "x")
    tried(open, "full", "w")
    tried(os.link, "nope.txt", "link")
    tried(os.symlink, "nope.txt", "kept.txt")
    tried(os.truncate, "nope.txt", 1)
    if k == 2:
        os.rename("kept.txt", "moved.txt")
    os.remove("kept.txt" if k == 1 else "moved.txt")
    open("made.txt", "w").close()
    """
)
MISSING, EXISTS = "FileNotFoundError", "FileExistsError"
FAILED = [
    ("file.deleted", "ghost.txt", MISSING), ("file.deleted", "ghost.txt", MISSING),
    ("file.deleted", "full", "OSError"), ("file.renamed", "nope.txt", MISSING),
    ("file.made", "full", EXISTS), ("file.opened", "nodir/w.txt", MISSING),
    ("file.opened", "kept.txt", EXISTS), ("file.opened", "full", "IsADirectoryError"),
    ("file.opened", "link", MISSING), ("file.opened", "kept.txt", EXISTS),
    ("file.opened", "nope.txt", MISSING),
]  # fmt: skip


@pytest.fixture
def trace(tmp_path: Path, coda: RunCoda) -> Trace:
    work = tmp_path / "work"
    (work / "full").mkdir(parents=True)
    (work / "full" / "inner.txt").write_text("inner")
    (work / "kept.txt").write_text("kept")
    (work / "prog.py").write_text(FAILS)
    assert coda("exec", "prog.py", "-o", "../t.jsonl", cwd=work).status == 0
    return open_trace(tmp_path / "t.jsonl")


def hits(trace: Trace, text: str) -> list[tuple[str, str]]:
    return [(hit.what, hit.detail) for hit in query(text, [trace.path]).rows if isinstance(hit, Hit)]


def test_every_reader_says_which_acts_failed(trace: Trace, coda: RunCoda) -> None:
    acts = {"file.opened", "file.deleted", "file.renamed", "file.made"}
    told = [event for event in trace.events(types=acts) if event.fields["error"] is not None]
    assert [(event.type, event.fields["path"], event.fields["error"]) for event in told] == FAILED
    placed = [each.record for each in trace.records(types=acts)]
    assert [getattr(record, "error", None) for record in placed if getattr(record, "error", None)] == [
        error for _, _, error in FAILED
    ]
    assert trace.event(told[0].seq).fields["error"] == MISSING
    behind = trace.event(told[0].seq + 1).record
    assert isinstance(behind, FileFailed)
    assert (behind.path, behind.error, behind.errno, behind.cause) == ("ghost.txt", MISSING, 2, told[0].seq)
    assert f"file.deleted  ghost.txt, failed: {MISSING}" in coda("log", trace.path).out
    failed = [span for span in spans(trace) if span.name in acts and span.error is not None]
    assert [(span.name, span.attributes["file.path"], span.error) for span in failed] == FAILED


def test_failed_acts_are_no_hits_unless_asked_for(trace: Trace) -> None:
    assert hits(trace, "delete **") == [("kept.txt", "by agent")]
    assert [what for what, _ in hits(trace, "write **")] == ["made.txt"]
    assert hits(trace, "delete ghost.txt") == []
    assert hits(trace, "delete ghost.txt where error != null") == [("ghost.txt", MISSING)] * 2
    assert hits(trace, "write ** where error != null") == [
        ("kept.txt", MISSING), ("nodir/w.txt", MISSING), ("kept.txt", EXISTS), ("full", "IsADirectoryError"),
        ("link", MISSING), ("kept.txt", EXISTS), ("nope.txt", MISSING),
    ]  # fmt: skip


def test_a_replay_a_fork_and_a_difference_take_no_change_from_them(trace: Trace, tmp_path: Path) -> None:
    assert replay(trace).faithful
    seq = lines_at(trace, line_of(FAILS, "if k == 2"))[0].seq
    assert fork(trace, seq, sets=[("k", "1")], out=tmp_path / "same.jsonl").diff.equal
    begun = lines_at(trace, line_of(FAILS, "def tried"))[0].seq
    made = fork(trace, begun, sets=[("k", "1")], out=tmp_path / "again.jsonl")
    assert made.diff.equal, made.diff.first
    renamed = fork(trace, begun, sets=[("k", "2")], out=tmp_path / "other.jsonl")
    assert [(each.path, each.kind) for each in renamed.diff.files] == [("moved.txt", "only in b")]
    assert replay(renamed.path).faithful
    assert not diff(trace, open_trace(renamed.path)).equal
