"""The host's half of the inbox: calls that overlap, and when a worker learns of what arrived.

Guarantee: nothing is delivered but in answer to the worker's question, when the worker stands still; so what
a call did to files can be looked at before its result is given, and the order of the log is the order in
which the program saw it. Calls run on threads of their own; a coroutine of a tool runs on the runner's loop.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from coda.log import ToolCalled
from coda.runtime.protocol import Answer
from coda.runtime.tools import Outcome

MAX_CALLS = 64
"""Calls that run at the same time; more wait for one of them to end."""


class Finished(NamedTuple):
    """A call that has ended."""

    number: int
    seq: int
    """Of its `tool.called`."""
    call: ToolCalled
    outcome: Outcome


class Arrivals:
    """Calls under way, and those that have ended and were not delivered yet.

    Args:
        clock: seconds, for timers.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = 0
        self._running = 0
        self._ended: deque[Finished] = deque()
        self._later: list[tuple[float, Finished]] = []
        self._bell: tuple[int, int] | None = None

    @property
    def under_way(self) -> int:
        """Calls that have begun and were not delivered."""
        return self._running + len(self._later)

    def begin(self, number: int, seq: int, call: ToolCalled, perform: Callable[[], Outcome]) -> None:
        """Performs a call on a thread."""
        if self._bell is None:
            self._bell = os.pipe()
            os.set_blocking(self._bell[0], False)
        bell = self._bell[1]

        def run() -> None:
            outcome = perform()
            self._ended.append(Finished(number, seq, call, outcome))
            os.write(bell, b"!")

        self._running += 1
        self._work.put(run)
        if self._threads < min(self._running, MAX_CALLS):
            self._threads += 1
            threading.Thread(target=self._serve, name="coda-call", daemon=True).start()

    def _serve(self) -> None:
        while (act := self._work.get()) is not None:
            act()

    def end_at(self, when: float, finished: Finished) -> None:
        """Delivers a call whose outcome is known already, at that time of the clock."""
        self._later.append((when, finished))
        self._later.sort(key=lambda pair: pair[0])

    def take(self) -> list[Finished]:
        """The calls that have ended, in that order."""
        if self._bell is not None:
            try:
                os.read(self._bell[0], 1 << 16)
            except BlockingIOError:
                pass
        ended: list[Finished] = []
        while self._ended:
            ended.append(self._ended.popleft())
            self._running -= 1
        now = self.clock()
        while self._later and self._later[0][0] <= now:
            ended.append(self._later.pop(0)[1])
        return ended

    def next_end(self) -> float | None:
        """When the next call ends, as far as that is known."""
        return self._later[0][0] if self._later else None

    @property
    def fd(self) -> int | None:
        """Readable when a call has ended."""
        return self._bell[0] if self._bell is not None else None

    def close(self) -> None:
        """Ends the threads, each after the call that it is at: a call cannot be taken back."""
        for _ in range(self._threads):
            self._work.put(None)
        self._threads = 0
        if self._bell is not None and not self._running:
            # Else the ends stay open: a call that ends later writes to one of them.
            os.close(self._bell[0])
            os.close(self._bell[1])
        self._bell = None


class Pending:
    """A worker's question what has arrived, until something has.

    Args:
        arrivals: where calls end.
        data: what the worker said (`block`, `turns`, `timers`).
        deliver: writes down what arrived (ended calls, numbers of timers, nanoseconds waited).
    """

    def __init__(
        self,
        arrivals: Arrivals,
        data: dict[str, Any],
        deliver: Callable[[list[Finished], list[int], int], None],
    ) -> None:
        self._arrivals = arrivals
        self._deliver = deliver
        self._block = bool(data.get("block"))
        self._began = arrivals.clock()
        self._timers = [(self._began + float(after), int(number)) for number, after in data.get("timers", ())]

    @property
    def fd(self) -> int | None:
        """Readable when it is worth asking again."""
        return self._arrivals.fd

    def wait_s(self) -> float | None:
        """Seconds until it is worth asking again in any case; None: not before `fd` is readable."""
        times = [when for when, _ in self._timers]
        end = self._arrivals.next_end()
        if end is not None:
            times.append(end)
        return max(0.0, min(times) - self._arrivals.clock()) if times else None

    def take(self) -> Answer | None:
        """The answer, once something has arrived."""
        ended = self._arrivals.take()
        now = self._arrivals.clock()
        due = [number for when, number in sorted(self._timers) if when <= now]
        if not ended and not due:
            return None if self._block else Answer(True, None)
        waited_ns = int((now - self._began) * 1e9)
        self._deliver(ended, due, waited_ns)
        return arrived(ended, due, waited_ns)


def arrived(ended: list[Finished], timers: list[int], waited_ns: int) -> Answer:
    """What a worker is told of arrivals."""
    calls = [
        [each.number, each.outcome.ok, each.outcome.value if each.outcome.ok else each.outcome.error]
        for each in ended
    ]
    return Answer(True, {"calls": calls, "timers": timers, "waited_ns": waited_ns})


INTERRUPTED = Answer(False, None)
"""To a worker that waits for arrivals: its block is to end."""
