"""Finding a few records among millions without looking at the others.

Guarantee: what is given is what `Trace.events(types=...)` gives for the records that hold a text, in the
same order and with the same place in the agent's code; only the records that cannot match are left out,
by searching the bytes of the file, which is an order of magnitude cheaper than splitting it into lines.
A record that cannot be decoded is handed to the reader, which names the damage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from coda.log import (
    TYPES,
    BlockFinished,
    BlockStarted,
    Event,
    Import,
    Trace,
    TraceEvent,
    TurnFinished,
    TurnStarted,
    UnitInfo,
    settled,
    unit_covering,
    with_failures,
)
from coda.query.walk import unit_from

_CHUNK_BYTES = 4 << 20
_STRUCTURE = (b'\n{"type":"block.', b'\n{"type":"turn.', b'\n{"type":"import"')
_TYPE = re.compile(rb'\{"type":"([a-z._]+)"')
_SAFE = re.compile(r"[A-Za-z0-9._\-]+")
_MIN_LITERAL = 2


def literal_of(pattern: str) -> bytes | None:
    """Gives a text that every path which a glob matches must hold as it is; None when there is none."""
    last = pattern.rstrip("/").rpartition("/")[2]
    if "[" in last:
        return None
    found = max(_SAFE.findall(last), key=len, default="")
    return found.encode() if len(found) >= _MIN_LITERAL else None


class Candidate(NamedTuple):
    """A line of the file that may be wanted."""

    offset: int
    raw: bytes
    kind: str


class Skimmer:
    """One pass over a run for records of some types that hold a text.

    Args:
        trace: the open trace.
        types: record types that are wanted.
        literal: bytes that the wanted records hold.
        remember: called with the event that a wanted one belongs to, when it was found nearby.
    """

    def __init__(
        self, trace: Trace, types: frozenset[str], literal: bytes, remember: Callable[[TraceEvent], None]
    ) -> None:
        self.trace = trace
        self.wanted = types
        self.types = with_failures(types) or types
        self.literal = literal
        self.remember = remember
        self.block: int | None = None
        self.turn: int | None = None
        self.units: list[UnitInfo] = []

    def events(self) -> Iterator[TraceEvent]:
        """Gives the events, in order."""
        return settled(self._all(), self.wanted)

    def _all(self) -> Iterator[TraceEvent]:
        for piece in self.trace.pieces():
            yield from self._piece(piece.trace, piece.stop)

    def _piece(self, trace: Trace, stop: int | None) -> Iterator[TraceEvent]:
        """Gives the events of one file, for a parent those of the prefix."""
        for chunk, offset in _chunks(trace):
            for line in self._lines(chunk, offset):
                record = self._decode(trace, line)
                if stop is not None and record.seq >= stop:
                    return
                self._follow(record)
                if line.kind in self.types:
                    yield self._event(trace, record, line, chunk)

    def _lines(self, chunk: bytes, offset: int) -> Iterator[Candidate]:
        """Gives the lines of a chunk that hold the text or structure the run."""
        starts = set()
        for needle in _STRUCTURE:
            at = chunk.find(needle)
            while at >= 0:
                starts.add(at + 1)
                at = chunk.find(needle, at + 1)
        at = chunk.find(self.literal)
        while at >= 0:
            starts.add(chunk.rfind(b"\n", 0, at) + 1)
            at = chunk.find(self.literal, chunk.find(b"\n", at))
        for start in sorted(starts):
            kind = _TYPE.match(chunk, start)
            name = kind[1].decode() if kind is not None else ""
            if name in self.types or name in (
                "block.started",
                "block.finished",
                "turn.started",
                "turn.finished",
                "import",
            ):
                yield Candidate(offset + start, chunk[start : chunk.find(b"\n", start) + 1], name)

    def _decode(self, trace: Trace, line: Candidate) -> Event:
        try:
            record = msgspec.json.decode(line.raw, type=TYPES[line.kind])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            record = next(trace.records(types={line.kind}, offset=line.offset)).record  # type: ignore[assignment]
        assert isinstance(record, Event)
        return record

    def _follow(self, record: Event) -> None:
        """Keeps track of the open block and turn, as the reader does."""
        if isinstance(record, BlockStarted | Import):
            unit = unit_from(record, self.trace.blobs)
            if unit is not None:
                self.units.append(unit)
        if isinstance(record, BlockStarted):
            self.block = record.block
            self.turn = record.turn if record.turn is not None else self.turn
        elif isinstance(record, TurnStarted):
            self.turn = record.turn
        elif isinstance(record, BlockFinished):
            self.block = None
        elif isinstance(record, TurnFinished):
            self.turn = None

    def _event(self, trace: Trace, record: Event, line: Candidate, chunk: bytes) -> TraceEvent:
        cause = getattr(record, "cause", None)
        if getattr(record, "line", None) is None:
            if cause is None:
                # Where the code was then is known from the statements before, which only the reader follows.
                return self.trace.event(record.seq)
            self._find_cause(trace, cause, line, chunk)
        return self._made(trace, record, line)

    def _made(self, trace: Trace, record: Event, line: Candidate) -> TraceEvent:
        file, number = getattr(record, "file", None), getattr(record, "line", None)
        unit = None
        if number is not None:
            unit = unit_covering(self.units, file, number, self.block)
        return TraceEvent(
            seq=record.seq, type=line.kind, t=record.t, run=trace.run, block=self.block, turn=self.turn,
            file=file, line=number, function=getattr(record, "function", None),
            cause=getattr(record, "cause", None), record=record, id=None, name=getattr(record, "name", None),
            value=getattr(record, "value", None), unit=unit, raw=line.raw,
        )  # fmt: skip

    def _find_cause(self, trace: Trace, cause: int, line: Candidate, chunk: bytes) -> None:
        """Looks for the call of an event a little before it, which spares the reader a search."""
        at = chunk.rfind(b'","seq":%d,' % cause, 0, chunk.find(line.raw))
        start = chunk.rfind(b"\n", 0, at) + 1
        kind = _TYPE.match(chunk, start) if at >= 0 else None
        if kind is None or kind.end() - 1 != at or kind[1].decode() not in TYPES:
            return
        raw = chunk[start : chunk.find(b"\n", start) + 1]
        record = self._decode(trace, Candidate(line.offset, raw, kind[1].decode()))
        if getattr(record, "line", None) is not None:
            self.remember(self._made(trace, record, Candidate(line.offset, raw, kind[1].decode())))


def _chunks(trace: Trace) -> Iterator[tuple[bytes, int]]:
    """Gives the file as large pieces that begin with a line end and hold whole lines, with their offsets."""
    with trace.path.open("rb", buffering=0) as file:
        rest, offset = b"\n", -1
        while data := file.read(_CHUNK_BYTES):
            data = rest + data
            end = data.rfind(b"\n")
            if end <= 0:
                rest = data
                continue
            yield data[: end + 1], offset
            rest, offset = data[end:], offset + end
