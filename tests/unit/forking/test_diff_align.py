"""Alignment is sound on any two sequences, shortest where few items differ, and bounded in cost."""

from __future__ import annotations

import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda.forking.align import Match, align, gaps


def items(*numbers: int) -> array[int]:
    return array("I", numbers)


def longest_common(a: list[int], b: list[int]) -> int:
    row = [0] * (len(b) + 1)
    for left in a:
        before = 0
        for at, right in enumerate(b, 1):
            before, row[at] = (
                row[at],
                before + 1 if left == right else max(row[at], row[at - 1]),
            )
    return row[-1]


def assert_sound(a: array[int], b: array[int], matches: list[Match]) -> None:
    a_end = b_end = 0
    for match in matches:
        assert match.size > 0
        assert match.a >= a_end
        assert match.b >= b_end
        assert a[match.a : match.a + match.size] == b[match.b : match.b + match.size]
        a_end, b_end = match.a + match.size, match.b + match.size
    assert a_end <= len(a)
    assert b_end <= len(b)


small = st.lists(st.integers(0, 3), max_size=30)


@given(small, small)
def test_short_sequences_are_aligned_by_a_longest_common_part(a: list[int], b: list[int]) -> None:
    left, right = items(*a), items(*b)
    matches = align(left, right)
    assert_sound(left, right, matches)
    assert sum(match.size for match in matches) == longest_common(a, b)


@given(
    st.lists(st.integers(0, 40), max_size=400),
    st.lists(st.integers(0, 40), max_size=400),
)
def test_matches_and_gaps_cover_both_sequences(a: list[int], b: list[int]) -> None:
    left, right = items(*a), items(*b)
    matches = align(left, right)
    assert_sound(left, right, matches)
    both = sum(match.size for match in matches)
    holes = list(gaps(matches, len(a), len(b)))
    assert both + sum(a_end - a_at for a_at, a_end, _, _ in holes) == len(a)
    assert both + sum(b_end - b_at for _, _, b_at, b_end in holes) == len(b)


@pytest.mark.parametrize("at", [0, 1, 5, 4095, 399_999, 400_000])
def test_one_inserted_item_leaves_all_others_aligned(at: int) -> None:
    loop = [1, 2, 3, 4, 5, 6, 7, 8] * 50_000
    a, b = items(*loop), items(*loop[:at], 99, *loop[at:])
    assert list(gaps(align(a, b), len(a), len(b))) == [(at, at, at, at + 1)]


def test_loops_that_take_other_branches_are_paired_iteration_by_iteration() -> None:
    dice = random.Random(7)
    body = {False: [1, 2, 3, 4], True: [1, 2, 5, 6, 4]}
    a = items(*(token for _ in range(50_000) for token in body[dice.random() < 0.5]))
    b = items(*(token for _ in range(50_000) for token in body[dice.random() < 0.5]))
    matches = align(a, b)
    assert_sound(a, b, matches)
    shared = {at + step for at, _, size in matches for step in range(size)}
    heads = [at for at, token in enumerate(a) if token == 1]
    assert sum(at in shared for at in heads) == 50_000


def test_sequences_with_nothing_in_common_have_no_match() -> None:
    a, b = items(*range(20_000)), items(*range(20_000, 45_000))
    assert align(a, b) == []
    assert list(gaps([], 20_000, 25_000)) == [(0, 20_000, 0, 25_000)]


def test_moved_unique_items_keep_the_longest_rising_part() -> None:
    numbers = list(range(5000))
    moved = numbers[4000:] + numbers[:4000]
    a, b = items(*numbers), items(*moved)
    matches = align(a, b)
    assert_sound(a, b, matches)
    assert sum(match.size for match in matches) == 4000
