"""Which expressions of a call gave an argument: read from the text of the calling statement.

Guarantee: names are given only when the text leaves one reading: one call of that function in the
statement, no stars before the argument. Otherwise None: the caller then takes all names of the line and
says that the link is inferred.
"""

from __future__ import annotations

import ast
import functools
import textwrap
from collections.abc import Container, Iterator


@functools.lru_cache(maxsize=1024)
def names_for(
    source: str, function: str, parameter: str, parameters: tuple[str, ...]
) -> frozenset[str] | None:
    """Gives the names that the expression for a parameter reads.

    Args:
        source: text of the statement that called.
        function: path of the called function, e.g. `Cart.add` or `f.<locals>.g`.
        parameter: the parameter in question.
        parameters: all parameters of the function, in order.

    Returns:
        The names; empty when the default was used; None when the text does not tell.
    """
    found = _expression(source, function, parameter, parameters)
    if found is None or isinstance(found, ast.Pass):
        return None if found is None else frozenset()
    return _names(found)


@functools.lru_cache(maxsize=1024)
def path_for(source: str, function: str, parameter: str, parameters: tuple[str, ...]) -> str | None:
    """Gives the name or attribute, such as `self.cart`, that is handed on as it is; None for all else."""
    tail = ""
    found: ast.AST | None = _expression(source, function, parameter, parameters)
    while isinstance(found, ast.Attribute):
        tail = f".{found.attr}{tail}"
        found = found.value
    return found.id + tail if isinstance(found, ast.Name) else None


def _expression(source: str, function: str, parameter: str, parameters: tuple[str, ...]) -> ast.AST | None:
    """Gives the expression for a parameter; a `Pass` when the default was used, None when it is not clear."""
    tree = _parsed(source)
    call = _only_call(tree, function) if tree is not None else None
    if call is None or parameter not in parameters:
        return None
    owner = function.rpartition(".")[0]
    return _argument(call, parameter, list(parameters), method=bool(owner) and not owner.endswith("<locals>"))


@functools.lru_cache(maxsize=1024)
def names_outside(source: str, functions: frozenset[str]) -> frozenset[str] | None:
    """Gives the names that a statement reads other than as arguments of calls of these functions.

    What is passed to a function whose body is on the path counts only as far as the function used it.

    Returns:
        The names; None when the text does not tell.
    """
    tree = _parsed(source)
    if tree is None:
        return None
    passed: set[ast.AST] = set()
    for function in functions:
        call = _only_call(tree, function)
        if call is None:
            return None
        passed |= {*call.args, *(keyword.value for keyword in call.keywords)}
    names = {
        node.id
        for node in _header(tree, passed)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    statement = tree.body[0] if tree.body else None
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        names.add(statement.target.id)
    return frozenset(names)


def _parsed(source: str) -> ast.Module | None:
    text = source.strip()
    try:
        return ast.parse(text[2:] if text.startswith("elif") else textwrap.dedent(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _only_call(tree: ast.Module, function: str) -> ast.Call | None:
    """Gives the one call of a function in a statement; None for none or several."""
    owner, _, name = function.rpartition(".")
    wanted = {name, owner.rpartition(".")[2]} if name == "__init__" else {name}
    calls = [node for node in _header(tree) if isinstance(node, ast.Call) and _callee(node) in wanted]
    return calls[0] if len(calls) == 1 else None


def _argument(call: ast.Call, parameter: str, parameters: list[str], *, method: bool) -> ast.AST | None:
    for keyword in call.keywords:
        if keyword.arg == parameter:
            return keyword.value
    place = parameters.index(parameter)
    if method:
        if place == 0:
            return call.func.value if isinstance(call.func, ast.Attribute) else None
        place -= 1
    if any(isinstance(arg, ast.Starred) for arg in call.args[: place + 1]):
        return None
    if place < len(call.args):
        return call.args[place]
    return ast.Pass() if all(keyword.arg for keyword in call.keywords) else None


def _header(tree: ast.AST, without: Container[ast.AST] = ()) -> Iterator[ast.AST]:
    """Gives the nodes that the statement itself evaluates: the bodies of a compound one are others."""
    stack: list[ast.AST] = list(getattr(tree, "body", []))[:1]
    while stack:
        node = stack.pop()
        if node in without:
            continue
        yield node
        stack += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]


def _callee(call: ast.Call) -> str | None:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else None


def _names(node: ast.AST) -> frozenset[str]:
    return frozenset(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
