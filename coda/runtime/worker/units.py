"""Which code is the agent's, and where it stands: frames to (file, line, function, source).

Guarantee: a frame belongs to agent code exactly when its code came from a block or from a Python file
under the workspace; it is found by file name and line, so that cells of one script stay apart.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
from itertools import islice
from types import CodeType, FrameType
from typing import Any, NamedTuple

from coda.log import Table, source_lines
from coda.runtime.instrument_hooks import Budget

OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
"""Where coda's own code lies: no frame of it is shown to agent code."""


_Place = tuple[int, int | None]
"""Line and column, as in a syntax tree."""


class Unit(NamedTuple):
    """One compiled piece of agent code."""

    file: str
    source: str
    first_line: int
    table: Table | None
    code: CodeType | None
    block: int | None
    flags: int
    budget: Budget


class Units:
    """All agent code of this worker."""

    def __init__(self) -> None:
        self._by_file: dict[str, list[Unit]] = {}
        self._trees: dict[int, ast.Module] = {}
        self._getframe = sys._getframe

    def add(self, unit: Unit) -> None:
        """Registers a unit; its source is found by `linecache` and `inspect`."""
        self._by_file.setdefault(unit.file, []).append(unit)
        # Of a program that standard input held, the interpreter shows no source either.
        if unit.file.startswith("<") and unit.file != "<stdin>":
            lines = [line + "\n" for line in source_lines(unit.source)]
            # No modification time: such entries survive linecache.checkcache.
            linecache.cache[unit.file] = (len(unit.source), None, lines, unit.file)

    def all(self) -> list[Unit]:
        """Every unit, in the order in which they came."""
        return [unit for units in self._by_file.values() for unit in units]

    def is_statement(self, ident: int) -> bool:
        """True for a number that stands for the start of a statement."""
        for units in self._by_file.values():
            for unit in units:
                table = unit.table
                if table is not None and table.base <= ident < table.end:
                    return ident < table.base + len(table.statements)
        return False

    def owns(self, frame: FrameType) -> bool:
        """True for a frame of agent code."""
        return frame.f_code.co_filename in self._by_file

    def innermost(self) -> FrameType | None:
        """The nearest frame of agent code on this thread's stack."""
        frame: FrameType | None = self._getframe(1)
        by_file = self._by_file
        while frame is not None and frame.f_code.co_filename not in by_file:
            frame = frame.f_back
        return frame

    def where(self) -> dict[str, Any]:
        """File, line and function of the agent code that is running; empty when none is."""
        frame = self.innermost()
        if frame is None:
            return {}
        return {
            "file": frame.f_code.co_filename,
            "line": frame.f_lineno,
            "function": function_of(frame.f_code),
        }

    def unit_at(self, file: str, line: int) -> Unit | None:
        """The unit of a line: the last one of that file that begins at or before it."""
        found = None
        for unit in self._by_file.get(file, ()):
            if unit.first_line <= line:
                found = unit
        return found

    def assigned_source(self, frame: FrameType, name: str) -> str | None:
        """Exact source of what is assigned to `ctx.name` by the statement that `frame` executes."""
        try:
            return self._assigned_source(frame, name)
        except Exception:  # noqa: BLE001  agent code may have changed what `ast` needs: no text, no harm
            return None

    def _assigned_source(self, frame: FrameType, name: str) -> str | None:
        unit = self.unit_at(frame.f_code.co_filename, frame.f_lineno)
        here = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
        if unit is None or here is None or here[0] is None:
            return None
        place = (here[0] - unit.first_line + 1, here[2])
        for node in ast.walk(self._tree(unit)):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    value = _value_for(target, node.value, name, place)
                    if value is not None:
                        return ast.get_source_segment(unit.source, value)
            elif isinstance(node, ast.AugAssign) and _is_at(node.target, name, place):
                return ast.get_source_segment(unit.source, node)
        return None

    def _tree(self, unit: Unit) -> ast.Module:
        key = id(unit.source)
        if key not in self._trees:
            self._trees[key] = ast.parse(unit.source)
        return self._trees[key]


def _value_for(target: ast.expr, value: ast.expr, name: str, place: _Place) -> ast.expr | None:
    """What is assigned to the attribute at a place; of two rows of the same length, the one that fits it."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        return value if _is_at(target, name, place) else None
    rows: list[ast.expr] = [value] * len(target.elts)
    if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
        starred = any(isinstance(each, ast.Starred) for each in (*value.elts, *target.elts))
        rows = rows if starred else value.elts
    found = (_value_for(each, row, name, place) for each, row in zip(target.elts, rows, strict=True))
    return next((each for each in found if each is not None), None)


def _is_at(target: ast.expr, name: str, place: _Place) -> bool:
    if not isinstance(target, ast.Attribute) or target.attr != name:
        return False
    return (target.lineno, target.col_offset) == place


def function_of(code: CodeType) -> str:
    """Function path of a code object, "" at module level."""
    name = code.co_qualname
    return "" if name == "<module>" else name
