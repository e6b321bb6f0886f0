"""Runs the coroutines of tools for a host that is not itself asynchronous.

Guarantee: all coroutines of one runner meet the same event loop, and the caller's own loop, if one is
running, is left alone.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coda.runtime.event_loop import EventLoop


class AsyncRunner:
    """Runs coroutines of tools, all on one event loop, whatever loop the caller is in.

    The loop lives on a thread of its own and is made with the first coroutine: a notebook has a loop
    running in the main thread already, and clients that keep connections want to meet the same loop again.
    """

    def __init__(self) -> None:
        self._loop: EventLoop | None = None

    def run(self, awaitable: Awaitable[Any], *, timeout_s: float | None = None) -> Any:
        """Waits for an awaitable and gives its result, or raises its exception.

        Raises:
            TimeoutError: it took longer than that; it was cancelled.
        """
        if self._loop is None:
            # Few runs have a coroutine, and asyncio takes as long to load as half of coda.
            from coda.runtime.event_loop import EventLoop

            self._loop = EventLoop()
        return self._loop.run(awaitable, timeout_s)

    def cancel(self, thread: int) -> bool:
        """Cancels the coroutine that a thread waits for; False when it waits for none."""
        return self._loop is not None and self._loop.cancel(thread)

    def close(self) -> None:
        """Ends the loop; what still runs on it is cancelled. May be called twice.

        A coroutine that does not give way, or will not be cancelled, keeps the loop to itself.
        """
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()
