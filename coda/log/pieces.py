"""The part of a run that one file holds, record by record.

Guarantee: a piece ends exactly where its stop is. Of a `lines` record that the stop lies in, or before,
it gives the entries that come before event `stop`: what was bound by then belongs to the piece too, though
it may be written in a record that begins with that very event.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, NamedTuple

from coda.log.codec import decode, type_of
from coda.log.effects import FileFailed
from coda.log.events import Lines, Unknown
from coda.log.failures import ACTS, FAILED, is_act, settle
from coda.log.records import Record
from coda.log.units import Units

if TYPE_CHECKING:
    from coda.log.reader import Trace


class Placed(NamedTuple):
    """A record with its place: byte offset in its file, and its line as it is written there."""

    offset: int
    raw: bytes
    record: Record | Unknown


class Piece(NamedTuple):
    """Events `start` to `stop` of a run, which one file holds; no stop: to its end."""

    trace: Trace
    start: int
    stop: int | None

    def records(self, types: Container[str] | None = None, *, offset: int = 0) -> Iterator[Placed]:
        """Streams the records of the file up to the stop, the last `lines` record as far as it counts.

        Args:
            types: only these; others are skipped without being decoded.
            offset: byte of the file at which to begin.

        Raises:
            LogError: the trace is damaged.
        """
        if types is not None and not any(kind in types for kind in ACTS):
            yield from self._read(types, offset)
            return
        held: Placed | None = None
        for placed in self._read(types, offset):
            if held is not None:
                yield held._replace(record=settle(held.record, placed.record))
                held = None
            if is_act(placed.record):
                held = placed
            elif types is None or not isinstance(placed.record, FileFailed) or FAILED in types:
                yield placed
        if held is not None:
            yield held

    def _read(self, types: Container[str] | None, offset: int) -> Iterator[Placed]:
        """The records of these types, and those that tell that an act just before them failed."""
        stop = self.stop
        act = False
        for at, raw in self.trace.file.lines(offset):
            kind = type_of(raw, at)
            if types is not None and kind not in types and not (act and kind == FAILED):
                act = False
                continue
            act = kind in ACTS
            record = decode(raw, at, kind)
            if stop is not None and getattr(record, "seq", -1) + getattr(record, "n", 1) > stop:
                if isinstance(record, Lines) and record.seq <= stop:
                    record = Units(self.trace.units(stop)).split(record, stop - record.seq)[0]
                    if record.ids:
                        yield Placed(at, raw, record)
                if isinstance(record, Lines) or getattr(record, "seq", -1) >= stop:
                    return
            yield Placed(at, raw, record)
