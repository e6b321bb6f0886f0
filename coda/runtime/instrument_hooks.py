"""The objects that instrumented code holds as constants: buffers, capture sites, the summariser.

Guarantee: a hook runs at C speed (an append to a list), holds no reference to anything but immutable
scalars and short texts, and never calls code of the user's: no `__repr__`, `__len__` or property. The
objects live in `co_consts`, so they are hashed and compared by identity (tools use code objects as keys
of dictionaries), and they pickle to something harmless that needs no coda where it is loaded.
"""

from __future__ import annotations

import sys
import typing
from collections import deque
from functools import partial
from types import NoneType
from typing import Any, Final, SupportsIndex

from coda.log import summarise, type_name

SCALARS: Final = frozenset({int, float, bool, NoneType})
"""Types whose values are kept as they are: nothing hangs on how long they live."""

_TEXT_CHARS = 64
_LABELS = 8
_LABEL_CHARS = 32
# The type's own slot: a metaclass of the user's cannot come between.
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
    """One place where values are captured, as often as its budget lets it.

    `left` is None when nothing is left, so that the guard in the code is a load and a jump: measured
    ten times cheaper than an item of a list subclass.
    """

    __slots__ = ("ids", "left", "lines", "values")

    def __init__(self, ids: tuple[int, ...], left: int | None, lines: Buffer, values: Buffer) -> None:
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
    """Gives a bounded picture of a value: a scalar or a short text as it is, else a `summary`.

    Args:
        value: anything; no code of its class runs and no reference to it is kept.

    Returns:
        Data in the value envelope, under about 400 bytes; numbers and short texts may still need tags
        (nan, lone surrogates), which whoever encodes the stream gives them.
    """
    kind = type(value)
    if kind in SCALARS or (kind is str and len(value) <= _TEXT_CHARS):
        return value
    try:
        shape = _shape(kind, value)
        return summarise(value) if shape is None else {"$": "summary", "t": type_name(kind), **shape}
    except Exception:  # noqa: BLE001  a dict that another thread resized, no stack left: no picture, no harm
        return {"$": "summary", "t": "object", "n": None, "h": None}


def _shape(kind: type, value: Any) -> dict[str, Any] | None:
    """Shape and columns of the arrays and frames that everybody uses, if this is exactly one of them."""
    name = _name_of(kind)
    if name == "ndarray" and kind is _loaded("numpy", name):
        shape = list(value.shape)
        return {"n": shape[0] if shape else None, "h": {"shape": shape, "dtype": value.dtype.str}}
    if name == "DataFrame" and kind is _loaded("pandas", name):
        labels = [str(label)[:_LABEL_CHARS] for label in value.columns[:_LABELS] if type(label) in (str, int)]
        return {"n": len(value), "h": {"shape": list(value.shape), "columns": labels}}
    if name == "Series" and kind is _loaded("pandas", name):
        return {"n": len(value), "h": {"shape": list(value.shape), "dtype": str(value.dtype)}}
    return None


def _loaded(module: str, name: str) -> Any:
    """An attribute of a module that is already imported, without asking the module to make one."""
    found = sys.modules.get(module)
    return getattr(found, "__dict__", {}).get(name) if type(found) is type(sys) else None
