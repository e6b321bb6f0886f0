"""Files reached through symbolic links: found by either name, replayed and forked by what they held."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.forking import fork
from coda.log import open_trace
from coda.query import Hit, query
from coda.replay import replay
from tests.conftest import RunCoda
from tests.support.programs import dedent, line_of, lines_at, output_of

pytestmark = pytest.mark.slow

READS = dedent(
    """
    import os
    k = 1
    for name in ("config", "shared/notes.txt", "outside"):
        print(open(name).read())
    open("config", "a").write("MORE=2\\n")
    print(os.path.islink("config"), open("conf/.env").read())
    if k == 2:
        print(open("other").read())
    """
)


@pytest.fixture
def trace(tmp_path: Path, coda: RunCoda) -> Path:
    """A recorded program in a folder of links: to a file, to a folder, out of the workspace."""
    work = tmp_path / "work"
    (work / "conf").mkdir(parents=True)
    (work / "conf" / ".env").write_text("KEY=1\n")
    (work / "conf" / "unread").write_text("secret")
    (work / "conf" / "notes.txt").write_text("notes")
    (tmp_path / "beside.txt").write_text("beside")
    (work / "config").symlink_to("conf/.env")
    (work / "other").symlink_to("conf/unread")
    (work / "shared").symlink_to("conf")
    (work / "outside").symlink_to("../beside.txt")
    (work / "prog.py").write_text(READS)
    assert coda("exec", "prog.py", "-o", "../t.jsonl", cwd=work).status == 0
    return tmp_path / "t.jsonl"


def found(trace: Path, text: str) -> list[tuple[int | None, str]]:
    return [(hit.line, hit.what) for hit in query(text, [trace]).rows if isinstance(hit, Hit)]


def test_a_file_is_found_by_the_name_of_the_link_and_by_its_own(trace: Path, tmp_path: Path) -> None:
    assert found(trace, "read *.env") == [(4, "config"), (6, "conf/.env")]
    assert found(trace, "read conf/.env") == [(4, "config"), (6, "conf/.env")]
    assert found(trace, "read config") == [(4, "config")]
    assert found(trace, "read notes.txt") == [(4, "shared/notes.txt")]
    assert found(trace, "read beside.txt") == [(4, "outside")]
    assert found(trace, "write *.env") == [(5, "config")]
    reads = [event.fields for event in open_trace(trace).events(types={"file.read"})]
    led = {read["path"]: read["resolved"] for read in reads}
    assert led == {
        "prog.py": None, "config": "conf/.env", "shared/notes.txt": "conf/notes.txt",
        "outside": str(tmp_path / "beside.txt"), "conf/.env": None,
    }  # fmt: skip


def test_a_replay_and_a_fork_have_the_links_and_what_they_lead_to(trace: Path, tmp_path: Path) -> None:
    opened = open_trace(trace)
    for name in ("conf/.env", "conf/notes.txt"):
        (tmp_path / "work" / name).unlink()
    (tmp_path / "beside.txt").write_text("another")
    verdict = replay(opened)
    assert verdict.diverged is None
    assert verdict.faithful
    for line in ("for name", 'open("config", "a")'):
        seq = lines_at(opened, line_of(READS, line))[0].seq
        made = fork(opened, seq, sets=[("k", "1")], out=tmp_path / "f.jsonl", force=True)
        assert made.diff.equal, made.diff.first
        assert output_of(made.path) == output_of(opened)
    made = fork(opened, seq, sets=[("k", "2")], out=tmp_path / "f.jsonl", force=True)
    assert made.frontier == "the fork reads conf/unread, whose content the parent never read"
