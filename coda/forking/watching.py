"""What runs live in a fork, watched from beside it: how far it is, and whether it is to end.

Guarantee: whatever agent code does, its worker has ended a moment after the time is over or somebody wants it
to; no code of its own runs after that, as at a frontier. The wrong alternative, an exception in the agent's
code, would be caught by a program that runs for ever.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from coda.runtime import Engine

LOOK_SECONDS = 0.1


class Ended(Exception):
    """Internal: the live part of a fork was ended from outside; the text says why."""


class Watching:
    """A thread that looks at the live part of one fork.

    Args:
        engine: the worker.
        events: tells how many events the fork has by now.
        timeout_s: time that it has; None: no limit.
        cancelled: whether somebody wants it to end.
        on_progress: told of the seconds that it has run, and of its events.
    """

    def __init__(
        self,
        engine: Engine,
        events: Callable[[], int],
        *,
        timeout_s: float | None = None,
        cancelled: Callable[[], bool] = bool,
        on_progress: Callable[[float, int], None] | None = None,
    ) -> None:
        self._engine, self._events = engine, events
        self._timeout_s, self._cancelled, self._on_progress = timeout_s, cancelled, on_progress
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="coda-fork", daemon=True)
        self.reason: str | None = None
        """Why it was ended; None while it was not."""

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops looking."""
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Raises Ended when the live part was ended."""
        if self.reason is not None:
            raise Ended(self.reason)

    def _look(self) -> None:
        began = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            seconds = time.monotonic() - began
            if self._timeout_s is not None and seconds >= self._timeout_s:
                self.reason = f"its time of {self._timeout_s:g} s was over"
            elif self._cancelled():
                self.reason = "it was cancelled"
            if self.reason is not None:
                self._engine.signal(signal.SIGKILL)
                return
            if self._on_progress is not None:
                self._on_progress(seconds, self._events())
