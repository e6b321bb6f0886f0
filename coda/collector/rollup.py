"""How many spans a trace may become, and what stands for the rest.

Guarantee: what exceeds a budget is counted, timed and numbered in a roll-up, never dropped in silence; and
what is rolled up depends only on what came before, so that a live export and a later one agree.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from coda.collector import names
from coda.collector.model import Attributes, OpenSpan, SpanEvent
from coda.errors import UsageError

LINE_SPANS = 2_000
"""Line spans of one block before the rest are rolled up."""
TRACE_LINE_SPANS = 20_000
"""Line spans of one trace; several backends refuse traces not much larger."""
DETAIL_SPANS = 2_000
"""Spans of calls, files and ctx changes of one block before the rest are rolled up."""
SPAN_EVENTS = 100
"""Events on one span before the rest are rolled up; the SDK's own limit is 128."""
_TOP = 10
"""Lines or names that a roll-up lists with their counts."""


class Budget(NamedTuple):
    """How many spans may be made; None is no limit."""

    block_lines: int | None = LINE_SPANS
    trace_lines: int | None = TRACE_LINE_SPANS
    details: int | None = DETAIL_SPANS

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads `--line-spans`: a number of lines a block, `all` or `none`.

        Raises:
            UsageError: it is neither.
        """
        if text == "all":
            return cls(None, None, None)
        if text == "none":
            return cls(0, 0)
        if text.isascii() and text.isdigit() and len(text) < 12:
            return cls(int(text), max(int(text), TRACE_LINE_SPANS))
        raise UsageError(f"--line-spans takes a number, all or none, not {text!r}.", option="--line-spans")


class Rollup:
    """Many events as one span: how many, from when to when, which ones most."""

    __slots__ = ("count", "first", "first_ns", "keys", "last", "last_ns")

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = -1
        self.first_ns = self.last_ns = 0
        self.keys: Counter[str | int | None] = Counter()

    def add(self, seq: int, t_ns: int, key: str | int | None, n: int = 1) -> None:
        """Counts `n` events of which the first is `seq`."""
        if not self.count:
            self.first, self.first_ns = seq, t_ns
        self.count += n
        self.last, self.last_ns = seq + n - 1, max(t_ns, self.last_ns)
        self.keys[key] += n

    def attributes(self, prefix: str = "") -> Attributes:
        """Gives what was counted."""
        top = tuple(f"{prefix}{key}: {n}" for key, n in _most(self.keys))
        return {
            names.ROLLUP: True,
            names.FIRST: self.first,
            names.LAST: self.last,
            names.EVENT_COUNT: self.count,
            names.ROLLUP_COUNTS: top,
        }


def _most(keys: Counter[str | int | None]) -> list[tuple[str | int | None, int]]:
    """The most frequent keys; equal counts in an order that does not depend on insertion."""
    return sorted(keys.items(), key=lambda item: (-item[1], str(item[0])))[:_TOP]


def note(span: OpenSpan, name: str, seq: int, t_ns: int, attributes: Attributes) -> None:
    """Puts an event on a span, or counts it in the span's roll-up when it has many already."""
    if len(span.events) < SPAN_EVENTS:
        span.events.append(SpanEvent(name, t_ns, attributes))
        return
    if span.rolled is None:
        span.rolled = Rollup()
    span.rolled.add(seq, t_ns, name)
