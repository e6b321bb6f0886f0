"""One opened trace: its files, its timeline, and the threads that keep it up to date.

Guarantee: opening reads the header and no more; scanning happens in a thread that posts batches, goes on
while the run is being written, and stops when asked. The timeline is changed by one thread only: the one
that calls `apply`.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Protocol

from coda.errors import CodaError
from coda.log import RunStarted, SandboxStarted, SealWatch, ToolDeclared, Trace
from coda.viewer.index import Batch, Bytes, scan
from coda.viewer.moments import Moment, Moments
from coda.viewer.rows import Row, end_row, row
from coda.viewer.text import Span, clean
from coda.viewer.timeline import BLOCK, CALL, Group, Timeline

POLL_S = 0.2
"""Seconds between two looks at a file that is still being written."""


class Post(Protocol):
    """Where the scanning thread tells of what it found; called from that thread."""

    def indexed(self, batch: Batch, *, more: bool) -> None:
        """More was scanned; `more` is False when the file is exhausted for now."""

    def damaged(self, text: str) -> None:
        """The trace cannot be read further."""


class Session:
    """An opened trace and what is known of it so far."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._chain = _chain(trace)
        self._limits = _limits(self._chain)
        self.bytes = Bytes(tuple(link.path for link in self._chain))
        self.timeline = Timeline()
        self.moments = Moments(self.timeline, self.bytes, trace.blobs)
        self.complete = False
        """True once everything that the file held has been scanned."""
        self.abandoned = False
        """True when the run did not finish and nobody writes it any more: its recorder died."""
        self._stop = threading.Event()
        self._row = lru_cache(maxsize=2048)(self._make_row)

    @property
    def live(self) -> bool:
        """True while the run may still be growing."""
        return not self.timeline.finished and not self.abandoned

    @property
    def started(self) -> RunStarted | None:
        """The run's first event, once it has been scanned."""
        if not self.timeline.records():
            return None
        record = self.moments.record(0)
        return record if isinstance(record, RunStarted) else None

    def bound_by_coda(self) -> frozenset[str]:
        """Names that coda put into the namespace, not the agent."""
        names: set[str] = set()
        for index in range(min(self.timeline.records(), 200)):
            if self.timeline.type_of(index) in ("sandbox.started", "tool.declared"):
                record = self.moments.record(index)
                if isinstance(record, SandboxStarted):
                    names.update(record.names)
                elif isinstance(record, ToolDeclared):
                    names.add(record.name)
        return frozenset(names)

    # --- growing -------------------------------------------------------------------------------

    def start(self, post: Post) -> None:
        """Begins to scan in a thread."""
        threading.Thread(target=self._scan, args=(post,), name="scan", daemon=True).start()

    def close(self) -> None:
        """Ends the scan. Files stay open for jobs that still read; the process's end closes them."""
        self._stop.set()

    def apply(self, batch: Batch) -> None:
        """Takes a batch into the timeline."""
        self.timeline.apply(batch)

    def _scan(self, post: Post) -> None:
        try:
            self._scan_all(post)
        except CodaError as error:
            post.damaged(clean(error.message))
        except Exception as error:  # noqa: BLE001  the top of a thread: whatever it is, it is shown
            post.damaged(clean(f"{type(error).__name__}: {error}"))

    def _scan_all(self, post: Post) -> None:
        last, stopped = len(self._chain) - 1, self._stop.is_set
        finished, written = False, self.trace.live
        offset = expected = 0
        for segment, link in enumerate(self._chain):
            own, limit = segment == last, self._limits[segment]
            for batch in scan(link.path, segment=segment, limit=limit, expected=expected, cancelled=stopped):
                if stopped():
                    return
                expected = batch.end_seq if batch.seq else expected
                if own:
                    offset = batch.next_offset
                    finished = finished or "run.finished" in batch.types
                post.indexed(batch, more=True)
        self.abandoned = not finished and not written
        post.indexed(Batch.nothing(last, offset), more=False)
        while not (finished or self.abandoned or self._stop.wait(POLL_S)):
            # Asked before the look at the file, so that what a writer left last is not missed.
            written = self.trace.live
            if self.trace.path.stat().st_size > offset:
                for batch in scan(
                    self.trace.path, segment=last, offset=offset, expected=expected, cancelled=stopped
                ):
                    offset, expected = batch.next_offset, batch.end_seq if batch.seq else expected
                    finished = finished or "run.finished" in batch.types
                    post.indexed(batch, more=False)
            if not finished and not written:
                self.abandoned = True
                post.indexed(Batch.nothing(last, offset), more=False)
        damage = SealWatch(self.trace).damage() if not stopped() else None
        if damage is not None:
            post.damaged(clean(damage))

    # --- rows ----------------------------------------------------------------------------------

    def rows(self) -> int:
        """How many rows are visible."""
        return self.timeline.rows()

    def row_of(self, seq: int) -> int:
        """The row of an event."""
        return self.timeline.row_of(seq)

    def seq_of(self, row: int) -> int:
        """The event of a row."""
        return self.timeline.seq_of(row)

    def row(self, index: int) -> Row:
        """One row, made when it is first looked at."""
        seq = self.timeline.seq_of(index)
        if seq >= self.timeline.count:
            finished, live = self.timeline.finished, self.live and self.complete
            return end_row(seq, self.timeline.outcome, finished=finished, live=live)
        group = self.timeline.opened_by(seq)
        # A row changes only when its group does, and the group is part of the key.
        return self._row(seq, group, self.live)

    def _make_row(self, seq: int, group: Group | None, live: bool) -> Row:
        try:
            moment = self.moments.at(seq)
            answer = self.answer_of(group)
        except CodaError as error:
            return Row(
                seq,
                self.timeline.depth(seq),
                None,
                Span("!", "error"),
                (Span(clean(error.message), "error"),),
            )
        return row(moment, self.timeline.depth(seq), group, answer, live=live)

    # --- questions -----------------------------------------------------------------------------

    def answer_of(self, group: Group | None) -> Moment | None:
        """The last event of a call that has returned."""
        if group is None or group.kind != CALL or group.open or group.end <= group.start:
            return None
        return self.moments.at(group.end)

    def line_before(self, seq: int) -> Moment | None:
        """The statement that was last begun at or before an event of a block; None outside blocks.

        At the end of a run whose block is still open, that is the statement that is running.
        """
        block = self.timeline.enclosing(seq, BLOCK)
        if seq >= self.timeline.count and seq > 0:
            seq -= 1
            block = self.timeline.enclosing(seq, BLOCK)
            block = block if block is not None and block.open else None
        if block is None or seq <= block.start:
            return None
        record = self.timeline.record_of(seq)
        for index in range(record, max(-1, record - 2000), -1):
            place = self.timeline.place(index)
            if place.seq <= block.start:
                return None
            if place.type != "lines":
                continue
            stream = self.moments.stream(index)
            event = min(seq - place.seq, len(stream.events) - 1)
            while event >= 0:
                if stream.ids[stream.events[event]] >= 0:
                    return self.moments.at(place.seq + event)
                event -= 1
        return None

    def block_near(self, seq: int) -> Group | None:
        """The block that holds an event, else the one before it, else the one after it."""
        found = self.timeline.enclosing(min(seq, max(0, self.timeline.count - 1)), BLOCK)
        if found is not None and seq < self.timeline.count:
            return found
        start = self.timeline.previous_of(self.timeline.blocks, seq)
        if start is None:
            start = self.timeline.next_of(self.timeline.blocks, seq)
        return self.timeline.opened_by(start) if start is not None else None


def _chain(trace: Trace) -> list[Trace]:
    """The trace's ancestors, oldest first, and the trace itself."""
    links: list[Trace] = []
    link: Trace | None = trace
    while link is not None:
        links.append(link)
        link = link.parent
    return links[::-1]


def _limits(chain: list[Trace]) -> list[int | None]:
    """For each file of a chain, the first event that is no longer its own: the earliest place left later."""
    limits: list[int | None] = [None]
    for child in chain[:0:-1]:
        parent = child.header.parent
        left = [seq for seq in (limits[0], parent.seq if parent is not None else None) if seq is not None]
        limits.insert(0, min(left, default=None))
    return limits
