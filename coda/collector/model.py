"""Plain spans: what the projection yields, with identifiers that depend on the log alone.

Guarantee: the identifiers are functions of run id (or traceparent) and event number, so that exporting
twice, or live and later from the file, gives the same spans. Nothing here knows OpenTelemetry's SDK, which
costs about as much a span as a hundred log records; only `otlp.py` does.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

AttributeValue: TypeAlias = str | int | float | bool | tuple[str, ...]
Attributes: TypeAlias = dict[str, AttributeValue]

INTERNAL = "internal"
CLIENT = "client"

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


class SpanEvent(msgspec.Struct, frozen=True):
    """Something that happened at one moment within a span."""

    name: str
    t_ns: int
    """Unix time."""
    attributes: Attributes


class Link(msgspec.Struct, frozen=True):
    """A reference to a span of another trace."""

    trace_id: str
    span_id: str
    attributes: Attributes


class Span(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finished span. Identifiers are lower-case hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    """`internal` or `client`."""
    start_ns: int
    """Unix time, as `end_ns`; never after it."""
    end_ns: int
    attributes: Attributes
    events: tuple[SpanEvent, ...] = ()
    links: tuple[Link, ...] = ()
    error: str | None = None
    """Description of the failure; None: the status stays unset."""
    remote_parent: bool = False
    """The parent is another process's span (`traceparent`)."""


class TraceIds(NamedTuple):
    """Identifiers of a run's trace."""

    trace_id: str
    parent_id: str | None
    """Span that the run span is a child of, from `traceparent`."""


def trace_ids(run: str, traceparent: str | None) -> TraceIds:
    """Gives the trace id of a run: that of its `traceparent` if it has a valid one, else derived.

    Source: W3C Trace Context, section 3.2 (identifiers of only zeros are not valid).
    """
    match = _TRACEPARENT.fullmatch(traceparent.strip().lower()) if traceparent else None
    if match and int(match[1], 16) and int(match[2], 16) and not match[0].startswith("ff"):
        return TraceIds(match[1], match[2])
    return TraceIds(hashlib.sha256(b"coda trace\0" + run.encode()).hexdigest()[:32], None)


def span_id(run: str, key: int | str) -> str:
    """Gives the id of a span: `key` is its first event, or `SEQ:what` when it begins with another's."""
    return hashlib.sha256(f"coda span\0{run}\0{key}".encode()).hexdigest()[:16]


class Counted(Protocol):
    """Events that a span has no room for, as counts."""

    last_ns: int

    def add(self, seq: int, t_ns: int, key: str | int | None, n: int = 1) -> None:
        """Counts `n` events of which the first is `seq`."""

    def attributes(self, prefix: str = "") -> Attributes:
        """Gives what was counted."""


class OpenSpan:
    """A span that has not ended: collects attributes and a bounded number of events."""

    __slots__ = (
        "attributes",
        "error",
        "events",
        "id",
        "kind",
        "links",
        "name",
        "parent_id",
        "rolled",
        "start_ns",
        "within",
    )

    def __init__(
        self, *, span_id: str, parent_id: str | None, name: str, start_ns: int, attributes: Attributes
    ) -> None:
        self.id = span_id
        self.parent_id = parent_id
        self.name = name
        self.kind = INTERNAL
        self.start_ns = start_ns
        self.attributes = attributes
        self.events: list[SpanEvent] = []
        self.rolled: Counted | None = None
        self.links: tuple[Link, ...] = ()
        self.error: str | None = None
        self.within = ""
