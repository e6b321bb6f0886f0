"""The baton: threads of agent code run one at a time, and change only where one blocks or has run for long.

Guarantee: who runs next follows from the order in which threads became able to run and from the arrivals in
the log, so the same program with the same arrivals takes the same way. What is outside (calls of tools,
sleeps, locks with a time limit) still overlaps: arrivals are asked for when no thread can run. A thread that
blocks in C code would hold everybody up: after a while another goes on beside it, and that is marked. (An
interpreter that switches threads by its own clock takes another way each time: docs/adr/0013.)
"""

from __future__ import annotations

import _thread
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from coda.runtime.worker.inbox import Inbox
from coda.runtime.worker.recorder import Recorder

SWITCHED_CODE = -18
_OUTSIDE_SECONDS = 0.001
_BESIDE = (
    "a thread of agent code waits in C code for what coda does not see (a socket, a lock of a library): "
    "others ran beside it, in an order that a replay cannot take again"
)
_allocate_lock = _thread.allocate_lock  # the agent's own are others


class Strand:
    """One thread of agent code."""

    __slots__ = ("beside", "by", "error", "ident", "name", "native", "number", "peek", "ready", "turn")

    def __init__(self, number: int, name: str, by: int) -> None:
        self.number = number
        self.name = name
        self.by = by
        self.ident = 0
        self.native = 0
        self.turn = _allocate_lock()
        self.turn.acquire()
        self.ready: Callable[[], bool] = _at_once
        """Whether it can go on; asked while it is decided who does. It may take what it waits for."""
        self.peek: Callable[[], bool] = _at_once
        """The same, asked at any time, without touching anything."""
        self.error: BaseException | None = None
        """What is raised in it when it goes on."""
        self.beside = False
        """It runs without the baton, which was taken from it while it stood in C code."""

    def begin(self) -> None:
        """Says which thread of the system it is."""
        self.ident = _thread.get_ident()
        self.native = _thread.get_native_id() if hasattr(_thread, "get_native_id") else 0


class Baton:
    """Gives the threads of agent code their turns."""

    def __init__(self, recorder: Recorder, inbox: Inbox) -> None:
        self.inbox = inbox
        self.mark: Callable[[str, str], None] = _unmarked
        """Told of what a replay cannot take again."""
        self.turns = 0
        """Grows whenever the thread that has the baton comes to where it might change."""
        self.main = self.current = Strand(0, "MainThread", 0)
        self.main.begin()
        self.strands: dict[int, Strand] = {0: self.main}
        """Those that have not ended, by number."""
        self._recorder = recorder
        self._get_ident = _thread.get_ident
        self._sleep, self._clock = time.sleep, time.monotonic
        self._outside = 0
        self._started = 0
        self._runnable: deque[Strand] = deque()
        self._waiting: list[Strand] = []
        self._deciding = _allocate_lock()
        """Held while it is decided who goes on."""

    def is_mine(self) -> bool:
        """True on the thread that has the baton."""
        return self._get_ident() == self.current.ident

    @property
    def is_alone(self) -> bool:
        """True when one thread runs and nothing is under way: waiting for a call holds nobody up."""
        return len(self.strands) == 1 and not self.inbox.calls

    def open(self) -> None:
        """Threads of the system run beside ours and may wake them: arrivals are looked for all the time."""
        self._outside += 1

    def detach(self) -> None:
        """In a forked child there is one thread, and it waits as it always did."""
        self.strands = {}
        self.current.ident = -1

    # --- waiting -------------------------------------------------------------------------------

    def wait(self, ready: Callable[[], bool], peek: Callable[[], bool] | None = None) -> None:
        """Lets others run until `ready()` is true; `peek` asks the same without taking anything."""
        me = self._decide()
        if me is None:
            while not ready():
                self._sleep(_OUTSIDE_SECONDS)
            return
        me.ready = ready
        me.peek = peek or ready
        self._waiting.append(me)
        self._give_way(me)

    def wait_for(
        self, ready: Callable[[], bool], seconds: float, peek: Callable[[], bool] | None = None
    ) -> bool:
        """Lets others run until `ready()` is true or the time has passed; False when it has passed."""
        if not self.is_mine() and not self.rejoin():
            return self._wait_outside(ready, seconds)
        timer = self.inbox.start_timer(seconds)
        done = [False]

        def either() -> bool:
            done[0] = done[0] or ready()
            return done[0] or timer.fired

        self.wait(either, lambda: timer.fired or (peek or ready)())
        if not timer.fired:
            self.inbox.cancel(timer)
        return done[0]

    def _wait_outside(self, ready: Callable[[], bool], seconds: float) -> bool:
        """A thread that is not the agent's, or in a child process, has no arrivals: it waits by the clock."""
        end = self._clock() + seconds
        while not ready():
            if self._clock() >= end:
                return False
            self._sleep(_OUTSIDE_SECONDS)
        return True

    def sleep(self, seconds: float) -> None:
        """Lets others run for so long."""
        if seconds <= 0:
            self.breathe()
            return
        timer = self.inbox.start_timer(seconds)
        self.wait(lambda: timer.fired)

    def pause(self, seconds: float) -> None:
        """Sleeps as a module that waits does: others run meanwhile, and no event tells of it."""
        if self.is_mine() or self.rejoin():
            self.sleep(seconds)
        else:
            self._sleep(seconds)

    def breathe(self) -> None:
        """Lets what has arrived be delivered, and every thread that can run have a turn."""
        me = self._decide()
        if me is None:
            return
        try:
            if not self.inbox.is_empty:
                self.inbox.poll()
            self._promote()
        except BaseException:
            self._deciding.release()
            raise
        if not self._runnable:
            self._deciding.release()
            return
        self._runnable.append(me)
        self._give_way(me)

    def call(self, data: dict[str, Any]) -> tuple[bool, Any]:
        """Calls a tool while others run; gives (ok, value or error)."""
        inbox = self.inbox
        number = inbox.start_call(data)
        if number not in inbox.results:
            self.wait(lambda: number in inbox.results)
        return inbox.results.pop(number)

    # --- threads -------------------------------------------------------------------------------

    def add(self, name: str) -> Strand:
        """Takes a thread in that is about to start; it gets its turn like the others."""
        self._started += 1
        strand = Strand(self._started, name, self.number_here())
        self.strands[strand.number] = strand
        self._runnable.append(strand)
        return strand

    def drop(self, strand: Strand) -> None:
        """The thread could not be started."""
        self.strands.pop(strand.number, None)
        self._runnable.remove(strand)

    def begin(self, strand: Strand) -> None:
        """First thing on a new thread: waits for its turn."""
        strand.begin()
        strand.turn.acquire()

    def rejoin(self) -> bool:
        """A thread that lost the baton waits for it; False on a thread that is not the agent's."""
        if self.is_mine():
            return True
        me = next((each for each in list(self.strands.values()) if each.ident == self._get_ident()), None)
        if me is None:
            return False
        if me.beside:
            me.beside = False
            self._outside -= 1
            self._runnable.append(me)
        self._await_turn(me)
        return True

    def end(self, strand: Strand) -> None:
        """Last thing on a thread: another goes on."""
        self._decide()
        self.strands.pop(strand.number, None)
        self._hand_to(self._choose())
        self._deciding.release()

    # --- turns ---------------------------------------------------------------------------------

    def _decide(self) -> Strand | None:
        """Begins a decision: the baton stays where it is meanwhile. None: the thread is not the agent's."""
        while self.is_mine() or self.rejoin():
            # Whoever took the baton away from us meanwhile may hold it for long.
            if not self._deciding.acquire(timeout=_OUTSIDE_SECONDS):
                continue
            if self.is_mine():
                self.turns += 1
                return self.current
            self._deciding.release()
        return None

    def _give_way(self, me: Strand) -> None:
        """Hands the baton to whoever goes on, and comes back when that is `me`."""
        while True:
            try:
                chosen = self._choose()
            except BaseException:
                self._forget(me)
                self._deciding.release()
                raise
            if chosen is not me:
                self._hand_to(chosen)
            self._deciding.release()
            if chosen is not me:
                self._await_turn(me)
            if me not in self._waiting:
                break
            self._deciding.acquire()  # it was woken to decide, not to go on
        me.ready = _at_once
        if me.error is not None:
            error, me.error = me.error, None
            raise error

    def _await_turn(self, me: Strand) -> None:
        while True:
            try:
                me.turn.acquire()
                return
            except BaseException as error:  # noqa: BLE001  an interrupt while another runs: raised at our turn
                me.error = error

    def _forget(self, me: Strand) -> None:
        if me in self._waiting:
            self._waiting.remove(me)
        if me in self._runnable:
            self._runnable.remove(me)

    def _hand_to(self, chosen: Strand) -> None:
        self.current = chosen
        self.turns += 1
        self._recorder.code(SWITCHED_CODE, chosen.number)
        chosen.turn.release()

    def _choose(self) -> Strand:
        """The thread that goes on: the first that can, after arrivals when none can."""
        while True:
            self._promote()
            if self._runnable:
                return self._runnable.popleft()
            self._look()

    def _look(self) -> None:
        if self._outside or self.inbox.is_empty:
            # What wakes us now is no arrival: a thread that is not ours, or an interrupt.
            if self.inbox.is_empty or not self.inbox.poll():
                self._sleep(_OUTSIDE_SECONDS)
            return
        try:
            self.inbox.wait()
        except KeyboardInterrupt as error:
            if self.current is self.main:
                raise
            self.main.error = error

    def _promote(self) -> None:
        """Threads that wait for nothing any more can run, in the order in which they began to wait."""
        still: list[Strand] = []
        for strand in self._waiting:
            if strand.error is not None or strand.ready():
                self._runnable.append(strand)
            else:
                still.append(strand)
        self._waiting = still

    def number_here(self) -> int:
        """Number of the calling thread; the main thread's for one that is not the agent's."""
        here = self._get_ident()
        return next((each.number for each in list(self.strands.values()) if each.ident == here), 0)

    # --- from the recorder's thread ------------------------------------------------------------

    def has_others(self) -> bool:
        """Whether somebody could go on in place of the thread that runs, or something may have arrived."""
        if self._runnable or not self.inbox.is_empty:
            return True
        return any(strand.error is not None or strand.peek() for strand in list(self._waiting))

    def take_away(self, turns: int) -> None:
        """Lets another thread go on beside the one that has stood in C code since `turns`."""
        if not self._deciding.acquire(False):
            return
        try:
            if self.turns != turns or not (self._runnable or self._waiting) or not self.has_others():
                return
            self.current.beside = True
            self._outside += 1
            chosen = self._runnable.popleft() if self._runnable else self._waiting[0]
            self.mark("threads", _BESIDE)
            self._hand_to(chosen)
        finally:
            self._deciding.release()


def _at_once() -> bool:
    return True


def _unmarked(_what: str, _detail: str) -> None:
    """Until the worker says whom to tell."""
