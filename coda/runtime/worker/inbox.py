"""What arrives from outside: results of calls that overlap, and timers that are due.

Guarantee: an arrival is delivered only when the code asks for arrivals, because nothing can run or because a
turn was long; the host decides what has arrived by then and writes it down (`loop.woke`), and on replay reads
it there. So the log is the schedule, and both modes run the same code here. Timers are numbered in the order
of their making. The clock that programs see while they wait moves only with what the log tells, never by
itself, so it is the same on replay.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, NamedTuple

from coda.runtime.protocol import Answer
from coda.runtime.worker.recorder import Recorder

_LOOK_SECONDS = 1e-7
_TOLD = 64
"""At most so many timers are told to the host at once: those that are due next."""


class Clock:
    """The time that waiting code sees: it goes on only by what was waited for."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """Seconds; only differences mean something. Each look takes a moment, or some loops never end."""
        self._now += _LOOK_SECONDS
        return self._now

    def lift(self, least: float) -> None:
        """Goes on to `least`, never back."""
        self._now = max(self._now, least)


class LoopClock:
    """The time of event loops, which agent code can read too.

    Args:
        clock: what goes on while somebody waits.
        recorded: a clock whose answers are in the log.
    """

    def __init__(self, clock: Clock, recorded: Callable[[], float]) -> None:
        self._clock = clock
        self._recorded = recorded
        self._base: float | None = None

    def now(self) -> float:
        """Seconds, for the loop itself: it goes on only by what was waited for."""
        if self._base is None:
            self._base = self._recorded() - self._clock.now()
        return self._base + self._clock.now()

    def read(self) -> float:
        """Seconds, for agent code: true, and in the log."""
        now = self._recorded()
        passed = now - self._clock.now()
        self._base = passed if self._base is None else max(self._base, passed)
        return self.now()


class Timer:
    """Something to do after a while."""

    __slots__ = ("cancelled", "due", "fire", "fired", "number", "when")

    def __init__(self, number: int, when: float, due: float, fire: Callable[[], None] | None) -> None:
        self.number = number
        self.when = when
        """On the clock of `Clock`."""
        self.due = due
        """On the real clock; on replay nobody looks at it."""
        self.fire = fire
        self.fired = False
        self.cancelled = False

    def __lt__(self, other: Timer) -> bool:
        return (self.due, self.number) < (other.due, other.number)


class Result(NamedTuple):
    """What came of a call."""

    ok: bool
    value: Any


class Inbox:
    """Numbers calls and timers, and delivers what has arrived.

    Args:
        recorder: asks the host.
        clock: what waiting code sees.
        real: seconds on a clock that no event tells of.
    """

    def __init__(self, recorder: Recorder, clock: Clock, real: Callable[[], float]) -> None:
        self.clock = clock
        self.results: dict[int, Result] = {}
        """Results that were delivered and not fetched yet, by number of the call."""
        self.on_result: dict[int, Callable[[Result], None]] = {}
        """Who is told of a result instead."""
        self.calls = 0
        """Calls under way."""
        self._recorder = recorder
        self._real = real
        self._timers: list[Timer] = []
        self._by_number: dict[int, Timer] = {}
        self._made = 0
        self._asked = 0
        self._turns = 0

    @property
    def is_empty(self) -> bool:
        """True when nothing can arrive."""
        return not self.calls and not self._by_number

    # --- making --------------------------------------------------------------------------------

    def start_call(self, data: dict[str, Any]) -> int:
        """Has the host begin a call, and gives its number: the result arrives."""
        self._asked += 1
        number = self._asked
        self.calls += 1
        answer = self._recorder.request("tool.called", {**data, "call": number})
        if not answer.ok:
            self.calls -= 1
            self.results[number] = Result(False, answer.value)
        return number

    def start_timer(self, seconds: float, fire: Callable[[], None] | None = None) -> Timer:
        """Makes a timer that is due in so many seconds."""
        self._made += 1
        seconds = max(seconds, 0.0)
        timer = Timer(self._made, self.clock.now() + seconds, self._real() + seconds, fire)
        self._by_number[timer.number] = timer
        heapq.heappush(self._timers, timer)
        return timer

    def cancel(self, timer: Timer) -> None:
        """The timer will not be waited for."""
        timer.cancelled = True
        self._by_number.pop(timer.number, None)

    # --- delivering ----------------------------------------------------------------------------

    def wait(self) -> None:
        """Waits until something arrives, and delivers it.

        Raises:
            KeyboardInterrupt: the host wants the block to end.
        """
        self._ask(block=True)

    def poll(self) -> bool:
        """Delivers what has arrived, without waiting; True when there was something."""
        return self._ask(block=False)

    def look(self) -> bool:
        """As `poll`, of who waits for something else meanwhile: a look that finds nothing is no turn."""
        if self._ask(block=False):
            return True
        self._turns -= 1
        return False

    def next_due(self) -> float | None:
        """Seconds until the next timer is due, by the real clock; None without one."""
        self._drop_cancelled()
        return self._timers[0].due - self._real() if self._timers else None

    def _ask(self, *, block: bool) -> bool:
        self._turns += 1
        now = self._real()
        data = {
            "block": block,
            "turns": self._turns,
            "timers": [[timer.number, timer.due - now] for timer in self._next_timers()],
        }
        answer = self._recorder.request("loop.woke", data)
        if answer.value is None:
            if not answer.ok:
                raise KeyboardInterrupt
            return False
        self._deliver(answer)
        return True

    def _deliver(self, answer: Answer) -> None:
        self._turns = 0
        arrived = answer.value
        self.clock.lift(self.clock.now() + arrived["waited_ns"] / 1e9)
        for number, ok, value in arrived["calls"]:
            self.calls -= 1
            tell = self.on_result.pop(number, None)
            if tell is not None:
                tell(Result(ok, value))
            else:
                self.results[number] = Result(ok, value)
        for number in arrived["timers"]:
            timer = self._by_number.pop(number, None)
            if timer is None:
                continue
            timer.fired = True
            self.clock.lift(timer.when)
            if timer.fire is not None:
                timer.fire()

    def _next_timers(self) -> list[Timer]:
        self._drop_cancelled()
        if len(self._timers) <= _TOLD:
            return sorted(timer for timer in self._timers if not (timer.cancelled or timer.fired))
        return [
            timer
            for timer in heapq.nsmallest(_TOLD * 2, self._timers)
            if not (timer.cancelled or timer.fired)
        ][:_TOLD]

    def _drop_cancelled(self) -> None:
        timers = self._timers
        while timers and (timers[0].cancelled or timers[0].fired):
            heapq.heappop(timers)
