"""A fork lists what its parent listed: also what no scan of the workspace holds."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from coda.forking import fork
from coda.log import open_trace
from coda.replay import replay
from tests.conftest import RunCoda
from tests.support.programs import dedent, line_of, lines_at, output_of

pytestmark = pytest.mark.slow

WALK = dedent(
    """
    import glob, os, pathlib
    k = 1
    first = sorted(os.listdir())
    open("made.txt", "w").write("new")
    k = 2
    print(k, sorted(os.listdir()))
    for folder, inner, names in os.walk("."):
        print(folder, sorted(inner), sorted(names))
    print(sorted(glob.glob("*")), sorted(map(str, pathlib.Path(".").glob("**/*"))))
    print([(e.name, e.is_dir(), e.is_file()) for e in os.scandir(".git")])
    """
)


def lay_out(folder: Path, source: str) -> None:
    (folder / ".git" / "refs").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / ".coda" / "runs").mkdir(parents=True)
    (folder / "node_modules").mkdir()
    (folder / "sub").mkdir()
    (folder / "sub" / "data.txt").write_text("data")
    (folder / "prog.py").write_text(source)


def test_a_change_of_nothing_before_listings_is_no_difference(tmp_path: Path, coda: RunCoda) -> None:
    """The trace, `.coda`, `.git` and a socket stand in listings, and in no manifest."""
    lay_out(tmp_path, WALK)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)
        try:
            server.bind("talk.sock")
        finally:
            os.chdir(here)
        assert coda("exec", "prog.py", "-o", "t.jsonl").status == 0
    trace = open_trace(tmp_path / "t.jsonl")
    assert all(name in output_of(trace) for name in ("t.jsonl", ".coda", "HEAD", "talk.sock"))
    before, answer = (lines_at(trace, line_of(WALK, text))[0].seq for text in ("k = 2", "first ="))
    listed = next(event.seq for event in trace.events(answer) if event.type == "effect")
    for seq in (before, answer, listed):
        made = fork(trace, seq, sets=[("k", "1")], out=tmp_path / "f.jsonl", force=True)
        assert (made.outcome, made.frontier) == ("ok", None)
        assert output_of(made.path) == output_of(trace)
        assert made.diff.equal, made.diff.first
        assert replay(made.path).diverged is None


@pytest.mark.parametrize(
    ("act", "why"),
    [
        ("os.listdir(name)", "the fork lists .git, which the parent never did"),
        ("open(name + '/HEAD').read()", "the fork reads .git/HEAD, whose content the parent never read"),
        ("os.listdir('node_modules')", "the fork lists node_modules, which the parent never did"),
        ("open('seen.txt').read()", "the fork reads seen.txt, whose content the parent never read"),
    ],
)
def test_what_the_parent_never_looked_at_is_the_frontier(
    tmp_path: Path, coda: RunCoda, act: str, why: str
) -> None:
    """A folder whose content no scan takes in is not shown empty, nor a listed file with a content."""
    source = (
        f"import os\nname = 'sub'\nos.listdir()\nif name == 'sub':\n    act = 0\nelse:\n    act = {act}\n"
    )
    lay_out(tmp_path, source)
    (tmp_path / "seen.txt").write_text("seen")
    assert coda("exec", "prog.py", "-o", "t.jsonl").status == 0
    seq = lines_at(open_trace(tmp_path / "t.jsonl"), 4)[0].seq
    made = fork(tmp_path / "t.jsonl", seq, sets=[("name", "'.git'")], out=tmp_path / "f.jsonl")
    assert made.frontier == why
