"""What a position needs that takes time: recorded values, counts of lines, the replay.

Guarantee: each is asked of a thread that works on the latest request only, and an answer is shown only at
the position that it is for.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.timer import Timer

from coda.log import open_trace
from coda.viewer.background import Cancelled
from coda.viewer.details import Details
from coda.viewer.engine import Floors, rebuild
from coda.viewer.ledger import Ledger, hits
from coda.viewer.messages import Counted, Recorded, Replayed
from coda.viewer.screens.commands import CommandScreen
from coda.viewer.session import Session
from coda.viewer.timeline import Group

REST_S = 0.35
"""Seconds without a key before the position is replayed."""


class LookupScreen(CommandScreen):
    """A screen whose panes are filled as answers arrive."""

    def __init__(self, session: Session, floors: Floors) -> None:
        super().__init__(session, floors)
        self.details = Details(session)
        self._ledger: Ledger | None = None
        self._hits: dict[int, tuple[int, dict[int, int]]] = {}  # by a block's first event: end, counts
        self._counting: tuple[int, int] | None = None
        self._rest: Timer | None = None

    def _show_source(self) -> None:
        """Draws the source pane anew."""
        raise NotImplementedError

    def _show_tab(self) -> None:
        """Draws the active tab anew."""
        raise NotImplementedError

    def _ask_ledger(self) -> None:
        ledger, seq = self._ledger, self.seq
        if ledger is None or (self.details.snapshot is not None and self.details.snapshot.seq == seq):
            return

        def job(cancelled: Cancelled) -> None:
            snapshot = ledger.at(seq, cancelled=cancelled)
            if snapshot is not None:
                self.post_message(Recorded(snapshot, ledger.printed(seq)))

        self._threads["ledger"].submit(job)

    def on_recorded(self, message: Recorded) -> None:
        """The log's values are known."""
        if message.snapshot.seq == self.seq:
            self.details.snapshot, self.details.printed = message.snapshot, message.printed
            self._show_source()
            self._show_tab()

    def _hits_of(self, block: Group) -> Mapping[int, int] | None:
        """How often the statements ran in a block, as far as it has been counted; asks for the rest."""
        end, counted = self._hits.get(block.start, (-1, None))
        if end != block.end:
            self._ask_hits(block)
        return counted

    def _ask_hits(self, block: Group) -> None:
        key = (block.start, block.end)
        growing = block.open and not (self.session.complete and self._threads["hits"].idle)
        if growing or self._counting == key:
            return
        self._counting = key
        timeline, moments = self.timeline, self.session.moments
        self._threads["hits"].submit(
            lambda cancelled: self._post(
                Counted(key, hits(timeline, moments, *key, cancelled=cancelled)), cancelled
            )
        )

    def on_counted(self, message: Counted) -> None:
        """The lines of a block are counted."""
        self._counting = None
        if len(self._hits) > 32:
            self._hits.clear()
        start, end = message.key
        self._hits[start] = (end, message.hits)
        self._show_source()

    def _ask_replay(self) -> None:
        if self._rest is not None:
            self._rest.stop()
            self._rest = None
        done = self.details.rebuilt is not None and self.details.rebuilt.seq == self.seq
        if self.floors.state_at is None or done or not self.session.complete:
            return
        self._rest = self.set_timer(REST_S, self._replay)

    def _replay(self) -> None:
        self._rest = None
        state_at, seq, path = self.floors.state_at, self.seq, self.session.trace.path
        if state_at is None:
            return
        names = self.session.bound_by_coda()
        self.details.replaying = True
        self._show_tab()
        self._threads["replay"].submit(
            lambda cancelled: self._post(Replayed(rebuild(state_at, open_trace(path), seq, names)), cancelled)
        )

    def on_replayed(self, message: Replayed) -> None:
        """The exact values are known, or why they are not."""
        self.details.rebuilt = message.rebuilt
        if message.rebuilt.seq == self.seq:
            self.details.replaying = False
            self._show_tab()
