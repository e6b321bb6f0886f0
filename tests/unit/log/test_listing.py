"""The rows of `coda runs`: how runs ended, forks under their parents, whatever is in the folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coda.log import RunInfo, families, list_runs
from tests.conftest import RunCoda
from tests.support.traces import agent_trace, fork_trace, program_trace, started, writer


def info(run: str, parent: str | None = None) -> RunInfo:
    return RunInfo(
        run=run, path=f"{run}.jsonl", kind="exec", task=None, start=None, duration_ns=0, outcome="ok",
        events=0, input_tokens=0, output_tokens=0, parent=parent,
    )  # fmt: skip


def tree(*runs: RunInfo) -> list[tuple[int, str]]:
    return [(depth, row.run) for depth, row in families(runs)]


def test_forks_stand_under_their_parents_in_the_order_given() -> None:
    runs = (info("a"), info("b"), info("a1", "a"), info("b1", "b"), info("a2", "a"), info("a1x", "a1"))
    assert tree(*runs) == [
        (0, "a"), (1, "a1"), (2, "a1x"), (1, "a2"), (0, "b"), (1, "b1"),
    ]  # fmt: skip
    assert tree(info("late", "early"), info("early")) == [(0, "early"), (1, "late")]


def test_no_run_is_left_out_whatever_it_says_of_its_parent() -> None:
    assert tree(info("orphan", "gone")) == [(0, "orphan")]
    assert tree(info("own", "own"), info("a")) == [(0, "own"), (0, "a")]
    assert sorted(tree(info("x", "y"), info("y", "x"), info("a"))) == [(0, "a"), (0, "x"), (0, "y")]
    deep = [info("r0"), *(info(f"r{n}", f"r{n - 1}") for n in range(1, 3000))]
    assert tree(*deep)[-1] == (2999, "r2999")


def test_runs_tells_live_killed_and_forked_ones(tmp_path: Path, coda: RunCoda) -> None:
    runs = tmp_path / ".coda" / "runs"
    ids = (
        "20260314T150926-a1b2c3",
        "20260314T151500-b2c3d4",
        "20260314T180000-e5f6a7",
        "20260314T190000-dead01",
    )
    for run in (*ids, "20260314T200000-11fe01"):
        (runs / run).mkdir(parents=True)
    program_trace(runs / ids[0] / "trace.jsonl")
    agent_trace(runs / ids[1] / "trace.jsonl")
    fork_trace(runs / ids[2] / "trace.jsonl", runs / ids[0] / "trace.jsonl", 9)
    killed = writer(runs / ids[3] / "trace.jsonl", run=ids[3])
    killed.append(started())
    killed._file.close()  # its recorder dies here
    live = writer(runs / "20260314T200000-11fe01" / "trace.jsonl", run="20260314T200000-11fe01")
    live.append(started())
    rows = [msgspec.json.decode(line) for line in coda("runs", "--json").out.splitlines()]
    assert [(row["run"], row["outcome"]) for row in rows[:1] + rows[2:]] == [
        (ids[0], "error"),
        (ids[1], "ok"),
        (ids[3], "killed"),
        ("20260314T200000-11fe01", "live"),
    ]
    assert (rows[1]["run"], rows[1]["parent"], rows[1]["kind"]) == (ids[2], ids[0], "fork")
    assert rows[1]["position"] is not None
    table = coda("runs").out.splitlines()
    assert table[1].startswith(ids[0])
    assert table[2].startswith(f"  {ids[2]}")
    assert table[2].rstrip().endswith(f" {rows[1]['position']}")
    assert [line.split()[0] for line in table[3:]] == [ids[1], ids[3], "20260314T200000-11fe01"]
    live.close()
    (runs / ids[0] / "trace.jsonl").rename(tmp_path / "elsewhere.jsonl")
    (info_of_fork,) = (row for row in list_runs(runs) if row.run == ids[2])
    assert info_of_fork.outcome == "damaged"
    assert ids[0] in (info_of_fork.problem or "")
