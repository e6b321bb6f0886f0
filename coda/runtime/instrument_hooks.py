"""The objects that instrumented code holds as constants: buffers, capture sites, the summariser.

Guarantee: a hook runs at C speed (an append to a list), holds no reference to anything but immutable
scalars and short texts, and never calls code of the user's: no `__repr__`, `__len__` or property. The
objects live in `co_consts`, so they are hashed and compared by identity (tools use code objects as keys
of dictionaries), and they pickle to something harmless that needs no coda where it is loaded.
"""

from __future__ import annotations

import base64
import sys
import typing
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import islice
from types import NoneType
from typing import Any, Final, SupportsIndex

from coda.log.values import encode_text, type_name

SCALARS: Final = frozenset({int, float, bool, NoneType})
"""Types whose values are kept as they are: nothing hangs on how long they live."""

_TEXT_CHARS = 64
_BYTES_BYTES = 32
_LEAVES = 8
_PAIRS = 4
_LEAF_CHARS = 32
_NAME_CHARS = 80
# The type's own slots: a metaclass of the user's cannot come between.
_name_of = type.__dict__["__name__"].__get__


class Buffer(list[Any]):
    """A list that can be a constant; assigning `buffer.__class__` changes what every hook does.

    Subclasses that are swapped in need empty `__slots__` too. The interpreter's specialised append
    accepts subclasses of list, so this one costs what a list costs.
    """

    __slots__ = ()
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Pickles as a sink of length nothing: a function that is sent away must not carry the log."""
        return deque, ((), 0)


class Values(Buffer):
    """The stream of captured values: one for each binding id in the stream of ids."""

    __slots__ = ()


class Site:
    """One place where values are captured, as often as its budget lets it (R25).

    `left` is None when nothing is left, so that the guard in the code is a load and a jump: measured
    ten times cheaper than an item of a list subclass.
    """

    __slots__ = ("ids", "left", "lines", "values")

    def __init__(self, ids: tuple[int, ...], left: int | None, lines: Buffer, values: Values) -> None:
        self.ids = ids
        self.left = left
        self.lines = lines
        self.values = values

    def keep(self, value: Any) -> Any:
        """Captures a value on its way to an attribute, an item or a walrus, and gives it back."""
        left = self.left
        if left is not None:
            self.left = left - 1 or None
            for number in self.ids:
                self.values.append(value if type(value) in SCALARS else summary(value))
                self.lines.append(number)
        return value

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Pickles as a spent site, made of builtins."""
        return type, ("Site", (), {"left": None, "keep": partial(typing.cast, object)})


class Budget(tuple[Site, ...]):
    """The capture sites of one code unit."""

    __slots__ = ()

    def refill(self, limit: int) -> None:
        """Lets each site capture `limit` more values, and no more than that; at each block's start."""
        left = limit if limit > 0 else None
        for site in self:
            site.left = left


def summary(value: Any) -> Any:
    """Gives a bounded picture of a value, in the value envelope (under about 400 bytes encoded).

    Numbers, bools, None and texts of up to 64 characters are given back as they are. All else becomes a
    `summary` with type name, length where it has one, and head. Dispatches on the exact builtin type,
    since a subclass may have a `__len__` of its own.

    Args:
        value: anything; no code of its class runs and no reference to it is kept.

    Returns:
        Data that holds only scalars, short texts, lists and dicts.
    """
    kind = type(value)
    if kind in SCALARS or (kind is str and len(value) <= _TEXT_CHARS):
        return value
    name, n, head = "object", None, None
    try:
        name = type_name(kind)[:_NAME_CHARS]
        n, head = _KINDS.get(kind, _foreign)(value)
    except Exception:  # noqa: BLE001  a dict that another thread resized, no stack left: the name must do
        n, head = None, None
    return {"$": "summary", "t": name, "n": n, "h": head}


def _leaf(value: Any) -> Any:
    """One element of a head: ready to be encoded, since nobody looks into heads again."""
    kind = type(value)
    if kind is bool or value is None or (kind is int and -(1 << 63) <= value < 1 << 63):
        return value
    if kind is float and value - value == 0.0:  # neither infinite nor nan
        return value
    if kind is str:
        return encode_text(value[:_LEAF_CHARS])
    if kind is float:
        return {"$": "float", "v": repr(value)}
    return {"$": "opaque", "t": type_name(kind)[:_NAME_CHARS], "r": "", "n": None}


def _sequence(value: list[Any] | tuple[Any, ...]) -> tuple[int, Any]:
    return len(value), [_leaf(item) for item in value[:_LEAVES]]


def _mapping(value: dict[Any, Any]) -> tuple[int, Any]:
    return len(value), [[_leaf(key), _leaf(item)] for key, item in islice(value.items(), _PAIRS)]


def _text(value: str) -> tuple[int, Any]:
    return len(value), encode_text(value[:_TEXT_CHARS])


def _bytes(value: bytes | bytearray) -> tuple[int, Any]:
    return len(value), {"$": "bytes", "v": base64.b64encode(value[:_BYTES_BYTES]).decode("ascii")}


def _sized(value: Any) -> tuple[int, Any]:
    return len(value), None


def _complex(value: complex) -> tuple[None, Any]:
    return None, [_leaf(value.real), _leaf(value.imag)]


_KINDS: Final[dict[type, Any]] = {
    list: _sequence,
    tuple: _sequence,
    dict: _mapping,
    str: _text,
    bytes: _bytes,
    bytearray: _bytes,
    set: _sized,
    frozenset: _sized,
    range: _sized,
    complex: _complex,
}


def _foreign(value: Any) -> tuple[int | None, Any]:
    """Shape and columns of the arrays and frames that everybody uses, if this is exactly one of them."""
    kind = type(value)
    name = _name_of(kind)
    if name == "ndarray" and kind is _loaded("numpy", "ndarray"):
        shape = value.shape
        return (shape[0] if shape else None), {"shape": list(shape), "dtype": value.dtype.str}
    if name == "DataFrame" and kind is _loaded("pandas", "DataFrame"):
        return len(value), {"shape": list(value.shape), "columns": _labels(value.columns[:_LEAVES])}
    if name == "Series" and kind is _loaded("pandas", "Series"):
        return len(value), {"shape": list(value.shape)}
    return None, None


def _labels(columns: Iterable[Any]) -> list[Any]:
    return [_leaf(label) for label in columns]


def _loaded(module: str, name: str) -> Any:
    """An attribute of a module that is already imported, without asking the module to make one."""
    found = sys.modules.get(module)
    return getattr(found, "__dict__", {}).get(name) if type(found) is type(sys) else None
