"""Scans a trace file into batches of offsets, without decoding what the records hold.

Guarantee: memory and time for a record do not grow with what it holds (a `lines` record of a million
statements is one entry), nothing is shown of a record before its newline is on disk, and a trace that is
still being written can be scanned on from where the last scan ended. Damage before the tail raises a
`LogError` that names the byte; everything before it stays usable.

The wrong alternative: decoding every record up front, which makes the first paint wait for the last line.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from coda.errors import LogError, SequenceGap

BATCH_RECORDS = 4000
"""Records in one batch: some ten milliseconds of work, so that a screen that applies it stays quick."""

_NO_EVENT = frozenset({"header", "seal"})


class _TableHead(msgspec.Struct, frozen=True):
    base: int = 0


class _Bare(msgspec.Struct, frozen=True):
    type: str
    seq: int = -1
    n: int = 1
    t: int = -1


class _Tabled(msgspec.Struct, frozen=True):
    table: _TableHead | None = None


_LINES = b'{"type":"lines"'
_TABLED = (b'{"type":"block.started"', b'{"type":"import"')
_bare = msgspec.json.Decoder(_Bare)
_tabled = msgspec.json.Decoder(_Tabled)


class _Marked(msgspec.Struct, frozen=True):
    """The fields that place a record in the timeline; the rest is skipped without being built."""

    type: str
    seq: int = -1
    n: int = 1
    t: int = -1
    block: Any = None
    turn: Any = None
    cause: Any = None
    ok: Any = True
    outcome: Any = None
    code: Any = None


_marked = msgspec.json.Decoder(_Marked)


class Mark(msgspec.Struct, frozen=True):
    """A record that opens, closes or marks something in the timeline; plain lines have none."""

    seq: int
    type: str
    t: int
    record: int
    """Index of the record within its batch."""
    block: int | None = None
    turn: int | None = None
    cause: int | None = None
    failed: bool = False
    outcome: str | None = None
    base: int | None = None
    """First id of the statement table that the record brings, if it brings one."""


class Batch(msgspec.Struct, frozen=True):
    """Some records in file order, as parallel arrays."""

    segment: int
    """Which file of the chain (a fork's parents first) holds them."""
    seq: array[int]
    offset: array[int]
    size: array[int]
    t: array[int]
    types: tuple[str, ...]
    marks: tuple[Mark, ...]
    end_seq: int
    """First number after the last event of the batch."""
    next_offset: int
    """Where the next scan of the same file goes on."""

    @classmethod
    def nothing(cls, segment: int, offset: int) -> Batch:
        """A batch without records: only tells where the scan stands."""
        return cls(segment, array("q"), array("q"), array("q"), array("q"), (), (), 0, offset)


class _Builder:
    def __init__(self, segment: int) -> None:
        self.segment = segment
        self.seq = array("q")
        self.offset = array("q")
        self.size = array("q")
        self.t = array("q")
        self.types: list[str] = []
        self.marks: list[Mark] = []
        self.end_seq = 0
        self.last_t = 0
        self.expected: int | None = None

    def add(self, raw: bytes, offset: int, limit: int | None) -> bool:
        """Takes one whole record; False when it lies at or past the limit (the fork left there)."""
        if raw.startswith(_LINES):
            head: _Bare | _Marked = _bare.decode(raw)
        else:
            head = _marked.decode(raw)
        if head.type in _NO_EVENT or head.seq < 0:
            return True
        if limit is not None and head.seq >= limit:
            return False
        if head.n < 0 or (self.expected is not None and head.seq != self.expected):
            raise SequenceGap(f"event {head.seq} where event {self.expected} was expected", offset=offset)
        end = self.expected = head.seq + head.n
        if limit is not None:
            end = min(end, limit)
        self.last_t = head.t if head.t >= 0 else self.last_t
        if isinstance(head, _Marked):
            self._mark(head, raw)
        self.seq.append(head.seq)
        self.offset.append(offset)
        self.size.append(len(raw))
        self.t.append(self.last_t)
        self.types.append(head.type)
        self.end_seq = end
        return True

    def _mark(self, head: _Marked, raw: bytes) -> None:
        base = None
        if raw.startswith(_TABLED):
            table = _tabled.decode(raw).table
            base = table.base if table is not None else None
        self.marks.append(
            Mark(
                seq=head.seq,
                type=head.type,
                t=self.last_t,
                record=len(self.seq),
                block=_int(head.block),
                turn=_int(head.turn),
                cause=_int(head.cause),
                failed=_failed(head),
                outcome=head.outcome if isinstance(head.outcome, str) else None,
                base=base,
            )
        )

    def batch(self, next_offset: int) -> Batch:
        return Batch(
            segment=self.segment,
            seq=self.seq,
            offset=self.offset,
            size=self.size,
            t=self.t,
            types=tuple(self.types),
            marks=tuple(self.marks),
            end_seq=self.end_seq,
            next_offset=next_offset,
        )


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _failed(head: _Marked) -> bool:
    if head.type == "exception":
        return True
    if head.type in ("block.finished", "run.finished"):
        return head.outcome in ("error", "killed", "interrupted")
    if head.type in ("tool.returned", "subagent.returned"):
        return head.ok is False
    if head.type == "process.finished":
        return isinstance(head.code, int) and head.code != 0
    return False


def scan(
    path: Path,
    *,
    segment: int = 0,
    offset: int = 0,
    limit: int | None = None,
    expected: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Batch]:
    """Gives the whole records of a file from a byte on, in batches, up to the present end of the file.

    Args:
        path: the `.jsonl` file.
        segment: number of this file in its chain, copied into the batches.
        offset: byte to begin at; must be the first byte of a record.
        limit: events from this number on belong to somebody else (the parent of a fork); None for all.
        expected: number of the first event, when it is known: events follow one another without gaps.
        cancelled: asked once for each batch; True ends the scan.

    Raises:
        LogError: a record that is not the last is not JSON, or is not a record.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror}", path=str(path)) from error
    with file:
        yield from _scan(file, path, segment, offset, limit, expected, cancelled)


def _scan(
    file: BinaryIO,
    path: Path,
    segment: int,
    offset: int,
    limit: int | None,
    expected: int | None,
    cancelled: Callable[[], bool],
) -> Iterator[Batch]:
    file.seek(offset)
    builder = _Builder(segment)
    builder.expected = expected
    for raw in file:
        if not raw.endswith(b"\n"):
            break  # still being written, or torn: the next scan looks again
        try:
            inside = builder.add(raw, offset, limit)
        except (msgspec.DecodeError, msgspec.ValidationError, SequenceGap) as error:
            if builder.seq:
                yield builder.batch(offset)
            raise LogError(
                f"{path}: the record at byte {offset} is damaged ({error}); "
                f"what comes before it can be viewed, `coda check` tells more",
                path=str(path),
                offset=offset,
            ) from error
        if not inside:
            break
        offset += len(raw)
        if len(builder.seq) >= BATCH_RECORDS:
            yield builder.batch(offset)
            if cancelled():
                return
            before, builder = builder, _Builder(segment)
            builder.last_t, builder.expected = before.last_t, before.expected
    if builder.seq or offset:
        yield builder.batch(offset)


class Bytes:
    """Reads single records of a chain of files by place; safe to share between threads."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._files = [os.open(path, os.O_RDONLY) for path in paths]

    def read(self, segment: int, offset: int, size: int) -> bytes:
        """Gives the bytes of one record.

        Raises:
            LogError: the file became shorter since it was scanned.
        """
        raw = os.pread(self._files[segment], size, offset)
        if len(raw) != size:
            raise LogError(f"the trace became shorter: {size} bytes expected at byte {offset}", offset=offset)
        return raw

    def close(self) -> None:
        """Closes the files."""
        for file in self._files:
            os.close(file)
        self._files = []
