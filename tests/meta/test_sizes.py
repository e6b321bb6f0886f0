"""Modules stay readable: 600 lines at most, functions fit a screen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.meta.source import ROOT, modules, tree

MODULE_LINES = 600
FUNCTION_LINES = 60  # the aim is 40; beyond this it is no matter of taste


def test_no_module_is_too_long() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in modules()}
    assert not {name: lines for name, lines in sizes.items() if lines > MODULE_LINES}


def test_no_function_is_too_long() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": lines
        for path in modules()
        for node, lines in functions(path)
        if lines > FUNCTION_LINES
    }
    assert not long


def functions(path: Path) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Gives the functions of a file with the length of their bodies, docstrings left out."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            start = body[0].lineno if body else node.lineno
            yield node, (node.end_lineno or start) - start + 1


def test_every_module_says_what_it_guarantees() -> None:
    silent = [str(path.relative_to(ROOT)) for path in modules() if not ast.get_docstring(tree(path))]
    assert not silent
