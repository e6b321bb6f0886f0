"""Alignment of two long sequences of numbers.

Guarantee: the matches are common, in order in both sequences and never overlap; the cost is bounded
(a fixed number of search steps, then passes that are linear for each kind of number), so that two
blocks of a million steps are aligned in seconds. The wrong alternative is a textbook difference
algorithm, which is quadratic on what loops give: few kinds of number, each very often.

Where few items differ the alignment is a shortest one (the greedy algorithm of Myers 1986, bounded).
Where many differ it goes by structure, from the outside in: what stands outside of loops is paired
first, then the k-th turn of a loop with the k-th turn in the other run, then what is in a turn. A
branch that was taken as often, but in other turns, must not pull the turns apart.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_STEPS = 2_000_000  # search steps in one alignment; measured 0.5 us each
_EDITS = 256  # a piece with more differences than this is split by structure
_WIDTH = 4


class Match(NamedTuple):
    """`size` items from `a` on in the first sequence equal those from `b` on in the second."""

    a: int
    b: int
    size: int


class _Piece(NamedTuple):
    a: int
    a_end: int
    b: int
    b_end: int


def tokens() -> array[int]:
    """Gives an empty sequence of the kind that `align` takes."""
    empty: array[int] = array("I")
    assert empty.itemsize == _WIDTH
    return empty


class Shape(NamedTuple):
    """Where a number stands in the structure."""

    depth: int
    """How deep: 0 outside of loops, more within each; what is less deep is paired first."""
    is_head: bool
    """Whether it begins a turn of a loop, or a call of a function."""


FLAT = Shape(0, False)


def align(a: array[int], b: array[int], shapes: Sequence[Shape] | None = None) -> list[Match]:
    """Gives the runs of items that `a` and `b` have in common, in order.

    Args:
        a: numbers below 2**32, as made by `tokens`.
        b: the same.
        shapes: of each number; None when there is no structure.

    Returns:
        Matches with rising positions; neighbours that touch in both are one match.

    Cost:
        Linear where the sequences agree; at most two million search steps for the rest.
    """
    return _merged(sorted(_Aligner(a, b, shapes).run()))


def gaps(matches: list[Match], a_size: int, b_size: int) -> Iterator[tuple[int, int, int, int]]:
    """Gives what lies between the matches: (a, a_end, b, b_end), each non-empty on at least one side."""
    a = b = 0
    for match in [*matches, Match(a_size, b_size, 0)]:
        if match.a > a or match.b > b:
            yield a, match.a, b, match.b
        a, b = match.a + match.size, match.b + match.size


def _merged(matches: list[Match]) -> list[Match]:
    result: list[Match] = []
    for match in matches:
        last = result[-1] if result else None
        if last and (last.a + last.size, last.b + last.size) == (match.a, match.b):
            result[-1] = Match(last.a, last.b, last.size + match.size)
        else:
            result.append(match)
    return result


class _Aligner:
    """One alignment: the sequences, also as bytes so that stretches compare at the speed of memory."""

    def __init__(self, a: array[int], b: array[int], shapes: Sequence[Shape] | None) -> None:
        self.a, self.b, self.shapes = a, b, shapes
        self.a_bytes, self.b_bytes = a.tobytes(), b.tobytes()
        self.steps = _STEPS
        self.matches: list[Match] = []
        self.todo: list[_Piece] = []

    def run(self) -> list[Match]:
        self.todo.append(_Piece(0, len(self.a), 0, len(self.b)))
        while self.todo:
            piece = self.trim(self.todo.pop())
            if piece.a < piece.a_end and piece.b < piece.b_end and not self.search(piece):
                self.split(piece)
        return self.matches

    def keep(self, a: int, b: int, size: int) -> None:
        if size:
            self.matches.append(Match(a, b, size))

    def trim(self, piece: _Piece) -> _Piece:
        a, a_end, b, b_end = piece
        head = self.common(a, b, min(a_end - a, b_end - b))
        self.keep(a, b, head)
        a, b = a + head, b + head
        tail = self.common_tail(a_end, b_end, min(a_end - a, b_end - b))
        self.keep(a_end - tail, b_end - tail, tail)
        return _Piece(a, a_end - tail, b, b_end - tail)

    def common(self, a: int, b: int, limit: int) -> int:
        """How many items are equal from a and b on, at most limit."""
        if not limit or self.a[a] != self.b[b]:
            return 0
        done, width = 1, 4
        while done < limit:
            width = min(width, limit - done)
            left, right = (a + done) * _WIDTH, (b + done) * _WIDTH
            size = width * _WIDTH
            if self.a_bytes[left : left + size] == self.b_bytes[right : right + size]:
                done, width = done + width, width * 4
            elif width == 1:
                break
            else:
                limit, width = done + width, max(1, width // 4)
        return done

    def common_tail(self, a_end: int, b_end: int, limit: int) -> int:
        """How many items are equal up to a_end and b_end, at most limit."""
        done, width = 0, 4
        while done < limit:
            width = min(width, limit - done)
            left, right = (a_end - done) * _WIDTH, (b_end - done) * _WIDTH
            size = width * _WIDTH
            if self.a_bytes[left - size : left] == self.b_bytes[right - size : right]:
                done, width = done + width, width * 4
            elif width == 1:
                break
            else:
                limit, width = done + width, max(1, width // 4)
        return done

    def search(self, piece: _Piece) -> bool:
        """Looks for a shortest alignment; False when it would need too many edits."""
        n, m = piece.a_end - piece.a, piece.b_end - piece.b
        if n == 1 or m == 1:
            self.single(piece)
            return True
        most = min(n + m, _EDITS, 32 + (n + m) // 16)
        if abs(n - m) > most:
            return False
        furthest = [0] * (2 * most + 3)  # of diagonal k, at index k
        history: list[list[int]] = []
        for edits in range(most + 1):
            if self.steps <= 0:
                return False
            history.append([furthest[k] for k in range(-edits - 1, edits + 2)])
            for k in range(-edits + 2 * max(0, edits - m), edits - 2 * max(0, edits - n) + 1, 2):
                self.steps -= 1
                down = k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1])
                x = furthest[k + 1] if down else furthest[k - 1] + 1
                y = x - k
                if 0 <= x < n and 0 <= y < m:
                    x += self.common(piece.a + x, piece.b + y, min(n - x, m - y))
                furthest[k] = x
                if x >= n and x - k >= m:
                    self.trace(piece, history, n, m)
                    return True
        return False

    def trace(self, piece: _Piece, history: list[list[int]], x: int, y: int) -> None:
        """Walks the search back and keeps the diagonals."""
        for edits in range(len(history) - 1, -1, -1):
            row, k = history[edits], x - y
            middle = edits + 1  # where row holds diagonal 0
            if edits == 0:
                self.keep(piece.a, piece.b, x)
                return
            down = k == -edits or (k != edits and row[middle + k - 1] < row[middle + k + 1])
            before = k + 1 if down else k - 1
            x_before = row[middle + before]
            x_after = x_before if down else x_before + 1
            self.keep(piece.a + x_after, piece.b + x_after - k, x - x_after)
            x, y = x_before, x_before - before

    def single(self, piece: _Piece) -> None:
        """One side has one item: it matches the first equal one, or none."""
        if piece.a_end - piece.a == 1:
            places = self.b[piece.b : piece.b_end]
            if (item := self.a[piece.a]) in places:
                self.keep(piece.a, piece.b + places.index(item), 1)
        else:
            places = self.a[piece.a : piece.a_end]
            if (item := self.b[piece.b]) in places:
                self.keep(piece.a + places.index(item), piece.b, 1)

    def split(self, piece: _Piece) -> None:
        """Pairs anchors of a piece that differs much, and leaves what is between them to do."""
        a, b = piece.a, piece.b
        for a_at, b_at in self.anchors(piece):
            self.keep(a_at, b_at, 1)
            self.todo.append(_Piece(a, a_at, b, b_at))
            a, b = a_at + 1, b_at + 1
            if a == piece.a_end or b == piece.b_end:
                return
        if (a, b) != (piece.a, piece.b):
            self.todo.append(_Piece(a, piece.a_end, b, piece.b_end))

    def anchors(self, piece: _Piece) -> list[tuple[int, int]]:
        a_slice, b_slice = self.a[piece.a : piece.a_end], self.b[piece.b : piece.b_end]
        a_counts, b_counts = Counter(a_slice), Counter(b_slice)
        shared = [item for item in a_counts if item in b_counts]
        if self.shapes is not None and shared:
            shapes = self.shapes
            least = min(shapes[item].depth for item in shared)
            shared = [item for item in shared if shapes[item].depth == least]
            turns = [item for item in shared if shapes[item].is_head and a_counts[item] + b_counts[item] > 2]
            shared = turns or shared
        once = {item for item in shared if a_counts[item] == b_counts[item] == 1}
        if once:
            b_places = {item: at for at, item in enumerate(b_slice) if item in once}
            pairs = [(at, b_places[item]) for at, item in enumerate(a_slice) if item in once]
            pairs = _rising(pairs)
        elif shared:
            rarest = min(shared, key=lambda item: (a_counts[item] != b_counts[item], a_counts[item]))
            pairs = list(zip(_places(a_slice, rarest), _places(b_slice, rarest), strict=False))
        else:
            pairs = []
        return [(piece.a + left, piece.b + right) for left, right in pairs]


def _places(items: array[int], wanted: int) -> Iterator[int]:
    return (at for at, item in enumerate(items) if item == wanted)


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of pairs (sorted by the first number) whose second numbers rise too."""
    tails: list[int] = []
    tail_at: list[int] = []
    before: list[int] = []
    for at, (_, second) in enumerate(pairs):
        slot = bisect_left(tails, second)
        before.append(tail_at[slot - 1] if slot else -1)
        tails[slot : slot + 1] = [second]
        tail_at[slot : slot + 1] = [at]
    result: list[tuple[int, int]] = []
    at = tail_at[-1] if tail_at else -1
    while at >= 0:
        result.append(pairs[at])
        at = before[at]
    return result[::-1]
