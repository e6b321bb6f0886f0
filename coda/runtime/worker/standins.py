"""Stand-ins for builtins that tell of the world: clocks, sleep, host facts, chance, listings, environment.

Guarantee: a stand-in is an instance with `__call__` and no `__get__`, so that it behaves like the builtin it
stands for also as a class attribute; it carries the builtin's name and pickles as it. Recording it notes the
answer, replaying it gives the recorded one, and after a fork's position it asks the world again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType
from typing import Any, Final

from coda.log import CODES, from_envelope, to_envelope
from coda.runtime.worker.baton import Baton
from coda.runtime.worker.recorder import Recorder

HOST_CODE = -17
ENV_CODE = -14
SLEEP_CODE = -13
LIVE: Final = object()
"""No recorded answer: the system is to be asked."""
CODE_OF = {name: code for code, (_, name) in CODES.items()}
"""Stream code of an observation, by its name."""


class Feed:
    """Recorded answers of coded observations, in order; the replaying worker takes them one by one."""

    def __init__(self, recorder: Recorder, stop: Callable[[], None], *, replaying: bool) -> None:
        self.replaying = replaying
        self._recorder = recorder
        self._stop = stop
        self._answers: list[tuple[int, Any]] = []
        self._next = 0
        self._stop_before = -1
        self.live = False
        self.given: list[Any] = []
        """A fork's own answer to the question at its position, where that is one."""
        self.children: set[int] = set()
        """Process ids of children that are played from the log: there is nobody to signal."""
        self.real = False
        """It is the run itself that is live, not a fork of it."""
        self.paused = False
        """The state is being looked at: what a `__repr__` asks is no observation."""

    def load(self, answers: list[tuple[int, Any]], stop_before: int) -> None:
        """Starts a block with its answers."""
        self._answers = answers
        self._next = 0
        self._stop_before = stop_before

    inside_call: Callable[[], AbstractContextManager[None]] = staticmethod(nullcontext)
    """Context of a call in which handlers of signals may run; set by who cares for them."""
    answer_call: Callable[[], None] = staticmethod(lambda: None)
    """Runs, on replay, the handlers that ran in the call at hand."""

    def peek(self, code: int) -> Any:
        """Gives the next answer without taking it; None when it is not one of that code."""
        if self._next < len(self._answers) and self._answers[self._next][0] == code:
            return self._answers[self._next][1]
        return None

    def recorded(self, name: str) -> Any:
        """The recorded answer of the system to a question, noted anew; `LIVE` where it is to be asked."""
        if self.replaying and not self.live:
            answer = self.take(HOST_CODE, name)
            if self.has_answered():
                self._recorder.code(HOST_CODE, answer)
                return answer[1]
        return LIVE

    def note(self, name: str, answer: Any) -> None:
        """Tells what the system answered to a question."""
        self._recorder.code(HOST_CODE, [name, answer])

    def coming(self, name: str) -> Any:
        """What will be answered to a question of the system, which is asked a moment later.

        `LIVE` where the next answer is to another question, or none follows: asking ends the replay.
        """
        return self._answers[self._next][1][1] if self._is_next(HOST_CODE, name) else LIVE

    def take(self, code: int, name: str | None = None) -> Any:
        """Gives the next answer; the replay has diverged and ends when it is to another question.

        Args:
            code: the stream code of what is asked.
            name: which fact is asked for, where a code has many.
        """
        if self._next == self._stop_before:
            self._stop_before = -1
            self._stop()
        if self.live:
            return self.given[0] if self.given else None
        if not self._is_next(code, name):
            self.differs(code)
        answer = self._answers[self._next][1]
        self._next += 1
        return answer

    def has_answered(self) -> bool:
        """Whether what was taken is an answer; after a fork's position only its own is one."""
        if not self.live:
            return True
        had, self.given = bool(self.given), []
        return had

    def answer(self, code: int) -> Any:
        """The recorded answer to a question; `LIVE` where the system is to be asked."""
        found = self.take(code)
        return found if self.has_answered() else LIVE

    def differs(self, code: int) -> None:
        """The replay has diverged, and ends here: the log cannot be meant by what is asked."""
        found = self._answers[self._next][0] if self._next < len(self._answers) else None
        self._recorder.request("diverged", {"asked": code, "recorded": found, "index": self._next})

    def _is_next(self, code: int, name: str | None) -> bool:
        if self._next >= len(self._answers) or self._answers[self._next][0] != code:
            return False
        return name is None or self._answers[self._next][1][0] == name


class Shim:
    """A stand-in for a builtin function; also its type calls itself what the builtin's does."""

    def __init_subclass__(cls) -> None:
        cls.__module__ = "builtins"
        cls.__name__ = cls.__qualname__ = "builtin_function_or_method"

    def __init__(self, real: Any) -> None:
        self.__name__ = real.__name__
        self.__qualname__ = getattr(real, "__qualname__", real.__name__)
        self.__module__ = getattr(real, "__module__", None) or "builtins"
        self.__doc__ = real.__doc__
        self.__self__ = getattr(real, "__self__", None)
        self.__text_signature__ = getattr(real, "__text_signature__", None)

    def __repr__(self) -> str:
        return f"<built-in function {self.__name__}>"

    def __reduce__(self) -> str:
        return str(self.__qualname__)


class RecordingClock(Shim):
    """A clock whose answers go into the stream."""

    __slots__ = ("_code", "_feed", "_line", "_offset", "_real", "_value")

    def __init__(self, real: Any, code: int, recorder: Recorder, feed: Feed) -> None:
        super().__init__(real)
        self._real = real
        self._code = code
        self._value = recorder.values.append
        self._line = recorder.lines.append
        self._feed = feed
        self._offset: Any = None

    @staticmethod
    def of(real: Any, code: int, recorder: Recorder, feed: Feed) -> RecordingClock:
        """Gives a clock of a class of its own, whose call has all it needs at hand.

        A loop that reads a clock is the dearest thing to record: the attributes were a third of it.
        """
        value, line = recorder.values.append, recorder.lines.append

        class Clock(RecordingClock):
            __slots__ = ()

            def __call__(self) -> Any:
                """Answers as the builtin would."""
                answer = real()
                value(answer)
                line(code)
                return answer

        return Clock(real, code, recorder, feed)

    def look_up(self, recorder: Recorder) -> None:
        """Takes the buffers' methods anew: their class has changed."""
        self._value = recorder.values.append
        self._line = recorder.lines.append
        if type(self) is not AnsweringClock:
            type(self).__call__ = _look_up_and_answer  # type: ignore[method-assign]  # of its own class


def _look_up_and_answer(clock: RecordingClock) -> Any:
    answer = clock._real()
    clock._value(answer)
    clock._line(clock._code)
    return answer


class AnsweringClock(RecordingClock):
    """A clock whose answers come from the log; afterwards it goes on from the last recorded instant."""

    __slots__ = ()

    @staticmethod
    def of(real: Any, code: int, recorder: Recorder, feed: Feed) -> AnsweringClock:
        """Gives such a clock."""
        return AnsweringClock(real, code, recorder, feed)

    def __call__(self) -> Any:
        """Answers as the builtin would."""
        feed = self._feed
        if feed.paused:
            return self._real() + (self._offset or 0)
        if not feed.live:
            answer = feed.take(self._code)
            if feed.has_answered():
                self._offset = answer - self._real()
                self._value(answer)
                self._line(self._code)
                return answer
        answer = self._real() + (self._offset or 0)
        self._value(answer)
        self._line(self._code)
        return answer

    def go_real(self) -> None:
        """Forgets the recorded time."""
        self._offset = 0

    def go_on_from(self, now: Any) -> None:
        """Where to go on from, if no recorded answer says so."""
        if self._offset is None:
            self._offset = now - self._real()


class Sleep(Shim):
    """`time.sleep`: really sleeps when recording or live; a replay only checks that it was called."""

    __slots__ = ("_baton", "_feed", "_real", "_recorder", "_replaying")

    def __init__(self, recorder: Recorder, feed: Feed, baton: Baton, *, replaying: bool) -> None:
        super().__init__(time.sleep)
        self._baton = baton
        self._real = time.sleep
        self._recorder = recorder
        self._feed = feed
        self._replaying = replaying

    def __call__(self, seconds: Any, /) -> None:
        """Answers as the builtin would."""
        if self._feed.paused:
            return
        if self._replaying and not self._feed.live:
            self._feed.take(SLEEP_CODE)
            if not self._feed.live:
                if not isinstance(seconds, (int, float)) or seconds < 0:
                    self._real(seconds)  # raises what it raised
                self._recorder.code(SLEEP_CODE, float(seconds))
                if len(self._baton.strands) > 1:
                    self._baton.pause(float(seconds))
                else:
                    self._feed.answer_call()
                return
        if isinstance(seconds, (int, float)) and seconds >= 0:
            self._recorder.code(SLEEP_CODE, float(seconds))
            if len(self._baton.strands) > 1:
                self._baton.pause(float(seconds))
                return
            self._recorder.drain()
        with self._feed.inside_call():
            self._real(seconds)


class HostFact(Shim):
    """A question to the system (process id, processors ...): its answer, or refusal, is one observation."""

    __slots__ = ("_ask", "_feed", "_real", "_rebuild", "_recorder")

    def __init__(
        self, real: Any, recorder: Recorder, feed: Feed, *, rebuild: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__(real)
        # A builtin is called at once: this is on the way of each `os.stat`.
        self._ask: Callable[..., Any] = self._quietly if type(real) is FunctionType else real
        self._rebuild = rebuild
        self._real = real
        self._recorder = recorder
        self._feed = feed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answers as the builtin would."""
        if self._recorder.busy():
            return self._ask(*args, **kwargs)
        answer = self._answer(*args, **kwargs) if self._feed.replaying else LIVE
        if answer is not LIVE:
            if isinstance(answer, dict) and "errno" in answer:
                raise OSError(answer["errno"], os.strerror(answer["errno"]), *self._named(*args, **kwargs))
            return self._unpacked(answer)
        try:
            value = self._ask(*args, **kwargs)
        except OSError as error:
            self._refused(error)
            self._feed.note(self.__name__, {"errno": error.errno})
            raise
        self._recorder.code(HOST_CODE, [self.__name__, self._packed(value)])
        return value

    def _quietly(self, *args: Any, **kwargs: Any) -> Any:
        """Calls a function of Python: what it asks for itself is answered with it."""
        with self._recorder.quiet():
            return self._real(*args, **kwargs)

    # What a kind of question does in a way of its own: how it is answered from the log, put into the log and
    # taken out of it, what a refusal names, and what else is told of one. (How the system is asked: `_ask`.)

    def _refused(self, error: OSError) -> None:
        return

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        return self._feed.recorded(self.__name__)

    def _packed(self, value: Any) -> Any:
        return to_envelope(list(value) if isinstance(value, tuple) else value)

    def _unpacked(self, answer: Any) -> Any:
        value = from_envelope(answer)
        return self._rebuild(value) if self._rebuild is not None else value

    def _named(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return args[:1] if args and isinstance(args[0], (str, bytes, os.PathLike)) else ()


class Stat(HostFact):
    """`os.stat` and its like: a replay sees the recorded times, sizes and inodes, and the recorded errors."""

    __slots__ = ()

    def _packed(self, value: Any) -> Any:
        plain, named = value.__reduce__()[1]
        return {"stat": list(plain), "more": named}

    def _unpacked(self, answer: Any) -> Any:
        return os.stat_result(answer["stat"], answer["more"])

    def _named(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return (args[0] if args else kwargs.get("path"),)


class Kill(HostFact):
    """`os.kill` and `os.killpg`: a replay signals nobody, except itself where the program did."""

    __slots__ = ("_own",)

    def __init__(self, real: Any, recorder: Recorder, feed: Feed) -> None:
        super().__init__(real, recorder, feed)
        self._own = (os.getpid, os.getpgrp)[real.__name__ == "killpg"]()

    def __call__(self, ident: Any, number: Any, /) -> None:
        """Answers as the builtin would."""
        recorder, feed = self._recorder, self._feed
        if recorder.busy():
            self._real(ident, number)
            return
        if feed.replaying and not feed.live:
            coming = feed.coming(self.__name__)
            if coming is not LIVE and not coming[0]:
                sys.audit(f"os.{self.__name__}", ident, number)
        answer = feed.recorded(self.__name__)
        if answer is not LIVE:
            own, errno = answer
            if own:
                recorder.drain()
                with feed.inside_call():
                    self._real(self._own, number)
            if errno is not None:
                raise OSError(errno, os.strerror(errno))
            return
        if ident in feed.children:
            sys.audit(f"os.{self.__name__}", ident, number)
            feed.note(self.__name__, [False, None])
            return
        if feed.replaying and not feed.real and ident != self._own:
            recorder.request("signal.sent", {"to": ident})  # which no fork answers: it is the frontier
        if ident == self._own:
            feed.note(self.__name__, [True, None])
            recorder.drain()  # it may be the last thing that this process does
            with feed.inside_call():
                self._real(ident, number)
            return
        recorder.drain()
        errno = None
        try:
            self._real(ident, number)
        except OSError as error:
            errno = error.errno
            raise
        finally:
            feed.note(self.__name__, [False, errno])


class Derived(Shim):
    """A function of `time` that means "now" when its argument is left out."""

    __slots__ = ("_arity", "_convert", "_now", "_real")

    def __init__(self, real: Any, now: Callable[[], Any], arity: int, convert: Any = None) -> None:
        super().__init__(real)
        self._real = real
        self._now = now
        self._arity = arity
        self._convert = convert

    def __call__(self, *args: Any) -> Any:
        """Answers as the builtin would."""
        if len(args) < self._arity or (self._convert is None and args and args[-1] is None):
            now = self._now()
            args = (*args[: self._arity - 1], self._convert(now) if self._convert else now)
        return self._real(*args)


class Urandom(Shim):
    """`os.urandom` as a keyed hash stream for each calling module: no use shifts another's."""

    __slots__ = ("_counters", "_digest", "_seed", "worker")

    def __init__(self, seed: int) -> None:
        super().__init__(os.urandom)
        from _blake2 import blake2b  # the C module: hashlib would be imported before its shims

        self._digest = blake2b
        self._seed = seed.to_bytes(8, "big", signed=False)
        self._counters: dict[str, int] = {}
        self.worker = 0
        """How many workers the run had before: what a lost one drew is not drawn again."""

    def __call__(self, size: int, /) -> bytes:
        """Answers as the builtin would."""
        if size < 0:
            raise ValueError("negative argument not allowed")
        module = sys._getframe(1).f_globals.get("__name__", "")
        parts = []
        made = 0
        while made < size:
            count = self._counters.get(module, 0)
            self._counters[module] = count + 1
            text = f"{module}\0{count}" + (f"\0{self.worker}" if self.worker else "")
            block = self._digest(text.encode("utf-8", "surrogatepass"), key=self._seed).digest()
            parts.append(block)
            made += len(block)
        return b"".join(parts)[:size]


class RecordedEnviron(os._Environ):  # type: ignore[type-arg]  # generic only for type checkers
    """`os.environ` that notes each variable that is read, once for each value."""

    _coda_recorder: Recorder
    _coda_seen: dict[Any, Any]

    def __repr__(self) -> str:
        for key in self:
            self[key]  # it is all read
        return super().__repr__()

    def __getitem__(self, key: Any) -> Any:
        try:
            value = super().__getitem__(key)
        except KeyError:
            self._coda_note(key, None)
            raise
        self._coda_note(key, value)
        return value

    def _coda_note(self, key: Any, value: Any) -> None:
        seen = self._coda_seen
        if self._coda_recorder.busy():
            return  # inside an act that is answered as a whole
        if key not in seen or seen[key] != value:
            seen[key] = value
            self._coda_recorder.code(ENV_CODE, [to_envelope(key), to_envelope(value)])
