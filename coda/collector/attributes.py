"""Attributes of spans: what each record tells, masked, and short enough for every backend.

Guarantee: no attribute is longer than `MAX_BYTES` in UTF-8, no text leaves without passing the mask of
`coda.log`, and contents (prompts, arguments, results, sources, values) leave only when opted in. A content
that is too long is replaced by its digest and event number, never cut in the middle, since half a JSON text
reads like a whole one in some backends and fails in others.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from coda.collector import names
from coda.collector.model import Attributes
from coda.log import TraceEvent, mask, render

MAX_BYTES = 2000
"""Below the 2,048 bytes that Tempo keeps of an attribute."""

CONTENT_SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def content_opted_in(environ: Mapping[str, str]) -> bool:
    """Tells whether contents may be put on spans, by the standard switch."""
    return environ.get(CONTENT_SWITCH, "").strip().lower() in {"true", "1", "span_only", "span_and_event"}


def clean(text: str) -> str:
    """Gives text that protobuf accepts: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def short(text: str, *, tail: bool = False) -> str:
    """Gives text masked and cut to `MAX_BYTES`, with the cut said.

    Args:
        text: any text.
        tail: keep the end (tracebacks) instead of the beginning.
    """
    data = mask(text).encode("utf-8", "replace")
    if len(data) <= MAX_BYTES:
        return data.decode("utf-8")
    room = MAX_BYTES - 40
    said = f"[{len(data) - room} bytes cut]"
    if tail:
        return said + data[-room:].decode("utf-8", "ignore")
    return data[:room].decode("utf-8", "ignore") + said


def content(text: str, seq: int) -> str:
    """Gives a content masked and whole, or its digest and event number when it is too long."""
    masked = mask(text).encode("utf-8", "replace")
    if len(masked) <= MAX_BYTES:
        return masked.decode("utf-8")
    digest = hashlib.sha256(masked).hexdigest()
    return json.dumps({"coda.seq": seq, "bytes": len(masked), "sha256": digest})


def value_text(data: Any) -> str:
    """Gives an enveloped value as Python-like text, long enough for an attribute."""
    return render(data, width=4 * MAX_BYTES)


def messages_text(messages: tuple[dict[str, Any], ...]) -> str:
    """Gives messages in the JSON shape that the conventions ask for."""
    shaped = [
        {"role": str(m.get("role", "")), "parts": [{"type": "text", "content": m.get("content", "")}]}
        for m in messages
    ]
    return json.dumps(shaped, default=str, ensure_ascii=False)


def call_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Gives the arguments of a call as they would be written in Python."""
    words = [value_text(value) for value in args]
    words += [f"{name}={value_text(value)}" for name, value in kwargs.items()]
    return ", ".join(words)


def location(event: TraceEvent) -> Attributes:
    """Gives where in the agent's code an event happened."""
    attributes: Attributes = {}
    if event.file is not None:
        attributes[names.CODE_FILE] = short(event.file)
    if event.line is not None:
        attributes[names.CODE_LINE] = event.line
    if event.function:
        attributes[names.CODE_FUNCTION] = short(event.function)
    return attributes


def server(address: str) -> Attributes:
    """Gives host and port of `host:port`, `[v6]:port` or a bare address."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and int(port) < 65536 and (":" not in host or host.startswith("[")):
        return {names.SERVER_ADDRESS: short(host.strip("[]")), names.SERVER_PORT: int(port)}
    return {names.SERVER_ADDRESS: short(address)}


_NOTE_NAMES = ("name", "module", "what", "stream", "kind", "via")


def note_attributes(event: TraceEvent, *, opted_in: bool) -> Attributes:
    """Gives the attributes of an event that is shown on a span, not as one."""
    record = event.record
    attributes: Attributes = {names.SEQ: event.seq, **location(event)}
    name = event.name
    if name is None:
        name = next((v for f in _NOTE_NAMES if isinstance(v := getattr(record, f, None), str)), None)
    if name:
        attributes[names.NAME] = short(name)
    detail = getattr(record, "detail", None)
    if isinstance(detail, str) and detail:
        attributes[names.VIA] = short(detail)
    if opted_in:
        carried = event.value if event.id is not None else _carried(record)
        if carried is not None:
            attributes[names.VALUE] = content(
                carried if isinstance(carried, str) else value_text(carried), event.seq
            )
    return attributes


def _carried(record: Any) -> Any:
    for field in ("value", "text"):
        found = getattr(record, field, None)
        if found is not None:
            return found
    return None


def fork_command(trace: str | os.PathLike[str]) -> str:
    """Gives the command that forks a trace just before an event, without the event's number at its end."""
    return f"coda fork {_quoted(os.fspath(trace))} --at"


def _quoted(text: str) -> str:
    if text and all(c.isalnum() or c in "@%+=:,./-_" for c in text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"
