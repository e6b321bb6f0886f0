"""Which rows are visible when parts of a run are folded, by arithmetic instead of by a list of rows.

Guarantee: with N events and R folded ranges, finding the event of a row or the row of an event costs
O(log R), and memory is O(R), whatever N is. Each event is one row; a fold hides the events behind its
first one. The wrong alternative: one node object for each row, which a million line events cannot afford.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate

FOREVER = 1 << 60
"""End of a fold that is still growing."""


class Folding:
    """The hidden ranges of event numbers: disjoint, in order, each with a visible event before it."""

    def __init__(self) -> None:
        self._starts = array("q")
        self._ends = array("q")
        self._hidden = array("q")  # events hidden by the ranges up to and with this one
        self._tops = array("q")  # row that the range would begin at
        self._dirty = False

    def hide(self, first: int, last: int) -> None:
        """Hides the events first..last (inclusive; `FOREVER` for one that still grows)."""
        if last < first:
            return
        low = bisect_left(self._starts, first)
        high = bisect_right(self._starts, last)
        self._starts[low:high] = array("q", [first])
        self._ends[low:high] = array("q", [last])
        self._dirty = True

    def show(self, first: int, inner: list[tuple[int, int]]) -> None:
        """Shows what the range that begins at `first` hid, except for the inner ranges."""
        low = bisect_left(self._starts, first)
        if low == len(self._starts) or self._starts[low] != first:
            return
        self._starts[low : low + 1] = array("q", [start for start, _ in inner])
        self._ends[low : low + 1] = array("q", [end for _, end in inner])
        self._dirty = True

    def hides(self, seq: int) -> bool:
        """Tells whether the event has no row of its own now."""
        index = bisect_right(self._starts, seq) - 1
        return index >= 0 and seq <= self._ends[index]

    def rows(self, count: int) -> int:
        """Number of visible rows among the events 0..count-1."""
        self._settle()
        if not self._starts:
            return count
        index = bisect_left(self._starts, count) - 1
        if index < 0:
            return count
        over = max(0, self._ends[index] - (count - 1))
        return count - (self._hidden[index] - over)

    def row_of(self, seq: int) -> int:
        """Row of the event, or of the event that its fold left visible."""
        self._settle()
        index = bisect_right(self._starts, seq) - 1
        if index < 0:
            return seq
        if seq <= self._ends[index]:
            return self._tops[index] - 1
        return seq - self._hidden[index]

    def seq_of(self, row: int) -> int:
        """Event of a visible row; the inverse of `row_of` for events that are not hidden."""
        self._settle()
        index = bisect_right(self._tops, row) - 1
        return row if index < 0 else row + self._hidden[index]

    def _settle(self) -> None:
        if not self._dirty:
            return
        lengths = [end - start + 1 for start, end in zip(self._starts, self._ends, strict=True)]
        self._hidden = array("q", accumulate(lengths))
        self._tops = array(
            "q",
            (
                start - (hidden - length)
                for start, hidden, length in zip(self._starts, self._hidden, lengths, strict=True)
            ),
        )
        self._dirty = False
