"""The spans that are open: the run, its turn, block and line, and the calls under way.

Guarantee: a span is given once, when it ends, and children before parents, but for a call that outlasts its
line or caller; a span that cannot end properly is marked incomplete. Which spans exist is decided in
`projection.py`; here is how they open, nest, end and are rolled up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from coda.collector import names
from coda.collector.attributes import clean, fork_command, location, short
from coda.collector.model import (
    Attributes,
    AttributeValue,
    Link,
    OpenSpan,
    Span,
    SpanEvent,
    TraceIds,
    span_id,
)
from coda.collector.rollup import Budget, Rollup
from coda.log import RunStarted, TraceEvent

_PLACES = 10_000
"""Places in the code that are remembered."""


class Facts(NamedTuple):
    """What the projection must know beside the events."""

    run: str
    ids: TraceIds
    base_ns: int
    """Unix time at which the run's clock was 0."""
    path: str
    """Path of the trace, as the fork command names it."""
    started: RunStarted | None = None
    links: tuple[Link, ...] = ()
    parent: tuple[tuple[str, AttributeValue], ...] = ()
    """Attributes of a fork's run span: where it left its parent."""


class Scope:
    """The run or a block: where budgets are counted."""

    __slots__ = ("details", "line_count", "lines", "rolled_details", "rolled_lines", "span")

    def __init__(self, span: OpenSpan) -> None:
        self.span = span
        self.lines = self.line_count = self.details = 0
        self.rolled_lines = Rollup()
        self.rolled_details = Rollup()


class SpanTree:
    """The open spans of one run.

    Args:
        facts: the run.
        budget: when to roll up.
        on_event: told (first seq, number of events, span id): which span they are, or are on.
    """

    def __init__(
        self, facts: Facts, budget: Budget, on_event: Callable[[int, int, str], None] | None
    ) -> None:
        self.facts = facts
        self.budget = budget
        self._fork = short(fork_command(facts.path))
        self._places: dict[tuple[str | None, int | None, str | None], Attributes] = {}
        self._told = on_event
        self._done: list[Span] = []
        self._run: Scope | None = None
        self._turn: OpenSpan | None = None
        self._block: Scope | None = None
        self._line: OpenSpan | None = None
        self._calls: dict[int, OpenSpan] = {}

    def _take(self) -> list[Span]:
        done = self._done
        if done:
            self._done = []
        return done

    def _tell(self, event: TraceEvent, span: str, n: int = 1) -> None:
        if self._told is not None:
            self._told(event.seq, n, span)

    def _open(
        self, event: TraceEvent, t_ns: int, name: str, parent: OpenSpan | None, *, key: str | None = None
    ) -> OpenSpan:
        seq = event.seq
        attributes: Attributes = {names.RUN: self.facts.run, names.SEQ: seq}
        if event.block is not None:
            attributes[names.BLOCK] = event.block
        attributes[names.FORK] = f"{self._fork} {seq}"
        identifier = span_id(self.facts.run, seq if key is None else key)
        parent_id = parent.id if parent is not None else None
        if key is None:
            self._tell(event, identifier)
        return OpenSpan(
            span_id=identifier, parent_id=parent_id, name=name, start_ns=t_ns, attributes=attributes
        )

    def _end(self, span: OpenSpan, t_ns: int, *, incomplete: bool = False) -> None:
        if incomplete:
            span.attributes[names.INCOMPLETE] = True
        if span.rolled is not None:
            span.events.append(SpanEvent("rollup", span.rolled.last_ns, span.rolled.attributes()))
        root = self._run is not None and span is self._run.span
        self._done.append(
            Span(
                trace_id=self.facts.ids.trace_id,
                span_id=span.id,
                parent_id=self.facts.ids.parent_id if root else span.parent_id,
                name=clean(span.name),
                kind=span.kind,
                start_ns=span.start_ns,
                end_ns=max(t_ns, span.start_ns),
                attributes=span.attributes,
                events=tuple(span.events),
                links=span.links,
                error=span.error,
                remote_parent=root and self.facts.ids.parent_id is not None,
            )
        )

    def _end_rollups(self, scope: Scope) -> None:
        for rollup, name, what in (
            (scope.rolled_lines, "lines", "line "),
            (scope.rolled_details, "events", ""),
        ):
            if not rollup.count:
                continue
            span = OpenSpan(
                span_id=span_id(self.facts.run, f"{rollup.first}:{name}"),
                parent_id=scope.span.id,
                name=name,
                start_ns=rollup.first_ns,
                attributes={names.RUN: self.facts.run, names.SEQ: rollup.first, **rollup.attributes(what)},
            )
            span.attributes[names.FORK] = f"{self._fork} {rollup.first}"
            if name == "lines":
                span.attributes[names.LINES] = rollup.count
            if names.BLOCK in scope.span.attributes:
                span.attributes[names.BLOCK] = scope.span.attributes[names.BLOCK]
            self._end(span, rollup.last_ns)

    def _scope(self) -> Scope:
        scope = self._block or self._run
        assert scope is not None  # feed opens the run before anything else
        return scope

    def _parent(self, cause: int | None) -> OpenSpan:
        """The innermost open span that an event belongs to: its cause, else the line, block, turn or run.

        A call that is merely open is no parent: another thread may be the one that waits for it.
        """
        call = self._calls.get(cause) if cause is not None else None
        if call is not None:
            return call
        if self._block is not None:
            return self._line or self._block.span
        return self._turn or self._scope().span

    def _detail(self, event: TraceEvent, t_ns: int, name: str) -> OpenSpan | None:
        """Opens a span within the block's budget; None when the event went into the roll-up."""
        scope = self._scope()
        if self.budget.details is not None and scope.details >= self.budget.details:
            scope.rolled_details.add(event.seq, t_ns, event.type)
            self._tell(event, span_id(self.facts.run, f"{scope.rolled_details.first}:events"))
            return None
        scope.details += 1
        span = self._open(event, t_ns, short(name), self._parent(event.cause))
        span.attributes.update(self._place(event))
        span.within = (self._block.span if self._block is not None else self._turn or scope.span).id
        return span

    def _place(self, event: TraceEvent) -> Attributes:
        """Where in the code an event happened; remembered, since masking costs more than the span."""
        key = (event.file, event.line, event.function)
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= _PLACES:
                self._places.clear()
            place = self._places[key] = location(event)
        return place

    def _end_line(self, t_ns: int) -> None:
        if self._line is not None:
            self._end(self._line, t_ns)
            self._line = None

    def _end_calls(self, t_ns: int, *, within: str | None = None) -> None:
        """Ends calls that got no answer: all, or those made in a block or turn."""
        for seq, span in reversed(list(self._calls.items())):
            if within in (None, span.within):
                del self._calls[seq]
                self._end(span, t_ns, incomplete=True)
