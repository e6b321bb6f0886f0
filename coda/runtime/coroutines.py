"""Runs the coroutines of tools for a host that is not itself asynchronous.

Guarantee: all coroutines of one runner meet the same event loop, and the caller's own loop, if one is
running, is left alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Any

_CLOSE_SECONDS = 2.0


class AsyncRunner:
    """Runs coroutines of tools, all on one event loop, whatever loop the caller is in.

    The loop lives on a thread of its own and is made with the first coroutine: a notebook has a loop
    running in the main thread already, and clients that keep connections want to meet the same loop again.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._waiting: dict[int, Future[Any]] = {}

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Waits for an awaitable and gives its result, or raises its exception."""

        async def wait() -> Any:
            return await awaitable

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="coda-tools", daemon=True)
            self._thread.start()
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
        """Ends the loop; what still runs on it is cancelled. May be called twice.

        A coroutine that does not give way, or will not be cancelled, keeps the loop to itself.
        """
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(_CLOSE_SECONDS)
        except TimeoutError:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
