"""Frames as they are at a place in the middle of a run: what its block did before, gone through quickly.

Guarantee: a pass that begins in the middle tells the same frames as one from the block's start. A generator
that began in an earlier block is not known to it by its number, and has None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coda.log.codec import decode, head_of, type_of
from coda.log.events import Elided, Lines, ThreadStarted
from coda.log.frames import FrameRows, Frames
from coda.log.units import Units
from coda.log.walk import SWITCHED

if TYPE_CHECKING:
    from coda.log.reader import Trace

_TOLD_OF = frozenset({"lines", "elided", "thread.started", "limit.hit"})


def frames_at(trace: Trace, offset: int) -> Frames:
    """Gives the frames as they are before the record at a byte offset of a trace's own file.

    Cost: about 0.2 microseconds for each entry of its block before it.
    """
    frames = Frames()
    seq = next((h.seq for at, raw in trace.file.lines(offset) if (h := head_of(raw, at)).seq >= 0), None)
    block = trace.block_of(seq) if seq is not None else None
    if seq is None or block is None or block.seq >= seq:
        return frames
    if block.table is None or not block.table.bodies:
        return frames  # a run without marks
    walk = _Feeder(frames, Units(trace.units(seq)))
    frames.begin_block()
    for piece, begin, stop in trace.pieces(block.seq, seq):
        switches = SWITCHED in piece.header.codes.values()
        for at, raw in piece.file.lines(piece.seek(begin)):
            kind = type_of(raw, at)
            if kind not in _TOLD_OF:
                continue
            record = decode(raw, at, kind)
            if stop is not None and getattr(record, "seq", -1) >= stop:
                break
            if isinstance(record, Lines) and record.seq + record.n > begin:
                walk.lines(record, stop, piece)
            elif isinstance(record, Lines) or getattr(record, "seq", -1) < begin:
                continue
            elif isinstance(record, Elided):
                frames.lose_all()
            elif isinstance(record, ThreadStarted) and switches:
                frames.start_thread(record.thread)
            elif isinstance(record, ThreadStarted) or getattr(record, "what", "") == "threads":
                frames.mix()
    return frames


class _Feeder:
    """Gives the entries of `lines` records to frames."""

    def __init__(self, frames: Frames, units: Units) -> None:
        self.frames = frames
        self.units = units
        self.base = self.end = self.statements_end = 0
        self.rows: FrameRows | None = None

    def lines(self, record: Lines, stop: int | None, trace: Trace) -> None:
        """Takes in one record up to an event."""
        frames, seq = self.frames, record.seq
        self.units.verify(record, trace.header.codes, -1)
        values = iter(record.vals)
        for id in record.ids:
            if id < 0:
                if stop is not None and seq >= stop:
                    return
                value = next(values)
                if trace.header.codes[id] == SWITCHED:
                    frames.switch(value)
                seq += 1
                continue
            if not self.base <= id < self.end:
                self._enter(id)
            if id >= self.statements_end:
                value = next(values)
                if self.rows is not None:
                    frames.binding(self.rows, id - self.statements_end, value, seq)
                continue
            if stop is not None and seq >= stop:
                return
            if self.rows is not None:
                frames.statement(self.rows, id - self.base, seq)
            seq += 1

    def _enter(self, id: int) -> None:
        unit = self.units.find(id)
        assert unit is not None  # verified
        self.base, self.end, self.statements_end = unit.table.base, unit.table.end, unit.statements_end
        self.rows = unit.frames if unit.table.bodies else None
