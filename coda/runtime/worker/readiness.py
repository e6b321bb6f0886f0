"""What an event loop learns of its descriptors: which are ready, what was read and written, who has ended.

Guarantee: each of these is one observation, so a replay asks no system: the recorded descriptors are ready,
named by their place among those that the loop watches, since numbers differ; what was read of a pipe is read
again to the same byte. With what passes through pipes and sockets answered as ever (`children.py`,
`sockets.py`), asyncio's own transports run in both modes. Waiting ends for an arrival too (`inbox.py`); the
log says which it was.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from coda.log import from_envelope, to_envelope
from coda.runtime.worker.baton import Baton
from coda.runtime.worker.children import Children
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.sockets import Sockets
from coda.runtime.worker.standins import HOST_CODE, LIVE, Feed

_LOOK_SECONDS = 0.01
"""A loop that waits for descriptors looks for arrivals this often."""
_SUPPLY_MS = 10_000
"""How long a replay waits for bytes that are on their way to it through a pipe of ours."""
_SELECT, _READ, _WRITE = "loop.select", "pipe.read", "pipe.write"


class Readiness:
    """Answers event loops.

    Args:
        recorder: where events go.
        feed: recorded observations, on replay.
        baton: who else could run, and what arrives.
        sockets: the connections of agent code.
        children: its children.
    """

    def __init__(
        self, recorder: Recorder, feed: Feed, baton: Baton, sockets: Sockets, children: Children
    ) -> None:
        self._children = children
        self._recorder = recorder
        self._feed = feed
        self._baton = baton
        self._sockets = sockets
        self._of_children: set[int] = set()
        """Our ends of the pipes of children: what comes through them is in the log already."""
        # Kept here: agent code may replace what the module holds.
        self._read, self._write, self._close, self._pipe = os.read, os.write, os.close, os.pipe

    def select(self, selector: Any, can_run: Callable[[], bool]) -> list[tuple[Any, int]]:
        """The descriptors that are ready, waiting for them or for an arrival if nothing can run."""
        feed = self._feed
        if feed.replaying and not feed.live:
            if self._is_main():
                feed.answer_call()
            coming = feed.coming(_SELECT)
            if coming is None:  # an arrival ended the wait
                self._baton.inbox.wait()
            feed.take(HOST_CODE, _SELECT)
            feed.note(_SELECT, coming)
            return self._named(selector, coming or [])
        self._sockets.wait_for_more()
        found = self._wait(selector, can_run)
        places = {fd: place for place, fd in enumerate(selector.get_map())}
        feed.note(_SELECT, None if found is None else [[places[key.fd], mask] for key, mask in found])
        return found or []

    def _wait(self, selector: Any, can_run: Callable[[], bool]) -> list[tuple[Any, int]] | None:
        """Gives None when it was an arrival that ended the wait."""
        inbox = self._baton.inbox
        self._recorder.drain()
        while True:
            seconds = 0.0 if can_run() else _LOOK_SECONDS
            due = inbox.next_due()
            if due is not None:
                seconds = max(0.0, min(seconds, due))
            with (
                self._feed.inside_call() if self._is_main() else nullcontext()
            ):  # where handlers of signals run
                found: list[tuple[Any, int]] = selector.select(seconds)
            if found or can_run() or len(self._baton.strands) != 1:
                return found
            self._children.idle(timers=due is not None)
            if not inbox.is_empty and inbox.look():
                return None

    def _is_main(self) -> bool:
        return self._baton.current is self._baton.main

    def _named(self, selector: Any, places: list[list[int]]) -> list[tuple[Any, int]]:
        keys = list(selector.get_map().values())
        if any(place >= len(keys) for place, _ in places):
            self._feed.differs(HOST_CODE)
        return [(keys[place], mask) for place, mask in places]

    # --- pipes ---------------------------------------------------------------------------------

    def read(self, fd: int, size: int) -> bytes:
        """`os.read` of a transport."""
        answer = self._feed.recorded(_READ)
        if answer is not LIVE:
            return self._read_again(fd, answer)
        try:
            data = self._read(fd, size)
        except OSError as error:
            self._feed.note(_READ, {"errno": error.errno})
            raise
        ours = fd in self._of_children
        self._feed.note(_READ, len(data) if ours else to_envelope(data))
        if not data:
            self._of_children.discard(fd)
        return data

    def _read_again(self, fd: int, answer: Any) -> bytes:
        _raise_refusal(answer)
        if isinstance(answer, int):
            return self._take(fd, answer, _SUPPLY_MS)
        data: bytes = from_envelope(answer)
        self._take(fd, len(data), 0)  # whoever fills it must not wait for ever
        return data

    def _take(self, fd: int, size: int, wait_ms: int) -> bytes:
        waiting = select.poll()
        waiting.register(fd, select.POLLIN)
        parts: list[bytes] = []
        while size and waiting.poll(wait_ms) and (piece := self._read(fd, size)):
            parts.append(piece)
            size -= len(piece)
        return b"".join(parts)

    def write(self, fd: int, data: Any) -> int:
        """`os.write` of a transport."""
        answer = self._feed.recorded(_WRITE)
        if answer is not LIVE:
            _raise_refusal(answer)
            size: int = answer
            self._put(fd, bytes(data[:size]))
            return size
        try:
            size = self._write(fd, data)
        except OSError as error:
            self._feed.note(_WRITE, {"errno": error.errno})
            raise
        self._feed.note(_WRITE, size)
        return size

    def _put(self, fd: int, data: bytes) -> None:
        waiting = select.poll()
        waiting.register(fd, select.POLLOUT)
        while data and waiting.poll(_SUPPLY_MS):
            data = data[self._write(fd, data) :]

    # --- children ------------------------------------------------------------------------------

    def started(self, popen: Any) -> None:
        """A child of an event loop has been started."""
        self._of_children.update(stream.fileno() for stream in (popen.stdout, popen.stderr) if stream)

    def watch(self, loop: Any, transport: Any) -> None:
        """Tells a transport when its child has ended."""
        popen = transport.get_extra_info("subprocess")
        fd = self._end_of(popen)

        def ended() -> None:
            loop._remove_reader(fd)
            self._close(fd)
            loop.call_soon(transport._process_exited, popen.poll())

        loop._add_reader(fd, ended)

    def _end_of(self, popen: Any) -> int:
        """A descriptor that is ready once the child has ended; on replay it has."""
        child = popen.__dict__.get("_coda")
        if child is None or not child.answered:
            return os.pidfd_open(popen.pid)
        fd, other = self._pipe()
        self._children.when_over(child, partial(self._close, other))
        return fd


class PipeCalls:
    """What asyncio sees as the module `os`: reads and writes of its pipes are observations."""

    def __init__(self, readiness: Readiness) -> None:
        self.read = readiness.read
        self.write = readiness.write

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def _raise_refusal(answer: Any) -> None:
    if isinstance(answer, dict) and "errno" in answer:
        raise OSError(answer["errno"], os.strerror(answer["errno"]))
