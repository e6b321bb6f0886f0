from __future__ import annotations

from pathlib import Path

import pytest

from coda.errors import LogError
from coda.log import open_trace
from coda.viewer.index import BATCH_RECORDS, Bytes, scan
from tests.support import traces


def test_every_event_is_counted_as_the_reader_counts(tmp_path: Path) -> None:
    path = traces.program_trace(tmp_path / "t.jsonl")
    batches = list(scan(path))
    assert batches[-1].end_seq == open_trace(path).count()
    assert [mark.type for mark in batches[0].marks][:4] == [
        "run.started", "tool.declared", "sandbox.started", "block.started",
    ]  # fmt: skip


def test_records_can_be_read_back_by_place(tmp_path: Path) -> None:
    path = traces.program_trace(tmp_path / "t.jsonl")
    (batch,) = scan(path)
    source = Bytes((path,))
    lines = path.read_bytes().splitlines(keepends=True)
    for offset, size in zip(batch.offset, batch.size, strict=True):
        assert source.read(0, offset, size) in lines
    source.close()


def test_a_line_being_written_waits_for_its_end(tmp_path: Path) -> None:
    whole = traces.program_trace(tmp_path / "t.jsonl").read_bytes()
    path = tmp_path / "growing.jsonl"
    cut = len(whole) * 2 // 3
    path.write_bytes(whole[:cut])
    (first,) = scan(path)
    assert first.next_offset == whole[:cut].rfind(b"\n") + 1
    path.write_bytes(whole)
    (rest,) = scan(path, offset=first.next_offset)
    assert rest.seq[0] == first.end_seq
    assert list(first.seq) + list(rest.seq) == list(next(iter(scan(path))).seq)


def test_damage_names_the_byte_and_keeps_what_came_before(tmp_path: Path) -> None:
    path = traces.program_trace(tmp_path / "t.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[6] = lines[6][:20] + b"\n"
    path.write_bytes(b"".join(lines))
    batches = scan(path)
    assert len(next(batches).seq) == 5  # six whole lines, the header is no event
    with pytest.raises(LogError) as caught:
        next(batches)
    assert str(sum(map(len, lines[:6]))) in caught.value.message


def test_a_gap_in_the_numbers_is_damage(tmp_path: Path) -> None:
    path = traces.program_trace(tmp_path / "t.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[4]
    path.write_bytes(b"".join(lines))
    with pytest.raises(LogError, match="event 4 where event 3 was expected"):
        list(scan(path))


def test_a_limit_ends_a_parent_where_the_fork_left(tmp_path: Path) -> None:
    path = traces.program_trace(tmp_path / "t.jsonl")
    (batch,) = scan(path, limit=10)
    assert batch.end_seq == 10


def test_batches_are_bounded_and_a_scan_can_be_stopped(tmp_path: Path) -> None:
    path = traces.many_records_trace(tmp_path / "t.jsonl", BATCH_RECORDS * 3)
    assert all(len(batch.seq) <= BATCH_RECORDS for batch in scan(path))
    assert len(list(scan(path, cancelled=lambda: True))) == 1


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="cannot read"):
        list(scan(tmp_path / "none.jsonl"))
