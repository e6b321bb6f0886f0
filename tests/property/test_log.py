"""For any run: it reads back as it was written, and no damage makes a reader invent an event."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda.errors import CodaError, LogError
from coda.log import (
    BlockFinished,
    BlockStarted,
    Effect,
    Elided,
    Event,
    FileRead,
    Lines,
    Note,
    Trace,
    TraceEvent,
    TurnFinished,
    TurnStarted,
    check_trace,
    open_trace,
)
from tests.support.traces import LOOP, fork_trace, program_trace, started, table_of, writer


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path)


def entries(base: int) -> st.SearchStrategy[list[int]]:
    """Statements, bindings and stream codes of the table of LOOP that begins at `base`."""
    table = table_of(LOOP, base)
    return st.lists(st.sampled_from([*range(base, table.end), -1, -3]), max_size=8)


def batch(ids: list[int], base: int, block: int) -> Lines:
    first = base + len(table_of(LOOP, base).statements)
    vals = tuple(index for index, id in enumerate(ids) if id < 0 or id >= first)
    return Lines(n=sum(id < first for id in ids), ids=tuple(ids), vals=vals, block=block)


KINDS = ["lines", "lines", "lines", "effect", "read", "elided", "note"]


@st.composite
def runs(draw: st.DrawFn) -> list[Event]:
    """The records of a run: turns, blocks with batches of lines, and what happens between them."""
    records: list[Event] = [started()]
    width = table_of(LOOP).end
    for block in range(1, draw(st.integers(0, 3)) + 1):
        base = (block - 1) * width
        if turn := draw(st.booleans()):
            records.append(TurnStarted(turn=block))
        table = table_of(LOOP, base)
        records.append(BlockStarted(block=block, source=LOOP, file=f"<block {block}>", table=table))
        for kind in draw(st.lists(st.sampled_from(KINDS), max_size=8)):
            if kind == "lines":
                records.append(batch(draw(entries(base)), base, block))
            elif kind == "effect":
                records.append(Effect(name="env", value=draw(st.text(max_size=3))))
            elif kind == "read":
                records.append(FileRead(path="x.env", size=3, file=f"<block {block}>", line=2, function=""))
            elif kind == "elided":
                records.append(Elided(n=draw(st.integers(1, 5)), block=block))
            else:
                records.append(Note(text='\n{"type":"seal"}\u2028'))
        if draw(st.booleans()):
            records.append(BlockFinished(block=block, outcome="ok"))
        if turn:
            records.append(TurnFinished(turn=block))
    return records


def write(path: Path, records: list[Event], **options: Any) -> Trace:
    with writer(path, force=True, **options) as out:
        for record in records:
            out.append(record)
    return open_trace(path)


def expected(records: list[Event]) -> list[tuple[int, str]]:
    """Numbers and types of events, worked out from the records by the words of the format alone."""
    events: list[tuple[int, str]] = []
    seq = 0
    table = table_of(LOOP)
    for record in records:
        if isinstance(record, Lines):
            for id in record.ids:
                if id < 0 or id % table.end < len(table.statements):
                    events.append((seq, "line" if id >= 0 else {-1: "output", -3: "effect"}[id]))
                    seq += 1
        else:
            events.append((seq, str(record.__struct_config__.tag)))
            seq += record.n if isinstance(record, Elided) else 1
    return events


def plain(events: list[TraceEvent]) -> list[dict[str, Any]]:
    return [event.fields for event in events]


@given(runs(), st.integers(200, 2000))
@settings(max_examples=60)
def test_a_run_reads_back_as_it_was_written(folder: Path, records: list[Event], seal_bytes: int) -> None:
    trace = write(folder / "t.jsonl", records, seal_bytes=seal_bytes)
    events = list(trace.events())
    assert [(event.seq, event.type) for event in events] == expected(records)
    back = [placed.record for placed in trace.records() if isinstance(placed.record, Event)]
    assert back == records
    assert trace.count() == sum(event.n for event in events)
    stored = [(s.id, s.value) for event in events for s in event.stored]
    first = len(table_of(LOOP).statements)
    width = table_of(LOOP).end
    bound = [
        (id, index)
        for record in records
        if isinstance(record, Lines)
        for index, id in enumerate(record.ids)
        if id >= 0 and id % width >= first
    ]
    assert stored == bound[: len(stored)]
    assert check_trace(trace.path).consistent


@given(runs(), st.data())
@settings(max_examples=60)
def test_any_range_and_any_filter_agree_with_the_whole(
    folder: Path, records: list[Event], data: st.DataObject
) -> None:
    trace = write(folder / "t.jsonl", records)
    whole = list(trace.events())
    start = data.draw(st.integers(0, trace.count()))
    stop = data.draw(st.none() | st.integers(0, trace.count()))
    some = list(open_trace(trace.path).events(start, stop))
    wanted = [e for e in whole if start <= e.seq + e.n - 1 and (stop is None or start < stop > e.seq)]
    assert plain(some) == plain(wanted)
    kinds = data.draw(st.sets(st.sampled_from(sorted({event.type for event in whole}))))
    filtered = list(trace.events(start, types=kinds))
    places = [(e.seq, e.type, e.block, e.turn, e.line, e.function) for e in filtered]
    assert places == [
        (e.seq, e.type, e.block, e.turn, e.line, e.function)
        for e in whole
        if e.type in kinds and e.seq + e.n > start
    ]


@pytest.mark.slow
@pytest.mark.parametrize("forked", [False, True])
def test_a_trace_cut_at_any_byte_is_a_prefix_or_an_error(tmp_path: Path, forked: bool) -> None:
    path = program_trace(tmp_path / "p.jsonl")
    if forked:
        path = fork_trace(tmp_path / "f.jsonl", path, 12)
    data = path.read_bytes()
    whole = plain(list(open_trace(path).events()))
    header = data.index(b"\n") + 1
    cut_path = tmp_path / "cut.jsonl"
    if not forked:
        shutil.copytree(tmp_path / "p.blobs", tmp_path / "cut.blobs")
    for size in range(len(data)):
        cut_path.write_bytes(data[:size])
        if size < header:
            with pytest.raises(LogError):
                open_trace(cut_path)
            continue
        trace = open_trace(cut_path)
        events = plain(list(trace.events()))
        assert events == whole[: len(events)]
        assert trace.count() == len(events)
        torn = trace.torn
        end = data.rindex(b"\n", 0, size) + 1
        assert torn == (None if end == size else (end, size - end))
        if size % 11 == 0 or end == size:
            assert check_trace(cut_path).consistent == (end > header)


@given(st.data())
@settings(max_examples=400)
def test_a_flipped_bit_is_found_or_harmless_and_never_crashes(folder: Path, data: st.DataObject) -> None:
    path = folder / "flip.jsonl"
    if not path.exists():
        program_trace(path)
    sound = bytearray(path.read_bytes())
    whole = plain(list(open_trace(path).events()))
    index = data.draw(st.integers(0, len(sound) - 1))
    sound[index] ^= 1 << data.draw(st.integers(0, 7))
    broken = folder / "broken.jsonl"
    broken.write_bytes(bytes(sound))
    shutil.copytree(folder / "flip.blobs", folder / "broken.blobs", dirs_exist_ok=True)
    report = check_trace(broken)
    assert not report.consistent or report.torn_bytes > 0 or report.unsealed_bytes > 0
    seen: list[tuple[int, int]] = []
    try:
        trace = open_trace(broken)
        seen.extend((event.seq, event.n) for event in trace.events())
        assert trace.count() >= len(seen)
        assert len(trace.blocks) <= 1
        for kind in ("line", "file.read", "output"):
            list(trace.events(types={kind}))
    except CodaError:
        pass
    # Values, and even a type, may have changed (a seal tells), but no number is lost, moved or invented.
    assert [seq for first, n in seen for seq in range(first, first + n)] == list(
        range(sum(n for _, n in seen))
    )
    assert sum(n for _, n in seen) <= len(whole)
