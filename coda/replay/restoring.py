"""Rebuilds the variables of a run in a fresh worker, which then goes on for real.

Guarantee: until it has come to the position the worker replays: nothing is performed, and what it does to
files it does to a private copy that is mounted over the workspace. Then the mounts are left and the real
workspace, clock and network are there. A run that cannot be replayed exactly is not restored.
"""

from __future__ import annotations

from pathlib import Path

from coda.errors import ReplayError
from coda.log import (
    BlockFinished,
    Event,
    NetConnected,
    Position,
    ProcessFinished,
    ProcessStarted,
    Trace,
    open_trace,
)  # fmt: skip
from coda.replay.session import Session
from coda.runtime import Configure, Restored


class ReplayRestorer:
    """The `Restorer` that replays the log."""

    def restore(self, trace: Path, *, before: int, configure: Configure) -> Restored:
        """Gives a worker that stands just before an event (see `coda.runtime.Restorer`).

        Cost: that of the run up to the event, without its waits.
        """
        opened = open_trace(trace)
        _refuse_what_runs(opened, before)
        session = Session(opened, live=configure)
        try:
            session.run_to(Position(before))
            notes = session.go_real()
        except BaseException:
            session.close()
            raise
        session.copy.remove()
        return Restored(session.engine, session.flags, tuple(notes))


def _refuse_what_runs(trace: Trace, before: int) -> None:
    """What a replay plays from the log is not there when the run goes on: no variable may hold it."""
    children: dict[int, ProcessStarted] = {}
    under_way: tuple[str, ...] = ()
    kinds = {"net.connected", "process.started", "process.finished", "block.finished"}
    for placed in trace.records(own=False, types=kinds):
        record = placed.record
        if isinstance(record, ProcessFinished) and record.cause is not None:
            children.pop(record.cause, None)
        if not isinstance(record, Event) or record.seq >= before:
            continue
        if isinstance(record, NetConnected):
            raise ReplayError(f"event {record.seq} connects to {record.address}: a connection is not rebuilt")
        if isinstance(record, ProcessStarted) and record.child is not None:
            children[record.seq] = record
        if isinstance(record, BlockFinished) and record.state == "kept":
            under_way = record.pending
    for started in children.values():
        raise ReplayError(f"event {started.seq} starts {started.argv[0]!r}, which may still run")
    if under_way:
        raise ReplayError(f"{', '.join(under_way)} had not ended")
