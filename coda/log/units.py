"""Code units: which statement, of which file and function, an id in a `lines` record stands for.

Guarantee: an id is explained by the one table that covers it, or refused; nothing is guessed from its
neighbours. Source text of a workspace module is fetched from its blob only when it is asked for.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from coda.errors import SchemaMismatch
from coda.log.events import BlockStarted, Import, Lines, Unknown
from coda.log.frames import FrameRows
from coda.log.records import Record
from coda.log.sources import source_lines, source_text
from coda.log.tables import MARKS, Table

CodeTable = dict[int, tuple[str, str]]
# Up to so many ids are faster counted one after the other than looked up in a set entry by entry.
_COUNTED_SINGLY: Final = 2


class StatementInfo(NamedTuple):
    """One statement of a code unit. `line` and `end_line` count in the unit's file, from 1."""

    id: int
    file: str
    line: int
    end_line: int
    kind: str
    function: str
    stores: tuple[str, ...]
    loads: tuple[str, ...]
    source: str


class UnitInfo:
    """A block, or a module of the workspace, and its statement table.

    Args:
        table: its statements; their lines count in `file`.
        file: as in tracebacks.
        first_line: line of `file` on which the source begins.
        block: number of the block; None for a module.
        source: the text, or a function that fetches it.
    """

    __slots__ = (
        "_frames", "_lines", "_source", "block", "file", "first_line", "rows", "statements_end", "table",
    )  # fmt: skip

    def __init__(
        self, table: Table, file: str, *, first_line: int, block: int | None, source: str | Callable[[], str]
    ) -> None:
        self.table = table
        self.file = file
        self.first_line = first_line
        self.block = block
        self._source = source
        self._lines: list[str] | None = None
        self._frames: FrameRows | None = None
        self.statements_end = table.base + len(table.statements)
        names = table.functions
        self.rows: list[tuple[int, str]] = [
            (row.line, names[row.function] if 0 <= row.function < len(names) else "?")
            for row in table.statements
        ]

    def __repr__(self) -> str:
        return f"UnitInfo({self.file!r}, ids {self.table.base}..{self.table.end - 1})"

    @property
    def frames(self) -> FrameRows:
        """What the table says of frames."""
        if self._frames is None:
            self._frames = FrameRows(self.table, self.file)
        return self._frames

    def is_mark(self, id: int) -> bool:
        """Tells a binding that is the mark of a frame from one that binds a name."""
        return self.table.bindings[id - self.statements_end].name in MARKS

    @property
    def source(self) -> str:
        """The text of the unit; "" when its blob is missing."""
        if callable(self._source):
            self._source = self._source()
        return self._source

    def text(self, line: int, end_line: int | None = None) -> str:
        """Gives lines `line` to `end_line` of the file as they are written; "" outside of the unit."""
        if self._lines is None:
            self._lines = source_lines(self.source)
        start = line - self.first_line
        if start < 0:
            return ""
        return "\n".join(self._lines[start : (end_line or line) - self.first_line + 1])

    def covers(self, file: str | None, line: int) -> bool:
        """Tells whether a line is one of this unit's."""
        return file == self.file and self.first_line <= line and (self.block is None or bool(self.text(line)))

    def statement(self, id: int) -> StatementInfo:
        """Gives what the table says of a statement, or of the statement that a binding belongs to."""
        table = self.table
        if id >= self.statements_end:
            id = table.base + table.bindings[id - self.statements_end].statement
        row = table.statements[id - table.base]
        return StatementInfo(
            id, self.file, row.line, row.end_line, row.kind, self.rows[id - table.base][1],
            row.stores, row.loads, self.text(row.line, row.end_line),
        )  # fmt: skip

    def binding(self, id: int) -> str:
        """Gives the name that a binding's id stands for."""
        return self.table.bindings[id - self.statements_end].name


def unit_from(record: Record | Unknown, fetch: Callable[[str], bytes]) -> UnitInfo | None:
    """Gives the unit that a record brings, or None.

    Args:
        record: a `block.started` or `import` record brings one.
        fetch: gives the bytes of a blob.
    """
    if isinstance(record, BlockStarted) and record.table is not None:
        return UnitInfo(
            record.table,
            record.file,
            first_line=record.first_line,
            block=record.block,
            source=record.source,
        )
    if isinstance(record, Import) and record.table is not None:
        digest = record.digest

        def source() -> str:
            return source_text(fetch(digest)) if digest else ""

        return UnitInfo(record.table, record.path or record.module, first_line=1, block=None, source=source)
    return None


def unit_covering(
    units: Iterable[UnitInfo], file: str | None, line: int, block: int | None
) -> UnitInfo | None:
    """Gives the unit of a line that ran in a block: its own, else the last one before."""
    found: UnitInfo | None = None
    for unit in units:
        if not unit.covers(file, line):
            continue
        if unit.block is not None and unit.block == block:
            return unit
        if found is None or unit.block is None or block is None or unit.block < block:
            found = unit
    return found


class Units:
    """The code units of a run so far, found by id."""

    def __init__(self, units: Iterable[UnitInfo] = ()) -> None:
        self._bases: list[int] = []
        self._units: list[UnitInfo] = []
        for unit in units:
            self.add(unit)

    def __iter__(self) -> Iterator[UnitInfo]:
        return iter(self._units)

    def add(self, unit: UnitInfo) -> None:
        """Takes a unit in; one with the same base takes the place of the other (a fork's of its parent's)."""
        index = bisect.bisect_left(self._bases, unit.table.base)
        if index < len(self._bases) and self._bases[index] == unit.table.base:
            self._units[index] = unit
        else:
            self._bases.insert(index, unit.table.base)
            self._units.insert(index, unit)

    def find(self, id: int) -> UnitInfo | None:
        """Gives the unit whose table covers an id."""
        index = bisect.bisect_right(self._bases, id) - 1
        if index < 0 or id >= self._units[index].table.end:
            return None
        return self._units[index]

    def is_statement(self, id: int) -> bool:
        """Tells a statement from a binding."""
        unit = self.find(id)
        return unit is not None and id < unit.statements_end

    def last_statement(self, ids: Iterable[int]) -> int | None:
        """Gives the last statement among ids, None when there is none."""
        return next((id for id in reversed(tuple(ids)) if id >= 0 and self.is_statement(id)), None)

    def cut(self, record: Lines, stop: int | None) -> Iterable[int]:
        """Gives the ids of a `lines` record that come before event `stop`; None gives all."""
        if stop is None or record.seq + record.n <= stop:
            return record.ids
        return self.split(record, stop - record.seq)[0].ids

    def split(self, record: Lines, events: int) -> tuple[Lines, Lines]:
        """Gives a `lines` record in two: so many events with what was bound by then, and the rest."""
        seen = values = index = 0
        for index, id in enumerate(record.ids):  # noqa: B007  used after the loop
            is_event = id < 0 or self.is_statement(id)
            if is_event and seen == events:
                break
            seen += is_event
            values += id < 0 or not is_event
        else:
            index = len(record.ids)
        first = msgspec.structs.replace(record, n=seen, ids=record.ids[:index], vals=record.vals[:values])
        rest = msgspec.structs.replace(
            record,
            seq=record.seq + seen,
            n=record.n - seen,
            ids=record.ids[index:],
            vals=record.vals[values:],
        )
        return first, rest

    def verify(self, record: Lines, codes: CodeTable, offset: int) -> None:
        """Checks that a `lines` record is whole: known ids, n events, one value for each that takes one.

        Raises:
            SchemaMismatch: it is not; the message names the byte and the event.
        """
        taking: list[int] = []
        bindings: list[int] = []
        for id in set(record.ids):
            if id < 0:
                if id not in codes:
                    raise _mismatch(
                        record, offset, f"names stream code {id}, which its header does not explain"
                    )
                taking.append(id)
                continue
            unit = self.find(id)
            if unit is None:
                raise _mismatch(record, offset, f"names statement {id}, which no table covers")
            if id >= unit.statements_end:
                bindings.append(id)
        bound = times_in(record.ids, bindings)
        events = len(record.ids) - bound
        values = bound + times_in(record.ids, taking)
        if events != record.n:
            raise _mismatch(record, offset, f"says {record.n} events and holds {events}")
        if values != len(record.vals):
            raise _mismatch(record, offset, f"holds {len(record.vals)} values for {values} entries")


def times_in(ids: Sequence[int], wanted: Collection[int]) -> int:
    """Gives how many of the ids are among the wanted ones. Cost: one or two passes in C."""
    if len(wanted) <= _COUNTED_SINGLY:
        return sum(map(ids.count, wanted))
    return sum(map(frozenset(wanted).__contains__, ids))


def entry_values(record: Lines) -> Iterator[Any]:
    """Gives the values of a batch one by one, for whoever reads it without having verified it.

    Raises:
        SchemaMismatch: more are asked for than the batch holds: it is damaged.
    """
    return chain(record.vals, map(_too_few, (record,)))  # called when it is come to


def _too_few(record: Lines) -> Any:
    raise SchemaMismatch(
        f"damaged trace: the lines record of event {record.seq} holds {len(record.vals)} values, fewer than "
        "its entries take; `coda check` tells more",
        seq=record.seq,
    )


def _mismatch(record: Lines, offset: int, what: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"damaged trace: the lines record at byte {offset} (event {record.seq}) {what}",
        offset=offset,
        seq=record.seq,
    )
