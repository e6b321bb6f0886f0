"""`why` against values that carry their own origin: nothing is missed, and nothing is made up."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda.log import ToolDeclared
from coda.query import why
from tests.unit.query.recorder import Recorder

NAMES = ("a", "b", "c", "d")


class Tainted:
    """A value that knows the lines that it was made on."""

    def __init__(self, lines: frozenset[int] = frozenset()) -> None:
        self.lines = lines

    def __add__(self, other: Tainted) -> Tainted:
        return Tainted(self.lines | other.lines)


def mark(line: int, value: Tainted) -> Tainted:
    """Notes that a value passed a line."""
    return Tainted(value.lines | {line})


_name = st.sampled_from(NAMES)
_expression = st.one_of(
    _name,
    st.tuples(_name, _name).map(" + ".join),
    st.just("new()"),
    st.tuples(st.sampled_from(["first", "both", "mixed"]), _name, _name).map(
        lambda t: f"{t[0]}({t[1]}, {t[2]})"
    ),
    st.tuples(_name, _name, _name).map(lambda t: f"{t[0]} + both({t[1]}, q={t[2]})"),
)
_simple = st.tuples(_name, _expression)
_statements = st.recursive(
    _simple.map(lambda pair: [pair]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(lambda parts: [row for part in parts for row in part]),
        st.tuples(st.sampled_from(["if True:", "if False:", "for _ in range(3):"]), inner).map(list),
    ),
    max_leaves=8,
)

FUNCTIONS = [
    "def first(p, q):",
    "    r = mark({line}, p)",
    "    return r",
    "def both(p, q):",
    "    r = mark({line}, p + q)",
    "    s = mark({line}, q)",
    "    return r",
    "def mixed(p, q):",
    "    return mark({line}, first(q, p) + a)",
]


def program(rows: list[object]) -> str:
    """Gives the source, each assignment marked with its own line."""
    lines: list[str] = [text.replace("{line}", str(number)) for number, text in enumerate(FUNCTIONS, 1)]
    for name in NAMES:
        lines.append(f"{name} = mark({len(lines) + 1}, new())")

    def emit(part: object, depth: int) -> None:
        if isinstance(part, tuple):
            lines.append(f"{'    ' * depth}{part[0]} = mark({len(lines) + 1}, {part[1]})")
        elif isinstance(part, list) and part and isinstance(part[0], str):
            lines.append("    " * depth + part[0])
            emit(part[1], depth + 1)
        elif isinstance(part, list):
            for item in part:
                emit(item, depth)

    emit(rows, 0)
    return "\n".join(lines) + "\n"


@pytest.mark.slow
@given(_statements, st.sampled_from(["values", "lines"]))
@settings(max_examples=60, deadline=None)
def test_the_chain_has_exactly_the_lines_that_the_value_passed(rows: list[object], level: str) -> None:
    source = program(rows)
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder) / "t.jsonl", level=level)
        for helper in ("mark", "new"):  # values cross: what they are given they leave as it is
            recorder.emit(ToolDeclared(name=helper))
        recorder.namespace.update(mark=mark, new=Tainted)
        recorder.block(source)
        trace = recorder.close()
        marked = {number for number, line in enumerate(source.splitlines(), 1) if "mark(" in line}
        for name in NAMES:
            chain = why(trace, name)
            lines = {link.line for link in chain.links if link.line in marked}
            assert lines == recorder.namespace[name].lines, f"{name} of\n{source}"
