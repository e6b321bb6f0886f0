"""The event loop of agent code: asyncio's own, except for how it waits and what the time is.

Guarantee: callbacks become ready in an order that follows from the program and from the arrivals in the
log. Timers fire when the log says so and not when a clock does; tasks and futures hash by the order of their
making, so sets of them keep one order; `as_completed` makes its tasks in the order that it is given them.
Which descriptors are ready is in the log too (`readiness.py`): transports of sockets and of children replay.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from typing import Any

from coda.runtime.worker.baton import Baton
from coda.runtime.worker.children import CAN_WATCH
from coda.runtime.worker.inbox import LoopClock, Timer
from coda.runtime.worker.readiness import PipeCalls, Readiness

_BUSY_TURNS = 50
"""After so many turns in which something was always ready, arrivals are looked for all the same."""
OTHER_LOOPS = ("uvloop", "trio", "curio", "gevent", "eventlet", "twisted.internet.base")
"""Libraries with event loops of their own, which do not wait by ours."""
_OUTSIDE = "agent code woke its event loop from a thread that is not its own: a replay cannot know when"


class Loops:
    """Gives `asyncio` our loop, futures and tasks, module by module, as they are imported.

    Args:
        baton: gives turns.
        clock: what loops call the time.
        readiness: what they learn of descriptors.
        mark: told in a sentence of what cannot be replayed.
    """

    def __init__(
        self, baton: Baton, clock: LoopClock, readiness: Readiness, mark: Callable[[str, str], None]
    ) -> None:
        self._baton = baton
        self._clock = clock
        self._readiness = readiness
        self._mark = mark
        self._serial = itertools.count(1)

    def hooks(self) -> dict[str, Callable[[Any], None]]:
        """What to do with which module once it has been imported."""
        return {
            "asyncio.futures": self._adapt_futures,
            "asyncio.tasks": self._adapt_tasks,
            "asyncio.unix_events": self._adapt_events,
            **dict.fromkeys(OTHER_LOOPS, self._other),
        }

    def _other(self, module: Any) -> None:
        name = module.__name__
        self._mark(
            "asyncio", f"agent code brought {name} in, which waits by itself: a replay may go another way"
        )

    def _adapt_futures(self, futures: Any) -> None:
        futures.Future = futures._CFuture = _serial(futures.Future, self._serial)

    def _adapt_tasks(self, tasks: Any) -> None:
        tasks.Task = tasks._CTask = _serial(tasks.Task, self._serial)
        if hasattr(tasks, "create_eager_task_factory"):
            tasks.eager_task_factory = tasks.create_eager_task_factory(tasks.Task)
        tasks.as_completed = _ordered(tasks)

    def _adapt_events(self, events: Any) -> None:
        readiness = self._readiness
        loop = _loop_class(events.SelectorEventLoop, self._baton, self._clock, readiness, self._mark)
        events.SelectorEventLoop = events._UnixSelectorEventLoop = loop
        events.DefaultEventLoopPolicy._loop_factory = loop
        if hasattr(events, "EventLoop"):
            events.EventLoop = loop
        events.os = PipeCalls(readiness)
        transport = events._UnixSubprocessTransport
        start = transport._start

        def _start(own: Any, *args: Any, **kwargs: Any) -> None:
            start(own, *args, **kwargs)
            readiness.started(own._proc)

        transport._start = _start


def on_our_loop() -> bool:
    """Whether the calling thread runs a loop of ours."""
    events = sys.modules.get("asyncio.events")
    return events is not None and isinstance(events._get_running_loop(), _Waiting)


def _serial(real: Any, numbers: itertools.count[int]) -> Any:
    """A class of futures whose hash is the order of their making, not an address."""

    class Serial(real):  # type: ignore[misc]  # a class of asyncio, known only here
        __slots__ = ("_coda_number",)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._coda_number = next(numbers)  # first: a task puts itself into a set
            super().__init__(*args, **kwargs)

        def __hash__(self) -> int:
            return self._coda_number

    return _named(Serial, real)


def _named(made: Any, real: Any) -> Any:
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(made, name, getattr(real, name))
    return made


def _ordered(tasks: Any) -> Any:
    """`as_completed` that makes tasks of what it is given in that order."""
    real = tasks.as_completed

    def in_order(fs: Any) -> Any:
        if tasks.futures.isfuture(fs) or tasks.coroutines.iscoroutine(fs):
            return fs  # it raises
        loop = tasks.events.get_event_loop()
        return [tasks.ensure_future(each, loop=loop) for each in dict.fromkeys(fs)]

    if sys.version_info >= (3, 13):

        def as_completed(fs: Any, *, timeout: Any = None) -> Any:
            return real(in_order(fs), timeout=timeout)

    else:

        def as_completed(fs: Any, *, timeout: Any = None) -> Any:
            yield from real(in_order(fs), timeout=timeout)

    return _named(as_completed, real)


class _Waiting:
    """What the event loop does in another way than the interpreter's own, which is its base."""

    _coda_baton: Baton
    _coda_clock: LoopClock
    _coda_readiness: Readiness
    _coda_mark: Callable[[str, str], None]
    _coda_library: str
    """Folder of asyncio: what asks for the time from there is not the agent."""
    _ready: Any
    _scheduled: Any
    _selector: Any
    _stopping: bool
    _process_events: Any
    call_soon_threadsafe: Any
    create_future: Any

    def __init__(self, selector: Any = None) -> None:
        super().__init__(selector)  # type: ignore[call-arg]  # of the base
        self._coda_timers: dict[int, Timer] = {}
        self._coda_turns = 0
        self._coda_handled: set[Any] = set()
        self._coda_own = len(self._selector.get_map())

    def time(self) -> float:
        """Seconds; what asyncio itself asks stands still while nothing is waited for."""
        clock = self._coda_clock
        if sys._getframe(1).f_code.co_filename.startswith(self._coda_library):
            return clock.now()
        return clock.read()

    def call_at(self, when: Any, callback: Any, *args: Any, context: Any = None) -> Any:
        """Calls back at that time of the loop."""
        handle = super().call_at(when, callback, *args, context=context)  # type: ignore[misc]  # of the base
        self._scheduled.clear()  # it holds this one alone: the inbox has the others
        inbox = self._coda_baton.inbox

        def fire() -> None:
            self._coda_timers.pop(id(handle), None)
            handle._scheduled = False
            self._ready.append(handle)

        self._coda_timers[id(handle)] = inbox.start_timer(handle.when() - self._coda_clock.now(), fire)
        return handle

    def _timer_handle_cancelled(self, handle: Any) -> None:
        timer = self._coda_timers.pop(id(handle), None)
        if timer is not None:
            self._coda_baton.inbox.cancel(timer)

    def _write_to_self(self) -> None:
        if not self._coda_baton.is_mine():
            self._coda_mark("threads", _OUTSIDE)

    def add_signal_handler(self, sig: Any, callback: Any, *args: Any) -> None:
        """Calls back after a signal: its handler runs where any handler does, and wakes the loop."""
        self._coda_handled.add(sig)
        signal = sys.modules["signal"]
        signal.signal(sig, lambda _number, _frame: self.call_soon_threadsafe(callback, *args))

    def remove_signal_handler(self, sig: Any) -> bool:
        """Leaves a signal to the system again; False when nobody handled it."""
        if sig not in self._coda_handled:
            return False
        self._coda_handled.discard(sig)
        signal = sys.modules["signal"]
        signal.signal(sig, signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL)
        return True

    def _coda_can_run(self) -> bool:
        return bool(self._ready) or self._stopping

    def _run_once(self) -> None:
        ready = self._ready
        if len(self._selector.get_map()) > self._coda_own:
            self._coda_select()
        elif not ready and not self._stopping:
            self._coda_turns = 0
            self._coda_baton.wait(self._coda_can_run)
        else:
            self._coda_turns += 1
            if self._coda_turns >= _BUSY_TURNS:
                self._coda_turns = 0
                self._coda_baton.breathe()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
        handle = None

    def _coda_select(self) -> None:
        """Waits for descriptors too, as the interpreter's own loop does."""
        self._process_events(self._coda_readiness.select(self._selector, self._coda_can_run))
        self._coda_baton.breathe()

    async def _make_subprocess_transport(self, *args: Any, **kwargs: Any) -> Any:
        if not CAN_WATCH:
            return await super()._make_subprocess_transport(*args, **kwargs)  # type: ignore[misc]  # the base
        waiter = self.create_future()
        kind = sys.modules["asyncio.unix_events"]._UnixSubprocessTransport
        transport = kind(self, *args, waiter=waiter, **kwargs)
        self._coda_readiness.watch(self, transport)
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport._wait()
            raise
        return transport


def _loop_class(
    real: Any, baton: Baton, clock: LoopClock, readiness: Readiness, mark: Callable[[str, str], None]
) -> Any:
    """The event loop, on what the interpreter's own is."""
    module = sys.modules[real.__module__]
    own = {
        "_coda_baton": baton,
        "_coda_clock": clock,
        "_coda_readiness": readiness,
        "_coda_mark": staticmethod(mark),
        "_coda_library": os.path.dirname(module.__file__ or "") + os.sep,
    }
    return _named(type(real.__name__, (_Waiting, real), own), real)
