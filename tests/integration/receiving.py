"""The OTLP receiver as tests use it: started in another process, read back from its file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coda.collector import Span
from coda.collector.names import SCHEMA_URL

SCRIPT = Path(__file__).with_name("otlp_receiver.py")


class Receiver:
    """A running receiver."""

    def __init__(self, port: int, file: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._file = file

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests that arrived, in order."""
        if not self._file.exists():
            return []
        return [json.loads(line) for line in self._file.read_text(encoding="utf-8").splitlines()]

    @property
    def spans(self) -> list[dict[str, Any]]:
        """The spans that were taken; fails when not one byte arrived."""
        requests = self.requests
        assert requests, "no byte arrived at the receiver"
        return [span for request in requests for span in request["spans"]]


@contextmanager
def receiver(folder: Path, *options: object) -> Iterator[Receiver]:
    """Runs a receiver; options as in the script."""
    file = folder / "received.ndjson"
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(file), *map(str, options)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Receiver(int(process.stdout.readline()), file)
    finally:
        process.kill()
        process.communicate()


def as_received(span: Span) -> dict[str, Any]:
    """A span of ours as the receiver writes it."""

    def bag(attributes: dict[str, Any]) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in attributes.items()}

    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "kind": 3 if span.kind == "client" else 1,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "attributes": bag(span.attributes),
        "events": [{"name": e.name, "t_ns": e.t_ns, "attributes": bag(e.attributes)} for e in span.events],
        "links": [
            {"trace_id": k.trace_id, "span_id": k.span_id, "attributes": bag(k.attributes)}
            for k in span.links
        ],
        "status": 0 if span.error is None else 2,
        "error": span.error,
        "schema_url": SCHEMA_URL,
        "scope": "coda",
        "service": "coda",
    }
