"""The values of a trace, decoded as docs/log-format.md says: the other half of `page_reader`."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, NamedTuple


class Part(NamedTuple):
    """What is not one of Python's builtin values: `opaque`, `summary`, `blob` or `record`."""

    tag: str
    type: str
    rest: Any


def decode_value(data: Any, blob: Callable[[str], bytes]) -> Any:
    """The value of an envelope."""

    def inner(item: Any) -> Any:
        return decode_value(item, blob)

    if isinstance(data, list):
        return [inner(item) for item in data]
    if not isinstance(data, dict):
        return data
    if "$" not in data:
        return {key: inner(item) for key, item in data.items()}
    v: Any = data.get("v")
    match data["$"]:
        case "float":
            return float(v)
        case "int":
            return int(v, 0)
        case "str":
            return base64.b64decode(v).decode("utf-8", "surrogatepass")
        case "bytes":
            return base64.b64decode(v)
        case "bytearray":
            return bytearray(base64.b64decode(v))
        case "complex":
            return complex(*map(inner, v))
        case "tuple":
            return tuple(map(inner, v))
        case "set":
            return set(map(inner, v))
        case "frozenset":
            return frozenset(map(inner, v))
        case "dict":
            return {inner(key): inner(item) for key, item in v}
        case "date":
            return datetime.date.fromisoformat(v)
        case "time" | "datetime":
            kind = datetime.time if data["$"] == "time" else datetime.datetime
            return kind.fromisoformat(v).replace(fold=data.get("f", 0), tzinfo=_zone(data.get("z"), inner))
        case "timedelta":
            return datetime.timedelta(microseconds=int(v))
        case "decimal":
            return decimal.Decimal(v)
        case "uuid":
            return uuid.UUID(v)
        case "path":
            return getattr(pathlib, data.get("t", "Path"))(inner(v))
        case "record":
            return Part("record", data["t"], inner(v))
        case "summary":
            return Part("summary", data["t"], (data["n"], data["h"]))
        case "blob":
            return inner(json.loads(blob(data["d"])))
        case "opaque":
            return Part("opaque", data["t"], (data["r"], data["n"]))
        case unknown:
            return Part("opaque", f"?{unknown}", ("", None))


def _zone(zone: Any, inner: Callable[[Any], Any]) -> datetime.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    offset, *name = zone
    return datetime.timezone(datetime.timedelta(microseconds=offset), *map(inner, name))
