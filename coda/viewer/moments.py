"""Decodes single events of a trace on demand: the record, the statement, the values bound by then.

Guarantee: only the record that was asked for is decoded, the last few stay decoded, and a binding is never
given to a line that it cannot belong to: `bound` holds what directly followed an event, no more.
Safe to share between threads.
"""

from __future__ import annotations

import ast
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from coda.errors import LogError, MissingBlob, SchemaMismatch
from coda.log import (
    CODES,
    MARKS,
    BlobStore,
    BlockStarted,
    Event,
    Import,
    Lines,
    Statement,
    Table,
    Unknown,
    decode_record,
    mask_data,
    source_lines,
    source_text,
)  # fmt: skip
from coda.viewer.index import Bytes
from coda.viewer.timeline import Timeline

_KEPT_ENTRIES = 2_000_000
"""Entries of `lines` records that stay decoded: a few tens of megabytes at most."""


class Unit(NamedTuple):
    """One piece of code with a statement table."""

    file: str
    source: tuple[str, ...]
    """Its lines; empty when the source is not kept."""
    first_line: int
    """Number of the first line in the file."""
    table: Table
    block: int | None
    """Number of the block that it is; None for a module of the workspace."""

    def statement(self, id: int) -> Statement | None:
        """The statement with this id, None for a binding or a number of another table."""
        index = id - self.table.base
        return self.table.statements[index] if 0 <= index < len(self.table.statements) else None

    def function(self, statement: Statement) -> str:
        """Path of the function that holds the statement, "" at module level."""
        names = self.table.functions
        return names[statement.function] if statement.function < len(names) else ""

    def text(self, line: int) -> str:
        """Source of a line by its number in the file, "" when it is not kept."""
        index = line - self.first_line
        return self.source[index] if 0 <= index < len(self.source) else ""


class Bound(NamedTuple):
    """A name and the value that it was bound to, in the value envelope."""

    name: str
    value: Any
    function: str
    id: int
    statement: int
    """Id of the statement that bound it."""
    is_global: bool = False
    """The function declares the name global."""


class Moment(NamedTuple):
    """One event."""

    seq: int
    type: str
    t: int
    record: Event | Unknown
    id: int | None
    """Statement id, or the stream code (below 0); None for an event with a record of its own."""
    name: str | None
    """Name of a stream code: stdout, time.time …"""
    value: Any
    bound: tuple[Bound, ...]
    unit: Unit | None
    statement: Statement | None
    block: int | None


class Stream:
    """A decoded `lines` record: which entries are events, and which values belong to which entry."""

    def __init__(self, record: Lines, binding_ids: Callable[[set[int]], frozenset[int]]) -> None:
        ids = record.ids
        self.ids = ids
        self.vals = record.vals
        self.bindings = binding_ids(set(ids))
        bindings = self.bindings
        self.events = array("I", [i for i, id in enumerate(ids) if id not in bindings])
        self.valued = array("I", [i for i, id in enumerate(ids) if id < 0 or id in bindings])

    def value(self, index: int) -> Any:
        """Value of the binding or stream code at this entry."""
        place = bisect_left(self.valued, index)
        return self.vals[place] if place < len(self.vals) else None

    def following(self, event: int) -> range:
        """Entries between an event of the record and the next one: the bindings."""
        stop = self.events[event + 1] if event + 1 < len(self.events) else len(self.ids)
        return range(self.events[event] + 1, stop)


class Moments:
    """Events of one trace by number."""

    def __init__(self, timeline: Timeline, source: Bytes, blobs: BlobStore | None = None) -> None:
        self._timeline = timeline
        self._bytes = source
        self._blobs = blobs
        self._lock = threading.Lock()
        self._records: OrderedDict[int, Event | Unknown] = OrderedDict()
        self._streams: OrderedDict[int, Stream] = OrderedDict()
        self._entries = 0
        self._unit = lru_cache(maxsize=256)(self._load_unit)
        self._globals = lru_cache(maxsize=64)(_globals)

    # --- records -------------------------------------------------------------------------------

    def record(self, index: int, *, keep: bool = True) -> Event | Unknown:
        """The record with this index in the timeline.

        Raises:
            SchemaMismatch: it is not what its type promises.
        """
        with self._lock:
            found = self._records.get(index)
            if found is not None:
                self._records.move_to_end(index)
                return found
        place = self._timeline.place(index)
        record = decode_record(self._bytes.read(place.segment, place.offset, place.size))
        if not isinstance(record, (Event, Unknown)):
            raise SchemaMismatch(
                f"event {place.seq}: a {place.type} record where an event was", seq=place.seq
            )
        if keep and place.size < 1 << 20:
            with self._lock:
                self._records[index] = record
                if len(self._records) > 512:
                    self._records.popitem(last=False)
        return record

    def stream(self, index: int, *, keep: bool = True) -> Stream:
        """The `lines` record with this index, taken apart."""
        with self._lock:
            found = self._streams.get(index)
            if found is not None:
                self._streams.move_to_end(index)
                return found
        record = self.record(index, keep=False)
        if not isinstance(record, Lines):
            raise SchemaMismatch(f"record {index} holds no lines", seq=self._timeline.place(index).seq)
        stream = Stream(record, self.binding_ids)
        if keep:
            with self._lock:
                self._streams[index] = stream
                self._entries += len(stream.ids)
                while self._entries > _KEPT_ENTRIES and len(self._streams) > 1:
                    _, dropped = self._streams.popitem(last=False)
                    self._entries -= len(dropped.ids)
        return stream

    def raw(self, index: int) -> bytes:
        """The bytes of a record."""
        place = self._timeline.place(index)
        return self._bytes.read(place.segment, place.offset, place.size)

    # --- code ----------------------------------------------------------------------------------

    def unit_of(self, id: int) -> Unit | None:
        """The code unit whose table covers a statement or binding id; None when no table does."""
        bases = self._timeline.bases
        index = bisect_right(bases, id, key=_first) - 1
        if index < 0:
            return None
        unit = self._unit(bases[index][1])
        return unit if unit is not None and id < unit.table.end else None

    def unit_at(self, record: int) -> Unit | None:
        """The code unit that a `block.started` or `import` record brought."""
        return self._unit(record)

    def _load_unit(self, index: int) -> Unit | None:
        record = self.record(index)
        if isinstance(record, BlockStarted):
            table = record.table or Table(base=1 << 62)
            return Unit(
                record.file, tuple(source_lines(record.source)), record.first_line, table, record.block
            )
        if isinstance(record, Import) and record.table is not None:
            source: tuple[str, ...] = ()
            if record.digest is not None and self._blobs is not None:
                try:
                    source = tuple(source_lines(source_text(self._blobs.get(record.digest))))
                except (MissingBlob, OSError):
                    source = ()
            return Unit(record.path or record.module, source, 1, record.table, None)
        return None

    def binding_ids(self, ids: set[int]) -> frozenset[int]:
        """Those of the ids that are bindings, not statements or stream codes."""
        found = set()
        for id in ids:
            if id >= 0:
                unit = self.unit_of(id)
                if unit is not None and unit.statement(id) is None:
                    found.add(id)
        return frozenset(found)

    def bound(self, id: int, value: Any) -> Bound | None:
        """What a binding entry of a stream says."""
        unit = self.unit_of(id)
        if unit is None:
            return None
        index = id - unit.table.base - len(unit.table.statements)
        if not 0 <= index < len(unit.table.bindings):
            return None
        binding = unit.table.bindings[index]
        if binding.name in MARKS:
            return None
        if not 0 <= binding.statement < len(unit.table.statements):
            return None  # a table that contradicts itself binds nothing
        statement = unit.table.statements[binding.statement]
        function = unit.function(statement)
        is_global = bool(function) and any(
            first <= statement.line <= last and binding.name in names
            for first, last, names in self._globals(unit.source, unit.first_line)
        )
        return Bound(binding.name, value, function, id, unit.table.base + binding.statement, is_global)

    # --- events --------------------------------------------------------------------------------

    def at(self, seq: int) -> Moment:
        """The event with this number.

        Raises:
            LogError: there is no such event, or its record cannot be read.
        """
        index = self._timeline.record_of(seq)
        if index < 0 or seq >= self._timeline.count:
            raise LogError(
                f"there is no event {seq}; the run has events 0..{self._timeline.count - 1}", seq=seq
            )
        place = self._timeline.place(index)
        if place.type != "lines":
            return self._whole(seq, place.t, self.record(index))
        stream = self.stream(index)
        event = min(seq - place.seq, len(stream.events) - 1)
        if event < 0:
            raise SchemaMismatch(f"event {seq}: its record holds no events", seq=seq)
        entry = stream.events[event]
        id = stream.ids[entry]
        bound = tuple(
            known
            for known in (self.bound(stream.ids[i], stream.value(i)) for i in stream.following(event))
            if known is not None
        )
        return self._of_stream(seq, place.t, id, stream.value(entry) if id < 0 else None, bound)

    def _of_stream(self, seq: int, t: int, id: int, value: Any, bound: tuple[Bound, ...]) -> Moment:
        group = self._timeline.enclosing(seq, 2)
        block = group.number if group is not None else None
        record = Lines(seq=seq, t=t, n=1, ids=(id,), block=block)
        if id < 0:
            kind, name = CODES.get(id, ("effect", f"code {id}"))
            return Moment(seq, kind, t, record, id, name, value, bound, None, None, block)
        unit = self.unit_of(id)
        statement = unit.statement(id) if unit is not None else None
        return Moment(seq, "line", t, record, id, None, None, bound, unit, statement, block)

    def _whole(self, seq: int, t: int, record: Event | Unknown) -> Moment:
        group = self._timeline.enclosing(seq, 2)
        kind = record.type if isinstance(record, Unknown) else str(record.__struct_config__.tag)
        name = getattr(record, "name", None)
        block = group.number if group is not None else None
        return Moment(seq, kind, t, record, None, name, None, (), None, None, block)


def _first(pair: tuple[int, int]) -> int:
    return pair[0]


def _globals(source: tuple[str, ...], first_line: int) -> tuple[tuple[int, int, frozenset[str]], ...]:
    """The functions that declare names global: first line, last line, names."""
    if not any("global" in line for line in source):
        return ()
    try:
        tree = ast.parse("\n".join(source))
    except (SyntaxError, ValueError, RecursionError):
        return ()  # written for another Python: its names stay with their function
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {name for part in ast.walk(node) if isinstance(part, ast.Global) for name in part.names}
            if names:
                shift = first_line - 1
                found.append(
                    (node.lineno + shift, (node.end_lineno or node.lineno) + shift, frozenset(names))
                )
    return tuple(found)


def fields(moment: Moment) -> dict[str, Any]:
    """The event as plain JSON data, in the manner of `coda log --json`; secrets are masked."""
    return dict(mask_data(_fields(moment)))


def _fields(moment: Moment) -> dict[str, Any]:
    if isinstance(moment.record, Unknown):
        data = msgspec.json.decode(moment.record.raw)
        return dict(data) if isinstance(data, dict) else {"raw": data}
    if not isinstance(moment.record, Lines):
        return dict(msgspec.to_builtins(moment.record))
    shown: dict[str, Any] = {"seq": moment.seq, "type": moment.type, "t": moment.t, "block": moment.block}
    if moment.unit is not None and moment.statement is not None:
        shown["file"] = moment.unit.file
        shown["line"] = moment.statement.line
        shown["function"] = moment.unit.function(moment.statement)
        shown["kind"] = moment.statement.kind
        shown["stores"] = list(moment.statement.stores)
        shown["loads"] = list(moment.statement.loads)
    if moment.name is not None:
        shown["name"], shown["value"] = moment.name, moment.value
    if moment.bound:
        shown["bound"] = [[known.name, known.value] for known in moment.bound]
    return shown
