"""Forks of runs that were ended from outside: unchanged they end where the log does, changed they go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.forking import fork
from coda.log import open_trace
from coda.replay import replay
from tests.conftest import RunCoda
from tests.support.programs import dedent, line_of, lines_at, output_of, record

pytestmark = pytest.mark.slow

STEPS = dedent(
    """
    import atexit
    atexit.register(print, "at exit")
    k = 1
    for i in range(40):
        k += i % 3
        print(i, k, flush=True)
    # %%
    print("end", k)
    """
)


def cut(trace: Path, text: str) -> Path:
    """The trace as a kill leaves it: without what came from a text on."""
    short = trace.with_name("cut.jsonl")
    data = trace.read_bytes()
    short.write_bytes(data[: data.rfind(b"\n", 0, data.index(text.encode())) + 1])
    blobs = short.with_name("cut.blobs")
    if not blobs.exists():
        blobs.symlink_to(trace.with_name("trace.blobs"))
    return short


@pytest.mark.parametrize("source", [STEPS, STEPS.replace("# %%", "")], ids=["of two blocks", "whole"])
def test_a_fork_of_a_run_that_was_cut(tmp_path: Path, source: str, coda: RunCoda) -> None:
    """What comes after the cut is computed when something is changed, as far as the log has the code."""
    whole = open_trace(record(source, tmp_path))
    parent = open_trace(cut(whole.path, '"block.finished"'))
    seq = lines_at(parent, line_of(source, "for i"))[0].seq
    same = coda("fork", parent.path, "--at", str(seq), "-o", "same.jsonl")
    assert (same.status, same.err) == (0, "")
    assert same.out.startswith("no change; identical to parent, up to where its log ends\n")
    ended = open_trace(tmp_path / "same.jsonl").finished
    assert ended is not None
    assert (ended.outcome, ended.text) == ("cut short", "the parent's log ends here")
    verdict = replay(tmp_path / "same.jsonl")
    assert (verdict.diverged, verdict.ends_at) == (None, parent.count() + 1)
    made = fork(parent, seq, sets=[("k", "1")], out=tmp_path / "on.jsonl")
    if source == STEPS:  # the second block never began: its code is not in the log
        assert made.outcome == "cut short"
        assert output_of(made.path) == output_of(whole).partition("end")[0]
    else:
        assert (made.outcome, made.diff.equal) == ("ok", False)
        assert output_of(made.path) == output_of(whole)
        assert fork(whole, seq, sets=[("k", "1")], out=tmp_path / "full.jsonl").diff.equal
    assert replay(made.path).diverged is None


ENDS = dedent(
    """
    import os, time
    k = 1
    def leave(status):
        print("bye", flush=True)
        if k < 5:
            os._exit(status)
    if k == 9:
        bytearray(1 << 40)
    if k == 8:
        sum(i for i in range(10**11))
    leave(7)
    print("after")
    """
)


@pytest.mark.parametrize(
    ("k", "limit", "outcome", "code"),
    [
        (1, (), "error", 7),
        (9, ("--memory", "500M"), "error", 1),
        (8, ("--timeout", "1s"), "interrupted", 124),
    ],
    ids=["os._exit", "memory", "timeout"],
)
def test_a_fork_of_a_program_that_took_its_worker_along(
    tmp_path: Path, coda: RunCoda, k: int, limit: tuple[str, ...], outcome: str, code: int
) -> None:
    source = ENDS.replace("k = 1", f"k = {k}")
    (tmp_path / "prog.py").write_text(source)
    assert coda("exec", *limit, "prog.py", "-o", "t.jsonl").status == code
    trace = open_trace(tmp_path / "t.jsonl")
    seq = lines_at(trace, line_of(source, "def leave"))[0].seq
    for sets in ([], [("k", str(k))]):
        made = fork(trace, seq, sets=sets, out=tmp_path / "f.jsonl", force=True)
        ended = open_trace(made.path).finished
        assert ended is not None
        assert (made.outcome, ended.outcome, ended.code) == (outcome, outcome, code)
        assert made.diff.outcome[0] == made.diff.outcome[1]
        assert made.diff.equal or (k == 8 and sets)  # where the signal falls is nobody's to repeat
        assert replay(made.path).diverged is None
    other = fork(trace, seq, sets=[("k", "5")], out=tmp_path / "other.jsonl")
    assert (other.outcome, output_of(other.path)) == ("ok", "bye\nafter\n")


def test_a_signal_to_another_process_is_the_frontier(tmp_path: Path) -> None:
    source = "import os\nto = None\nif to is not None:\n    os.kill(to, 0)\nprint('done')\n"
    trace = open_trace(record(source, tmp_path))
    seq = lines_at(trace, 3)[0].seq
    made = fork(trace, seq, sets=[("to", "1")], out=tmp_path / "f.jsonl")
    assert made.frontier == "the fork signals process 1, which only a live run could do"
    assert replay(made.path).diverged is None
