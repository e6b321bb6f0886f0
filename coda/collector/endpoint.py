"""Addresses of OTLP backends: what a user may write, what is used, what may be printed.

Guarantee: credentials in an address are used but never printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from coda.errors import CollectorError

TRACES_PATH = "/v1/traces"


def endpoint_of(url: str) -> str:
    """Gives the full URL of the traces endpoint: a base gets `/v1/traces`, a full path stays.

    Raises:
        CollectorError: it is not an http or https URL.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise CollectorError(
            f"{url!r} is not an address of a collector; give http://HOST:4318 or its full path."
        )
    path = parts.path.rstrip("/")
    if not path.endswith(TRACES_PATH):
        path += TRACES_PATH
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def shown(endpoint: str) -> str:
    """Gives an endpoint as it may be printed: without user, password and query."""
    parts = urlsplit(endpoint)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Whether the standard variables switch all of OpenTelemetry off."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def endpoint_from_environment(environ: Mapping[str, str]) -> str | None:
    """Gives the traces endpoint that the standard variables name; None when live export is not asked for.

    Raises:
        CollectorError: the variables name something that coda cannot send to.

    Source: OpenTelemetry Protocol Exporter specification, "Endpoint URLs for OTLP/HTTP".
    """
    if is_disabled(environ):
        return None
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporters and "otlp" not in exporters.split(","):
        return None
    own = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    if not own and not base:
        return None
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol and protocol.strip() != "http/protobuf":
        raise CollectorError(
            f"coda sends spans by http/protobuf, not {protocol.strip()}; set OTEL_EXPORTER_OTLP_PROTOCOL "
            "to http/protobuf and the endpoint to the port for it (4318 as a rule)."
        )
    endpoint_of(own or base)
    return own or endpoint_of(base)
