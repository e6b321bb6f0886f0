"""Front door of the collector: spans, export, live export, server."""

from coda.collector.attributes import content_opted_in
from coda.collector.export import Exported, export
from coda.collector.live import LiveReport, LiveSink, live_sink_from_environment
from coda.collector.model import Link, Span, SpanEvent
from coda.collector.rollup import Budget
from coda.collector.spans import spans

__all__ = [
    "Budget",
    "Exported",
    "Link",
    "LiveReport",
    "LiveSink",
    "Span",
    "SpanEvent",
    "content_opted_in",
    "export",
    "live_sink_from_environment",
    "spans",
]
