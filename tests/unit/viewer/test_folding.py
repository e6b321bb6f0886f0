from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coda.viewer.folding import FOREVER, Folding


def test_nothing_folded_is_one_row_an_event() -> None:
    folding = Folding()
    assert folding.rows(5) == 5
    assert [folding.row_of(seq) for seq in range(5)] == [0, 1, 2, 3, 4]
    assert [folding.seq_of(row) for row in range(5)] == [0, 1, 2, 3, 4]


def test_a_fold_leaves_its_first_event() -> None:
    folding = Folding()
    folding.hide(3, 6)
    assert folding.rows(10) == 6
    assert [folding.seq_of(row) for row in range(6)] == [0, 1, 2, 7, 8, 9]
    assert folding.row_of(5) == 2
    assert folding.row_of(7) == 3


def test_a_growing_fold_hides_what_comes() -> None:
    folding = Folding()
    folding.hide(2, FOREVER)
    assert folding.rows(2) == 2
    assert folding.rows(1000) == 2
    assert folding.row_of(999) == 1


def test_an_outer_fold_swallows_inner_ones_and_gives_them_back() -> None:
    folding = Folding()
    folding.hide(3, 4)
    folding.hide(8, 9)
    folding.hide(1, 12)
    assert folding.rows(20) == 8
    folding.show(1, [(3, 4), (8, 9)])
    assert [folding.seq_of(row) for row in range(folding.rows(14))] == [0, 1, 2, 5, 6, 7, 10, 11, 12, 13]


@given(
    count=st.integers(1, 60),
    ranges=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 10)), max_size=8),
)
def test_rows_and_events_are_inverse(count: int, ranges: list[tuple[int, int]]) -> None:
    folding = Folding()
    hidden: set[int] = set()
    for first, length in ranges:
        last = first + length
        if any(event in hidden for event in range(first - 1, last + 2)):
            continue  # folds nest or are apart, with an event between them
        folding.hide(first, last)
        hidden.update(range(first, last + 1))
    visible = [event for event in range(count) if event not in hidden]
    assert folding.rows(count) == len(visible)
    assert [folding.seq_of(row) for row in range(len(visible))] == visible
    for event in range(count):
        before = [shown for shown in visible if shown <= event]
        assert folding.row_of(event) == len(before) - 1
        assert folding.hides(event) == (event in hidden)
