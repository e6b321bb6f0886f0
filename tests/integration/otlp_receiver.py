"""An OTLP/HTTP receiver in a process of its own: decodes what arrives with the official protocol classes.

    python otlp_receiver.py FILE [STATUS [TIMES]] [--refuse N]

Prints its port, then appends to FILE one JSON line for each request: its path, headers, size and spans.
The first TIMES requests (all, when left out) are answered with STATUS.
"""

from __future__ import annotations

import argparse
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    return getattr(value, kind)


def bag(attributes: Any) -> dict[str, Any]:
    return {item.key: value_of(item.value) for item in attributes}


def spans_of(body: bytes) -> list[dict[str, Any]]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return [
        {
            "trace_id": span.trace_id.hex(),
            "span_id": span.span_id.hex(),
            "parent_id": span.parent_span_id.hex() or None,
            "name": span.name,
            "kind": span.kind,
            "start_ns": span.start_time_unix_nano,
            "end_ns": span.end_time_unix_nano,
            "attributes": bag(span.attributes),
            "events": [
                {"name": e.name, "t_ns": e.time_unix_nano, "attributes": bag(e.attributes)}
                for e in span.events
            ],
            "links": [
                {"trace_id": k.trace_id.hex(), "span_id": k.span_id.hex(), "attributes": bag(k.attributes)}
                for k in span.links
            ],
            "status": span.status.code,
            "error": span.status.message or None,
            "schema_url": scope.schema_url,
            "scope": scope.scope.name,
            "service": bag(resource.resource.attributes).get("service.name"),
        }
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("status", nargs="?", type=int, default=200)
    parser.add_argument("times", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--refuse", type=int, default=0)
    options = parser.parse_args()
    answered = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal answered
            body = self.rfile.read(int(self.headers["content-length"]))
            fails = options.status != 200 and answered < options.times
            answered += 1
            row = {
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "bytes": len(body),
                "status": options.status if fails else 200,
                "spans": [] if fails else spans_of(body),
            }
            with open(options.file, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            reply = ExportTraceServiceResponse()
            if options.refuse:
                reply.partial_success.rejected_spans = options.refuse
                reply.partial_success.error_message = "too old"
            data = b"no such tenant" if fails else reply.SerializeToString()
            self.send_response(row["status"])  # type: ignore[arg-type]
            self.send_header("content-type", "text/plain" if fails else "application/x-protobuf")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
