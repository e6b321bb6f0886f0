"""Any program equals its second recording, and a statement more moves nothing after it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from coda.forking import Diff, diff
from tests.unit.forking.recorded import record

NAMES = st.sampled_from(["x", "y", "z"])
CONDITIONS = st.sampled_from(["x > y", "(x + z) % 3 == 0", "y", "True"])
SIMPLE = st.one_of(
    st.builds("{} = {} + {}".format, NAMES, NAMES, st.integers(0, 3)),
    st.builds("{} = ask({} % 5)".format, NAMES, NAMES),
    st.builds("print({})".format, NAMES),
    st.builds("x = twice({})".format, NAMES),
    st.just("ctx.last = x"),
    st.just("save('out.txt', str(x))"),
)


def indent(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, min_size=1, max_size=3).map("\n".join).map(indent)
    return st.one_of(
        st.builds("for n{} in range({}):\n{}".format, st.integers(0, 2), st.integers(0, 4), body),
        st.builds("if {}:\n{}\nelse:\n{}".format, CONDITIONS, body, body),
    )


STATEMENTS = st.lists(st.recursive(SIMPLE, nested, max_leaves=8), min_size=1, max_size=6)
START = "x = y = z = 1\n\n\ndef twice(value):\n    result = value * 2 % 1000\n    return result\n\n\n"


def compare(a: str, b: str) -> Diff:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return diff(record(folder / "a.jsonl", a), record(folder / "b.jsonl", b, run="r2"))


@settings(max_examples=60)
@given(STATEMENTS)
def test_a_program_does_not_differ_from_its_second_recording(statements: list[str]) -> None:
    source = START + "\n".join(statements) + "\n"
    found = compare(source, source)
    assert found.equal, found.summary()
    assert (found.counts.a_only, found.counts.b_only, found.counts.other_values) == (0, 0, 0)


@settings(max_examples=60)
@given(STATEMENTS, st.data())
def test_one_statement_more_is_the_only_difference(statements: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(statements)), label="place")
    more = [*statements[:at], "extra = 'new'", *statements[at:]]
    found = compare(START + "\n".join(statements) + "\n", START + "\n".join(more) + "\n")
    counts = found.counts
    assert (counts.a_only, counts.b_only, counts.b_only_lines, counts.other_values) == (0, 1, 1, 0)
    assert found.hunks[0].b is not None
    assert found.hunks[0].b.source == "extra = 'new'"
    assert [change.name for change in found.variables] == ["extra"]


@settings(max_examples=60)
@given(STATEMENTS, STATEMENTS)
def test_the_difference_is_the_same_seen_from_the_other_side(left: list[str], right: list[str]) -> None:
    a, b = START + "\n".join(left) + "\n", START + "\n".join(right) + "\n"
    one, other = compare(a, b), compare(b, a)
    assert one.equal == other.equal
    assert {(v.scope, v.name, v.a, v.b) for v in one.variables} == {
        (v.scope, v.name, v.b, v.a) for v in other.variables
    }
    assert [(file.path, file.a, file.b) for file in one.files] == [
        (file.path, file.b, file.a) for file in other.files
    ]
    assert one.summary()
