"""Finders on the recorded path: `line` and `set`.

Guarantee: a value is shown only where the log captured it. An assignment that ran without its value
being kept (past the first K of its site, or at level `lines`) is a hit whose value is null and
`captured` false; a condition on such a value is undecided, never false. A statement that began and
never stored, because it raised, is no assignment. Which start of a statement a value belongs to is
certain unless it was running more than once at that moment; `pairing` says `recorded` or `inferred`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from coda.log import MARKS, BlockFinished, Elided, Lines, UnitInfo, entry_values
from coda.query.globs import Matcher, text_glob
from coda.query.hits import Hit
from coda.query.order import Pending
from coda.query.scan import Scan, shown
from coda.query.verbs import line_range
from coda.query.walk import LOOPS, Batch, Walk

MAX_VALUE_STATEMENTS = 20_000
"""Units with more statements than this are recorded without values."""


def find_lines(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each start of a statement on the lines asked for."""
    walk = Walk(scan.trace)
    span = line_range(scan.query) if scan.query.pattern is not None else None
    wanted: set[int] = set()
    for batch in walk.batches():
        while walk.new_units:
            unit = walk.new_units.pop(0)
            wanted.difference_update(unit_ids(unit))
            wanted |= statements_on(unit, span)
        record = batch.record
        if isinstance(record, Elided):
            for id, times in record.counts:
                if id in wanted:
                    yield _line_hit(scan, walk, batch, id, record.seq, times)
        elif isinstance(record, Lines) and not wanted.isdisjoint(record.ids):
            if scan.past(record.seq):
                return
            bindings = walk.bindings
            seq = record.seq
            for id in record.ids:
                if id in wanted:
                    yield _line_hit(scan, walk, batch, id, seq)
                if id < 0 or not bindings[id]:
                    seq += 1


def unit_ids(unit: UnitInfo) -> range:
    """Gives all ids of a unit; a fork's may take the place of its parent's."""
    return range(unit.table.base, unit.table.end)


def statements_on(unit: UnitInfo, span: tuple[int, int] | None) -> set[int]:
    """Gives the ids of the statements that begin on the lines; else the innermost that covers them."""
    base = unit.table.base
    rows = unit.table.statements
    if span is None:
        return set(range(base, base + len(rows)))
    first, last = span
    begun = {base + n for n, row in enumerate(rows) if first <= row.line <= last}
    if begun:
        return begun
    covering = [n for n, row in enumerate(rows) if row.line <= first and last <= row.end_line]
    return {base + max(covering, key=lambda n: rows[n].line)} if covering else set()


def _line_hit(scan: Scan, walk: Walk, batch: Batch, id: int, seq: int, times: int = 1) -> Hit:
    info = walk.statement(id)
    elided = ", elided" if isinstance(batch.record, Elided) else ""
    return statement_hit(scan, walk, batch, id, seq, _first_line(info.source), f"{info.kind}{elided}", times,
                {"statement": id, "kind": info.kind})  # fmt: skip


def statement_hit(
    scan: Scan,
    walk: Walk,
    batch: Batch,
    id: int,
    seq: int,
    what: str,
    detail: str,
    times: int,
    fields: dict[str, Any],
) -> Hit:
    """Makes the hit of a statement that began."""
    info = walk.statement(id)
    return Hit(
        run=scan.trace.run,
        trace=scan.path,
        verb=scan.query.verb,
        seq=seq,
        type=_TYPES[type(batch.record)],
        t=batch.record.t,
        block=batch.block,
        turn=batch.turn,
        file=info.file,
        line=info.line,
        function=info.function,
        source=_first_line(info.source),
        what=what,
        detail=detail,
        times=times,
        fields=fields,
    )


_TYPES: dict[type, str] = {Lines: "line", Elided: "elided", BlockFinished: "block.finished"}


def _first_line(source: str) -> str:
    return source.strip().partition("\n")[0]


def find_sets(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each binding of a variable, argument, attribute or item of that name."""
    return _Sets(scan).find()


class _Store:
    """One name that a statement, or the entry of a function, binds."""

    __slots__ = (
        "argument",
        "binding",
        "caught",
        "fresh",
        "limit",
        "loops",
        "name",
        "open",
        "started",
        "statement",
    )

    def __init__(
        self, statement: int, name: str, *, binding: int | None, argument: bool, loops: bool, limit: int
    ) -> None:
        self.limit = limit
        self.statement = statement
        self.name = name
        self.binding = binding
        self.argument = argument
        self.loops = loops
        self.caught = 0
        self.fresh = False
        self.started = -1
        self.open: list[int] = []


def _target_test(scan: Scan) -> Matcher:
    """Gives the test for a target: in `rows[][]` the brackets mean items, not a set of characters."""
    pattern = scan.query.pattern
    return text_glob(pattern.text.replace("[]", "[[]]") if pattern is not None else "*")


class _Sets:
    """Pairs the starts of statements with the values that they bound."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.walk = Walk(scan.trace)
        self.match = _target_test(scan)
        started = scan.trace.started
        self.value_limit = started.value_limit if started.level == "values" else 0
        self.stores: dict[int, list[_Store]] = {}
        self.by_binding: dict[int, _Store] = {}
        self.pending: Pending[Hit] = Pending()
        self.block: int | None = None

    def find(self) -> Iterator[Hit]:
        for batch in self.walk.batches():
            while self.walk.new_units:
                self.learn(self.walk.new_units.pop(0))
            if isinstance(batch.record, BlockFinished) or batch.block != self.block:
                self.end_block(batch.block)
            if isinstance(batch.record, Elided):
                self.elided(batch, batch.record)
            elif isinstance(batch.record, Lines):
                self.lines(batch, batch.record)
            yield from self.pending.take()
            if self.scan.past(batch.record.seq) and not self.pending:
                return
        # The file may end inside a block: then what had begun may or may not have stored.
        self.pending.give_up()
        yield from self.pending.take()

    def learn(self, unit: UnitInfo) -> None:
        """Notes which ids of a new unit concern the names asked for."""
        table = unit.table
        for id in unit_ids(unit):
            self.stores.pop(id, None)
            self.by_binding.pop(id, None)
        # A unit too large or too deep for values has none of them: nothing is to be waited for.
        self.limit = self.value_limit if len(table.statements) <= MAX_VALUE_STATEMENTS else 0
        captured: dict[tuple[int, str], list[int]] = {}
        for place, binding in enumerate(table.bindings):
            if binding.name not in MARKS and self.match(binding.name):
                captured.setdefault((binding.statement, binding.name), []).append(unit.statements_end + place)
        for place, row in enumerate(table.statements):
            stored = [name for name in row.stores if self.match(name)] if row.kind != "delete" else []
            for name in stored:
                ids = captured.get((place, name), [])
                # Arguments are numbered before what the first statement of the body binds itself.
                self.add(table.base + place, name, ids.pop() if ids else None, loops=row.kind in LOOPS)
            for (statement, name), ids in captured.items():
                if statement == place and ids:
                    self.add(table.base + place, name, ids[0], argument=True)

    def add(
        self, statement: int, name: str, binding: int | None, *, argument: bool = False, loops: bool = False
    ) -> None:
        store = _Store(statement, name, binding=binding, argument=argument, loops=loops, limit=self.limit)
        self.stores.setdefault(statement, []).append(store)
        if binding is not None:
            self.by_binding[binding] = store

    def lines(self, batch: Batch, record: Lines) -> None:
        """Goes through one batch; most hold nothing of interest and are skipped at once."""
        if self.stores.keys().isdisjoint(record.ids) and self.by_binding.keys().isdisjoint(record.ids):
            return
        bindings = self.walk.bindings
        seq, place = record.seq, 0
        for id in record.ids:
            if id >= 0 and bindings[id]:
                store = self.by_binding.get(id)
                if store is not None:
                    self.bound(batch, store, _value_at(record, place), seq)
                place += 1
                continue
            if id < 0:
                place += 1
            else:
                for store in self.stores.get(id, ()):
                    self.start(batch, store, seq)
            seq += 1

    def start(self, batch: Batch, store: _Store, seq: int) -> None:
        """A statement began: its value may come, or cannot."""
        store.started = seq
        if store.argument and store.fresh:
            store.fresh = False
        elif store.binding is None or store.caught >= store.limit:
            self.pending.put(self.hit(batch, store, seq, None, captured=False))
        elif not store.argument and not store.loops:
            self.pending.open((store, seq), self.hit(batch, store, seq, None, captured=False))
            store.open.append(seq)

    def bound(self, batch: Batch, store: _Store, value: Any, known: int) -> None:
        """A value was captured; `known` is the first position at which the name has it."""
        store.caught += 1
        if store.open:
            certain = len(store.open) == 1
            seq = store.open.pop()
            hit = self.hit(batch, store, seq, value, known=known, certain=certain)
            self.pending.settle((store, seq), hit)
        else:
            store.fresh = store.argument
            inside = store.argument or store.loops or store.started < 0
            seq = known if inside else store.started
            self.pending.put(self.hit(batch, store, seq, value, known=known))
        if store.caught >= store.limit:
            # Nothing more will be captured here: whether those still open stored is not in the log.
            for seq in store.open:
                self.pending.settle((store, seq), self.pending.peek((store, seq)))
            store.open.clear()

    def elided(self, batch: Batch, record: Elided) -> None:
        for id, times in record.counts:
            for store in self.stores.get(id, ()):
                self.pending.put(self.hit(batch, store, record.seq, None, captured=False, times=times))

    def end_block(self, block: int | None) -> None:
        """Budgets are per block; what began and stored nothing by its end has raised."""
        self.block = block
        for store in self.by_binding.values():
            store.caught, store.fresh = 0, False
            for seq in store.open:
                self.pending.settle((store, seq), None)
            store.open.clear()

    def hit(
        self, batch: Batch, store: _Store, seq: int, value: Any, *, captured: bool = True, times: int = 1,
        known: int | None = None, certain: bool = True,
    ) -> Hit:  # fmt: skip
        what = f"{store.name} = {shown(value)}" if captured else store.name
        detail = "" if captured else "value not captured"
        fields = {
            "name": store.name, "value": value, "known": known, "captured": captured,
            "pairing": "recorded" if certain else "inferred",
        }  # fmt: skip
        return statement_hit(self.scan, self.walk, batch, store.statement, seq, what, detail, times, fields)


def _value_at(record: Lines, place: int) -> Any:
    """The value of a batch at a place; SchemaMismatch when there is none."""
    values = record.vals
    return values[place] if place < len(values) else next(islice(entry_values(record), len(values), None))
