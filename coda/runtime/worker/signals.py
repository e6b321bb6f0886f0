"""Handlers of signals that agent code has set: run at places that a replay finds again.

Guarantee: a handler runs at the next statement of the main thread, or in a call that waits (`time.sleep`,
`signal.pause`) or that sent the signal itself; each place is an entry of the stream, and a replay, in which
no alarm is ever set, runs the handler there. Where neither comes soon, the handler runs between any two
instructions, as in any Python, and that is marked. SIGINT is left alone: it is how a block is stopped.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from types import FrameType
from typing import Any

from coda.runtime.instrument_hooks import Buffer
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import Feed, HostFact, Shim
from coda.runtime.worker.units import Units

STATEMENT_CODE, CALL_CODE = -20, -21
_PATIENCE_SECONDS = 0.05
_ANYWHERE = "a handler ran in the middle of a statement: a replay cannot find the place again"


class Signals:
    """Stands between the system and the handlers of agent code.

    Args:
        recorder: whose stream names the places.
        feed: recorded answers, on replay.
        units: which frames are the agent's, and which numbers are statements.
        replaying: signals come from the log.
    """

    def __init__(self, recorder: Recorder, feed: Feed, units: Units, *, replaying: bool) -> None:
        self.mark: Callable[[str, str], None] = _unmarked
        self._recorder = recorder
        self._feed = feed
        self._units = units
        self._replaying = replaying
        self._handlers: dict[int, Any] = {}
        self._pending: list[int] = []
        self._since = 0.0
        self._inside_call = False
        self._forced = False
        self._clock = time.monotonic
        self._set, self._get = signal.signal, signal.getsignal
        self._send = signal.pthread_kill
        self._main = threading.main_thread().ident or 0
        self._buffer = _buffer_class(self, units)

    def install(self) -> None:
        """Replaces what sets handlers and alarms, and what waits for signals."""
        recorder, feed = self._recorder, self._feed
        feed.inside_call, feed.answer_call = self.inside_call, self.answer_call
        for name in ("alarm", "setitimer", "getitimer"):
            rebuild = None if name == "alarm" else tuple
            fact = HostFact(getattr(signal, name), recorder, feed, rebuild=rebuild)
            setattr(signal, name, fact)
        for name, body in (
            ("signal", self._on_set),
            ("getsignal", self._on_get),
            ("pause", self._pause_for(signal.pause)),
            ("raise_signal", self._inside(signal.raise_signal)),
        ):
            setattr(signal, name, _Given(getattr(signal, name), body))

    # --- what agent code calls -----------------------------------------------------------------

    def _on_set(self, number: Any, handler: Any) -> Any:
        if self._recorder.busy():
            return self._set(number, handler)  # our own
        ours = callable(handler) and int(number) != signal.SIGINT
        before = self._set(number, self._came if ours else handler)
        if before == self._came:
            before = self._handlers.get(int(number))
        if ours:
            self._handlers[int(number)] = handler
        else:
            self._handlers.pop(int(number), None)
        return before

    def _on_get(self, number: Any) -> Any:
        found = self._get(number)
        if self._recorder.busy():
            return found
        return self._handlers.get(int(number)) if found == self._came else found

    def _inside(self, real: Any) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            with self.inside_call():
                return real(*args)

        return call

    def _pause_for(self, real: Any) -> Callable[[], None]:
        def pause() -> None:
            if self._answered():
                self.answer_call()
                return
            with self.inside_call():
                real()

        return pause

    # --- where handlers run --------------------------------------------------------------------

    @contextmanager
    def inside_call(self) -> Any:
        """A call of agent code that waits, or that sends a signal: handlers run in it."""
        before, self._inside_call = self._inside_call, True
        try:
            yield
        finally:
            self._inside_call = before

    def answer_call(self) -> None:
        """On replay: runs the handlers that ran in the call at hand."""
        while self._answered() and (told := self._feed.peek(CALL_CODE)) is not None:
            self._run(int(told[1]), CALL_CODE)

    def at_statement(self) -> None:
        """Runs the handler of a signal that came, or on replay the one that ran here."""
        if self._answered():
            told = self._feed.peek(STATEMENT_CODE)
            self._run(int(told[1]) if told is not None else 0, STATEMENT_CODE)
        elif self._pending and not self._recorder.busy():
            self._run(self._pending.pop(0), STATEMENT_CODE)
            if self._pending:
                self._ask()

    def look(self) -> bool:
        """Called by the flusher; True while a signal waits, which must not be for long."""
        if not self._pending:
            return False
        self._ask()
        if self._clock() - self._since > _PATIENCE_SECONDS:
            self._forced = True
            self._send(self._main, self._pending[0])
        return True

    def _answered(self) -> bool:
        return self._replaying and not self._feed.live

    def _came(self, number: int, frame: FrameType | None) -> None:
        """What the system calls, on the main thread, between two instructions."""
        if self._inside_call:
            self._run(number, CALL_CODE)
            return
        if self._forced or self._recorder.level == "effects":
            busy = self._recorder.busy() or self._recorder.is_asking
            if busy:
                return  # in the middle of the recorder's own work; it will be sent again
            self._forced = False
            if number in self._pending:
                self._pending.remove(number)
            self.mark("signal", _ANYWHERE)
            self._handlers[number](number, frame)
            return
        if number not in self._pending:
            self._pending.append(number)
            self._since = self._clock()
        self._ask()

    def _ask(self) -> None:
        if type(self._recorder.lines) is Buffer:
            self._recorder.lines.__class__ = self._buffer

    def _run(self, number: int, code: int) -> None:
        value: Any = [signal.Signals(number).name if number else "", number]
        if self._answered():
            value = self._feed.take(code)
        self._recorder.code(code, value)
        handler = self._handlers.get(number)
        if handler is not None:
            handler(number, self._units.innermost())


class _Given(Shim):
    """A builtin of `signal` with another body."""

    __slots__ = ("_body",)

    def __init__(self, real: Any, body: Callable[..., Any]) -> None:
        super().__init__(real)
        self._body = body

    def __call__(self, *args: Any) -> Any:
        """Answers as the builtin would."""
        return self._body(*args)


def _buffer_class(signals: Signals, units: Units) -> Any:
    main = threading.get_ident()

    class SignalledBuffer(Buffer):
        """Swapped in for one statement of the main thread: a handler runs before it."""

        __slots__ = ()

        def append(self, ident: int, /) -> None:
            """Appends, and runs the handler."""
            list.append(self, ident)
            if ident >= 0 and threading.get_ident() == main and units.is_statement(ident):
                self.__class__ = Buffer  # type: ignore[assignment]  # back to the plain buffer
                signals.at_statement()

    return SignalledBuffer


def _unmarked(_what: str, _detail: str) -> None:
    """Until the worker says whom to tell."""
