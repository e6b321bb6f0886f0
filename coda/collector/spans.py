"""The spans of a trace: the log, projected, with identifiers that depend on the log alone.

Guarantee: the same trace gives the same spans every time, on every machine, in constant memory; a fork's
run span is linked to the very span of its parent's trace that it left.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from coda.collector import names
from coda.collector.model import AttributeValue, Link, Span, span_id, trace_ids
from coda.collector.projection import Projection
from coda.collector.rollup import Budget
from coda.collector.tree import Facts
from coda.errors import LogError
from coda.log import RunStarted, Trace

_RUN_TIME = re.compile(r"(\d{8}T\d{6})(?!\d)")


def spans(trace: Trace, *, budget: Budget | None = None, opted_in: bool = False) -> Iterator[Span]:
    """Gives the spans of a run's own events, each when it ends, children before parents.

    Args:
        trace: a trace; of a fork, the prefix belongs to the parent's trace and is not given again.
        budget: how many spans before siblings are rolled up.
        opted_in: contents may be put on spans.

    Cost: one pass over the trace; for a fork, also one over the parent up to the event it left.
    """
    projection = Projection(facts_of(trace, budget=budget), budget=budget, opted_in=opted_in)
    for event in trace.events(own=True):
        yield from projection.feed(event)
    yield from projection.finish()


def facts_of(trace: Trace, *, budget: Budget | None = None) -> Facts:
    """Gives what the projection of a trace must know beside its events."""
    started = _started(trace)
    own = started if trace.header.parent is None else None
    parent = trace.header.parent
    attributes: tuple[tuple[str, AttributeValue], ...] = ()
    if parent is not None:
        attributes = (
            (names.PARENT_RUN, parent.run),
            (names.PARENT_SEQ, parent.seq),
            (names.POSITION, parent.position),
        )
    return Facts(
        run=trace.run,
        ids=trace_ids(trace.run, own.traceparent if own else None),
        base_ns=_base_ns(trace, started),
        path=os.path.realpath(trace.path),
        started=started,
        links=_links(trace, budget),
        parent=attributes,
    )


def unix_ns(wall: str) -> int:
    """Gives the Unix time of an ISO 8601 text in nanoseconds; 0 when it is not one."""
    try:
        moment = datetime.fromisoformat(wall)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    delta = moment - epoch
    # Whole numbers all the way: a float of seconds is exact to a quarter of a microsecond only.
    return max(0, ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000)


def _base_ns(trace: Trace, started: RunStarted | None) -> int:
    """Unix time at which the run's clock was 0.

    A fork has no wall clock of its own in the log but in its run id, which tells when it was made; its first
    event is put there, whether its clock went on from the parent's or began anew.
    """
    if trace.header.parent is not None and (made := _RUN_TIME.match(trace.run)):
        first = next(trace.events(own=True), None)
        return max(0, unix_ns(f"{made[1]}+00:00") - (max(first.t, 0) if first else 0))
    return unix_ns(started.wall) if started else 0


def _started(trace: Trace) -> RunStarted | None:
    """The run's first event, or None when the log (or a fork's parent) is not there to tell."""
    try:
        return trace.started
    except LogError:
        return None


def _links(trace: Trace, budget: Budget | None) -> tuple[Link, ...]:
    parent = trace.header.parent
    if parent is None:
        return ()
    attributes: dict[str, AttributeValue] = {names.PARENT_RUN: parent.run, names.PARENT_SEQ: parent.seq}
    origin = trace.parent
    # The event that the fork left may lie in the prefix that its parent shares with an older run.
    while origin is not None and origin.header.parent is not None and parent.seq < origin.first_seq:
        origin = origin.parent
    if origin is None:
        return (Link(trace_ids(parent.run, None).trace_id, span_id(parent.run, parent.seq), attributes),)
    return (Link(_trace_id(origin), _span_at(origin, parent.seq, budget), attributes),)


def _trace_id(trace: Trace) -> str:
    started = _started(trace) if trace.header.parent is None else None
    return trace_ids(trace.run, started.traceparent if started else None).trace_id


def _span_at(trace: Trace, seq: int, budget: Budget | None) -> str:
    """The span that event `seq` of a trace is, or is on; of its last event when `seq` is past the end."""
    found = span_id(trace.run, trace.first_seq)
    at = -1

    def told(first: int, n: int, span: str) -> None:
        nonlocal found, at
        if first <= seq and first >= at:
            found, at = span, first

    started = _started(trace)
    facts = Facts(
        run=trace.run, ids=trace_ids(trace.run, None), base_ns=0, path=str(Path(trace.path)), started=started
    )
    projection = Projection(facts, budget=budget, on_event=told)
    for event in trace.events(stop=seq + 1, own=True):
        projection.feed(event)
    return found
