"""The syntax tree behind each statement of a trace: what a table of names does not tell.

Guarantee: a tree is given only for a unit whose statements, found anew, are those of the recorded table;
for source that this Python reads otherwise there is none, and whoever asks has to say so.
"""

from __future__ import annotations

import ast
from typing import NamedTuple, TypeAlias

from coda.log import Sites, UnitInfo, analyse

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Unit(NamedTuple):
    """The trees of one code unit, by the ids of its statements."""

    statements: dict[int, ast.stmt]
    opens: dict[int, Definition]
    """First statement of a body, to the definition that it is the body of."""
    paths: dict[int, str]
    """A definition, to the path of what it defines; one whose body does nothing has none."""
    handlers: frozenset[int]
    """Statements that begin an `except` body."""
    loops: dict[int, int]
    """First statement of a loop's body, to the loop."""
    calls: dict[int, tuple[ast.Call, ...]]
    """The calls that a statement itself makes, in the order in which they are made."""


def unit_trees(unit: UnitInfo) -> Unit | None:
    """Gives the trees of a unit; None when its source is not there, or reads otherwise here."""
    try:
        tree = ast.parse(unit.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for docstring in (True, False):
        sites = analyse(tree, base=unit.table.base, docstring=docstring)
        if _same(sites, unit):
            return _made(sites, unit.table.base)
    return None


def _same(sites: Sites, unit: UnitInfo) -> bool:
    ours, theirs = sites.table.statements, unit.table.statements
    shift = unit.first_line - 1
    return (
        sites.table.functions == tuple(unit.table.functions)
        and len(ours) == len(theirs)
        and all(
            (row.line + shift, row.kind, row.function) == (other.line, other.kind, other.function)
            for row, other in zip(ours, theirs, strict=True)
        )
    )


def _made(sites: Sites, base: int) -> Unit:
    table = sites.table
    ids = {node: base + row for node, row in sites.rows.items()}
    opens: dict[int, Definition] = {}
    paths: dict[int, str] = {}
    handlers: set[int] = set()
    loops: dict[int, int] = {}
    for node, id in ids.items():
        if isinstance(node, _DEFINITIONS):
            first = next((child for child in node.body if child in ids), None)
            if first is not None:
                opens[ids[first]] = node
                paths[id] = table.functions[table.statements[ids[first] - base].function]
        elif isinstance(node, ast.Try | ast.TryStar):
            handlers |= {ids[handler.body[0]] for handler in node.handlers if handler.body[0] in ids}
        elif isinstance(node, ast.For | ast.AsyncFor) and node.body[0] in ids:
            loops[ids[node.body[0]]] = id
    statements = {id: node for node, id in ids.items()}
    calls = {id: tuple(calls_in(node)) for node, id in ids.items()}
    return Unit(statements, opens, paths, frozenset(handlers), loops, calls)


def header(node: ast.stmt) -> list[ast.AST]:
    """Gives what a statement itself evaluates: of a compound one not the bodies."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        defaults = [default for default in node.args.kw_defaults if default is not None]
        return [*node.decorator_list, *node.args.defaults, *defaults]
    parts = [
        child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt | ast.match_case)
    ]
    return [part for part in parts if not isinstance(part, ast.ExceptHandler)]


def calls_in(node: ast.stmt) -> list[ast.Call]:
    """Gives the calls of a statement, each after those of its arguments; those of lambdas left out."""
    found: list[ast.Call] = []
    stack: list[tuple[ast.AST, bool]] = [(part, False) for part in reversed(header(node))]
    while stack:
        part, done = stack.pop()
        if done:
            assert isinstance(part, ast.Call)
            found.append(part)
            continue
        if isinstance(part, ast.Lambda):
            continue
        if isinstance(part, ast.Call):
            stack.append((part, True))
        stack += [(child, False) for child in reversed(list(ast.iter_child_nodes(part)))]
    return found


def paths_read(node: ast.stmt) -> dict[str, frozenset[str]]:
    """Gives, for each name that a statement reads, which of its attributes: `{"box": {"box.items"}}`.

    The name alone stands for the whole object: where it is handed on, called, or stored into.
    """
    found: dict[str, set[str]] = {}
    stack: list[tuple[ast.AST, str]] = [(part, "") for part in header(node)]
    while stack:
        part, tail = stack.pop()
        if isinstance(part, ast.Name):
            found.setdefault(part.id, set()).add(part.id + tail)
        elif isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Load):
            stack.append((part.value, f".{part.attr}{tail}"))
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            stack.append((part.func.value, ""))  # the method's name is no part of the object
            stack += [(child, "") for child in (*part.args, *part.keywords)]
        else:
            stack += [(child, "") for child in ast.iter_child_nodes(part)]
    return {name: frozenset({name} if name in paths else paths) for name, paths in found.items()}
