"""Ends work in the host that takes too long, where nothing else could: inside the regular expression engine.

Guarantee: other users of the alarm signal are left alone. The limit holds in the main thread of a
process that has no alarm of its own, which is where agents run; elsewhere there is none.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def time_limit(seconds: float, message: str) -> Iterator[None]:
    """Raises TimeoutError in the body when it is not done in time.

    Args:
        seconds: wall time.
        message: of the error.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(message)

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL
        or signal.getitimer(signal.ITIMER_REAL) != (0.0, 0.0)
    ):
        yield
        return
    signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
