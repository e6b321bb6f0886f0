"""Whatever a log holds, in whatever order: every event has one place, and the spans are one sound tree."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import event as noted
from hypothesis import given
from hypothesis import strategies as st

from coda.collector import Budget, Span, names
from coda.collector.projection import Projection
from coda.collector.spans import facts_of
from coda.log import (
    BlockFinished,
    BlockStarted,
    CtxSet,
    Effect,
    Elided,
    Event,
    ExceptionRaised,
    FileRead,
    LlmRequested,
    LlmResponded,
    ProcessFinished,
    ProcessStarted,
    RunFinished,
    ToolCalled,
    ToolReturned,
    TurnFinished,
    TurnStarted,
    open_trace,
)
from tests.support.traces import LOOP, Ids, lines, started, table_of, writer

TABLE = table_of(LOOP)
IDS = Ids(TABLE)
CAUSE = st.none() | st.integers(0, 40)


def record(kind: str, number: int, cause: int | None) -> Event:
    """One record; numbers and causes may be wrong, as in a log that was damaged or written by others."""
    match kind:
        case "line":
            return lines([IDS.at(1 + number % 5)] * (1 + number % 4), TABLE, 1)
        case "turn":
            return TurnStarted(turn=number)
        case "turn-end":
            return TurnFinished(turn=number)
        case "block":
            return BlockStarted(block=number, source=LOOP, file=f"<block {number}>")
        case "block-end":
            return BlockFinished(block=number, outcome="ok")
        case "ask":
            return LlmRequested(model="m")
        case "reply":
            return LlmResponded(text="", cause=cause, input_tokens=1)
        case "call":
            return ToolCalled(name="f", cause=cause)
        case "return":
            return ToolReturned(name="f", cause=cause)
        case "process":
            return ProcessStarted(argv=("ls",), cause=cause)
        case "process-end":
            return ProcessFinished(code=0, cause=cause)
        case "elided":
            return Elided(n=1 + number, counts=((IDS.at(1), 1 + number),), block=1)
        case "file":
            return FileRead(path="a", cause=cause)
        case "ctx":
            return CtxSet(name="x", cause=cause)
        case "error":
            return ExceptionRaised(kind="E", message="", cause=cause)
        case _:
            return Effect(name="time.time", value=1.0, cause=cause)


KINDS = (
    "line", "turn", "turn-end", "block", "block-end", "ask", "reply", "call", "return", "process",
    "process-end", "elided", "file", "ctx", "error", "effect",
)  # fmt: skip
RECORDS = st.lists(st.builds(record, st.sampled_from(KINDS), st.integers(0, 5), CAUSE), max_size=40)
LIMIT = st.none() | st.integers(0, 4)


def check_tree(found: list[Span]) -> None:
    by_id = {span.span_id: span for span in found}
    assert len(by_id) == len(found)
    ended: set[str] = set()
    for span in found:
        assert span.start_ns <= span.end_ns
        if span is found[-1]:
            assert span.parent_id is None
            continue
        assert span.parent_id is not None
        parent = by_id[span.parent_id]
        assert parent.start_ns <= span.start_ns
        # Another thread may run lines while a call waits, so a call may outlast its line or its caller.
        if not (is_call(span) and (is_call(parent) or parent.name.startswith("line "))):
            assert span.parent_id not in ended, "a child was given after its parent"
            assert span.end_ns <= parent.end_ns
        ended.add(span.span_id)


def is_call(span: Span) -> bool:
    return span.name in ("chat m", "execute_tool f", "process ls", "file.read", "ctx.set x")


@given(RECORDS, st.builds(Budget, LIMIT, LIMIT, LIMIT), st.booleans())
def test_every_event_has_one_place_in_one_tree(records: list[Event], budget: Budget, finishes: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        with writer(path) as out:
            out.append(started())
            # The table comes first, so that lines can stand anywhere.
            out.append(BlockStarted(block=1, source=LOOP, file="<block 1>", table=TABLE))
            for each in records:
                out.append(each)
            if finishes:
                out.append(RunFinished(outcome="ok"))
        trace = open_trace(path)
        places: dict[int, str] = {}

        def told(seq: int, n: int, span: str) -> None:
            for number in range(seq, seq + n):
                assert number not in places
                places[number] = span

        projection = Projection(facts_of(trace), budget=budget, on_event=told)
        found = [span for event in trace.events() for span in projection.feed(event)]
        found += projection.finish()
        count = trace.count()
    check_tree(found)
    assert sorted(places) == list(range(count))
    assert set(places.values()) <= {span.span_id for span in found}
    assert projection.finish() == []
    noted(f"{len(found) // 10 * 10}+ spans")
    assert (names.INCOMPLETE in found[-1].attributes) is not finishes
