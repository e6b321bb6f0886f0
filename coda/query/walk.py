"""The recorded path, batch by batch: what `line`, `set` and `why` are computed from.

Guarantee: every statement that the log lists is seen once, in order, with its event number; code units
are known before their ids occur. Batches stay batches: making an object of each of a million lines
would cost more than reading them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from coda.errors import MissingBlob, SchemaMismatch
from coda.log import (
    BlobStore,
    BlockFinished,
    BlockStarted,
    Elided,
    Import,
    Lines,
    StatementInfo,
    Trace,
    TurnStarted,
    UnitInfo,
    source_text,
)

LINE_TYPES = frozenset({"lines", "elided", "block.started", "block.finished", "turn.started", "import"})
MAX_ID = 1 << 28
"""Ids beyond this are damage: a table that large would be gigabytes of source."""
LOOPS = frozenset({"for", "asyncfor", "while"})


def unit_from(record: BlockStarted | Import, blobs: BlobStore) -> UnitInfo | None:
    """Gives the code unit that a block, or a module of the workspace, brings; None without a table."""
    if record.table is None:
        return None
    if isinstance(record, BlockStarted):
        first, block, file = record.first_line, record.block, record.file
        return UnitInfo(record.table, file, first_line=first, block=block, source=record.source)
    source = functools.partial(_fetch, blobs, record.digest)
    return UnitInfo(record.table, record.path or record.module, first_line=1, block=None, source=source)


def _fetch(blobs: BlobStore, digest: str | None) -> str:
    try:
        return source_text(blobs.get(digest)) if digest else ""
    except MissingBlob:
        return ""  # the rows then have no source text; `coda check` tells of the blob


class Batch(NamedTuple):
    """A stretch of the path: a `lines` or `elided` record, or the end of a block."""

    record: Lines | Elided | BlockFinished
    block: int | None
    turn: int | None


class Walk:
    """One pass over the path of a run.

    Args:
        trace: the open trace.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.new_units: list[UnitInfo] = []
        self.units: list[UnitInfo] = []
        self._kinds = bytearray()
        self._infos: dict[int, StatementInfo] = {}
        self._by_id: dict[int, UnitInfo] = {}

    def batches(self) -> Iterator[Batch]:
        """Gives the batches in order; `new_units` holds the units met since the last one."""
        block: int | None = None
        turn: int | None = None
        for piece in self.trace.pieces():
            for placed in piece.records(LINE_TYPES):
                record = placed.record
                if isinstance(record, BlockStarted | Import):
                    unit = unit_from(record, self.trace.blobs)
                    if unit is not None:
                        self._add(unit)
                if isinstance(record, Lines) and max(record.ids, default=-1) >= len(self._kinds):
                    raise SchemaMismatch(
                        f"damaged trace: the lines at event {record.seq} name a statement that no table"
                        f" covers; `coda check {self.trace.path}` tells more",
                        seq=record.seq,
                    )
                if isinstance(record, Lines | Elided | BlockFinished):
                    block = record.block if record.block is not None else block
                    yield Batch(record, block, turn)
                elif isinstance(record, TurnStarted | BlockStarted):
                    turn = record.turn if record.turn is not None else turn

    def _add(self, unit: UnitInfo) -> None:
        base, end = unit.table.base, unit.table.end
        if end > MAX_ID:
            raise SchemaMismatch(f"damaged trace: a statement table ends at id {end}", id=end)
        if base < len(self._kinds):
            # A fork compiled other code under the numbers of its parent's.
            self._infos.clear()
            self._by_id.clear()
        self.units.append(unit)
        self.new_units.append(unit)
        self._kinds.extend(bytes(max(end - len(self._kinds), 0)))
        statements = unit.statements_end - base
        self._kinds[base:end] = bytes(statements) + b"\1" * (end - unit.statements_end)

    @property
    def bindings(self) -> bytearray:
        """1 at each id that is a binding; ids past the end are in no table."""
        return self._kinds

    def unit(self, id: int) -> UnitInfo:
        """Gives the unit that covers an id."""
        found = self._by_id.get(id)
        if found is None:
            found = next(u for u in reversed(self.units) if u.table.base <= id < u.table.end)
            self._by_id[id] = found
        return found

    def statement(self, id: int) -> StatementInfo:
        """Gives what the table says of a statement; remembered."""
        info = self._infos.get(id)
        if info is None:
            info = self._infos[id] = self.unit(id).statement(id)
        return info
