"""Compiling a rewritten tree, and putting live objects into its constants.

Guarantee: the user's own warnings and errors come from their own source only. The second compilation is
silent without touching what `warnings` remembers (`catch_warnings` would make a warning that was shown
once appear again), and the recursion limit is as before when it is done.
"""

from __future__ import annotations
import __future__

import functools
import operator
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import Any

_FEATURES = [getattr(__future__, name).compiler_flag for name in __future__.all_feature_names]
# nested_scopes shares its bit with CO_NESTED, and has been the rule since 2.2.
FUTURE_FLAGS: int = functools.reduce(operator.or_, _FEATURES) & ~0x10
ANNOTATIONS: int = __future__.annotations.compiler_flag

_COMPILE_DEPTH = 10_000


@contextmanager
def warnings_off() -> Iterator[None]:
    """Silences warnings of a compilation, leaving registries of warnings already shown as they are."""
    filters: Any = warnings.filters
    if type(filters) is not list:  # the user's own; then a warning may be said twice
        yield
        return
    entry: Any = ("ignore", None, Warning, None, 0)
    filters.insert(0, entry)
    try:
        yield
    finally:
        for index, found in enumerate(filters):
            if found is entry:
                del filters[index]
                break


@contextmanager
def deep_stack() -> Iterator[None]:
    """Makes room for deep trees (3.11 counts their nodes as frames), and for ourselves near the limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _COMPILE_DEPTH))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def with_objects(code: CodeType, first: int, objects: Sequence[object]) -> CodeType:
    """Gives the code with each placeholder constant `first + k` replaced by `objects[k]`, all the way in.

    Args:
        code: compiled from a tree whose placeholders are integers that the source cannot contain.
        first: the first placeholder.
        objects: what stands for them.
    """
    consts: list[Any] = list(code.co_consts)
    changed = False
    for index, const in enumerate(consts):
        if type(const) is int and const >= first:
            consts[index] = objects[const - first]
            changed = True
        elif type(const) is CodeType:
            consts[index] = with_objects(const, first, objects)
            changed = True
    return code.replace(co_consts=tuple(consts)) if changed else code
