"""Equality of recorded and replayed values: exact in value and in type, addresses apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda.log import to_envelope
from coda.replay.compare import Matcher

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_is_the_same_as_itself(value: Any) -> None:
    envelope = to_envelope(value)
    assert Matcher().same(envelope, envelope)


@given(VALUES, VALUES)
def test_the_same_means_equal_in_value_and_type(a: Any, b: Any) -> None:
    left, right = to_envelope(a), to_envelope(b)
    same = Matcher().same(left, right)
    assert Matcher().same(right, left) == same
    if same:
        assert repr(a) == repr(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [(1, True), (1, 1.0), (0, False), ("1", 1), (None, False), ([1], [1, 2]), ({"a": 1}, {"b": 1}),
     ({"a": 1}, {"a": 1, "b": 2}), ([1, 2], [2, 1]), (0.0, 1e-300), ("", None)],
)  # fmt: skip
def test_what_is_not_the_same(a: Any, b: Any) -> None:
    assert not Matcher().same(a, b)
    assert not Matcher().same(b, a)


def test_nan_is_the_same_as_nan_and_lists_as_tuples() -> None:
    assert Matcher().same(float("nan"), float("nan"))
    assert Matcher().same((1, [2]), [1, (2,)])


def test_addresses_are_renamed_and_the_rest_of_the_text_counts() -> None:
    matcher = Matcher()
    assert matcher.same("<A at 0x7f0000000010>", "<A at 0x7f1111111110>")
    assert matcher.same(["<A at 0x7f0000000010>"], ["<A at 0x7f1111111110>"])
    assert not matcher.same("<A at 0x7f0000000010>", "<B at 0x7f1111111110>")
    assert not matcher.same("<A at 0x7f0000000010>", "<A>")
    # Memory is used again: the same place may be another object later, on one side only.
    assert matcher.same("<A at 0x7f0000000010>", "<A at 0x7f2222222220>")
    assert matcher.same("<A at 0x7f0000000099>", "<A at 0x7f1111111110>")
    assert matcher.renamed == 4


def test_two_addresses_in_one_text_stay_apart() -> None:
    both = "<A at 0x7f0000000010> <A at 0x7f0000000020>"
    assert Matcher().same(both, "<A at 0x7f0000000030> <A at 0x7f0000000040>")
    assert not Matcher().same(both, "<A at 0x7f0000000030> <A at 0x7f0000000030>")


def test_short_hexadecimal_is_no_address() -> None:
    assert not Matcher().same("0x1f", "0x2f")
