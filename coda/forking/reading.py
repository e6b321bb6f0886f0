"""Reads both runs of a comparison into strands that share one vocabulary.

Guarantee: one pass over each file, in constant memory beside the strands (twelve bytes an event) and
the last binding of each name. Events that the runs share by construction are not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from coda.errors import LogError
from coda.forking.align import Shape
from coda.forking.printed import Printed
from coda.forking.strands import (
    BOUND,
    LINE,
    SKIPPED,
    Bound,
    Kind,
    Part,
    Strand,
    Vocabulary,
    digest,
    naming,
    observed,
    parts,
    step_of,
)
from coda.forking.units import (
    BlockPair,
    Unit,
    block_unit,
    match_blocks,
    match_statements,
    module_units,
    shapes,
)
from coda.log import (
    CODES,
    MARKS,
    Binding,
    BlockFinished,
    BlockInfo,
    BlockStarted,
    Elided,
    Event,
    Import,
    Lines,
    Output,
    RunFinished,
    Trace,
    Unknown,
    entry_values,
)
from coda.replay import CUT_SHORT

_HEADS = frozenset({"for", "asyncfor", "with", "asyncwith", "try", "trystar", "match"})
_CALLS = frozenset({"tool.called", "process.started"})
_ANSWERS = frozenset({"tool.returned", "process.finished"})


class Scoped(NamedTuple):
    """A name in a scope: the function path, "" for the namespace of the blocks."""

    scope: str
    name: str


class Site(NamedTuple):
    """A place where values are captured."""

    key: Scoped
    number: int
    """Number in the vocabulary."""
    statement: int
    """Number of the statement that binds; -1 when it is captured at the head of a body."""


class Names(NamedTuple):
    """What the numbers in the `lines` records of one run mean."""

    statements: dict[int, int]
    """Statement id to number in the vocabulary."""
    bindings: dict[int, Site]
    """Binding id to what it captures."""
    marks: set[int]
    """Ids of the marks of frames: they take a value and capture nothing."""


class Scope(NamedTuple):
    """What of the two runs can be compared."""

    lines: bool
    """Both recorded their path."""
    values: bool
    """Both recorded values, as many a site."""


class Bindings:
    """The last recorded binding of each name, and whether later ones may be missing."""

    def __init__(self, limit: int) -> None:
        self.last: dict[Scoped, Bound] = {}
        self._limit = limit
        self._sites: Counter[int] = Counter()
        self._full: set[Scoped] = set()

    def begin_block(self) -> None:
        """The sites may record again: the limit is one of site and block."""
        self._sites.clear()
        self._full.clear()

    def add(self, site: int, key: Scoped, value: Any, seq: int) -> int:
        """Notes a binding by event `seq` and gives the digest of its value."""
        number = digest(value)
        self._sites[site] += 1
        if self._sites[site] >= self._limit:
            self._full.add(key)
        self.last[key] = Bound(value, number, seq, key not in self._full)
        return number


class Side:
    """One run, as read: its strands, output and last bindings since the shared prefix."""

    def __init__(self, trace: Trace, names: Names, words: Vocabulary, scope: Scope) -> None:
        self.trace, self.names, self.words, self.scope = trace, names, words, scope
        self.blocks: list[BlockInfo] = list(trace.blocks)
        self.top = Strand()
        self.strands: dict[int, Strand] = {}
        self.bindings = Bindings(trace.started.value_limit)
        self.printed = Printed()
        self.assumed = 0
        self._start = 0
        self._latest: dict[int, int] = {}  # number of a statement to its latest event
        self._open: dict[int, int] = {}  # calls without an answer yet: event to number
        self._codes = trace.header.codes or CODES

    def read(self, start: int) -> None:
        """Reads the run from event `start` on."""
        self._start = start
        inside = next(
            (b for b in self.blocks if b.seq < start and (b.end_seq is None or start <= b.end_seq)), None
        )
        strand = self._strand(inside.number) if inside else self.top
        for part in parts(self.trace, start=start):
            record = part.record
            if isinstance(record, BlockStarted):
                strand = self._strand(record.block)
                self.bindings.begin_block()
            if isinstance(record, Lines):
                self._lines(part, record, strand)
            elif isinstance(record, Elided):
                strand.add(record.seq, self._number("elided", "", ()), digest([record.n]), n=record.n)
            else:
                self._record(record, strand)
            if isinstance(record, BlockFinished):
                strand = self.top
        self.printed.close()

    def _strand(self, block: int) -> Strand:
        return self.strands.setdefault(block, Strand())

    def _number(self, kind: str, name: str, same: Any) -> int:
        return self.words.number((kind, digest(same)), Kind(kind, name))

    def _record(self, record: Event | Unknown, strand: Strand) -> None:
        kind, name, same, other = step_of(record)
        if isinstance(record, Output):
            self.printed.keep(record.stream, record.text, loose=True)
            return
        if kind in SKIPPED or (isinstance(record, RunFinished) and record.outcome == CUT_SHORT):
            return
        if kind in _ANSWERS:  # the answer to another call is another step
            same = [*same, self._open.pop(getattr(record, "cause", None) or -1, -1)]
        strand.add(record.seq, self._number(kind, name, same), digest(other))
        if kind in _CALLS:
            self._open[record.seq] = strand.last
        self.assumed += bool(getattr(record, "assumed", False))

    def _lines(self, part: Part, record: Lines, strand: Strand) -> None:
        """Unpacks a batch; the hot loop of a comparison."""
        statements, bindings, latest = self.names.statements, self.names.bindings, self._latest
        seq, values = record.seq, entry_values(record)
        with_lines = self.scope.lines
        for entry in record.ids:
            number = statements.get(entry)
            if number is not None:
                if with_lines and part.start <= seq < part.stop:
                    strand.add(seq, number, 0)
                    latest[number] = seq
                seq += 1
            elif entry < 0:
                if part.start <= seq < part.stop:
                    self._coded(entry, next(values), seq, strand)
                else:
                    next(values)
                seq += 1
            elif entry in bindings:
                value = next(values)
                if self._start < seq <= part.stop:  # it belongs to the event before
                    site = bindings[entry]
                    number = self.bindings.add(entry, site.key, value, seq - 1)
                    if self.scope.values:
                        strand.add_bound(latest.get(site.statement, seq), site.number, number)
            elif entry in self.names.marks:
                next(values)
            else:
                raise LogError(
                    f"damaged trace: event {seq}: statement {entry} is in no table; see coda check",
                    seq=seq,
                )

    def _coded(self, code: int, value: Any, seq: int, strand: Strand) -> None:
        kind, name = self._codes.get(code, ("effect", f"code {code}"))
        if kind in SKIPPED:
            return
        if kind == "output":
            self.printed.keep(name, value)
            if self.scope.lines:  # else its pieces are those of the buffer, not of the program
                self.printed.add(strand, seq, self._number(kind, name, [name]), value)
            return
        strand.add(seq, self._number(kind, name, [name]), digest([observed(value)]))


class Reading(NamedTuple):
    """Both runs, ready to be aligned."""

    a: Side
    b: Side
    words: Vocabulary
    pairs: list[BlockPair]
    scope: Scope


def scope_of(a: Trace, b: Trace) -> Scope:
    """Gives what both runs recorded."""
    levels = {a.started.level, b.started.level}
    same_limit = a.started.value_limit == b.started.value_limit
    return Scope(lines="effects" not in levels, values=levels == {"values"} and same_limit)


def read_both(a: Trace, b: Trace, start: int) -> Reading:
    """Reads two runs from event `start` on (the length of the prefix that they share)."""
    for trace in (a, b):
        with naming(trace):
            _ = trace.blocks, trace.started
    words, scope = Vocabulary(), scope_of(a, b)
    pairs = match_blocks(a.blocks, b.blocks)
    a_names, b_names = Names({}, {}, set()), Names({}, {}, set())
    for name, left, right in _units(a, b, pairs):
        _name(name, left, right, (a_names, b_names), words)
    sides = Side(a, a_names, words, scope), Side(b, b_names, words, scope)
    for side in sides:
        side.read(start)
    return Reading(*sides, words, pairs, scope)


def _units(
    a: Trace, b: Trace, pairs: list[BlockPair]
) -> Iterator[tuple[tuple[str, object], Unit | None, Unit | None]]:
    """Gives the units of both runs, matched: blocks by their pairs, modules by name."""
    for pair in pairs:
        left = None if pair.a is None else block_unit(a.blocks[pair.a])
        right = None if pair.b is None else block_unit(b.blocks[pair.b])
        yield ("block", pair), left, right
    a_modules, b_modules = _modules(a), _modules(b)
    for name in [*a_modules, *(name for name in b_modules if name not in a_modules)]:
        yield ("module", name), a_modules.get(name), b_modules.get(name)


def _modules(trace: Trace) -> dict[str, Unit]:
    found = (part.record for part in parts(trace, types={"import"}))
    return module_units(trace, (record for record in found if isinstance(record, Import)))


def _name(
    key: tuple[str, object], a: Unit | None, b: Unit | None, names: tuple[Names, Names], words: Vocabulary
) -> None:
    """Numbers the statements of a matched unit: those that are the same get one number for both runs."""
    twins: dict[int, int] = {}
    if a is not None and b is not None:
        for match in match_statements(a, b):
            twins.update((match.b + at, match.a + at) for at in range(match.size))
    for side, unit in enumerate((a, b)):
        if unit is None:
            continue
        table, depths = unit.table, shapes(unit)
        for at, row in enumerate(table.statements):
            who = ("a", twins.get(at)) if side and at in twins else (("a", "b")[side], at)
            number = words.number((key, who), Kind(LINE, table.functions[row.function], depths[at]))
            names[side].statements[table.base + at] = number
        first = table.base + len(table.statements)
        for at, binding in enumerate(table.bindings):
            if binding.name in MARKS:
                names[side].marks.add(first + at)
                continue
            names[side].bindings[first + at] = _site(
                key, unit, binding, names[side].statements, words, depths
            )


def _site(
    key: tuple[str, object],
    unit: Unit,
    binding: Binding,
    statements: dict[int, int],
    words: Vocabulary,
    depths: list[Shape],
) -> Site:
    row = unit.table.statements[binding.statement]
    function = unit.table.functions[row.function]
    scope = function if key[0] == "block" else f"{unit.name}:{function}"
    statement = statements[unit.table.base + binding.statement]
    shape = Shape(depths[binding.statement].depth + 1, False)
    number = words.number((statement, binding.name), Kind(BOUND, binding.name, shape))
    # Targets of compound statements and arguments are captured at the head of the body that they feed.
    at_head = row.kind in _HEADS or binding.name not in row.stores
    return Site(Scoped(scope, binding.name), number, -1 if at_head else statement)


def bound_before(trace: Trace, names: Names, stop: int) -> dict[Scoped, Bound]:
    """Gives the last recorded bindings among the first `stop` events of a run."""
    bindings = Bindings(trace.started.value_limit)
    for part in parts(trace, stop=stop, types={"lines", "block.started"}):
        if not isinstance(part.record, Lines):
            bindings.begin_block()
            continue
        seq, values = part.record.seq, entry_values(part.record)
        for entry in part.record.ids:
            if (site := names.bindings.get(entry)) is not None:
                bindings.add(entry, site.key, next(values), seq - 1)
                continue
            if entry in names.marks:
                next(values)
                continue
            seq += 1
            if entry < 0:
                next(values)
    return bindings.last
