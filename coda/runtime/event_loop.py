"""An event loop on a thread of its own.

Guarantee: who waits for a coroutine is on another thread, so that a loop of the caller's own is left alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Any

_CLOSE_SECONDS = 2.0


class EventLoop:
    """A loop that runs until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="coda-tools", daemon=True)
        self._thread.start()
        self._waiting: dict[int, Future[Any]] = {}

    def run(self, awaitable: Awaitable[Any], timeout_s: float | None) -> Any:
        """Waits for an awaitable, from another thread; see `AsyncRunner.run`."""

        async def wait() -> Any:
            return await asyncio.wait_for(awaitable, timeout_s)

        future = asyncio.run_coroutine_threadsafe(wait(), self._loop)
        self._waiting[threading.get_ident()] = future
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
        finally:
            del self._waiting[threading.get_ident()]

    def cancel(self, thread: int) -> bool:
        """Cancels the coroutine that a thread waits for; False when it waits for none."""
        future = self._waiting.get(thread)
        return future is not None and future.cancel()

    def close(self) -> None:
        """Ends the loop; see `AsyncRunner.close`."""
        try:
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(_CLOSE_SECONDS)
        except TimeoutError:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
