"""Where a piece of code can be suspended: its yields and awaits, found in its own scope.

Guarantee: what belongs to a function or lambda inside is left alone, and so is what a comprehension
evaluates in a scope of its own. A comprehension that is asynchronous counts as one suspension, as a whole:
what it awaits inside is not seen. Nothing here recurses.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_YIELDS = (ast.Yield, ast.YieldFrom)
_ASYNC_STATEMENTS = (ast.AsyncFor, ast.AsyncWith)

GENERATORS: Final = frozenset({"generator", "coroutine", "async generator"})
"""Kinds of code that can be suspended."""
MAX_NESTING: Final = 16
"""CPython refuses more than 20 statically nested blocks; code that is nested deeper gets none of ours."""


class Spot(NamedTuple):
    """An expression that suspends, and where it hangs in the tree."""

    node: ast.expr
    parent: ast.AST
    field: str
    place: int | None
    """Index in the list that the field is; None when it is no list."""


class Suspensions(NamedTuple):
    """What suspends in one scope."""

    spots: tuple[Spot, ...]
    """Outer expressions before those inside them."""
    statements: frozenset[int]
    """`id` of each statement that holds one, or is an `async for` or `async with`, or holds such."""
    yields: bool
    """Whether there is a yield among them."""

    @property
    def any(self) -> bool:
        """Whether the scope suspends at all."""
        return bool(self.spots or self.statements)


class _Link(NamedTuple):
    """A statement and those around it."""

    statement: ast.stmt
    outer: _Link | None


def suspensions(body: Iterable[ast.stmt]) -> Suspensions:
    """Finds what suspends in the scope that a list of statements is the body of."""
    spots: list[Spot] = []
    holding: set[int] = set()
    yields = False
    stack: list[tuple[Spot, _Link | None]] = [
        (Spot(node, node, "", None), None)  # type: ignore[arg-type]  # the roots, which nothing replaces
        for node in reversed(list(body))
    ]
    while stack:
        spot, link = stack.pop()
        node: ast.AST = spot.node
        if isinstance(node, ast.stmt):
            link = _Link(node, link)
        whole = isinstance(node, _COMPREHENSIONS) and is_async(node)
        if whole or isinstance(node, (ast.Await, *_YIELDS)):
            spots.append(spot)
            yields = yields or isinstance(node, _YIELDS)
        if whole or isinstance(node, (ast.Await, *_YIELDS, *_ASYNC_STATEMENTS)):
            outer = link
            while outer is not None and id(outer.statement) not in holding:
                holding.add(id(outer.statement))
                outer = outer.outer
        if not whole:
            stack.extend((inner, link) for inner in _inside(node))
    return Suspensions(tuple(spots), frozenset(holding), yields)


def is_async(node: ast.AST) -> bool:
    """Whether a list, set or dict comprehension awaits what it makes; a generator expression never does."""
    if isinstance(node, ast.GeneratorExp):
        return False
    first = node.generators[0]  # type: ignore[attr-defined]
    if first.is_async:
        return True
    stack: list[ast.AST] = [child for child in ast.iter_child_nodes(node) if child is not first]
    stack += [first.target, *first.ifs]
    while stack:
        inner = stack.pop()
        if isinstance(inner, ast.Await) or (isinstance(inner, ast.comprehension) and inner.is_async):
            return True
        if not isinstance(inner, ast.Lambda | ast.GeneratorExp):
            stack.extend(ast.iter_child_nodes(inner))
    return False


def _inside(node: ast.AST) -> Iterator[Spot]:
    """What is evaluated in the same scope, directly below a node; the last first."""
    if isinstance(node, _FUNCTIONS):
        yield from _fields(node, ("decorator_list",))
        yield from _fields(node.args, ("defaults", "kw_defaults"))
    elif isinstance(node, ast.ClassDef):
        yield from _fields(node, ("decorator_list", "bases", "keywords"))
    elif isinstance(node, ast.Lambda):
        yield from _fields(node.args, ("defaults", "kw_defaults"))
    elif isinstance(node, _COMPREHENSIONS):
        yield from _fields(node.generators[0], ("iter",))
    else:
        yield from _fields(node, node._fields)


def _fields(node: ast.AST, names: tuple[str, ...]) -> Iterator[Spot]:
    for name in reversed(names):
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            yield Spot(value, node, name, None)  # type: ignore[arg-type]
        elif isinstance(value, list):
            for index in range(len(value) - 1, -1, -1):
                if isinstance(value[index], ast.AST):
                    yield Spot(value[index], node, name, index)


def kind_of(owner: ast.AST, found: Suspensions) -> str:
    """Gives the kind of code that a module, class or function is."""
    if isinstance(owner, ast.ClassDef):
        return "class"
    if isinstance(owner, ast.AsyncFunctionDef):
        return "async generator" if found.yields else "coroutine"
    if isinstance(owner, ast.FunctionDef):
        return "generator" if found.yields else "function"
    return "coroutine" if found.any else "module"


def nesting(body: Iterable[ast.stmt]) -> int:
    """Gives how many blocks the compiler nests in a body at most, ours around `async` ones included."""
    deepest = 0
    stack = [(node, 0) for node in body]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            continue
        if isinstance(node, ast.For | ast.While):
            depth += 1
        elif isinstance(node, ast.With | ast.AsyncWith):
            depth += len(node.items) + isinstance(node, ast.AsyncWith)
        elif isinstance(node, ast.AsyncFor):
            depth += 2
        elif isinstance(node, ast.Try | ast.TryStar):
            depth += 3
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                stack.append((child, depth))
            elif isinstance(child, ast.ExceptHandler | ast.match_case):
                stack.extend((inner, depth) for inner in child.body)
    return deepest
