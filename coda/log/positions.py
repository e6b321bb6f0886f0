"""Positions: the places of a run at which it can be looked at, and left.

    N      just before event N; N = count means after the last event
    N+K    K statements after event N began (they have no number of their own, e.g. at level `effects`)
    B:S    block B, just before its S-th executed statement, counted from 0

Guarantee: a text becomes a position only if the run has that place; otherwise `UsageError` says what
the range is. Positions are printed in full, in the form in which they can be given again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from coda.errors import UsageError

if TYPE_CHECKING:
    from coda.log.reader import Trace

_FORM: Final = re.compile(
    r"(?P<seq>\d{1,15})(?:\+(?P<steps>\d{1,15}))?|(?P<block>\d{1,9}):(?P<step>\d{1,15})"
)


class Position(NamedTuple):
    """A place in a run: just before event `seq`, or `steps` statements after it began.

    With a `block`, `seq` is its start and `steps` counts its statements from 0: a place that has no number
    (level `effects`).
    """

    seq: int
    steps: int = 0
    block: int | None = None

    def __str__(self) -> str:
        if self.block is not None:
            return f"{self.block}:{self.steps}"
        return f"{self.seq}+{self.steps}" if self.steps else str(self.seq)

    @property
    def is_counted(self) -> bool:
        """Whether it is found by counting statements, not by an event's number alone."""
        return self.steps > 0 or self.block is not None

    @property
    def text(self) -> str:
        """The position as it can be given to `--at`."""
        return str(self)


def parse_position(text: str, trace: Trace) -> Position:
    """Gives the position that a text names in a run.

    Raises:
        UsageError: it is not a position, or the run has no such place.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{text[:80]!r} is not a position: give N (before event N), N+K (K statements on) or B:S "
            "(block B, statement S)",
            position=text,
        )
    if match["block"] is not None:
        return _in_block(text, int(match["block"]), int(match["step"]), trace)
    count = trace.count()
    seq, steps = int(match["seq"]), int(match["steps"] or 0)
    if seq > count or (steps and seq == count):
        raise UsageError(
            f"position {text} is beyond the end of {trace.path}: positions are 0 to {count}",
            position=text,
            count=count,
        )
    return Position(seq, steps)


def _in_block(text: str, number: int, step: int, trace: Trace) -> Position:
    block = trace.block(number)
    seen, last = 0, None
    for event in trace.events(block.seq + 1, block.end_seq, types={"line", "elided"}):
        if event.type == "elided":
            if step < seen + event.n:
                return Position(event.seq + step - seen)
            seen += event.n
        else:
            if seen == step:
                return Position(event.seq)
            seen += 1
        last = event
    # At level `effects` no statement was counted.
    counted = block.finished is not None and trace.started.level != "effects"
    total = block.finished.lines if block.finished is not None and counted else None
    if last is None and (total is None or step < total):
        # No line has a number (level `effects`): count from the start of the block.
        return Position(block.seq, step, number)
    raise UsageError(
        f"position {text} is beyond block {number} of {trace.path}, which executed "
        f"{seen if total is None else total} statements: S is 0 to {max((total or seen) - 1, 0)}",
        position=text,
    )
