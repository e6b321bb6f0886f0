"""What the log alone tells of the state before an event: names and their recorded values, and the output.

Guarantee: nothing here is a guess. A name has the last value that was recorded for it before the position,
with a doubt when that may not be the present one: its site has used up the values that are kept, it was
deleted, an element of it was stored, or it is a container, whose content the log does not follow. A local
name is that of the last call that bound it, which need not be the present one. A rolled-back block leaves
no names behind. Exact values are an answer of replay.
Moving on by a few events costs a few events; far jumps start from the nearest saved point.
Not safe to share between threads: one thread owns a ledger.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from coda.log import BlockFinished, Elided, Lines
from coda.viewer.moments import Bound, Moments, Stream, Unit
from coda.viewer.timeline import Timeline

_SAVE_EVERY = 50_000
"""Records plus events between two saved points; a save copies a few dictionaries."""

_SCALARS = frozenset(
    {
        "float",
        "int",
        "str",
        "bytes",
        "complex",
        "datetime",
        "date",
        "time",
        "timedelta",
        "decimal",
        "path",
        "uuid",
    }
)

Key = tuple[str, str]
"""Function path ("" for the module level) and name."""


class Known(NamedTuple):
    """A name's last recorded value."""

    name: str
    function: str
    value: Any
    seq: int
    """The event by which it was known."""
    statement: int
    """Id of the statement that bound it."""
    doubt: str
    """Why it may not be the present value: `older`, `deleted`, `as bound`, `last call`; "" for none."""


class Printed(NamedTuple):
    """Something that was printed."""

    seq: int
    stream: str
    value: Any


class Snapshot(NamedTuple):
    """What was recorded before an event."""

    seq: int
    names: tuple[Known, ...]
    """Latest binding last."""
    complete: bool
    """False when the trace holds no values, or lines were elided."""


class Touching(NamedTuple):
    """Statements of a unit that touch a name otherwise than by binding it."""

    deletes: tuple[int, ...]
    parts: tuple[int, ...]
    """They store an element or attribute of it."""


def _touching(unit: Unit, name: str) -> Touching:
    deletes, parts = [], []
    for index, statement in enumerate(unit.table.statements):
        if statement.kind == "delete" and name in statement.stores:
            deletes.append(unit.table.base + index)
        if any(store.startswith((f"{name}[", f"{name}.")) for store in statement.stores):
            parts.append(unit.table.base + index)
    return Touching(tuple(deletes), tuple(parts))


def _has_parts(value: Any) -> bool:
    """Whether a value in the envelope is a container or an object, which may change without being bound."""
    if isinstance(value, list):
        return True
    return isinstance(value, dict) and value.get("$") not in _SCALARS


class _State:
    def __init__(self) -> None:
        self.record = 0
        self.led = -1  # record whose leading bindings were taken before its events
        self.seq = 0
        self.values: dict[Key, tuple[Bound, int]] = {}
        self.counts: dict[int, int] = {}  # values kept of each binding in this block
        self.ran: dict[int, int] = {}  # last event of each statement
        self.full: frozenset[Key] = frozenset()  # names with a site that keeps no more values in this block
        self.passed: frozenset[Key] = frozenset()  # and in earlier blocks, not bound since
        self.base: tuple[dict[Key, tuple[Bound, int]], dict[int, int]] | None = None
        self.elided = -1  # first event after the last elided statements

    def copy(self) -> _State:
        other = _State()
        other.record, other.seq, other.elided = self.record, self.seq, self.elided
        other.full, other.passed, other.led = self.full, self.passed, self.led
        other.values, other.counts, other.ran = dict(self.values), dict(self.counts), dict(self.ran)
        other.base = self.base
        return other


class Ledger:
    """Recorded values and output by position."""

    def __init__(self, timeline: Timeline, moments: Moments, *, value_limit: int) -> None:
        self._timeline = timeline
        self._moments = moments
        self._limit = value_limit
        self._state = _State()
        self._saved: list[_State] = [_State()]
        self._work = 0
        self._printed: list[Printed] = []
        self._touches = lru_cache(maxsize=4096)(_touching)
        self._printed_to = 0  # events before this one have been searched for output

    def at(self, seq: int, *, cancelled: Callable[[], bool] = lambda: False) -> Snapshot | None:
        """What was known before the event; None when cancelled on the way."""
        if seq < self._state.seq:
            saved = [state.seq for state in self._saved]
            self._state = self._saved[bisect_right(saved, seq) - 1].copy()
            self._work = 0
        if not self._advance(seq, cancelled):
            return None
        state = self._state
        names = [
            Known(bound.name, key[0], bound.value, at, bound.statement, self._doubt(state, key, bound, at))
            for key, (bound, at) in state.values.items()
        ]
        names.sort(key=lambda known: known.seq)
        return Snapshot(seq, tuple(names), self._limit > 0 and state.elided < 0)

    def printed(self, seq: int, *, last: int = 2000) -> list[Printed]:
        """The last things that were printed before the event; call `at` for it first."""
        stop = bisect_right(self._printed, seq - 1, key=lambda printed: printed.seq)
        return self._printed[max(0, stop - last) : stop]

    def _doubt(self, state: _State, key: Key, bound: Bound, at: int) -> str:
        if at >= state.seq - 1:
            return ""  # nothing has run since
        if at < state.elided or key in state.full or key in state.passed:
            return "older"
        touching = self._touching(bound)
        if any(state.ran.get(id, -1) > at for id in touching.deletes):
            return "deleted"
        if any(state.ran.get(id, -1) > at for id in touching.parts) or _has_parts(bound.value):
            return "as bound"
        return "last call" if key[0] else ""

    def _touching(self, bound: Bound) -> Touching:
        unit = self._moments.unit_of(bound.id)
        return self._touches(unit, bound.name) if unit is not None else Touching((), ())

    def _advance(self, seq: int, cancelled: Callable[[], bool]) -> bool:
        timeline, state = self._timeline, self._state
        while state.record < timeline.records():
            place, end = timeline.place(state.record), timeline.end_of(state.record)
            # A record without events (bindings alone) at the position belongs before it.
            if place.seq > seq or (place.seq == seq and end > seq):
                break
            done = self._record(state, place.type, place.seq, min(seq, end))
            if seq < end:
                state.seq = seq
                return True
            state.seq, state.record = end, state.record + 1
            self._save(state, done)
            if cancelled():
                return False
        state.seq = max(state.seq, seq)
        self._lead(state, seq)
        return True

    def _lead(self, state: _State, seq: int) -> None:
        """Takes the bindings that stand before the first event of the next record: they came before it."""
        if state.record >= self._timeline.records() or state.led == state.record:
            return
        place = self._timeline.place(state.record)
        if place.type == "lines" and place.seq == seq:
            stream = self._moments.stream(state.record)
            self._values(state, stream, seq, 0, stream.events[0] if stream.events else len(stream.ids))
            state.led = state.record

    def _save(self, state: _State, done: int) -> None:
        self._work += done
        if self._work > _SAVE_EVERY:
            self._work = 0
            if state.seq > self._saved[-1].seq:
                self._saved.append(state.copy())

    def _record(self, state: _State, kind: str, first: int, stop: int) -> int:
        """Takes the events of a record from where the state stands up to `stop`."""
        if kind == "lines":
            stream = self._moments.stream(state.record, keep=stop - first < 20_000)
            self._lines(state, stream, first, max(state.seq, first), stop)
            return 1 + stop - first
        if kind == "block.started":
            state.base = (dict(state.values), dict(state.ran))
            state.counts = {}
            state.full, state.passed = frozenset(), state.passed | state.full
        elif kind == "block.finished":
            record = self._moments.record(state.record)
            if isinstance(record, BlockFinished) and record.state == "rolled_back" and state.base:
                state.values, state.ran = dict(state.base[0]), dict(state.base[1])
        elif kind == "elided":
            record = self._moments.record(state.record)
            if isinstance(record, Elided):
                state.elided = stop
                state.ran.update((id, stop - 1) for id, _ in record.counts)
        elif kind == "output" and first >= self._printed_to:
            output = self._moments.record(state.record)
            self._print(first, getattr(output, "stream", "stdout"), getattr(output, "text", ""))
        return 1

    def _lines(self, state: _State, stream: Stream, first: int, start: int, stop: int) -> None:
        events = stream.events
        led = start > first or state.led == state.record
        low = events[start - first] if led and start - first < len(events) else 0
        high = events[stop - first] if stop - first < len(events) else len(stream.ids)
        chosen = events[start - first : stop - first]
        ids = stream.ids
        state.ran.update(zip((ids[i] for i in chosen), range(start, stop), strict=False))
        self._values(state, stream, first, low, high)

    def _values(self, state: _State, stream: Stream, first: int, low: int, high: int) -> None:
        """Takes the values of the entries low..high-1 of a record whose first event is `first`."""
        events, ids, values = stream.events, stream.ids, stream.valued
        index = bisect_right(values, low - 1)
        while index < len(values) and values[index] < high:
            entry = values[index]
            value = stream.vals[index] if index < len(stream.vals) else None
            index += 1
            at = first + bisect_right(events, entry) - 1
            if ids[entry] < 0:
                if ids[entry] >= -2 and at >= self._printed_to:
                    self._print(at, "stdout" if ids[entry] == -1 else "stderr", value)
                continue
            bound = self._moments.bound(ids[entry], value)
            if bound is not None:
                self._bind(state, bound, at)

    def _bind(self, state: _State, bound: Bound, at: int) -> None:
        key = ("" if bound.is_global else bound.function, bound.name)
        state.values[key] = (bound, at)
        kept = state.counts[bound.id] = state.counts.get(bound.id, 0) + 1
        if key in state.passed:
            state.passed = state.passed - {key}
        if kept >= self._limit:
            state.full = state.full | {key}

    def _print(self, seq: int, stream: str, value: Any) -> None:
        self._printed.append(Printed(seq, stream, value))
        self._printed_to = seq + 1


def hits(
    timeline: Timeline,
    moments: Moments,
    first: int,
    last: int,
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[int, int]:
    """How often each statement of the events first..last ran, by statement id. Cost: all their lines."""
    counts: Counter[int] = Counter()
    record = max(0, timeline.record_of(first))
    while record < timeline.records() and timeline.place(record).seq <= last and not cancelled():
        kind = timeline.type_of(record)
        if kind in ("lines", "elided"):
            found = moments.record(record, keep=False)
            if isinstance(found, Lines):
                counts.update(_own(timeline, moments, record, found))
            elif isinstance(found, Elided):
                counts.update(dict(found.counts))
        record += 1
    others = moments.binding_ids(set(counts))
    return {id: times for id, times in counts.items() if id >= 0 and id not in others}


def _own(timeline: Timeline, moments: Moments, record: int, found: Lines) -> tuple[int, ...]:
    """The entries of a record that belong to this run: a fork may have left in the middle of it."""
    events = timeline.end_of(record) - found.seq
    if events >= found.n:
        return found.ids
    stream = moments.stream(record)
    return found.ids[: stream.events[events]] if events < len(stream.events) else found.ids
