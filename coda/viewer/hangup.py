"""The end of the viewer when its terminal is gone, or when it is told to end.

Guarantee: a viewer whose terminal vanished ends within seconds, whatever signals its parent had it ignore,
and it ends as if the user had left, so that a replay's private copy does not stay behind. The wrong
alternative is a process that reads nothing, as fast as it can, for ever.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from typing import Any

STATUS = 128 + signal.SIGHUP
GRACE_S = 2.0
"""Seconds in which the application may end by itself: what it writes to a dead terminal may block it."""


def end_with_terminal(fd: int, leave: Callable[[], object], end: Callable[[int], object] = os._exit) -> None:
    """Ends the application once its terminal is gone. Costs nothing while it is there.

    Args:
        fd: descriptor of the terminal.
        leave: asks the application to end; called from a thread of its own.
        end: called with a status when the application is still there after a while.
    """

    def begin(*_: Any) -> None:
        _thread(_last_resort, end)
        _thread(leave)

    def watch() -> None:
        poll = select.poll()
        poll.register(fd, 0)  # nothing is to be read: that the other end is gone is told even so
        poll.poll()
        begin()

    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, begin)
    _thread(watch)


def _last_resort(end: Callable[[int], object]) -> None:
    threading.Event().wait(GRACE_S)
    end(STATUS)


def _thread(work: Callable[..., object], *args: object) -> None:
    threading.Thread(target=work, args=args, name="coda-hangup", daemon=True).start()
