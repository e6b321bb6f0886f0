"""Buffers for threads that run at the same time: a value stays with its entry, an entry with its thread.

Guarantee: a hook appends a value and then the entry that it belongs to, in two calls; between them another
thread may do the same. So a value waits until its own thread makes the entry, and both go in together. Where
the thread changes, an entry of its own says which one goes on.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from coda.runtime.instrument_hooks import Buffer, Values

SWITCHED_CODE = -18


def parallel(
    lock: AbstractContextManager[Any], values: Values, number_here: Callable[[], int]
) -> tuple[type[Values], type[Buffer]]:
    """Gives the classes that the buffer of values and the buffer of entries take on.

    Args:
        lock: held while the buffers are sent.
        values: the buffer of values.
        number_here: number of the calling thread.
    """
    get_ident = _thread.get_ident
    waiting: dict[int, list[Any]] = {}
    last = [-1]

    class ParallelValues(Values):
        __slots__ = ()

        def append(self, value: Any, /) -> None:
            waiting.setdefault(get_ident(), []).append(value)

    class ParallelBuffer(Buffer):
        __slots__ = ()

        def append(self, ident: int, /) -> None:
            with lock:
                here = number_here()
                if here != last[0]:
                    last[0] = here
                    list.append(values, here)
                    list.append(self, SWITCHED_CODE)
                list.extend(values, waiting.pop(get_ident(), ()))
                list.append(self, ident)

    return ParallelValues, ParallelBuffer
