"""Finder of imports: `import`.

Guarantee: one hit for each module at each place that imports it, whether the module was loaded by that or
the interpreter held it already. The first is an event of its own; of the second the log shows the statement
that ran, and the hit says so (`basis` is `source` instead of `recorded`).
"""

from __future__ import annotations

import ast
import functools
import heapq
import re
import textwrap
from collections.abc import Iterator

from coda.log import MARKS, Elided, Import, Lines, StatementInfo, UnitInfo
from coda.query.find_lines import MAX_VALUE_STATEMENTS, statement_hit, unit_ids
from coda.query.globs import Matcher
from coda.query.hits import Hit
from coda.query.scan import Scan
from coda.query.walk import Batch, Walk

_KINDS = frozenset({"import", "importfrom"})
_STATEMENT = re.compile(r"\b(?:from|import)\b")


def find_imports(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each import by agent code; `requests` also finds `requests.adapters`."""
    recorded = list(_recorded(scan))
    told = {(hit.file, hit.line, hit.what) for hit in recorded}
    yield from heapq.merge(recorded, _Statements(scan, told).find(), key=lambda hit: hit.seq)


def _recorded(scan: Scan) -> Iterator[Hit]:
    """Gives the imports that loaded something; there are no more of them than modules."""
    match = scan.text_test()
    for event in scan.events(scan.first):
        if scan.past(event.seq):
            return
        record = event.record
        if isinstance(record, Import) and _is_meant(record.module, match):
            yield scan.hit(event, record.module, record.path or "", basis="recorded")


def _is_meant(module: str, match: Matcher) -> bool:
    """Tells whether a module, or a package that it is in, is matched."""
    packages = module.split(".")
    return any(match(".".join(packages[: n + 1])) for n in range(len(packages)))


class _Statements:
    """Finds the import statements on the path whose modules no event tells of at that line."""

    def __init__(self, scan: Scan, told: set[tuple[str | None, int | None, str]]) -> None:
        self.scan = scan
        self.told = told
        self.match = scan.text_test()
        self.walk = Walk(scan.trace)
        self.wanted: dict[int, tuple[str, ...]] = {}
        self.binding: dict[int, int] = {}
        """Statements by the first thing that they bind: without that, the import failed."""
        self.bound: set[int] = set()
        self.began: dict[int, int] = {}
        started = scan.trace.started
        self.has_values = started.level == "values" and started.value_limit > 0

    def find(self) -> Iterator[Hit]:
        for batch in self.walk.batches():
            while self.walk.new_units:
                self.learn(self.walk.new_units.pop(0))
            record = batch.record
            if self.scan.past(record.seq):
                return
            if isinstance(record, Elided):
                for id, times in record.counts:
                    if id in self.wanted:
                        yield from self.ran(batch, id, record.seq, times)
            elif isinstance(record, Lines) and not (
                self.wanted.keys().isdisjoint(record.ids) and self.binding.keys().isdisjoint(record.ids)
            ):
                yield from self.lines(batch, record)

    def lines(self, batch: Batch, record: Lines) -> Iterator[Hit]:
        bindings, began = self.walk.bindings, self.began
        seq = record.seq
        for id in record.ids:
            if id in self.wanted:
                if id in self.bound:
                    began[id] = seq
                else:
                    yield from self.ran(batch, id, seq, 1)
            elif id in self.binding and self.binding[id] in began:
                statement = self.binding[id]
                yield from self.ran(batch, statement, began.pop(statement), 1)
            if id < 0 or not bindings[id]:
                seq += 1

    def learn(self, unit: UnitInfo) -> None:
        """Notes which statements of a new unit import what is asked for."""
        for id in unit_ids(unit):
            self.wanted.pop(id, None)
            self.binding.pop(id, None)
            self.bound.discard(id)
        for place, row in enumerate(unit.table.statements):
            if row.kind in _KINDS:
                id = unit.table.base + place
                modules = tuple(self.asked(unit.statement(id).source))
                if modules:
                    self.wanted[id] = modules
                    self.bind(unit, place)

    def bind(self, unit: UnitInfo, place: int) -> None:
        """Notes which binding shows that an import has worked."""
        table = unit.table
        if not self.has_values or len(table.statements) > MAX_VALUE_STATEMENTS:
            return
        own = [
            at
            for at, binding in enumerate(table.bindings)
            if binding.statement == place and binding.name not in MARKS
        ]
        if own:
            # Arguments of the function are numbered first; the statement's own come last.
            self.binding[unit.statements_end + own[-1]] = table.base + place
            self.bound.add(table.base + place)

    def asked(self, source: str) -> Iterator[str]:
        """Gives the modules of a statement that are asked for; `b` of `from a import b` may be one."""
        for module, members in modules_of(source):
            if _is_meant(module, self.match):
                yield module
            else:
                yield from (member for member in members if self.match(member))

    def ran(self, batch: Batch, id: int, seq: int, times: int) -> Iterator[Hit]:
        """Gives the hits of the first start of a statement."""
        if seq < self.scan.first:
            return
        info = self.walk.statement(id)
        for module in self.wanted.pop(id):
            if not self.is_told(info, module):
                self.told.add((info.file, info.line, module))
                fields = {"module": module, "basis": "source"}
                yield statement_hit(
                    self.scan, self.walk, batch, id, seq, module, "loaded already", times, fields
                )

    def is_told(self, info: StatementInfo, module: str) -> bool:
        """Tells whether the line has a hit for a module or, which loads it too, for one that is in it."""
        return any(
            file == info.file and line == info.line and f"{known}.".startswith(f"{module}.")
            for file, line, known in self.told
        )


@functools.lru_cache(maxsize=4096)
def modules_of(source: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Gives the modules that an import statement names, each with what is taken from it (`a.b`)."""
    tree = _parsed(source)
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            found |= {alias.name: () for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            members = (f"{module}{'' if module.endswith('.') else '.'}{alias.name}" for alias in node.names)
            found[module] = found.get(module, ()) + tuple(members)
    return tuple(found.items())


def _parsed(source: str) -> ast.Module | None:
    """Parses a statement, without what may stand before it on its line (`else: import os`)."""
    begin = _STATEMENT.search(source)
    for text in (textwrap.dedent(source), source[begin.start() :] if begin else ""):
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None
