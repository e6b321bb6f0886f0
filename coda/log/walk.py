"""From records to events: batches taken apart, each event with its block, turn, line and function.

Guarantee: one event comes out for each event that was recorded (an `elided` record, which lists none
of its statements, gives one with its count), in order, with the numbers that the file gives them; a
gap or a batch that contradicts itself raises instead of shifting what follows. Records of types that
nobody asked for are passed over by their first bytes, and what they would have told about the place of
a later event is looked up only when that event needs it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, NamedTuple

from coda.errors import SequenceGap
from coda.log.codec import decode, head_of, type_of
from coda.log.events import (
    BlockFinished,
    BlockStarted,
    Elided,
    Import,
    LimitHit,
    Lines,
    Output,
    ThreadStarted,
    TurnFinished,
    TurnStarted,
    Unknown,
)
from coda.log.frames import Frames
from coda.log.records import CODES, Event, Header, Located, Record
from coda.log.traceevent import Stored, TraceEvent
from coda.log.units import CodeTable, UnitInfo, Units, unit_from

_CONTEXT: Final = frozenset({"block.started", "block.finished", "turn.started", "turn.finished", "import"})
_BATCHED: Final = frozenset(kind for kind, _ in CODES.values())
_KEEP_BYTES: Final = 1 << 20
_KEEP_LINES: Final = 64
_IDS: Final = b'"ids":['
SWITCHED: Final = ("thread.switched", "thread")
"""The stream code that says which thread goes on."""


class Shape(NamedTuple):
    """What a pass needs to know of a type of record."""

    tag: str
    names: frozenset[str]
    context: bool


@functools.cache
def _shape(kind: type[Record | Unknown]) -> Shape:
    if kind is Unknown:
        return Shape("", frozenset(), False)
    tag = str(kind.__struct_config__.tag)
    names = frozenset(kind.__struct_fields__) & {"block", "turn", "cause", "name", "value"}
    return Shape(tag, names, tag in _CONTEXT)


class Place(NamedTuple):
    """Where agent code was: the last statement that began."""

    unit: UnitInfo
    line: int
    function: str


class Walker:
    """The state of one pass over a run: open block and turn, known units, last statement, frames.

    Args:
        run: run id of the events, changed when the pass enters a fork's own file.
        units: the code units that are known already.
        fetch: gives the bytes of a blob, for the source of modules.
        types: event types that are wanted; None wants all.
        look_back: gives the last statement before the pass began; asked at most once.
    """

    def __init__(
        self,
        *,
        run: str,
        units: Units,
        fetch: Callable[[str], bytes],
        types: Collection[str] | None = None,
        look_back: Callable[[], int | None] | None = None,
        block: int | None = None,
        turn: int | None = None,
    ) -> None:
        self.run = run
        self.units = units
        self.codes: CodeTable = CODES
        self.types = types
        self.block = block
        self.turn = turn
        self.next: int | None = None
        self._fetch = fetch
        self._look_back = look_back
        self._last: int | None = None
        self._passed: list[tuple[int, bytes, int | None]] = []
        self._passed_bytes = 0
        self._before: tuple[int, bytes] | None = None
        self._t = 0
        self.frames = Frames()
        """Frames, as far as the pass has lines; replaced when it begins in the middle of a block."""
        self._stored: list[Stored] = []
        self._lines_wanted = types is None or "line" in types
        self._codes_wanted = types is None or not _BATCHED.isdisjoint(types)

    def enter(self, header: Header, *, resume: bool = False) -> None:
        """Begins the records of one file; `resume` when not with its first."""
        self.run = header.run
        self.codes = header.codes or CODES
        first = header.parent.seq if header.parent is not None else 0
        self.next = None if resume else first

    def prefixes(self) -> tuple[bytes, ...] | None:
        """Gives how the lines begin that `walk` has to see; None when it is all of them.

        Lines that begin with a type and are not among them may be left out: they are neither asked for
        nor needed for the place of another event.
        """
        if self.types is None or self._lines_wanted or self._codes_wanted:
            return None
        return tuple(b'{"type":"%b"' % kind.encode() for kind in sorted({*self.types, *_CONTEXT, "lines"}))

    def wants(self, kind: str, raw: bytes) -> bool:
        """Tells whether a record of this type can hold an event that was asked for."""
        if self.types is None:
            return kind != "header" and kind != "seal"
        if kind == "lines":
            return self._lines_wanted or (self._codes_wanted and _has_codes(raw))
        return kind in self.types

    def walk(self, offset: int, raw: bytes, start: int = 0, stop: int | None = None) -> Iterable[TraceEvent]:
        """Takes in one line and gives its events from `start` up to, not including, `stop`.

        The events of a line must be consumed before the next line is taken in.
        """
        kind = type_of(raw, offset)
        if not self.wants(kind, raw):
            self._pass(offset, raw, kind, stop)
            return ()
        record = decode(raw, offset, kind)
        if not isinstance(record, Event) and (not isinstance(record, Unknown) or record.seq < 0):
            return ()
        count = record.n if isinstance(record, Lines | Elided | Unknown) else 1
        self._count(record.seq, count, offset)
        if isinstance(record, Lines):
            self.units.verify(record, self.codes, offset)
            return self._unbatch(record, start, stop)
        shape = _shape(type(record))
        if shape.context:
            self._enter_record(record)
        elif isinstance(record, Elided):
            self.frames.lose_all()
        elif isinstance(record, ThreadStarted | LimitHit):
            self._hear_of_threads(record)
        event = None
        if record.seq + count > start and (stop is None or record.seq < stop):
            event = self._single(record, raw, count, shape)
        if shape.context:
            self._leave_record(record)
        self._t = record.t
        self._before = None
        return () if event is None else (event,)

    def _count(self, seq: int, count: int, offset: int) -> None:
        """Numbers follow one another; after records that were passed over they at least rise."""
        if self.next is not None and (seq != self.next if self.types is None else seq < self.next):
            raise SequenceGap(
                f"damaged trace: event {seq} at byte {offset}, expected event {self.next}",
                offset=offset,
                expected=self.next,
                found=seq,
            )
        self.next = seq + count

    def _pass(self, offset: int, raw: bytes, kind: str, stop: int | None) -> None:
        """Passes over a record that was not asked for, keeping what later events may need of it."""
        if kind == "lines":
            self._passed.append((offset, raw, stop))
            self._passed_bytes += len(raw)
            if len(self._passed) > _KEEP_LINES or self._passed_bytes > _KEEP_BYTES:
                self._place()
        elif kind in _CONTEXT:
            record = decode(raw, offset, kind)
            self._enter_record(record)
            self._leave_record(record)
        if kind not in ("header", "seal"):
            self._before = (offset, raw)

    def _drop_passed(self) -> None:
        self._passed.clear()
        self._passed_bytes = 0

    def _learn(self, record: Record | Unknown, stop: int | None) -> bool:
        """Takes the last statement before `stop` from a `lines` record; tells whether it had one."""
        last = self.units.last_statement(self.units.cut(record, stop)) if isinstance(record, Lines) else None
        if last is not None:
            self._last = last
            self._look_back = None
            self._drop_passed()
        return last is not None

    def _place(self) -> Place | None:
        """Where agent code is now; None outside of blocks and before the first statement."""
        for offset, raw, stop in reversed(self._passed):
            if self._learn(decode(raw, offset, "lines"), stop):
                break
        self._drop_passed()
        if self._last is None and self._look_back is not None:
            ask, self._look_back = self._look_back, None
            self._last = ask()
        unit = self.units.find(self._last) if self._last is not None else None
        if unit is None or self._last is None:
            return None
        return Place(unit, *unit.rows[self._last - unit.table.base])

    def _enter_record(self, record: Record | Unknown) -> None:
        if isinstance(record, BlockStarted):
            self.frames.begin_block()
            self.block = record.block
            self.turn = record.turn if record.turn is not None else self.turn
            self._forget()
        elif isinstance(record, TurnStarted):
            self.turn = record.turn
        if isinstance(record, BlockStarted | Import):
            unit = unit_from(record, self._fetch)
            if unit is not None:
                self.units.add(unit)

    def _leave_record(self, record: Record | Unknown) -> None:
        if isinstance(record, BlockFinished):
            self.frames.end_block()
            self.block = None
            self._forget()
        elif isinstance(record, TurnFinished):
            self.turn = None

    def _forget(self) -> None:
        self._last = None
        self._look_back = None
        self._drop_passed()

    def _take_stored(self) -> tuple[Stored, ...]:
        if not self._stored:
            return ()
        stored = tuple(self._stored)
        self._stored.clear()
        return stored

    def _single(self, record: Event | Unknown, raw: bytes, count: int, shape: Shape) -> TraceEvent:
        """The event of a record that holds one."""
        kind, names = shape.tag, shape.names
        block, turn = self.block, self.turn
        cause = name = value = file = line = function = unit = None
        if isinstance(record, Unknown):
            kind = record.type
        elif names:
            if "block" in names:
                block = record.block or block  # type: ignore[attr-defined]
            if "turn" in names:
                turn = record.turn or turn  # type: ignore[attr-defined]
            if "cause" in names:
                cause = record.cause  # type: ignore[attr-defined]
            if "name" in names:
                name = record.name  # type: ignore[attr-defined]
            if "value" in names:
                value = record.value  # type: ignore[attr-defined]
        if isinstance(record, Output):
            name, value = record.stream, record.text
        if isinstance(record, Located):
            file, line, function = record.file, record.line, record.function
            if line is None:
                place = self._place()
                if place is not None and file in (None, place.unit.file):
                    unit, file, line, function = place.unit, place.unit.file, place.line, place.function
        return TraceEvent(
            record.seq, kind, record.t, self.run, block, turn, file, line, function, cause,
            record, None, name, value, self._take_stored() if self._stored else (), count, unit, raw,
            self.units, self._frame_at(file, function), self.frames.depth,
        )  # fmt: skip

    def _hear_of_threads(self, record: ThreadStarted | LimitHit) -> None:
        if isinstance(record, ThreadStarted) and SWITCHED in self.codes.values():
            self.frames.start_thread(record.thread)
        elif isinstance(record, ThreadStarted) or record.what == "threads":
            self.frames.mix()

    def _frame_at(self, file: str | None, function: str | None) -> int | None:
        """The frame that runs, when it is one of this function's."""
        return self.frames.top if function is not None and self.frames.is_of(file, function) else None

    def _unbatch(self, record: Lines, start: int, stop: int | None) -> Iterator[TraceEvent]:
        """The events of a `lines` record; verified before, so that none is given of a damaged one."""
        seq, count = record.seq, record.n
        before = self._time_before(record)
        step = (record.t - before) / count if count else 0.0
        self._t, self._before = record.t, None
        self._place()
        block = record.block if record.block is not None else self.block
        values = iter(record.vals)
        unit: UnitInfo | None = None
        base = end = statements_end = index = 0
        run, turn, units, stored = self.run, self.turn, self.units, self._stored
        place: Place | None = None
        types = self.types
        frames, rows, frame = self.frames, None, None
        for id in record.ids:
            if id >= 0:
                if not base <= id < end or unit is None:
                    unit = units.find(id)
                    assert unit is not None  # verified
                    base, end, statements_end = unit.table.base, unit.table.end, unit.statements_end
                    rows = unit.frames if self._lines_wanted and unit.table.bodies else None
                if id >= statements_end:
                    value = next(values)
                    bound = frames.binding(rows, id - statements_end, value, seq + index)
                    if bound is not None and seq + index >= start and not unit.is_mark(id):
                        stored.append(Stored(id, unit.binding(id), value, *bound))
                    continue
            if stop is not None and seq + index >= stop:
                self.next = stop
                self._t = before + int(step * index)
                return
            if id >= 0:
                self._last = id
            index += 1
            t = before + int(step * index)
            at = seq + index - 1
            if id >= 0:
                frame = frames.statement(rows, id - base, at) if rows is not None else None
                if at >= start and (types is None or "line" in types):
                    line, function = unit.rows[id - base]  # type: ignore[union-attr]
                    yield TraceEvent(
                        at, "line", t, run, block, turn, unit.file, line, function, None,  # type: ignore[union-attr]
                        record, id, None, None, self._take_stored() if stored else (), 1, unit, None, units,
                        frame.number if frame is not None else None,
                        frame.depth if frame is not None else None,
                    )  # fmt: skip
                continue
            value = next(values)
            kind, name = self.codes[id]
            if kind == SWITCHED[0]:
                frames.switch(value)
            if at >= start and (types is None or kind in types):
                place = self._place()
                yield TraceEvent(
                    at, kind, t, run, block, turn,
                    place.unit.file if place else None, place.line if place else None,
                    place.function if place else None, None,
                    record, id, name, value, self._take_stored(), 1, place.unit if place else None, None,
                    units, self._frame_at(place.unit.file, place.function) if place else None, frames.depth,
                )  # fmt: skip
        self._drop_passed()

    def _time_before(self, record: Lines) -> int:
        """When the record before ended, never after this one."""
        if self._before is not None:
            offset, raw = self._before
            self._t = max(head_of(raw, offset).t, 0)
        return min(self._t, record.t)


def _has_codes(raw: bytes) -> bool:
    """Whether a `lines` record may hold stream codes: a minus sign among its ids."""
    begin = raw.find(_IDS)
    end = raw.find(b"]", begin)
    return begin < 0 or end < 0 or raw.find(b"-", begin, end) >= 0
