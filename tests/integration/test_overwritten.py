"""Files that are overwritten: what they held first is in the trace, however often they are written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coda.forking import fork
from coda.log import open_trace
from coda.query import Hit, query
from coda.replay import PrivateCopy, replay
from tests.conftest import RunCoda
from tests.support.doctoring import Row, doctored
from tests.support.programs import dedent, line_of, lines_at, record

pytestmark = pytest.mark.slow

TWICE = dedent(
    """
    import os
    k = 1
    for i in range(2):
        with open("out.json", "w") as f:
            f.write("1" * (i + 1))
    with open("between.txt", "w") as f:
        f.write("new")
    print(open("between.txt").read())
    for i in range(2):
        with open("new.tmp", "w") as f:
            f.write(f"renamed {i}")
        os.replace("new.tmp", "replaced.txt")
    with open("gone.txt", "w") as f:
        f.write("short-lived")
    os.remove("gone.txt")
    for i in range(2):
        with open("made.txt", "w") as f:
            f.write("made" * i)
    if k == 2:
        print("end")
    """
)
OVERWRITTEN = ("out.json", "between.txt", "replaced.txt", "gone.txt")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    for name in OVERWRITTEN:
        (work / name).write_text(f"old {name}")
        os.utime(work / name, ns=(10**18, 10**18))
    return work


def details(trace: Path, text: str) -> list[tuple[str, str]]:
    return [(hit.what, hit.detail) for hit in query(text, [trace]).rows if isinstance(hit, Hit)]


@pytest.fixture
def trace(work: Path, coda: RunCoda) -> Path:
    (work / "prog.py").write_text(TWICE)
    assert coda("exec", "prog.py", "-o", "../t.jsonl", cwd=work).status == 0
    return work.with_name("t.jsonl")


def held_first(trace: Path) -> dict[str, bytes | None]:
    copy = PrivateCopy(open_trace(trace))
    try:
        return {name: copy.content(name) for name in OVERWRITTEN}
    finally:
        copy.remove()


def test_what_files_held_before_they_were_overwritten_is_recorded(trace: Path, tmp_path: Path) -> None:
    """Also when nothing looked at them between two acts, and when the recorder is killed in the middle."""
    old = {name: f"old {name}".encode() for name in OVERWRITTEN}
    assert held_first(trace) == old
    assert replay(trace).faithful
    assert details(trace, "write *.json")[-1] == ("out.json", "agent, changed, 2 B")
    assert details(trace, "write between.txt") == [("between.txt", "agent, changed, 3 B")]
    assert details(trace, "write made.txt")[-1] == ("made.txt", "agent, new, 4 B")
    killed = doctored(trace, tmp_path / "killed.jsonl", lambda rows: cut(rows, "file.wrote"))
    assert held_first(killed) == old
    assert replay(killed).diverged is None
    made = fork(
        open_trace(trace),
        lines_at(open_trace(trace), line_of(TWICE, "if k"))[0].seq,
        sets=[("k", "1")],
        out=tmp_path / "f.jsonl",
    )
    assert made.diff.equal, made.diff.first


def cut(rows: list[Row], kind: str) -> None:
    """Leaves what there is before the first record of a type, as a kill does."""
    del rows[next(number for number, row in enumerate(rows) if row["type"] == kind) :]


RENAMED = dedent(
    """
    import os
    k = 1
    with open("out.txt", "w") as f:
        f.write("text")
    if k == 1:
        os.rename("out.txt", "other.txt")
    """
)


def test_a_file_that_one_run_renamed_away_is_the_others_alone(tmp_path: Path) -> None:
    parent = open_trace(record(RENAMED, tmp_path))
    seq = lines_at(parent, line_of(RENAMED, "if k"))[0].seq
    made = fork(parent, seq, sets=[("k", "2")], out=tmp_path / "f.jsonl")
    assert [(each.path, each.kind) for each in made.diff.files] == [
        ("other.txt", "only in a"), ("out.txt", "only in b"),
    ]  # fmt: skip
