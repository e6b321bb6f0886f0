"""Entries of a stream are those of the tables, and as many take a value as were counted; else refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda.errors import SandboxError
from coda.log import Binding, Statement, Table
from coda.runtime.entries import Entries, Known
from coda.runtime.protocol import LOWEST_CODE, Stream, pack

# Two units: statements 0 to 3, bindings 4 and 5; statements 6 to 8, binding 9.
TABLES = ((0, 4, 2), (6, 3, 1))
STATEMENTS = (0, 1, 2, 3, 6, 7, 8)
BINDINGS = (4, 5, 9)
CODES = tuple(range(LOWEST_CODE, 0))


def table(base: int, statements: int, bindings: int) -> Table:
    """A table of one function."""
    return Table(
        base=base,
        functions=("",),
        statements=tuple(Statement(1, 1, "expr", 0, (), ()) for _ in range(statements)),
        bindings=tuple(Binding(0, "x") for _ in range(bindings)),
    )


def known() -> Known:
    """What the two units allow."""
    made = Known()
    for base, statements, bindings in TABLES:
        made.add(table(base, statements, bindings))
    return made


def stream(ids: list[Any]) -> Stream:
    """A message of the worker."""
    return Stream(pack(ids), [], 0)


@given(
    ids=st.lists(st.sampled_from((*STATEMENTS, *BINDINGS, *CODES)), max_size=40),
    times=st.sampled_from((1, 300)),
    surplus=st.integers(0, 2),
)
def test_what_takes_a_value_is_counted(ids: list[int], times: int, surplus: int) -> None:
    every = ids * times
    codes, bound = sum(i < 0 for i in every), sum(i in BINDINGS for i in every)
    written = sum(i in (-1, -2) for i in every)
    assert known().unpack(stream(every), codes + bound + surplus) == Entries(every, codes, bound, written)
    wide = known()
    wide.add(table(200, 1, 0))
    wider, written = [*every, 200], sum(i in (-1, -2) for i in every)
    assert wide.unpack(stream(wider), codes + bound + surplus) == Entries(wider, codes, bound, written)


@given(
    ids=st.lists(st.sampled_from((*STATEMENTS, *BINDINGS, *CODES)), min_size=1, max_size=40),
    times=st.sampled_from((1, 300)),
)
def test_too_few_values_are_refused(ids: list[int], times: int) -> None:
    every = ids * times
    takers = sum(i not in STATEMENTS for i in every)
    if takers:
        with pytest.raises(SandboxError, match="fewer values than its statements bind"):
            known().unpack(stream(every), takers - 1)


@pytest.mark.parametrize("values", [0, 5])
@pytest.mark.parametrize("times", [1, 5000])
@pytest.mark.parametrize("bad", [10, 2**40, LOWEST_CODE - 1, "0", 1.5, None, True, [0]])
def test_a_number_of_no_table_is_refused(bad: Any, times: int, values: int) -> None:
    with pytest.raises(SandboxError, match=r"no table of this run has|are no numbers"):
        known().unpack(stream([0, 1] * times + [bad]), values)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x00",
        b"\xa2\x00\x01",
        b"\x93\x00\x01",
        b"\x92\x00\x01\x02",
        b"\xdc\x00",
        b"\xdd\x00\x00\x00\x09\x01",
    ],
)
def test_what_is_no_array_is_refused(packed: bytes) -> None:
    with pytest.raises(SandboxError, match="are no numbers"):
        known().unpack(Stream(packed, [], 0), 0)


def test_a_table_that_comes_later_is_known_at_once() -> None:
    growing, every = Known(), [0, 1, 2, 3] * 3000
    growing.add(table(0, 4, 2))
    for _ in range(3):
        assert growing.unpack(stream(every), 0).ids == every
    with pytest.raises(SandboxError):
        growing.unpack(stream([*every, 6]), 0)
    growing.add(table(6, 3, 1))
    for _ in range(3):
        assert growing.unpack(stream([*every, 6]), 0).ids == [*every, 6]


def test_a_run_of_very_many_statements_is_checked_as_well() -> None:
    wide = Known()
    wide.add(table(0, 30_000, 2))
    every = list(range(30_000)) * 2
    assert wide.unpack(stream(every), 0) == Entries(every, 0, 0)
    with pytest.raises(SandboxError, match="fewer values"):
        wide.unpack(stream([*every, 30_001]), 0)
