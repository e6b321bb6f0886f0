"""Stopping agent code from outside: before its next statement, else by a signal.

Guarantee: an interruption at a statement is an event with that statement's number, raised by C code alone,
so that a replay raises the same exception at the same start of the same statement, with the same frames.
A signal lands between any two instructions and cannot be repeated: it is only noted that one came, and
whoever sent it must not trust the objects afterwards.

The host asks over a pipe of its own, which a thread reads: agent code that computes for ever never looks at
the other one.
"""

from __future__ import annotations

import _thread
import codecs
import signal
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from coda.runtime.instrument_hooks import Buffer
from coda.runtime.protocol import Channel, Interrupt
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.units import OWN_FOLDER, Units

_PAUSE_SECONDS = 0.002
_RETRY_SECONDS = 0.005


class Interrupts:
    """What stops the block that runs.

    Args:
        recorder: whose hooks are made to raise.
        units: tells which statement it was.
        control_fd: where the host's `Interrupt` messages come from; None when nobody can ask (a test).
    """

    def __init__(self, recorder: Recorder, units: Units, control_fd: int | None) -> None:
        self._recorder = recorder
        self._units = units
        self._control_fd = control_fd
        self._block = 0
        self._owner = 0
        self.placed = False
        """The block at hand was interrupted at a statement."""
        self.signalled = False
        """A SIGINT raised KeyboardInterrupt in the block at hand."""
        self._sleep = time.sleep
        self._get_ident = _thread.get_ident
        self._new_thread = _thread.start_new_thread  # before it is watched
        self.reason = ""
        self._main = _thread.get_ident()
        self._getsignal, self._pthread_kill = signal.getsignal, signal.pthread_kill

    def start(self) -> None:
        """Takes over SIGINT, and begins to listen."""
        handler = _OnInterrupt(signal.default_int_handler, self)
        # The name too: asyncio looks whether the handler in force is the default one.
        signal.default_int_handler = handler  # type: ignore[assignment]
        signal.signal(signal.SIGINT, handler)
        if self._control_fd is not None:
            self._new_thread(self._listen, (self._control_fd,))

    def begin(self, block: int) -> None:
        """A block is about to run on this thread."""
        self._block, self._owner = block, self._get_ident()
        self.placed = self.signalled = False
        self.reason = ""

    def end(self) -> None:
        """The block ended: what is still asked for comes too late."""
        self._block = 0

    def in_call(self, reason: str) -> None:
        """The host has broken off a call of the block's: it raises KeyboardInterrupt there, now."""
        self.placed, self.reason = True, reason

    # --- at a statement ------------------------------------------------------------------------

    def _listen(self, fd: int) -> None:
        self._recorder.exempt.add(self._get_ident())
        channel = Channel(fd, -1, Interrupt)
        while True:
            try:
                message = channel.receive()
            except (EOFError, OSError):
                return  # the host is gone; the flusher sees to that
            self.at_statement(message.block, message.reason)

    def at_statement(self, block: int, reason: str) -> None:
        """Lets the next statement of a block raise KeyboardInterrupt; waits for that, or the block's end."""
        lines = self._recorder.lines
        before = type(lines)
        kind = type("Buffer", (Buffer,), {"__slots__": (), "append": self.delivery(reason, before)})
        while self._block == block and not self.placed and not self.signalled:
            if type(lines) is not kind:  # others change the class too: garbage collection, throttling
                lines.__class__ = kind
            self._sleep(_PAUSE_SECONDS)
        if type(lines) is kind:
            lines.__class__ = before

    def delivery(self, reason: str, before: type[Buffer] = Buffer) -> type[object]:
        """What a statement calls, with its number, in order to be interrupted before it starts.

        It is a class: making an instance runs `__new__`, which tells the host, and then `__init__`, which
        raises and is made of C functions, so no frame of ours is in the traceback.
        """
        # Made for decoders; it raises whatever exception it is given.
        raise_it: Callable[[Any], Any] = codecs.strict_errors
        raising = map(raise_it, [KeyboardInterrupt(reason)])
        interrupts = self

        class Delivery:
            __init__: Any = staticmethod(partial(next, raising))

            def __new__(cls, ident: int) -> Any:
                other = interrupts._get_ident() != interrupts._owner
                over = interrupts.placed or interrupts.signalled
                # What is bound, written or asked is noted by the same call: only a start can be held up.
                starts = ident >= 0 and interrupts._units.is_statement(ident)
                if other or over or not starts or interrupts._recorder.busy():
                    before.append(interrupts._recorder.lines, ident)
                    return None  # no instance: nothing is raised
                interrupts._deliver(ident, reason, before)
                return object.__new__(cls)

        made: type[object] = Delivery
        return made

    def _deliver(self, ident: int, reason: str, before: type[Buffer]) -> None:
        recorder = self._recorder
        self.placed = True
        self.reason = reason
        recorder.lines.__class__ = before
        data = {"name": "interrupt", "detail": reason, "statement": ident, **self._units.where()}
        recorder.observe("signal", data)

    # --- by a signal ---------------------------------------------------------------------------

    def note_signal(self) -> None:
        """A signal raises KeyboardInterrupt now."""
        self.signalled = True
        self._recorder.observe("signal", {"name": "SIGINT", **self._units.where()})

    def may_raise_in(self, frame: FrameType | None) -> bool:
        """Whether a signal may raise here: not in the middle of the recorder's own work."""
        if frame is None or not frame.f_code.co_filename.startswith(OWN_FOLDER):
            return True
        return frame.f_code.co_qualname in _WAITS

    def try_again(self) -> None:
        """Sends the signal once more in a moment, if there is still something to stop."""
        if self._block:
            self._new_thread(self._again, (signal.SIGINT,))

    def _again(self, number: int) -> None:
        self._recorder.exempt.add(self._get_ident())
        self._sleep(_RETRY_SECONDS)
        if self._getsignal(number) not in (signal.SIG_DFL, None):
            self._pthread_kill(self._main, number)  # a real one: it ends a wait of the system, too


_WAITS = frozenset(("Sleep.__call__", "Baton._await_turn", "RecordedInput.wait", "Recorder.wait_for_host"))
"""Functions of ours in which agent code waits, with nothing half done."""


class _OnInterrupt:
    """`signal.default_int_handler`, except that it is noted, and put off while something is half sent."""

    def __init__(self, real: Any, interrupts: Interrupts) -> None:
        self._real = real
        self._interrupts = interrupts
        self.__name__ = self.__qualname__ = real.__name__
        self.__module__ = real.__module__
        self.__doc__ = real.__doc__

    def __call__(self, number: int, frame: FrameType | None, /) -> None:
        """Raises KeyboardInterrupt."""
        interrupts = self._interrupts
        if interrupts.placed:
            return  # the host did not know yet: what the block does now is its cleaning up
        if not interrupts.may_raise_in(frame):
            interrupts.try_again()
            return
        interrupts.note_signal()
        self._real(number, frame)

    def __repr__(self) -> str:
        return f"<built-in function {self.__name__}>"

    def __reduce__(self) -> str:
        return str(self.__name__)
