"""Cells of a script: where `# %%` comments divide it, as a tokenizer sees them.

Guarantee: the cells put together are the script, and each knows its first line, so tracebacks name the
lines of the file. Only a comment that stands alone at the margin divides: a marker inside a string, in
an indented block or inside brackets does not. A script that cannot be tokenized is one cell, so that
its SyntaxError is Python's own.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from itertools import pairwise
from typing import NamedTuple

from coda.log import first_line_of
from coda.runtime.instrument_compile import warnings_off

_MARKER = re.compile(r"#\s?%%")


class Cell(NamedTuple):
    """One piece of a script."""

    first_line: int
    """Line of the script on which the source begins, from 1."""
    source: str


def split_cells(source: str) -> list[Cell]:
    """Divides a script at its cell markers.

    Args:
        source: the whole script.

    Returns:
        At least one cell; a marker line is the first line of its cell. Text before the first marker is a
        cell of its own unless it is blank.
    """
    starts = _marker_lines(source) if "%%" in source else []
    if not starts:
        return [Cell(1, source)]
    # Not splitlines: it also breaks at form feeds and the like, where Python does not.
    lines = io.StringIO(source, newline=None).readlines()
    edges = [1, *(start for start in starts if start > 1), len(lines) + 1]
    cells = [Cell(first, "".join(lines[first - 1 : end - 1])) for first, end in pairwise(edges)]
    if len(cells) > 1 and not cells[0].source.strip():
        cells[0:2] = [Cell(1, cells[0].source + cells[1].source)]
    return cells


def _marker_lines(source: str) -> list[int]:
    """Lines of the markers, from 1: comments at the margin, outside of every statement."""
    try:
        with warnings_off():
            tree = ast.parse(source)
        tokens = list(tokenize.generate_tokens(io.StringIO(source, newline=None).readline))
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return []
    inside = {line for node in tree.body for line in range(first_line_of(node), (node.end_lineno or 0) + 1)}
    return [
        token.start[0]
        for token in tokens
        if token.type == tokenize.COMMENT
        and token.start[1] == 0
        and token.start[0] not in inside
        and _MARKER.match(token.string)
    ]
