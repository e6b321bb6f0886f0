"""The writer: whole lines, numbers without gaps, one writer, and a valid prefix whatever happens."""

from __future__ import annotations

import hashlib
import os
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coda.errors import LogError, UsageError
from coda.log import (
    CODES,
    Effect,
    FileOpened,
    Header,
    Lines,
    Note,
    Record,
    RunFinished,
    Seal,
    TraceWriter,
    check_trace,
    open_trace,
)
from tests.support.traces import program_trace, started, table_of, ticking, writer


def rows(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def test_records_are_numbered_timed_and_written_as_they_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    out = writer(path)
    assert out.append(started()) == 0
    assert out.append(Lines(n=3, ids=(-1, -1, -1), vals=("a", "b", "c"))) == 1
    note = Note(text="x")
    assert out.append(note) == 4
    assert (note.seq, note.t) == (4, 3000)
    assert out.append(Note(text="y", t=5)) == 5  # earlier than the last one: time does not go back
    assert out.next_seq == 6
    found = rows(path)  # before anything is closed or flushed
    assert [row["type"] for row in found] == ["header", "run.started", "lines", "note", "note"]
    assert [(row["seq"], row["t"]) for row in found[1:]] == [(0, 1000), (1, 2000), (4, 3000), (5, 3000)]
    assert found[0]["codes"] == {str(code): list(meaning) for code, meaning in CODES.items()}
    assert all(line.startswith(b'{"type":"') for line in path.read_bytes().splitlines())
    out.close()
    out.close()
    with pytest.raises(LogError, match="is closed"):
        out.append(Note())


def test_the_file_is_private_and_never_replaced_by_accident(tmp_path: Path) -> None:
    path = program_trace(tmp_path / "t.jsonl")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists; give --force"):
        writer(path)
    assert path.read_bytes() == before
    with writer(path, "other", force=True) as out:
        out.append(started())
    assert open_trace(path).run == "other"


def test_a_trace_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with writer(path) as out:
        out.append(started())
        with pytest.raises(UsageError, match="run in progress"):
            writer(path, force=True)
        assert open_trace(path).live
        out.append(RunFinished(outcome="ok"))
    assert not open_trace(path).live
    assert open_trace(path).count() == 2


@pytest.mark.parametrize("force", [True, False])
def test_what_is_no_place_for_a_trace_is_refused(tmp_path: Path, force: bool) -> None:
    with pytest.raises(UsageError, match="no folder"):
        writer(tmp_path / "missing" / "t.jsonl", force=force)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError):
        writer(tmp_path / "folder", force=force)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError):
        writer(tmp_path / "pipe", force=force)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "pipe"]


def test_lines_that_are_encoded_already_are_the_same_as_lines_that_are_not(tmp_path: Path) -> None:
    seen: list[Record] = []
    for name in ("plain", "encoded"):
        with writer(tmp_path / f"{name}.jsonl", on_append=lambda record, line: seen.append(record)) as out:
            out.append(started())
            if name == "plain":
                first = out.append(Lines(n=2, ids=(-1, -3), vals=("a", 1.5), block=1, t=7000))
            else:
                first = out.append_lines(b"[-1,-3]", b'["a",1.5]', 2, block=1, t=7000)
            assert (first, out.next_seq) == (1, 3)
    assert (tmp_path / "plain.jsonl").read_bytes() == (tmp_path / "encoded.jsonl").read_bytes()
    assert seen[1] == seen[4] == Lines(seq=1, t=7000, n=2, ids=(-1, -3), vals=("a", 1.5), block=1)


def test_listeners_hear_every_record_with_its_line(tmp_path: Path) -> None:
    heard: list[tuple[Record, bytes]] = []
    path = tmp_path / "t.jsonl"
    with writer(path, on_append=lambda record, line: heard.append((record, line))) as out:
        out.append_many([started(), Note(text="a"), Note(text="b")])
    lines = path.read_bytes().splitlines(keepends=True)
    assert [line for _, line in heard] == lines[1:]
    assert [type(record).__name__ for record, _ in heard] == ["RunStarted", "Note", "Note", "Seal"]


def test_records_are_copied_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    strange = b'{"type":"x.new","seq":1,"t":5,"n":3,"deep":{"a":[1]}}'
    extended = b'{"type":"note","seq":4,"t":6,"text":"hi","later":true}\n'
    with writer(path) as out:
        out.append(started())
        assert out.append_encoded(strange).n == 3
        out.append_encoded(extended)
        assert out.next_seq == 5
        for bad in (
            b"{}",
            b'{"type":"note","seq":9,"t":1}',
            b'{"type":"seal","offset":1}',
            b"[",
            b'{"type":"header"}',
        ):
            with pytest.raises(LogError):
                out.append_encoded(bad)
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[2:4] == [strange + b"\n", extended]
    assert check_trace(path).consistent


def test_text_that_utf8_cannot_hold_is_escaped_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with writer(path) as out:
        out.append(FileOpened(path="caf\udce9.txt", mode="w"))
    assert rows(path)[1]["path"] == "caf\\udce9.txt"


def test_what_is_not_plain_data_is_refused_and_takes_no_number(tmp_path: Path) -> None:
    with writer(tmp_path / "t.jsonl") as out:
        for value in (object(), 1 << 100_000, {"x": {1, object()}}):
            with pytest.raises(LogError, match="a Effect record cannot be written"):
                out.append(Effect(name="x", value=value))
        assert out.next_seq == 0
        with pytest.raises(LogError, match="newlines"):
            out.append_lines(b"[\n-1]", b'["a"]', 1)
        assert out.append(Note()) == 0
    assert check_trace(out.path).consistent


def test_seals_cover_all_bytes_before_them(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with writer(path, seal_bytes=500) as out:
        for index in range(50):
            out.append(Note(text=f"note {index}"))
    data = path.read_bytes()
    seals = list(open_trace(path).records(types={"seal"}))
    assert len(seals) > 3
    for offset, raw, record in seals:
        assert isinstance(record, Seal)
        assert record.offset == offset
        assert record.sha256 == hashlib.sha256(data[:offset]).hexdigest()
        assert data[offset:].startswith(raw)
    assert data.endswith(seals[-1].raw)
    assert open_trace(path).count() == 50


@pytest.fixture
def small_files() -> Iterator[int]:
    """No file of this process grows beyond 4000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    yield 4000
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(out: TraceWriter) -> None:
    for _ in range(1000):
        out.append(Note(text="x" * 100))


def test_a_full_disk_leaves_a_valid_trace_and_a_clear_error(tmp_path: Path, small_files: int) -> None:
    path = tmp_path / "t.jsonl"
    out = writer(path)
    out.append(started())
    with pytest.raises(LogError, match=r"cannot write .*; what happened before event \d+ is in it") as caught:
        fill(out)
    assert f"before event {out.next_seq} is in it, and whole" in caught.value.message
    size = path.stat().st_size
    assert caught.value.facts["offset"] == size == out.offset < small_files
    assert path.read_bytes().endswith(b"\n")
    assert open_trace(path).count() == out.next_seq
    # Room again: the numbers go on where they stood.
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    out.append(Note(text="after"))
    out.close()
    report = check_trace(path)
    assert report.consistent
    assert report.events == out.next_seq


def test_threads_never_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with TraceWriter(path, Header(run="r"), clock=ticking(), seal_bytes=10_000) as out:

        def write(name: str) -> None:
            for index in range(300):
                out.append(Note(text=f"{name} {index}"))

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert check_trace(path).consistent
    texts = [event.fields["text"] for event in open_trace(path).events()]
    assert len(texts) == 1200
    for name in "abcd":
        assert [text for text in texts if text[0] == name] == [f"{name} {index}" for index in range(300)]


def test_fsync_durability_writes_the_same_trace(tmp_path: Path) -> None:
    with writer(tmp_path / "a.jsonl") as plain, writer(tmp_path / "b.jsonl", durability="fsync") as synced:
        for out in (plain, synced):
            out.append(started())
            out.append(FileOpened(path="x", mode="w"))
            out.blobs.put(b"content")
            out.flush()
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert synced.blobs.get(synced.blobs.put(b"content")) == b"content"


def test_tables_survive_as_compact_arrays(tmp_path: Path) -> None:
    table = table_of("x = f(y)\n", base=10)
    assert msgspec.json.encode(table).startswith(b'{"base":10,')
    assert msgspec.json.decode(msgspec.json.encode(table), type=type(table)) == table
