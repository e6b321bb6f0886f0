"""From the value envelope back to Python values.

Guarantee: envelopes are untrusted data. Decoding builds builtin values and the plain holders of
`coda.log.values` only; it imports nothing, runs no code that a trace names, and answers a malformed
envelope with `SchemaMismatch`. A tag that this version does not know becomes an `Opaque`.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Final

import msgspec

from coda.errors import SchemaMismatch
from coda.log.values import BlobRef, Opaque, RecordValue, Summary

_MALFORMED: Final = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, msgspec.DecodeError,
)  # fmt: skip
_INEXACT: Final = frozenset({"opaque", "summary", "blob"})


def is_exact(data: Any) -> bool:
    """Tells whether an envelope holds the whole value: nothing opaque, summarised or kept elsewhere."""
    return first_inexact(data) is None


def first_inexact(data: Any) -> str | None:
    """Gives the type's name of the first part of an envelope that is not whole; None when all is."""
    stack = [data]
    while stack:
        item = stack.pop()
        if type(item) is dict:
            tag = item.get("$")
            if tag is not None and (type(tag) is not str or tag in _INEXACT or tag not in _DECODERS):
                return str(item.get("t", tag))
            stack.extend(item.values())
        elif type(item) is list or type(item) is tuple:
            stack.extend(item)
    return None


def from_envelope(data: Any, *, load: Callable[[str], bytes] | None = None) -> Any:
    """Gives the value that an envelope stands for.

    Args:
        data: what `to_envelope` gave, possibly after a trip through JSON.
        load: gives the bytes of a blob; None leaves a `BlobRef` in the place of values kept there.

    Returns:
        The value. What was not stored exactly comes as `Opaque`, `Summary` or `BlobRef`, and records
        (dataclasses, named tuples, models) as `RecordValue`.

    Raises:
        SchemaMismatch: the data is not an envelope.
    """
    try:
        return _decode(data, load)
    except SchemaMismatch:
        raise
    except _MALFORMED as error:
        raise SchemaMismatch(f"not a value envelope ({type(error).__name__}: {error})") from error


def _decode(data: Any, load: Callable[[str], bytes] | None) -> Any:
    kind = type(data)
    if kind is list or kind is tuple:
        return [_decode(item, load) for item in data]
    if kind is not dict:
        return data
    tag = data.get("$")
    if tag is None:
        return {key: _decode(item, load) for key, item in data.items()}
    if tag == "blob" and load is not None:
        return _decode(msgspec.json.decode(load(str(data["d"]))), load)
    decoder = _DECODERS.get(tag) if type(tag) is str else None
    if decoder is None:
        return Opaque(f"?{tag}", "", None)
    return decoder(data, lambda item: _decode(item, load))


Inner = Callable[[Any], Any]


def _text(data: dict[str, Any], _: Inner) -> Any:
    return base64.b64decode(data["v"], validate=True).decode("utf-8", "surrogatepass")


def _float(data: dict[str, Any], _: Inner) -> Any:
    if data["v"] not in ("nan", "inf", "-inf"):
        raise ValueError("a tagged float is nan, inf or -inf")
    return float(data["v"])


def _complex(data: dict[str, Any], inner: Inner) -> Any:
    real, imag = (inner(part) for part in data["v"])
    return complex(real, imag)


def _path(data: dict[str, Any], inner: Inner) -> Any:
    text = inner(data["v"])
    match data.get("t"):
        case None:
            return pathlib.Path(text)
        case "PurePosixPath":
            return pathlib.PurePosixPath(text)
        case "PureWindowsPath":
            return pathlib.PureWindowsPath(text)
        case other:
            raise ValueError(f"unknown kind of path {other!r}")


def _zone(data: dict[str, Any], inner: Inner) -> datetime.tzinfo | None:
    zone = data.get("z")
    if zone is None:
        return None
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    offset = datetime.timedelta(microseconds=zone[0])
    return datetime.timezone(offset, inner(zone[1])) if len(zone) > 1 else datetime.timezone(offset)


def _datetime(data: dict[str, Any], inner: Inner) -> Any:
    try:
        zone = _zone(data, inner)
    except zoneinfo.ZoneInfoNotFoundError:
        return Opaque("datetime.datetime", f"{data['v']} {data['z']}", None)
    return datetime.datetime.fromisoformat(data["v"]).replace(tzinfo=zone, fold=data.get("f", 0))


def _time(data: dict[str, Any], inner: Inner) -> Any:
    try:
        zone = _zone(data, inner)
    except zoneinfo.ZoneInfoNotFoundError:
        return Opaque("datetime.time", f"{data['v']} {data['z']}", None)
    return datetime.time.fromisoformat(data["v"]).replace(tzinfo=zone, fold=data.get("f", 0))


def _record(data: dict[str, Any], inner: Inner) -> Any:
    fields = inner(data["v"])
    if type(fields) is not dict:
        raise ValueError("the fields of a record are an object")
    return RecordValue(str(data["t"]), fields)


_DECODERS: Final[dict[str, Callable[[dict[str, Any], Inner], Any]]] = {
    "str": _text,
    "float": _float,
    "int": lambda data, _: int(data["v"], 0),
    "bytes": lambda data, _: base64.b64decode(data["v"], validate=True),
    "bytearray": lambda data, _: bytearray(base64.b64decode(data["v"], validate=True)),
    "complex": _complex,
    "tuple": lambda data, inner: tuple(inner(item) for item in data["v"]),
    "set": lambda data, inner: {inner(item) for item in data["v"]},
    "frozenset": lambda data, inner: frozenset(inner(item) for item in data["v"]),
    "dict": lambda data, inner: {inner(key): inner(item) for key, item in data["v"]},
    "datetime": _datetime,
    "date": lambda data, _: datetime.date.fromisoformat(data["v"]),
    "time": _time,
    "timedelta": lambda data, _: datetime.timedelta(microseconds=int(data["v"])),
    "decimal": lambda data, _: decimal.Decimal(data["v"]),
    "path": _path,
    "uuid": lambda data, _: uuid.UUID(data["v"]),
    "record": _record,
    "opaque": lambda data, _: Opaque(str(data["t"]), str(data.get("r") or ""), data.get("n")),
    "summary": lambda data, _: Summary(str(data["t"]), data.get("n"), data.get("h")),
    "blob": lambda data, _: BlobRef(str(data["d"]), int(data["n"])),
}
