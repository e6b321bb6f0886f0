"""Positions among statements that were counted and not listed (an `elided` record).

Guarantee: such a position is found by running the block once more and hearing which statement it is; the
replay that then stops there compares as every other does. The wrong alternative is to take the nearest
statement that was listed.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from coda.log import Elided, Lines, Position, Trace, Units
from coda.replay.session import Session
from coda.replay.tape import BlockTape, Stop, block_tapes, count_of


class _Wanted(NamedTuple):
    """A statement of a block, by its number among all that the block started."""

    block: int
    step: int
    seq: int
    """Its event."""


class _Heard(BaseException):
    """The statement was heard: the replay has done its work."""


def elided_place(trace: Trace, position: Position, *, trust: bool, best_effort: bool = False) -> Stop | None:
    """Gives where to stop for a position among statements that were only counted; None for every other.

    Cost: for such a position alone, a replay of the run up to it.
    """
    wanted = None if position.block is not None else _wanted(trace, position)
    if wanted is None:
        return None
    listener = _Listener(wanted)
    with Session(trace, trust=trust, best_effort=best_effort) as session:
        listener.session = session
        session.boundary.heard = listener.hear
        try:
            session.run_to(None)
        except _Heard:
            return Stop(wanted.seq, ident=listener.ident, passes=listener.passes)
    return None


class _Listener:
    """Counts the statements of one block as the worker tells of them."""

    def __init__(self, wanted: _Wanted) -> None:
        self.session: Session | None = None
        self.ident = -1
        self.passes = 0
        self._block = wanted.block
        self._left = wanted.step
        self._seen: Counter[int] = Counter()

    def hear(self, ids: list[int]) -> None:
        """Takes a chunk; raises `_Heard` at the statement."""
        session = self.session
        if session is None or session.block is None or session.block.started.block != self._block:
            return
        counts = Counter(ids)
        statements = {ident for ident in counts if ident >= 0 and session.units.is_statement(ident)}
        total = sum(counts[ident] for ident in statements)
        if total <= self._left:
            self._left -= total
            self._seen.update(counts)
            return
        for ident in ids:
            if ident in statements:
                if self._left == 0:
                    self.ident, self.passes = ident, self._seen[ident]
                    raise _Heard
                self._left -= 1
            self._seen[ident] += 1


def _wanted(trace: Trace, position: Position) -> _Wanted | None:
    """The statement that a position names, when it was only counted."""
    block = trace.block_of(position.seq)
    if block is None or next(trace.records(own=False, types={"elided"}), None) is None:
        return None
    for tape in block_tapes(trace):
        if isinstance(tape, BlockTape) and tape.started.block == block.number:
            if not any(isinstance(item, Elided) for item in tape.items):
                return None
            return _counted_from(tape, position, Units(trace.units()))
    return None


def _counted_from(tape: BlockTape, position: Position, units: Units) -> _Wanted | None:
    """`N`, or the last of the K statements that begin after it."""
    step, left = 0, position.steps
    for item in tape.items:
        if not isinstance(item, Elided | Lines):
            continue
        end = item.seq + count_of(item)
        if isinstance(item, Elided) and not position.steps and item.seq <= position.seq < end:
            return _Wanted(tape.started.block, step + position.seq - item.seq, position.seq)
        after = _after(item, position.seq, units) if position.steps and end > position.seq else 0
        total = item.n if isinstance(item, Elided) else _after(item, -1, units)
        if position.steps and after >= left:
            if isinstance(item, Lines):
                return None  # that one was listed
            number = item.n - after + left - 1
            return _Wanted(tape.started.block, step + number, item.seq + number)
        step += total
        left -= after
    return None


def _after(item: Elided | Lines, seq: int, units: Units) -> int:
    """How many statements of a record begin after an event."""
    if isinstance(item, Elided):
        return min(item.n, item.seq + item.n - 1 - seq)
    if item.seq > seq:
        return item.n - sum(1 for ident in item.ids if ident < 0)
    number, found = item.seq, 0
    for ident in item.ids:
        if ident < 0 or units.is_statement(ident):
            found += ident >= 0 and number > seq
            number += 1
    return found
