"""Live objects as text, for people who look at a state.

Guarantee: the text is what `repr` gives, in the object's own order, or it says that it is not: a big
container, a deep one and a long text are cut with `...`, and `exact` is False then. It is bounded in size
and in time; what the agent's own `__repr__` does cannot end the worker. The wrong alternative is
`reprlib`, which sorts sets and dictionaries: the order of a dictionary is part of the state.
"""

from __future__ import annotations

import _thread
import ctypes
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any

# The agent's own are others.
_allocate_lock, _start_thread = _thread.allocate_lock, _thread.start_new_thread
REPR_SECONDS = 0.2
REPR_BYTES = 1 << 16
SHORT_BYTES = 2000
_DEPTH = 8
_CUT = "..."


class _TooSlow(BaseException):
    """A repr took too long."""


def show(value: Any, *, limit: int) -> dict[str, Any]:
    """{"type", "repr", "truncated", "source", "exact"} of a live object, bounded in size and time."""
    kind = type(value)
    name = (
        kind.__qualname__
        if kind.__module__ in ("builtins", "__main__")
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    text, cut, made_up = _bounded(value, limit)
    return {
        "type": name,
        "repr": text,
        "truncated": cut,
        "source": "replay",
        "exact": not cut and not made_up,
    }


def _bounded(value: Any, limit: int) -> tuple[str, bool, bool]:
    """The text, whether something was cut from it, and whether it stands in for one that there is not."""
    writer = _Writer(limit)
    try:
        with _time_limit():
            text = writer.text(value, _DEPTH)
    except _TooSlow:
        return f"<{type(value).__name__}: repr takes longer than {REPR_SECONDS} s>", False, True
    except BaseException as error:  # noqa: BLE001  the agent's own __repr__
        return f"<{type(value).__name__}: repr raised {type(error).__name__}>", False, True
    return text[:limit], writer.cut or len(text) > limit, False


def _time_limit() -> AbstractContextManager[None]:
    """Context that raises _TooSlow in this thread after a while; a signal reaches only the main one."""
    return _alarm() if _thread.get_ident() == threading.main_thread().ident else _other_alarm()


@contextmanager
def _alarm() -> Iterator[None]:
    def too_slow(_signal: int, _frame: Any) -> None:
        raise _TooSlow

    before = signal.getsignal(signal.SIGALRM)
    try:
        signal.signal(signal.SIGALRM, too_slow)
        signal.setitimer(signal.ITIMER_REAL, REPR_SECONDS)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _other_alarm() -> Iterator[None]:
    here = ctypes.c_ulong(_thread.get_ident())
    done, ended = _allocate_lock(), _allocate_lock()
    done.acquire()
    ended.acquire()

    def watch() -> None:
        if not done.acquire(timeout=REPR_SECONDS):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(here, ctypes.py_object(_TooSlow))
        ended.release()

    _start_thread(watch, ())
    try:
        yield
    finally:
        done.release()
        ended.acquire()


class _Writer:
    """One text in the making."""

    def __init__(self, limit: int) -> None:
        self.cut = False
        self._limit = limit
        self._items = 1000 if limit > SHORT_BYTES else 40
        self._inside: set[int] = set()

    def text(self, value: Any, depth: int) -> str:
        """What `repr` gives, or a part of it."""
        kind = type(value)
        write = _CONTAINERS.get(kind)
        if write is not None:
            return self._contained(value, depth, write)
        if kind in (str, bytes, bytearray) and len(value) > self._limit:
            self.cut = True
            return repr(value[: self._limit])
        if kind is int and value.bit_length() > 4 * self._limit:
            self.cut = True
            return f"<int of {value.bit_length()} bits>"
        return repr(value)

    def _contained(self, value: Any, depth: int, write: Callable[[_Writer, Any, int], str]) -> str:
        if id(value) in self._inside:
            return _BRACKETS[type(value)].replace("|", _CUT)  # as `repr` itself shows what holds itself
        if depth == 0:
            self.cut = True
            return _BRACKETS[type(value)].replace("|", _CUT)
        self._inside.add(id(value))
        try:
            return write(self, value, depth - 1)
        finally:
            self._inside.discard(id(value))

    def joined(self, parts: Iterable[str], length: int) -> str:
        """Parts with commas, as many as fit."""
        done: list[str] = []
        size = 0
        for part in islice(parts, self._items):
            done.append(part)
            size += len(part) + 2
            if size > self._limit:
                break
        if len(done) < length:
            self.cut = True
            done.append(_CUT)
        return ", ".join(done)


def _list(writer: _Writer, value: list[Any], depth: int) -> str:
    return f"[{writer.joined((writer.text(item, depth) for item in value), len(value))}]"


def _tuple(writer: _Writer, value: tuple[Any, ...], depth: int) -> str:
    inner = writer.joined((writer.text(item, depth) for item in value), len(value))
    return f"({inner},)" if len(value) == 1 else f"({inner})"


def _dict(writer: _Writer, value: dict[Any, Any], depth: int) -> str:
    pairs = (f"{writer.text(key, depth)}: {writer.text(item, depth)}" for key, item in value.items())
    return f"{{{writer.joined(pairs, len(value))}}}"


def _set(writer: _Writer, value: set[Any] | frozenset[Any], depth: int) -> str:
    name = "" if type(value) is set else "frozenset"
    if not value:
        return f"{name or 'set'}()"
    inner = f"{{{writer.joined((writer.text(item, depth) for item in value), len(value))}}}"
    return f"{name}({inner})" if name else inner


def _deque(writer: _Writer, value: deque[Any], depth: int) -> str:
    inner = writer.joined((writer.text(item, depth) for item in value), len(value))
    return f"deque([{inner}])" if value.maxlen is None else f"deque([{inner}], maxlen={value.maxlen})"


_CONTAINERS: dict[type, Callable[[_Writer, Any, int], str]] = {
    list: _list, tuple: _tuple, dict: _dict, set: _set, frozenset: _set, deque: _deque,
}  # fmt: skip
_BRACKETS: dict[type, str] = {
    list: "[|]", tuple: "(|)", dict: "{|}", set: "{|}", frozenset: "frozenset({|})", deque: "[|]",
}  # fmt: skip
