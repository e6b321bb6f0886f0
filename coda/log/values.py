"""The value envelope: Python values as JSON data, and back, without loss or with the loss marked.

Guarantee: `from_envelope(to_envelope(v))` equals `v`, with the same types all the way down, whenever
`is_exact` holds of the envelope; whatever cannot be stored exactly says so (`opaque`, `summary`).
Plain JSON would instead turn NaN into null, tuples into lists and int keys into strings, in silence.

No code of the value's own class ever runs: dispatch is on the exact type, and the fields of
dataclasses, named tuples and pydantic models are read from their storage, past any property.
Work is bounded in depth and in bytes, and a value that contains itself is cut where it does.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import pathlib
import types
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import msgspec

MAX_VALUE_BYTES: Final = 16 << 20
"""Values whose envelope would be larger are stored as a summary."""
BLOB_BYTES: Final = 64 << 10
"""Envelopes larger than this go to the blob store, when one is given."""
MAX_DEPTH: Final = 100
LEAF_CHARACTERS: Final = 32
"""How much of a text is kept in the head of a summary; a shorter one is whole."""

_HEAP_TYPE: Final = 1 << 9
_MODULE_DICT: Final[Any] = vars(types.ModuleType)["__dict__"]
_MEMBER: Final = types.MemberDescriptorType
_PATHS: Final = {kind.__name__: kind for kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath)}


class BlobSink(Protocol):
    """Where large envelopes go: a `BlobStore`."""

    def put(self, data: bytes) -> str:
        """Stores bytes and gives their SHA-256 in hex."""


class Opaque(msgspec.Struct, frozen=True, eq=False):
    """A value that was not stored: its type is known, no more. Two are equal only if identical."""

    type: str
    text: str = ""
    size: int | None = None


class Summary(msgspec.Struct, frozen=True, eq=False):
    """The head of a value that was too large to store. Two are equal only if identical."""

    type: str
    size: int | None = None
    head: Any = None


class BlobRef(msgspec.Struct, frozen=True):
    """A value whose envelope is in the blob store, as JSON."""

    digest: str
    size: int


class RecordValue:
    """A dataclass, named tuple or pydantic model: its type's name and its fields, without the class."""

    __slots__ = ("fields", "type")

    def __init__(self, type: str, fields: dict[str, Any]) -> None:
        self.type = type
        self.fields = fields

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordValue) and (self.type, self.fields) == (other.type, other.fields)

    def __hash__(self) -> int:
        # By names only, so that a record whose original was hashable always is.
        return hash((self.type, tuple(self.fields)))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self.fields.items())
        return f"{self.type}({inner})"


class _TooBig(Exception):
    """The envelope would pass its limit."""


def _is_heap(kind: type) -> bool:
    """Whether a class was made in Python; asked of `type` itself, past any metaclass."""
    return bool(type.__dict__["__flags__"].__get__(kind) & _HEAP_TYPE)


def type_name(kind: type) -> str:
    """Gives the qualified name of a class without asking its metaclass; builtins without module."""
    name: str = type.__dict__["__qualname__"].__get__(kind)
    if _is_heap(kind):
        module = type.__dict__["__dict__"].__get__(kind).get("__module__")
    else:
        module = type.__dict__["__module__"].__get__(kind)
    return name if type(module) is not str or module == "builtins" else f"{module}.{name}"


def to_envelope(value: object, *, max_bytes: int = MAX_VALUE_BYTES, store: BlobSink | None = None) -> Any:
    """Gives the value as plain data that msgspec can write as JSON or msgpack. Never raises.

    Args:
        value: anything.
        max_bytes: approximate size of the envelope beyond which the result is a `summary`.
        store: where an envelope of more than 64 KiB is put; None keeps it whole in the result.

    Cost: linear in the size of the value, never more than `max_bytes` allows.
    """
    try:
        encoder = _Encoder(max_bytes)
        data = encoder.encode(value, 0)
        if store is not None and encoder.spent > BLOB_BYTES:
            raw = msgspec.json.encode(data)
            if len(raw) > BLOB_BYTES:
                return {"$": "blob", "d": store.put(raw), "n": len(raw)}
        return data
    except _TooBig:
        return summarise(value)
    except (RecursionError, MemoryError, RuntimeError):
        # Too near the interpreter's limits, or another thread resized the container.
        return {"$": "opaque", "t": encode_safe(type_name(type(value))), "r": "", "n": None}


def summarise(value: object) -> dict[str, Any]:
    """Gives a bounded `summary` of a large value: type, length and head, without running its code."""
    kind = type(value)
    size: int | None = None
    head: Any = None
    if kind is str:
        size, head = len(value), encode_text(value[:64])  # type: ignore[arg-type, index]
    elif kind is bytes or kind is bytearray:
        size, head = len(value), _Encoder(1000).encode(bytes(value[:32]), 0)  # type: ignore[arg-type, index]
    elif kind is list or kind is tuple:
        size, head = len(value), [_leaf(item) for item in value[:8]]  # type: ignore[arg-type, index]
    elif kind is dict:
        size = len(value)  # type: ignore[arg-type]
        pairs = list(_first(value.items(), 4))  # type: ignore[attr-defined]
        head = [[_leaf(key), _leaf(item)] for key, item in pairs]
    elif kind is set or kind is frozenset:
        size = len(value)  # type: ignore[arg-type]
    elif kind is int:
        size = value.bit_length()  # type: ignore[attr-defined]
    return {"$": "summary", "t": encode_safe(type_name(kind)), "n": size, "h": head}


def _first(items: Iterable[Any], count: int) -> Iterable[Any]:
    for index, item in enumerate(items):
        if index == count:
            return
        yield item


def _leaf(value: object) -> Any:
    kind = type(value)
    if kind is str:
        return encode_text(value[:LEAF_CHARACTERS])  # type: ignore[index]
    if kind is bool or value is None or kind is float or (kind is int and value.bit_length() < 64):  # type: ignore[attr-defined]
        return _Encoder(1000).encode(value, 0)
    return {"$": "opaque", "t": encode_safe(type_name(kind)), "r": "", "n": None}


def encode_text(text: str) -> Any:
    """Gives a str as it is, or tagged when lone surrogates keep it out of JSON."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return {"$": "str", "v": _b64(text.encode("utf-8", "surrogatepass"))}
    return text


def _b64(data: bytes | bytearray) -> str:
    return base64.b64encode(data).decode("ascii")


class _Encoder:
    """One conversion: counts what it spends and knows which containers it is inside of."""

    def __init__(self, max_bytes: int) -> None:
        self.left = self.limit = max_bytes
        self.inside: set[int] = set()

    @property
    def spent(self) -> int:
        return self.limit - self.left

    def pay(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise _TooBig

    def encode(self, value: Any, depth: int) -> Any:
        """Gives the envelope of one value, found at a depth of so many containers."""
        self.pay(8)
        kind = type(value)
        if kind is str:
            self.pay(len(value))
            return encode_text(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return self._integer(value)
        if kind is float:
            return value if value - value == 0.0 else {"$": "float", "v": repr(value)}
        simple = _SIMPLE.get(kind)
        if simple is not None:
            return simple(self, value)
        if depth >= MAX_DEPTH or id(value) in self.inside:
            return _opaque(value)
        self.inside.add(id(value))
        try:
            maker = _CONTAINERS.get(kind)
            return maker(self, value, depth + 1) if maker is not None else self._other(value, depth + 1)
        finally:
            self.inside.discard(id(value))

    def _integer(self, value: int) -> Any:
        if -(1 << 63) <= value < 1 << 64:
            return value
        bits = value.bit_length()
        self.pay(bits // 3)
        # Decimal conversion is quadratic and limited to 4300 digits; hexadecimal is neither.
        return {"$": "int", "v": str(value) if bits < 8192 else hex(value)}

    def bytes_like(self, value: bytes | bytearray) -> Any:
        self.pay(len(value) * 4 // 3)
        return {"$": type(value).__name__, "v": _b64(value)}

    def of_complex(self, value: complex) -> Any:
        return {"$": "complex", "v": [self.encode(value.real, 0), self.encode(value.imag, 0)]}

    def of_list(self, value: list[Any], depth: int) -> Any:
        encode = self.encode
        return [encode(item, depth) for item in value.copy()]

    def of_tuple(self, value: tuple[Any, ...], depth: int) -> Any:
        return {"$": "tuple", "v": [self.encode(item, depth) for item in value]}

    def of_set(self, value: set[Any] | frozenset[Any], depth: int) -> Any:
        items = [self.encode(item, depth) for item in value.copy()]
        if _collapse(items):
            return _opaque(value)
        items.sort(key=msgspec.json.encode)  # so that equal sets have equal envelopes
        return {"$": type(value).__name__, "v": items}

    def of_dict(self, value: dict[Any, Any], depth: int) -> Any:
        pairs = list(value.items())
        encode = self.encode
        if all(type(key) is str and key[:1] != "$" and key.isascii() for key, _ in pairs):
            self.pay(sum(len(key) for key, _ in pairs))
            return {key: encode(item, depth) for key, item in pairs}
        keys = [encode(key, depth) for key, _ in pairs]
        items = [encode(item, depth) for _, item in pairs]
        if _collapse(keys):
            return _opaque(value)
        if all(type(key) is str and key[:1] != "$" for key in keys):
            return dict(zip(keys, items, strict=True))
        return {"$": "dict", "v": [list(pair) for pair in zip(keys, items, strict=True)]}

    def _other(self, value: Any, depth: int) -> Any:
        if type(value) is RecordValue:
            return self.of_record(value.type, value.fields, depth)
        fields = _fields_of(value)
        if fields is None:
            return _opaque(value)
        return self.of_record(encode_safe(type_name(type(value))), fields, depth)

    def of_record(self, name: str, fields: dict[str, Any], depth: int) -> Any:
        return {"$": "record", "t": name, "v": self.of_dict(fields, depth)}

    def of_path(self, value: pathlib.PurePath) -> Any:
        text = pathlib.PurePath.__str__(value)
        kind = "PureWindowsPath" if isinstance(value, pathlib.PureWindowsPath) else "PurePosixPath"
        concrete = {} if type(value) is not _PATHS[kind] else {"t": kind}
        return {"$": "path", "v": self.encode(text, 0), **concrete}

    def of_datetime(self, value: datetime.datetime | datetime.time) -> Any:
        zone = value.tzinfo
        data: dict[str, Any] = {
            "$": type(value).__name__,
            "v": value.replace(tzinfo=None).isoformat(),
            **({"f": 1} if value.fold else {}),
        }
        if type(zone) is datetime.timezone:
            init = zone.__getinitargs__()  # type: ignore[attr-defined]
            data["z"] = [_microseconds(init[0]), *(self.encode(name, 0) for name in init[1:])]
        elif type(zone) is zoneinfo.ZoneInfo and type(zone.key) is str:
            data["z"] = zone.key
        elif zone is not None:
            return _opaque(value)
        return data


def _collapse(keys: list[Any]) -> bool:
    """Whether keys that differ would come back equal: a record's own comparison is not stored."""
    texts = [msgspec.json.encode(k) for k in keys if type(k) is dict and k["$"] in _MAY_HOLD_RECORDS]
    return len(set(texts)) < len(texts)


def _microseconds(value: datetime.timedelta) -> int:
    return (value.days * 86400 + value.seconds) * 1_000_000 + value.microseconds


def _opaque(value: object) -> dict[str, Any]:
    kind = type(value)
    text = ""
    if kind is types.FunctionType or kind is types.BuiltinFunctionType:
        text = str(value.__qualname__)  # type: ignore[attr-defined]
    elif kind is types.ModuleType:
        name = _MODULE_DICT.__get__(value).get("__name__")
        text = name if type(name) is str else ""
    elif kind is type:
        text = type_name(value)  # type: ignore[arg-type]
    elif kind is range and all(abs(n) < 1 << 63 for n in (value.start, value.stop, value.step)):  # type: ignore[attr-defined]
        text = repr(value)
    return {"$": "opaque", "t": encode_safe(type_name(kind)), "r": encode_safe(text), "n": None}


def encode_safe(text: str) -> str:
    """Gives text that UTF-8 can hold; lone surrogates become their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _fields_of(value: object) -> dict[str, Any] | None:
    """Fields of a dataclass, named tuple or pydantic model, read past descriptors; None for others."""
    kind = type(value)
    mro: tuple[type, ...] = type.__dict__["__mro__"].__get__(kind)
    spaces = [type.__dict__["__dict__"].__get__(base) for base in mro]
    if tuple in mro:
        names = next((space["_fields"] for space in spaces if "_fields" in space), None)
        if type(names) is tuple and len(names) == tuple.__len__(value) and _all_text(names):  # type: ignore[arg-type]
            return dict(zip(names, tuple.__iter__(value), strict=True))  # type: ignore[arg-type]
        return None
    if any(base is not object and not _is_heap(base) for base in mro):
        return None  # built on a builtin, whose own content the fields would not hold
    declared = next((s["__dataclass_fields__"] for s in spaces if "__dataclass_fields__" in s), None)
    if type(declared) is dict and all(type(field) is dataclasses.Field for field in declared.values()):
        kept = [n for n, field in declared.items() if getattr(field, "_field_type", None) is _FIELD]
        return _stored(value, spaces, kept) if _all_text(kept) else None
    models = next((s["__pydantic_fields__"] for s in spaces if "__pydantic_fields__" in s), None)
    if type(models) is dict and _all_text(models):
        return _stored(value, spaces, list(models))
    return None


_MAY_HOLD_RECORDS: Final = frozenset({"record", "tuple", "frozenset"})
_FIELD: Final = getattr(dataclasses, "_FIELD")  # noqa: B009 - private, and without a public name


def _all_text(names: Iterable[object]) -> bool:
    return all(type(name) is str for name in names)


def _stored(value: object, spaces: list[Any], names: list[str]) -> dict[str, Any] | None:
    """The named attributes from the instance's dict or slots; None when one is not stored there."""
    own: dict[str, Any] = {}
    holder = next((space["__dict__"] for space in spaces if "__dict__" in space), None)
    if type(holder) is types.GetSetDescriptorType:
        own = holder.__get__(value)
    fields: dict[str, Any] = {}
    for name in names:
        slot = next((space[name] for space in spaces if type(space.get(name)) is _MEMBER), None)
        if name in own:
            fields[name] = own[name]
        elif slot is not None:
            try:
                fields[name] = slot.__get__(value)
            except AttributeError:
                return None
        else:
            return None
    return fields


_SIMPLE: Final[dict[type, Callable[[_Encoder, Any], Any]]] = {
    bytes: _Encoder.bytes_like,
    bytearray: _Encoder.bytes_like,
    complex: _Encoder.of_complex,
    datetime.datetime: _Encoder.of_datetime,
    datetime.time: _Encoder.of_datetime,
    datetime.date: lambda _, value: {"$": "date", "v": value.isoformat()},
    datetime.timedelta: lambda _, value: {"$": "timedelta", "v": str(_microseconds(value))},
    decimal.Decimal: lambda _, value: {"$": "decimal", "v": str(value)},
    uuid.UUID: lambda _, value: {"$": "uuid", "v": str(value)},
    pathlib.PurePosixPath: _Encoder.of_path,
    pathlib.PureWindowsPath: _Encoder.of_path,
    pathlib.PosixPath: _Encoder.of_path,
    pathlib.WindowsPath: _Encoder.of_path,
    Opaque: lambda _, v: {"$": "opaque", "t": v.type, "r": v.text, "n": v.size},
    Summary: lambda _, v: {"$": "summary", "t": v.type, "n": v.size, "h": v.head},
    BlobRef: lambda _, v: {"$": "blob", "d": v.digest, "n": v.size},
}
_CONTAINERS: Final[dict[type, Callable[[_Encoder, Any, int], Any]]] = {
    list: _Encoder.of_list,
    tuple: _Encoder.of_tuple,
    set: _Encoder.of_set,
    frozenset: _Encoder.of_set,
    dict: _Encoder.of_dict,
}
