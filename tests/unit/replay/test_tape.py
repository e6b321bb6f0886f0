"""The blocks of a run as a replay goes through them, however large the log is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from coda.errors import LogError
from coda.log import BlockFinished, BlockStarted, Header, Lines, Trace, TraceWriter, analyse, open_trace
from coda.replay.tape import GC_CODE, BlockTape, Tapes

SOURCE = "a = 1\nb = 2\n"


def written(path: Path, *batches: tuple[tuple[int, ...], tuple[object, ...], int]) -> Trace:
    """A trace of one block for each batch: ids, values, number of events."""
    table = analyse(ast.parse(SOURCE), base=0).table
    with TraceWriter(path, Header(run="r"), clock=lambda: 0) as writer:
        for block, (ids, vals, n) in enumerate(batches, 1):
            writer.append(BlockStarted(block=block, source=SOURCE, file=f"<block {block}>", table=table))
            writer.append(Lines(n=n, ids=ids, vals=vals, block=block))
            writer.append(BlockFinished(block=block, outcome="ok", lines=n))
    return open_trace(path)


@pytest.mark.parametrize("most_bytes", [0, 1 << 20])
def test_blocks_are_the_same_each_time_and_as_far_as_they_are_wanted(tmp_path: Path, most_bytes: int) -> None:
    trace = written(tmp_path / "t.jsonl", ((0, 1), (), 2), ((0,), (), 1), ((1, 2), (5,), 1))
    tapes = Tapes(trace, most_bytes=most_bytes)
    first = next(iter(tapes))
    numbers = [tape.started.block for tape in tapes if isinstance(tape, BlockTape)]
    assert numbers == [1, 2, 3]
    assert list(tapes) == list(tapes)
    assert next(iter(tapes)) == first


@pytest.mark.parametrize("most_bytes", [0, 1 << 20])
def test_a_damaged_log_is_damaged_each_time(tmp_path: Path, most_bytes: int) -> None:
    trace = written(tmp_path / "t.jsonl", ((0, 1), (), 2), ((0, 2), (), 1))
    tapes = Tapes(trace, most_bytes=most_bytes)
    for _ in range(2):
        with pytest.raises(LogError, match="holds 0 values for 1 entries"):
            list(tapes)


def test_a_large_log_says_whether_a_statement_may_have_to_act(tmp_path: Path) -> None:
    plain = written(tmp_path / "plain.jsonl", ((0, -1), ("text",), 2))
    assert not Tapes(plain, most_bytes=0).may_act()
    collects = written(tmp_path / "collects.jsonl", ((0, -1), ("text",), 2), ((0, GC_CODE), (None,), 2))
    assert Tapes(collects, most_bytes=0).may_act()
