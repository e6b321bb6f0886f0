"""Live export for the verbs that record: on when the standard OpenTelemetry variables ask for it.

Guarantee: without those variables nothing of the collector is imported; with them, a backend that is slow or
down costs the run nothing, and what could not be sent is said at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coda import __version__


@contextmanager
def live_export(path: Path) -> Iterator[None]:
    """Exports the spans of a run while it is recorded, if the environment names an endpoint.

    Args:
        path: the trace that is being written.
    """
    if not any(name.startswith("OTEL_EXPORTER_OTLP") for name in os.environ):
        yield
        return
    from coda.collector import live_sink_from_environment  # the OpenTelemetry SDK takes its time

    sink = live_sink_from_environment(path, version=__version__)
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
