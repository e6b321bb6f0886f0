"""Front door of the collector: spans, export, live export, server."""

from coda.collector.access import is_loopback, new_token
from coda.collector.attributes import content_opted_in
from coda.collector.export import Exported, export
from coda.collector.live import LiveReport, LiveSink, live_sink_from_environment
from coda.collector.model import Link, Span, SpanEvent
from coda.collector.rollup import Budget
from coda.collector.server import address_of, bind, create_app, run_server
from coda.collector.service import RunStore
from coda.collector.spans import spans

__all__ = [
    "Budget",
    "Exported",
    "Link",
    "LiveReport",
    "LiveSink",
    "RunStore",
    "Span",
    "SpanEvent",
    "address_of",
    "bind",
    "content_opted_in",
    "create_app",
    "export",
    "is_loopback",
    "live_sink_from_environment",
    "new_token",
    "run_server",
    "spans",
]
