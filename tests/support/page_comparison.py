"""A trace as coda tells it beside what a reader written from docs/log-format.md tells of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coda.log import BlobRef, Opaque, RecordValue, Summary, from_envelope, open_trace
from tests.support.page_reader import Reader
from tests.support.page_values import Part, decode_value


def assert_told_alike(path: Path) -> None:
    """Both give the same events with the same frames, and the same values with the same types."""
    trace, reader = open_trace(path), Reader(path)
    told = [json.loads(json.dumps(event)) for event in reader.events()]
    expected = [json.loads(event.to_json(mask=False)) for event in trace.events()]
    for event, other in zip(told, expected, strict=True):
        assert abs(event["t"] - other["t"]) <= 1  # which way an interpolated time is rounded is free
        assert {**event, "t": 0} == {**other, "t": 0}
        for envelope in _envelopes(other):
            ours = _plain(from_envelope(envelope, load=trace.blobs.get))
            assert repr(decode_value(envelope, reader.blob)) == repr(ours)


def _envelopes(data: dict[str, Any]) -> list[Any]:
    """What can be a Python value of the agent's in an event."""
    found = [data[key] for key in ("value", "args", "kwargs", "text", "stdout", "stderr") if key in data]
    return found + [item["value"] for item in data.get("bound", ())]


def _plain(value: Any) -> Any:
    """A value of coda's, with the page reader's parts for the holders of coda."""
    match value:
        case Opaque():
            return Part("opaque", value.type, (value.text, value.size))
        case Summary():
            return Part("summary", value.type, (value.size, value.head))
        case RecordValue():
            return Part("record", value.type, _plain(value.fields))
        case BlobRef():
            raise AssertionError("blobs are loaded")
        case list() | tuple() | set() | frozenset():
            return type(value)(map(_plain, value))
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
    return value
