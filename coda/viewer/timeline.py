"""The timeline of a run: every event a place, turns, blocks and calls as ranges, any row on demand.

Guarantee: adding records is proportional to the records (not to the lines that they hold), and every
question a screen asks (how many rows, which event is row i, what encloses event n, where is the next
block) is answered by bisection. Nothing of a record is decoded here; see `moments`.
The wrong alternative: a tree of objects that must be complete before it can be shown.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import NamedTuple

from coda.viewer.folding import FOREVER, Folding
from coda.viewer.index import Batch, Mark

SETUP, TURN, BLOCK, CALL = range(4)

_OPENS = {
    "run.started": SETUP,
    "turn.started": TURN,
    "block.started": BLOCK,
    "tool.called": CALL,
    "process.started": CALL,
    "subagent.called": CALL,
}
_CLOSES = {
    "turn.finished": TURN,
    "block.finished": BLOCK,
    "tool.returned": CALL,
    "process.finished": CALL,
    "subagent.returned": CALL,
}
_SETUP_TYPES = frozenset({"sandbox.started", "tool.declared", "skill.loaded", "mcp.connected"})
_CTX_TYPES = frozenset({"ctx.set", "ctx.deleted", "ctx.mutated"})
_TALK_TYPES = frozenset({"user.message", "llm.requested", "llm.responded", "context.reminded"})


class Group(NamedTuple):
    """A range of events that can be folded: start..end, both inclusive."""

    key: int
    kind: int
    """SETUP, TURN, BLOCK or CALL."""
    start: int
    end: int
    """Last event; one less than the number of events so far while it is open."""
    open: bool
    """True while the end has not been recorded."""
    number: int
    """Number of the turn or block; 0 for the rest."""
    folded: bool
    took_ns: int
    """From the first event to the last, in nanoseconds."""
    failed: bool
    outcome: str | None


class Place(NamedTuple):
    """Where a record lies."""

    record: int
    segment: int
    offset: int
    size: int
    seq: int
    """Number of its first event."""
    type: str
    t: int
    """Nanoseconds since the run began, of the record."""


class Timeline:
    """Everything known of a run's shape so far. Only ever grows, by `apply`."""

    def __init__(self) -> None:
        self.count = 0
        self.finished = False
        self.outcome: str | None = None
        self.errors = array("q")
        self.marks = array("q")
        self.blocks = array("q")
        self.turns = array("q")
        self.talk = array("q")
        self.ctx = array("q")
        self.bases: list[tuple[int, int]] = []  # (first id, record) of each statement table, by first id
        self._seq = array("q")
        self._offset = array("q")
        self._size = array("q")
        self._t = array("q")
        self._type = array("H")
        self._segment = array("B")
        self._types: list[str] = []
        self._type_codes: dict[str, int] = {}
        self._start = array("q")
        self._end = array("q")
        self._parent = array("q")
        self._kind = array("B")
        self._number = array("q")
        self._folded = bytearray()
        self._failed = bytearray()
        self._outcomes: dict[int, str] = {}
        self._stack: list[int] = []
        self._folding = Folding()
        self._unfold_blocks = True

    # --- growing -------------------------------------------------------------------------------

    def apply(self, batch: Batch) -> None:
        """Takes the next batch of the scan."""
        base = len(self._seq)
        self._seq.extend(batch.seq)
        self._offset.extend(batch.offset)
        self._size.extend(batch.size)
        self._t.extend(batch.t)
        self._type.extend(array("H", [self._code(name) for name in batch.types]))
        self._segment.extend(array("B", bytes([batch.segment]) * len(batch.seq)))
        self.count = max(self.count, batch.end_seq)
        for mark in batch.marks:
            self._mark(mark, base + mark.record)

    def _code(self, name: str) -> int:
        code = self._type_codes.get(name)
        if code is None:
            code = self._type_codes[name] = len(self._types)
            self._types.append(name)
        return code

    def _mark(self, mark: Mark, record: int) -> None:
        seq, kind = mark.seq, mark.type
        self.marks.append(seq)
        if mark.failed:
            self.errors.append(seq)
        if self._stack and self._kind[self._stack[-1]] == SETUP and kind not in _SETUP_TYPES:
            self._close(self._stack.pop(), seq - 1, mark, own=False)
        if mark.base is not None:
            insort(self.bases, (mark.base, record))
        if kind in _TALK_TYPES:
            self.talk.append(seq)
        elif kind in _CTX_TYPES:
            self.ctx.append(seq)
        elif kind == "run.finished":
            self.finished, self.outcome = True, mark.outcome
        if kind in _OPENS:
            self._open(_OPENS[kind], mark)
        elif kind in _CLOSES:
            self._close_matching(_CLOSES[kind], mark)

    def _open(self, kind: int, mark: Mark) -> None:
        index = len(self._start)
        folded = kind in (SETUP, CALL)
        number = 0
        if kind == BLOCK:
            self.blocks.append(mark.seq)
            number = mark.block or len(self.blocks)
            # A program is one block, and opens as it is; an agent's blocks are an outline first.
            folded = bool(self.turns) or len(self.blocks) > 1
        elif kind == TURN:
            self.turns.append(mark.seq)
            number = mark.turn or len(self.turns)
        self._start.append(mark.seq)
        self._end.append(FOREVER)
        self._parent.append(self._stack[-1] if self._stack else -1)
        self._kind.append(kind)
        self._number.append(number)
        self._folded.append(folded)
        self._failed.append(0)
        self._stack.append(index)
        if folded and not self._folding.hides(mark.seq):
            self._folding.hide(mark.seq + 1, FOREVER)

    def _close_matching(self, kind: int, mark: Mark) -> None:
        for depth in range(len(self._stack) - 1, -1, -1):
            group = self._stack[depth]
            if self._kind[group] != kind:
                if kind == CALL and self._kind[group] in (TURN, BLOCK):
                    return
                continue
            if kind == CALL and mark.cause is not None and self._start[group] != mark.cause:
                continue
            for left in self._stack[depth + 1 :]:
                # It has no end of its own, or overlaps this one (threads): a range that nothing can fold.
                inner_end = self._start[left] if kind == CALL else mark.seq - 1
                self._close(left, inner_end, mark, own=False)
            del self._stack[depth:]
            self._close(group, mark.seq, mark, own=True)
            return

    def _close(self, group: int, end: int, mark: Mark, *, own: bool) -> None:
        start = self._start[group]
        self._end[group] = end
        if own:
            self._failed[group] = mark.failed
            if mark.outcome:
                self._outcomes[group] = mark.outcome
        if not self._folded[group]:
            return
        if self._folding.hides(start):
            return
        self._folding.show(start + 1, [])
        self._folding.hide(start + 1, end)

    # --- asking --------------------------------------------------------------------------------

    def place(self, record: int) -> Place:
        """Where the record with this index lies."""
        return Place(
            record,
            self._segment[record],
            self._offset[record],
            self._size[record],
            self._seq[record],
            self._types[self._type[record]],
            self._t[record],
        )

    def record_of(self, seq: int) -> int:
        """Index of the record that holds the event; -1 when there is none."""
        return bisect_right(self._seq, seq) - 1

    def records(self) -> int:
        """Number of records so far."""
        return len(self._seq)

    def end_of(self, record: int) -> int:
        """First number after the events of a record, as far as this run has them."""
        return self._seq[record + 1] if record + 1 < len(self._seq) else self.count

    def type_of(self, record: int) -> str:
        """Type of the record with this index."""
        return self._types[self._type[record]]

    def group(self, index: int) -> Group:
        """The group with this index."""
        start, end = self._start[index], self._end[index]
        grows = end == FOREVER
        end = self.count - 1 if grows else end
        last = self.record_of(end)
        return Group(
            index,
            self._kind[index],
            start,
            end,
            grows,
            self._number[index],
            bool(self._folded[index]),
            max(0, self._t[last] - self._t[self.record_of(start)]),
            bool(self._failed[index]),
            self._outcomes.get(index),
        )

    def opened_by(self, seq: int) -> Group | None:
        """The group whose first event this is, when it has something to fold."""
        index = bisect_left(self._start, seq)
        if index == len(self._start) or self._start[index] != seq or self._end[index] <= seq:
            return None
        return self.group(index)

    def _enclosing(self, seq: int) -> Iterator[int]:
        """Indexes of the groups around an event, innermost first; a group's first event is not in it."""
        index = bisect_left(self._start, seq) - 1
        while index >= 0:
            if self._end[index] >= seq:
                yield index
            index = self._parent[index]

    def enclosing(self, seq: int, kind: int) -> Group | None:
        """The innermost group of a kind that holds the event, its first event included."""
        own = self.opened_by(seq)
        if own is not None and own.kind == kind:
            return own
        return next((self.group(i) for i in self._enclosing(seq) if self._kind[i] == kind), None)

    def depth(self, seq: int) -> int:
        """How many groups the row of the event is indented by."""
        return sum(1 for _ in self._enclosing(seq))

    def next_of(self, starts: array[int], seq: int) -> int | None:
        """The first number after seq in a sorted array (blocks, turns, errors, hits)."""
        index = bisect_right(starts, seq)
        return starts[index] if index < len(starts) else None

    def previous_of(self, starts: array[int], seq: int) -> int | None:
        """The last number before seq in a sorted array."""
        index = bisect_left(starts, seq)
        return starts[index - 1] if index else None

    # --- rows ----------------------------------------------------------------------------------

    def rows(self) -> int:
        """Number of visible rows: the events that no fold hides, and one for the end of the run."""
        return self._folding.rows(self.count) + 1

    def row_of(self, seq: int) -> int:
        """Row of an event, or of the fold that hides it; `count` is the row of the end."""
        return self.rows() - 1 if seq >= self.count else self._folding.row_of(seq)

    def seq_of(self, row: int) -> int:
        """Event of a row; `count` for the row of the end."""
        if row >= self.rows() - 1:
            return self.count
        return self._folding.seq_of(max(0, row))

    def hides(self, seq: int) -> bool:
        """Tells whether a fold hides the event."""
        return seq < self.count and self._folding.hides(seq)

    def fold(self, index: int, folded: bool) -> None:
        """Folds or unfolds a group; groups inside keep their own state."""
        if bool(self._folded[index]) == folded:
            return
        self._folded[index] = folded
        start, end = self._start[index], self._end[index]
        if self._folding.hides(start):
            return
        if folded:
            self._folding.hide(start + 1, end)
            return
        self._folding.show(start + 1, list(self._folds_inside(index, end)))

    def _folds_inside(self, index: int, end: int) -> Iterator[tuple[int, int]]:
        inner = index + 1
        while inner < len(self._start) and self._start[inner] <= end:
            first, last = self._start[inner] + 1, self._end[inner]
            if self._folded[inner] and last >= first:
                yield first, last
                inner = bisect_right(self._start, last, lo=inner + 1)
            else:
                inner += 1

    def reveal(self, seq: int) -> None:
        """Unfolds whatever hides an event."""
        if self.hides(seq):
            for index in reversed(list(self._enclosing(seq))):
                self.fold(index, False)

    def fold_all(self, kind: int, folded: bool) -> None:
        """Folds or unfolds every group of a kind."""
        for index in range(len(self._start)):
            if self._kind[index] == kind:
                self.fold(index, folded)

    # --- the scrubber --------------------------------------------------------------------------

    def density(self, width: int) -> list[tuple[int, int]]:
        """For each of width equal parts of the run: how many effects, and how many errors."""
        cells = []
        for column in range(width):
            low, high = column * self.count // width, max(1, (column + 1) * self.count // width)
            marks = bisect_left(self.marks, high) - bisect_left(self.marks, low)
            errors = bisect_left(self.errors, high) - bisect_left(self.errors, low)
            cells.append((marks, errors))
        return cells
