"""`why` against lists whose every element says on which line it was put there, by whatever name that was."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda.query import Chain, why
from tests.unit.query.recorder import Recorder

PRELUDE = """\
from contextlib import contextmanager
from functools import partial
class Box:
    def __init__(self, held):
        self.held = held
    def put(self, item):
        self.held.append(item)
        return self
class Sub(Box):
    def __init__(self, held):
        super().__init__(held)
    def add(self, item):
        return super().put(item)
@contextmanager
def held(value):
    yield value
def put(target, item):
    target.append(item)
def same(value, *rest, **more):
    return value
def maker(target):
    def inner(item):
        target.append(item)
    return inner
def each(rows):
    for row in rows:
        yield row
def first(rows):
    for row in rows:
        if type(row) is list:
            return row
    return rows
"""
NAMES = ("a", "b", "c")
STATEMENTS = (
    "{x} = {y}",
    "{x} = [{y}]",
    "{x} = [{y}, {z}][0]",
    "{x} = {y} + {z}",
    "{x} = list({y})",
    "{x} = [e for e in {y}]",
    "{x} = first({y})",
    "{x} = same({y}, {z})",
    "{x} = same(value={y})",
    "{x}, {y} = {y}, {x}",
    "{x} = {y} if len({y}) > 2 else {z}",
    "{x} = {y} or {z}",
    "{x} = sorted({y}, key=str)",
    "{x}.append({line})",
    "{x} += [{line}]",
    "{x} = {x} + [{line}]",
    "{x}.insert(0, {line})",
    "{x}[len({x}):] = [{line}]",
    "{x}.extend([{line}])",
    "{x}.append({y}[:])",
    "put({x}, {line})",
    "same(put)({x}, {line})",
    "maker({x})({line})",
    "add = maker({x})",
    "add({line})",
    "adds = [maker({x}), maker({y})]; adds[1]({line})",
    "(lambda t: t.append({line}))({x})",
    "grow = lambda item: {x}.append(item)",
    "grow({line})",
    "Box({x}).put({line}).put({line})",
    "box = Box({x})",
    "box.put({line})",
    "box.held = {x}",
    "{x} = box.held",
    "other = box; other.held.append({line})",
    "table['k'] = {x}",
    "{x} = table['k']",
    "table.setdefault('q', {x}).append({line})",
    "{x} = table.get('q', {y})",
    "for row in {x}: row.append({line}) if type(row) is list else None",
    "for row in each({x}): row.append({line}) if type(row) is list else None",
    "for _, row in enumerate([{x}, {y}]): row.append({line})",
    "[t.append({line}) for t in ({x}, {y})]",
    "setattr(box, 'held', {x})",
    "{x}.pop() if {x} else None",
    "{x}.clear()",
    "def change(v={x}): v.append({line})",
    "change()",
    "try: {x}.append({line}); raise KeyError\nexcept KeyError: {y}.append({line})",
    "exec_free = library({x}, {line})",
    "grab = {x}.append",
    "grab({line})",
    "list.append({x}, {line})",
    "done = list(map({x}.append, [{line}]))",
    "partial(put, {x})({line})",
    "bind = partial({x}.append)",
    "bind({line})",
    "{x}[:] = {x} + [{line}]",
    "def var(*args): args[0].append({line})\nvar({x})",
    "def kw(**more): more['k'].append({line})\nkw(k={x}, j={y})",
    "holder = [{x}, {y}]; holder[0].append({line})",
    "for row in list({x}): {y}.append({line})",
    "with held({x}) as t: t.append({line})",
    "while (t := {x}) is not None: t.append({line}); break",
    "{x} = [{y} for _ in range(2)][0]",
    "{x} = {{'k': {y}}}['k']",
    "{x} = next(iter([{y}]))",
    "vars(box)['held'] = {x}",
    "del {x}[len({x}) // 2:]",
    "{x} = Sub({y}).add({line}).held",
)


def library(target: list[object], item: object) -> list[object]:
    """Code that is not recorded, and changes what it is given."""
    target.append(item)
    return target


def program(rows: list[tuple[str, str, str, str]]) -> str:
    lines = PRELUDE.splitlines()
    for name in NAMES:
        lines.append(f"{name} = [{len(lines) + 1}]")
    lines += [
        "grow = lambda item: a.append(item)",
        "add = maker(b)",
        "box = Box(c)",
        "table = {'k': a, 'q': []}",
    ]
    lines.append("def change(v=a): v.append(0)")
    for text, x, y, z in rows:
        for part in text.split("\n"):
            lines.append(part.format(x=x, y=y, z=z, line=len(lines) + 1))
    return "\n".join(lines) + "\n"


def marks(value: object) -> set[int]:
    """Gives the line numbers in a list, and in the lists inside it."""
    found: set[int] = set()
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, int):
            found.add(item)
        elif isinstance(item, list) and id(item) not in seen:
            seen.add(id(item))
            stack += item
    return found


def lines_of(chain: Chain) -> set[int]:
    return {link.line for link in chain.links if link.line is not None}


_rows = st.lists(
    st.tuples(st.sampled_from(STATEMENTS), *[st.sampled_from(NAMES)] * 3), min_size=1, max_size=14
)


def check(rows: list[tuple[str, str, str, str]], level: str, value_limit: int) -> None:
    source = program(rows)
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder) / "t.jsonl", level=level, value_limit=value_limit)
        recorder.namespace["library"] = library
        with contextlib.redirect_stdout(io.StringIO()):
            recorder.block(source)
        trace = recorder.close()
        for name in NAMES:
            chain = why(trace, name)
            assert chain.incomplete == ()
            missing = marks(recorder.namespace[name]) - lines_of(chain) - {0}
            assert not missing, (name, sorted(missing), source)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(_rows, st.sampled_from([("values", 256), ("values", 1), ("lines", 0)]))
def test_every_element_came_by_a_line_of_the_chain(
    rows: list[tuple[str, str, str, str]], how: tuple[str, int]
) -> None:
    check(rows, *how)
