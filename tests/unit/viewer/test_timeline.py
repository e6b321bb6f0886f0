from __future__ import annotations

from pathlib import Path

import pytest

from coda.log import (
    BlockFinished,
    BlockStarted,
    ForkApplied,
    Header,
    Parent,
    RunFinished,
    RunStarted,
    ToolCalled,
    ToolReturned,
    TraceWriter,
)
from coda.viewer.session import Session
from coda.viewer.text import plain
from coda.viewer.timeline import BLOCK, CALL, TURN, Timeline
from tests.support import traces
from tests.unit.viewer.conftest import Opened


def texts(session: Session) -> list[str]:
    rows = [session.row(index) for index in range(session.rows())]
    return ["  " * row.depth + plain(row.label) for row in rows]


def test_an_agents_run_is_an_outline_first(agent: Session) -> None:
    shown = texts(agent)
    assert shown[0].startswith("run count the words")
    assert [text.strip().split("  ")[0] for text in shown if "Turn" in text or "Block" in text] == [
        "Turn 1", "Block 1", "Turn 2", "Block 2", "Turn 3", "Block 3",
    ]  # fmt: skip
    assert not any("print(names)" in text for text in shown)


def test_a_program_is_open_at_once(program: Session) -> None:
    assert any("total += item" in text for text in texts(program))


def test_unfolding_a_block_shows_its_lines_and_keeps_calls_folded(agent: Session) -> None:
    timeline = agent.timeline
    block = timeline.opened_by(timeline.blocks[1])
    assert block is not None
    assert block.folded
    before = timeline.rows()
    timeline.fold(block.key, False)
    shown = texts(agent)
    assert timeline.rows() > before
    assert any("text = read('a.txt')" in text for text in shown)
    assert any(text.strip() == "read('a.txt')  → 'two words'" for text in shown)
    timeline.fold(block.key, True)
    assert timeline.rows() == before


def test_every_event_has_a_row_when_all_is_unfolded(agent: Session) -> None:
    timeline = agent.timeline
    for kind in range(4):
        timeline.fold_all(kind, False)
    assert timeline.rows() == timeline.count + 1
    assert [timeline.seq_of(row) for row in range(timeline.rows())] == list(range(timeline.count + 1))


def test_reveal_opens_what_hides_an_event(agent: Session) -> None:
    timeline = agent.timeline
    hidden = next(seq for seq in range(timeline.blocks[2], timeline.count) if timeline.hides(seq))
    timeline.reveal(hidden)
    assert not timeline.hides(hidden)
    assert timeline.seq_of(timeline.row_of(hidden)) == hidden


def test_groups_know_what_they_hold(agent: Session) -> None:
    timeline = agent.timeline
    block = timeline.opened_by(timeline.blocks[0])
    assert block is not None
    assert (block.kind, block.number, block.open, block.outcome) == (BLOCK, 1, False, "ok")
    turn = timeline.enclosing(block.start, TURN)
    assert turn is not None
    assert turn.number == 1
    assert turn.start < block.start < block.end < turn.end


def test_errors_are_found(program: Session) -> None:
    timeline = program.timeline
    kinds = [timeline.type_of(timeline.record_of(seq)) for seq in timeline.errors]
    assert kinds == ["exception", "block.finished", "run.finished"]
    assert timeline.next_of(timeline.errors, 0) == timeline.errors[0]
    assert timeline.next_of(timeline.errors, timeline.errors[-1]) is None


def test_calls_that_overlap_are_not_folded_into_each_other(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "threads.jsonl"
    with traces.writer(path) as out:
        out.append(traces.started())
        out.append(BlockStarted(block=1, source="go()", file="p.py"))
        first = out.append(ToolCalled(name="a"))
        second = out.append(ToolCalled(name="b"))
        out.append(ToolReturned(name="a", cause=first))
        out.append(ToolReturned(name="b", cause=second))
        out.append(BlockFinished(block=1, outcome="ok"))
    timeline = opened(path).timeline
    a = timeline.opened_by(first)
    assert a is not None
    assert (a.kind, a.start, a.end) == (CALL, first, first + 2)
    assert timeline.opened_by(second) is None
    assert not timeline.hides(first + 3)


def test_a_cut_run_keeps_its_open_block(tmp_path: Path, opened: Opened) -> None:
    session = opened(traces.program_trace(tmp_path / "cut.jsonl", finish=False))
    block = session.timeline.opened_by(session.timeline.blocks[0])
    assert block is not None
    assert block.open
    assert block.end == session.timeline.count - 1
    assert not session.timeline.finished


def test_a_fork_reads_as_one_run(tmp_path: Path, opened: Opened) -> None:
    parent = traces.program_trace(tmp_path / "p.jsonl")
    session = opened(traces.fork_trace(tmp_path / "f.jsonl", parent, 20))
    assert session.timeline.count == session.trace.count()
    row = session.row(session.row_of(20))
    assert plain(row.label).startswith("forked at 20")
    assert session.moments.at(18).type == "line"


def test_a_fork_of_a_fork_leaves_before_its_parent_did(tmp_path: Path, opened: Opened) -> None:
    root = traces.program_trace(tmp_path / "p.jsonl")
    child = traces.fork_trace(tmp_path / "f.jsonl", root, 20)
    with TraceWriter(
        tmp_path / "g.jsonl",
        Header(run="r3", parent=Parent(run="20260314T180000-e5f6a7", path="f.jsonl", seq=10, position="10")),
        first_seq=10,
        clock=traces.ticking(),
    ) as out:
        out.append(ForkApplied(parent="20260314T180000-e5f6a7", position="10"))
        out.append(RunFinished(outcome="ok"))
    session = opened(tmp_path / "g.jsonl")
    assert child.exists()
    assert session.timeline.count == session.trace.count() == 12
    assert session.timeline.finished
    assert session.moments.at(10).type == "fork.applied"


def test_density_counts_every_effect_once(program: Session) -> None:
    for width in (1, 7, 31, 80):
        cells = program.timeline.density(width)
        assert len(cells) == width
        if width <= program.timeline.count:
            assert sum(errors for _, errors in cells) == len(program.timeline.errors)


def test_an_empty_timeline_has_the_end_only() -> None:
    timeline = Timeline()
    assert timeline.rows() == 1
    assert timeline.seq_of(0) == 0
    assert timeline.density(3) == [(0, 0)] * 3


@pytest.mark.parametrize("steps", [1, 7])
def test_rows_stay_right_while_the_trace_grows(tmp_path: Path, opened: Opened, steps: int) -> None:
    from coda.viewer.index import scan

    path = traces.agent_trace(tmp_path / "a.jsonl")
    whole = path.read_bytes()
    growing = tmp_path / "g.jsonl"
    timeline, offset, size = Timeline(), 0, 0
    while size < len(whole):
        size = min(len(whole), size + len(whole) // (steps * 5) + 1)
        growing.write_bytes(whole[:size])
        for batch in scan(growing, offset=offset):
            timeline.apply(batch)
            offset = batch.next_offset
        rows = [timeline.seq_of(row) for row in range(timeline.rows())]
        assert rows == sorted(set(rows))
    done = opened(path).timeline
    assert rows == [done.seq_of(row) for row in range(done.rows())]


def test_the_run_started_event_is_given(program: Session) -> None:
    assert isinstance(program.started, RunStarted)
    assert program.bound_by_coda() == {"ctx", "search"}
