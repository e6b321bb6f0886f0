"""The baton: threads of agent code run one at a time, and change only where one blocks or has run for long.

Guarantee: who runs next follows from the order in which threads became able to run and from the arrivals in
the log, so the same program with the same arrivals takes the same way. What is outside (calls of tools,
sleeps, locks with a time limit) still overlaps: arrivals are asked for when no thread can run. An interpreter
that switches threads by its own clock would take another way each time, and no log of the effects could say
which (docs/adr/0013).
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


class Strand:
    """One thread of agent code."""

    __slots__ = ("by", "error", "ident", "name", "number", "ready", "turn")

    def __init__(self, number: int, name: str, by: int) -> None:
        self.number = number
        self.name = name
        self.by = by
        self.ident = 0
        self.turn = _allocate_lock()
        self.turn.acquire()
        self.ready: Callable[[], bool] = _at_once
        """Whether it can go on; asked while it waits."""
        self.error: BaseException | None = None
        """What is raised in it when it goes on."""


_allocate_lock = _thread.allocate_lock  # the agent's own are others


class Baton:
    """Gives the threads of agent code their turns."""

    def __init__(self, recorder: Recorder, inbox: Inbox) -> None:
        self.inbox = inbox
        self.outside = 0
        """Threads that run beside ours and may wake them; while there are any, nothing is faithful."""
        self._recorder = recorder
        self._get_ident = _thread.get_ident
        self._sleep = time.sleep
        self.main = self.current = Strand(0, "MainThread", 0)
        self.main.ident = self._get_ident()
        self.strands: dict[int, Strand] = {0: self.main}
        """Those that have not ended, by number."""
        self._started = 0
        self._runnable: deque[Strand] = deque()
        self._waiting: list[Strand] = []

    def is_mine(self) -> bool:
        """True on the thread that has the baton."""
        return self._get_ident() == self.current.ident

    @property
    def is_alone(self) -> bool:
        """True when one thread runs and nothing is under way: waiting for a call holds nobody up."""
        return len(self.strands) == 1 and not self.inbox.calls

    # --- waiting -------------------------------------------------------------------------------

    def wait(self, ready: Callable[[], bool]) -> None:
        """Lets others run until `ready()` is true."""
        me = self.current
        me.ready = ready
        self._waiting.append(me)
        self._give_way(me)

    def wait_for(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Lets others run until `ready()` is true or the time has passed; False when it has passed."""
        timer = self.inbox.start_timer(seconds)
        done = [False]

        def either() -> bool:
            done[0] = ready()
            return done[0] or timer.fired

        self.wait(either)
        if not timer.fired:
            self.inbox.cancel(timer)
        return done[0]

    def sleep(self, seconds: float) -> None:
        """Lets others run for so long."""
        if seconds <= 0:
            self.breathe()
            return
        timer = self.inbox.start_timer(seconds)
        self.wait(lambda: timer.fired)

    def breathe(self) -> None:
        """Lets what has arrived be delivered, and every thread that can run have a turn."""
        if not self.inbox.is_empty:
            self.inbox.poll()
        me = self.current
        self._promote()
        if self._runnable:
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
        strand = Strand(self._started, name, self.current.number)
        self.strands[strand.number] = strand
        self._runnable.append(strand)
        return strand

    def drop(self, strand: Strand) -> None:
        """The thread could not be started."""
        self.strands.pop(strand.number, None)
        self._runnable.remove(strand)

    def begin(self, strand: Strand) -> None:
        """First thing on a new thread: waits for its turn."""
        strand.ident = self._get_ident()
        strand.turn.acquire()

    def end(self, strand: Strand) -> None:
        """Last thing on a thread: another goes on."""
        self.strands.pop(strand.number, None)
        self._hand_to(self._choose())

    # --- turns ---------------------------------------------------------------------------------

    def _give_way(self, me: Strand) -> None:
        chosen = self._choose()
        if chosen is not me:
            self._hand_to(chosen)
            self._await_turn(me)
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
                self.interrupt(error)

    def interrupt(self, error: BaseException) -> None:
        """The main thread goes on next, with this exception."""
        self.main.error = error
        self.main.ready = _at_once

    def _hand_to(self, chosen: Strand) -> None:
        self.current = chosen
        self._recorder.code(SWITCHED_CODE, chosen.number)
        chosen.turn.release()

    def _choose(self) -> Strand:
        """The thread that goes on: the first that can, after arrivals when none can."""
        while True:
            self._promote()
            if self._runnable:
                return self._runnable.popleft()
            try:
                self._look()
            except KeyboardInterrupt as error:
                self.interrupt(error)

    def _look(self) -> None:
        if not self.outside:
            self.inbox.wait()
        elif self.inbox.is_empty or not self.inbox.poll():
            self._sleep(_OUTSIDE_SECONDS)

    def _promote(self) -> None:
        """Threads that wait for nothing any more can run, in the order in which they began to wait."""
        still: list[Strand] = []
        for strand in self._waiting:
            if strand.error is not None or strand.ready():
                self._runnable.append(strand)
            else:
                still.append(strand)
        self._waiting = still


def _at_once() -> bool:
    return True
