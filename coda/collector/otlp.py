"""Spans to an OTLP backend: our plain spans as the SDK's, sent by its HTTP/protobuf exporter in batches.

Guarantee: what `send` reports as accepted was acknowledged by the backend, and what the backend refused in
part is counted as refused. A failure is one sentence with the backend's own reason, never the exporter's log
lines.

This is the only module that imports the OpenTelemetry SDK: it costs a third of a second, so it is imported
when a batch is about to leave, not with the package.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import requests
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as SdkLink
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from coda.collector import names
from coda.collector.endpoint import shown
from coda.collector.model import CLIENT, Span
from coda.errors import CollectorError

_LOG = trace_exporter.__name__
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Sent(NamedTuple):
    """What became of a batch."""

    accepted: int
    refused: int
    reason: str
    """The backend's words, when it refused some."""


class _NoAnswer(Exception):
    """The backend cannot be reached; not one of the errors that the exporter would retry for seconds."""


class _Session(requests.Session):
    """Remembers the last answer, since the exporter only tells whether it worked."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: requests.Response | None = None
        self.problem = ""
        self.patient = False

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        self.answer, self.problem = None, ""
        try:
            self.answer = super().send(request, **kwargs)
        except requests.RequestException as error:
            self.problem = _cause(error)
            if self.patient:
                raise
            raise _NoAnswer(self.problem) from error
        return self.answer


class Sender:
    """Sends batches of spans to one endpoint; headers, timeout and certificates by the standard variables.

    Args:
        endpoint: full URL, as from `endpoint_of`.
        version: of coda, for the resource.
        patient: let the exporter retry a backend that cannot be reached, within its timeout; otherwise that
            is a failure at once. An overloaded backend (429, 502, 503, 504) is retried in both cases.
        timeout_s: for one batch with its retries; None: OTEL_EXPORTER_OTLP_TIMEOUT or ten seconds.
    """

    def __init__(
        self, endpoint: str, *, version: str, patient: bool = False, timeout_s: float | None = None
    ) -> None:
        self.endpoint = endpoint
        self._session = _Session()
        self._session.patient = patient
        self._resource = _resource(version)
        self._scope = InstrumentationScope(names.SCOPE, version, names.SCHEMA_URL)
        # What goes wrong is said once, by our caller, with the backend's reason.
        self._log = logging.getLogger(_LOG)
        self._silence = _Silence()
        self._log.addFilter(self._silence)
        self._exporter = OTLPSpanExporter(endpoint=endpoint, session=self._session, timeout=timeout_s)

    def send(self, spans: Iterable[Span]) -> Sent:
        """Sends one batch and waits for the answer.

        Raises:
            CollectorError: nothing of it was accepted; attribute `retryable` tells whether a later try may
                work.
        """
        batch = [self._readable(span) for span in spans]
        if self._exporter.export(batch) is not SpanExportResult.SUCCESS:
            answer = self._session.answer
            if answer is None:
                reason, retryable = self._session.problem or "the exporter was shut down", True
            else:
                reason = f"HTTP {answer.status_code} {answer.reason}{_said(answer)}"
                retryable = answer.status_code in (408, 429) or answer.status_code >= 500
            raise CollectorError(
                f"{shown(self.endpoint)} did not take the spans: {reason}.",
                endpoint=shown(self.endpoint), reason=reason, retryable=retryable,
            )  # fmt: skip
        return self._acknowledged(len(batch))

    def interrupt(self) -> None:
        """Ends the retries of a `send` that is under way in another thread; nothing can be sent after it."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Gives the connection back."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        self._log.removeFilter(self._silence)

    def _acknowledged(self, count: int) -> Sent:
        """Reads the backend's answer: a success may still have refused some (OTLP 1.x, partial success)."""
        answer = self._session.answer
        response = ExportTraceServiceResponse()
        if answer is not None and answer.headers.get("content-type", "").startswith("application/x-protobuf"):
            try:
                response.ParseFromString(answer.content)
            except DecodeError:
                return Sent(count, 0, "")
        refused = min(max(response.partial_success.rejected_spans, 0), count)
        return Sent(count - refused, refused, response.partial_success.error_message)

    def _readable(self, span: Span) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        parent = None
        if span.parent_id is not None:
            parent = _context(trace_id, span.parent_id, remote=span.remote_parent)
        return ReadableSpan(
            name=span.name,
            context=_context(trace_id, span.span_id),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            events=[Event(e.name, e.attributes, e.t_ns) for e in span.events],
            links=[
                SdkLink(_context(int(k.trace_id, 16), k.span_id, remote=True), k.attributes)
                for k in span.links
            ],
            kind=SpanKind.CLIENT if span.kind == CLIENT else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error is not None else Status(),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )


def _context(trace_id: int, span: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(trace_id, int(span, 16), remote, _SAMPLED)


def _resource(version: str) -> Resource:
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "coda", SERVICE_VERSION: version}))
    return resource


class _Silence(logging.Filter):
    """Keeps the exporter's own lines out of the user's terminal, for as long as one sender lives."""

    def filter(self, record: logging.LogRecord) -> bool:
        return False


def _said(answer: requests.Response) -> str:
    """What the backend wrote into its refusal, if it is text."""
    kind = answer.headers.get("content-type", "")
    if not kind.startswith(("text/", "application/json")):
        return ""
    text = " ".join(answer.text[:500].split())
    return f" ({text[:200]})" if text else ""


def _cause(error: BaseException) -> str:
    """The innermost reason of a connection error, in the system's words."""
    seen: BaseException = error
    for _ in range(10):
        inner = getattr(seen, "reason", None)
        if not isinstance(inner, BaseException):
            inner = seen.__cause__ or seen.__context__
        if inner is None and seen.args and isinstance(seen.args[0], BaseException):
            inner = seen.args[0]
        if inner is None:
            break
        seen = inner
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return str(seen).rpartition(": ")[2] or type(seen).__name__
