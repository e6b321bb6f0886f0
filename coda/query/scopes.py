"""What functions declare `global` or `nonlocal`: those of their names live elsewhere.

Guarantee: exact for source that this Python can parse; for other source (a trace from another version)
every function is taken to declare what any function of the unit declares, and `exact` is False.
"""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

_DECLARES = re.compile(r"^\s*(?:.*;\s*)?(global|nonlocal)\s+([^\n;#]+)", re.MULTILINE)


class Declared(NamedTuple):
    """Names that the functions of one unit declare, by function path."""

    globals: dict[str, frozenset[str]]
    nonlocals: dict[str, frozenset[str]]
    anywhere: tuple[frozenset[str], frozenset[str]]
    """For every function, when the source could not be parsed."""
    exact: bool

    def is_global(self, function: str, name: str) -> bool:
        """Tells whether a function means the module's variable of that name."""
        return name in self.globals.get(function, self.anywhere[0])

    def is_nonlocal(self, function: str, name: str) -> bool:
        """Tells whether a function means the variable of a function around it."""
        return name in self.nonlocals.get(function, self.anywhere[1])


def declared_in(source: str) -> Declared:
    """Gives the declarations of a unit."""
    nothing: frozenset[str] = frozenset()
    if "global" not in source and "nonlocal" not in source:
        return Declared({}, {}, (nothing, nothing), True)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found: dict[str, set[str]] = {"global": set(), "nonlocal": set()}
        for match in _DECLARES.finditer(source):
            found[match[1]] |= {name.strip() for name in match[2].split(",")}
        return Declared({}, {}, (frozenset(found["global"]), frozenset(found["nonlocal"])), False)
    return _collect(tree)


def _collect(tree: ast.Module) -> Declared:
    """Walks the functions, naming them as the statement table does."""
    globals_: dict[str, frozenset[str]] = {}
    nonlocals: dict[str, frozenset[str]] = {}
    stack: list[tuple[ast.AST, str, bool]] = [(tree, "", False)]
    while stack:
        scope, path, is_function = stack.pop()
        inside: list[ast.AST] = list(ast.iter_child_nodes(scope))
        names: dict[type, set[str]] = {ast.Global: set(), ast.Nonlocal: set()}
        defs: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef] = []
        while inside:
            node = inside.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                defs.append(node)
            elif isinstance(node, ast.Global | ast.Nonlocal):
                names[type(node)] |= set(node.names)
            elif isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
                inside += ast.iter_child_nodes(node)
        if path:
            globals_[path] = frozenset(names[ast.Global])
            nonlocals[path] = frozenset(names[ast.Nonlocal])
        for inner in defs:
            top = not path or inner.name in names[ast.Global]
            child = (
                inner.name
                if top
                else f"{path}.<locals>.{inner.name}"
                if is_function
                else f"{path}.{inner.name}"
            )
            stack.append((inner, child, not isinstance(inner, ast.ClassDef)))
    return Declared(globals_, nonlocals, (frozenset(), frozenset()), True)
