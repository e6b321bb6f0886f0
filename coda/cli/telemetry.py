"""Live export for the verbs that record: on when a setting or the OpenTelemetry variables ask for it.

Guarantee: without them nothing of the collector is imported; with them, a backend that is slow or
down costs the run nothing, and what could not be sent is said at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coda import __version__
from coda.cli.settings import config


@contextmanager
def live_export(path: Path) -> Iterator[None]:
    """Exports the spans of a run while it is recorded, if settings or variables name an endpoint.

    Args:
        path: the trace that is being written.
    """
    settings = config()
    if settings.otlp is None and not any(name.startswith("OTEL_EXPORTER_OTLP") for name in os.environ):
        yield
        return
    from coda.collector import Budget, live_sink_from_environment  # the OpenTelemetry SDK takes its time

    sink = live_sink_from_environment(
        path, version=__version__, endpoint=settings.otlp, budget=Budget.parse(settings.line_spans)
    )
    if sink is None:
        yield
        return
    sink.start()
    try:
        yield
    finally:
        said = sink.close().sentence
        if said:
            print(f"coda: {said}", file=sys.stderr)
