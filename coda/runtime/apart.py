"""Calls of tools on a thread of their own, so that a block can be stopped while one of them hangs.

Guarantee: calls are made one at a time, all on one thread, in the context of whoever began them, until one of
them is left behind: the next is made on another. What a call that was left behind comes to is thrown away.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

from coda.log import ToolCalled
from coda.runtime.protocol import Answer
from coda.runtime.tools import Outcome

Act = Callable[[], Outcome]


class Apart:
    """The thread on which calls are made.

    Args:
        cancel: asks the call on the thread of that number to end; False when it cannot be asked.
    """

    def __init__(self, cancel: Callable[[int], bool]) -> None:
        self._cancel = cancel
        self._lane: _Lane | None = None

    def begin(self, act: Act) -> Call:
        """Begins a call."""
        if self._lane is None:
            self._lane = _Lane()
        return Call(self._lane, act, self)

    def cancel(self) -> bool:
        """Asks the call under way to end; False when it cannot be asked."""
        return self._lane is not None and self._cancel(self._lane.ident)

    def close(self) -> None:
        """Ends the thread once its call has ended."""
        if self._lane is not None:
            self._lane.work.put(None)
            self._lane = None


class Call:
    """A call that has begun."""

    def __init__(self, lane: _Lane, act: Act, apart: Apart) -> None:
        self._lane = lane
        self._apart = apart
        context = contextvars.copy_context()
        lane.work.put(lambda: context.run(act))

    @property
    def fd(self) -> int:
        """Readable when it has ended after somebody took nothing."""
        return self._lane.bell

    def take(self, seconds: float = 0.0) -> Outcome | None:
        """What came of it, once it has ended, or when it ends in that time.

        Raises:
            KeyboardInterrupt: the tool raised it.
        """
        lane = self._lane
        ended = lane.take(seconds)
        if ended is None:
            lane.is_awaited = True
            ended = lane.take(0.0)  # it may have ended before it could know
        if ended is None:
            return None
        lane.is_awaited = False
        if isinstance(ended, BaseException):
            raise ended
        return ended

    def give_up(self, seconds: float) -> bool:
        """Asks it to end, and no longer waits for it; tells whether it ended in that time."""
        ended = self._apart.cancel() and self._lane.take(seconds) is not None
        self._apart.close()
        return ended


class Begun(NamedTuple):
    """A call of a tool that has begun."""

    call: ToolCalled
    seq: int
    pending: Call


class PendingCall:
    """A worker's call of a tool, until it has ended or is broken off.

    Args:
        call: the call.
        end: writes down what came of it, and gives the answer.
        leave: writes down that it was left behind, for that reason, and gives the answer.
    """

    def __init__(self, call: Call, end: Callable[[Outcome], Answer], leave: Callable[[str], Answer]) -> None:
        self._call = call
        self._end = end
        self._leave = leave

    @property
    def fd(self) -> int:
        """Readable when it is worth asking again."""
        return self._call.fd

    def wait_s(self) -> None:
        """It is not worth asking again before `fd` is readable."""

    def take(self, seconds: float = 0.0) -> Answer | None:
        """The answer, once there is one, or when there is in that time."""
        outcome = self._call.take(seconds)
        return None if outcome is None else self._end(outcome)

    def break_off(self, reason: str) -> Answer:
        """The answer of a call that is not waited for any longer: a KeyboardInterrupt."""
        return self._leave(reason)


class _Lane:
    """One thread, and the pipe by which it tells that a call has ended.

    Most calls end soon: the pipe is used for those alone that somebody went to wait for elsewhere.
    """

    def __init__(self) -> None:
        self.work: queue.SimpleQueue[Act | None] = queue.SimpleQueue()
        self.is_awaited = False
        self.bell, self._ring = os.pipe()
        os.set_blocking(self.bell, False)
        self._ended: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        thread = threading.Thread(target=self._serve, name="coda-call", daemon=True)
        thread.start()
        self.ident = thread.ident or 0

    def take(self, seconds: float) -> Outcome | BaseException | None:
        """What ended, if something ends in that time."""
        if (
            self.is_awaited
        ):  # first: what rings later, or has rung for an earlier call, is seen at the next look
            with contextlib.suppress(BlockingIOError):
                os.read(self.bell, 64)
        try:
            return self._ended.get(timeout=seconds) if seconds else self._ended.get_nowait()
        except queue.Empty:
            return None

    def _serve(self) -> None:
        while (act := self.work.get()) is not None:
            try:
                ended: Outcome | BaseException = act()
            except BaseException as error:  # noqa: BLE001 - a thread's top: raised where the call is waited for
                ended = error
            del act
            self._ended.put(ended)
            if self.is_awaited:
                os.write(self._ring, b"!")
        os.close(self.bell)
        os.close(self._ring)
