"""What an answered child is fed, compared with what the recorded one was fed, and what it may say by then.

Guarantee: past a fork's position no byte and no end of a child reaches agent code unless all that was written
to the child so far is what the parent wrote, and all is there that the parent had written when the child said
it. Where that is not so the host is asked, which ends the fork or has the answer assumed.
"""

from __future__ import annotations

import _thread
import copy
import hashlib
import io
import os
import select
import time
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from coda.runtime.worker.recorder import Recorder

_LOOK_SECONDS, _SELDOM_SECONDS = 0.003, 0.05
_PATIENCE_SECONDS = 3.0
"""How long agent code may wait for a child that waits for more input, as another thread might write it."""
_UNSEEN_SECONDS = 10.0
"""How long what can never be said is waited for in ways that are not seen (`os.read`, `select`)."""
_CHUNK = 1 << 16
_dup, _dup2, _close = os.dup, os.dup2, os.close
_sleep, _now, _allocate_lock = time.sleep, time.monotonic, _thread.allocate_lock  # agent code has others
_OTHERWISE = "it was fed other input than in the parent"
_TOO_LITTLE = "it was fed less than in the parent"
_NO_MORE = "the parent's log has no more of it"


class Need(NamedTuple):
    """What had gone to the child when it said something."""

    size: int
    """How many bytes."""
    closed: bool
    """Whether that was all."""


class May(Enum):
    """Whether something may be said."""

    YES = "yes"
    NOT_YET = "not yet"
    NEVER = "never"


class Fed:
    """The standard input of an answered child.

    Args:
        expected: what the recorded child was fed; None: whatever it is fed, it says the same.
    """

    def __init__(self, expected: bytes | None) -> None:
        self._expected = expected or b""
        self.expected_bytes = len(self._expected)
        self.size = 0
        self.closed = False
        self.differs = False
        self.assumed = expected is None

    def take(self, piece: bytes) -> None:
        """Agent code wrote a piece; an empty one is the end."""
        self.closed = self.closed or not piece
        self.differs = self.differs or self._expected[self.size : self.size + len(piece)] != piece
        self.size += len(piece)

    def may(self, need: Need) -> May:
        """Whether what came after so much may be said now."""
        if self.assumed:
            return May.YES
        if self.differs:
            return May.NEVER
        if self.size < need.size:
            return May.NEVER if self.closed else May.NOT_YET
        return May.NOT_YET if need.closed and not self.closed else May.YES

    @property
    def so_far(self) -> bytes:
        """All of it, where it is what was expected."""
        return self._expected[: self.size]

    def after(self, rest: bytes) -> Fed:
        """What it will be when all of this was written, and the end."""
        found = copy.copy(self)
        found.take(rest)
        found.take(b"")
        return found


class Intake:
    """Reads what agent code writes to an answered child.

    Args:
        end: the child's end of the pipe; None where there is none.
        fed: told of each piece.
        tell: told of each piece and its offset, before anything can come of it.
    """

    def __init__(self, end: int | None, fed: Fed, tell: Callable[[bytes, int], None]) -> None:
        self.fed = fed
        self.digest = hashlib.sha256()
        """Of all that was written."""
        self._end = end
        self._tell = tell
        self._lock = _allocate_lock()
        self._read, self._close = os.read, os.close

    def catch_up(self) -> bool:
        """Takes all that has been written by now; False when there will be no more."""
        with self._lock:
            while self._end is not None and not self.fed.closed and _is_ready(self._end):
                piece = self._read(self._end, _CHUNK)
                self._tell(piece, self.fed.size)
                self.digest.update(piece)
                self.fed.take(piece)
            return self._end is not None and not self.fed.closed

    def close(self) -> None:
        """Nobody reads any more."""
        with self._lock:
            if self._end is not None:
                self._close(self._end)
                self._end = None


class Answers:
    """When an answered child may say what was recorded of it.

    Args:
        recorder: where the host is asked.
        number: of the child.
        intake: what it is fed through.
        need: what it had been fed when it ended; None when the log has no end of it.
        is_fork: whether the position is behind us; before, whatever was recorded holds.
    """

    def __init__(
        self,
        recorder: Recorder,
        number: int,
        intake: Intake,
        need: Need | None,
        is_fork: Callable[[], bool],
    ) -> None:
        self._recorder = recorder
        self._number = number
        self.intake = intake
        self.need = need
        self.is_fork = is_fork
        self.outlets: list[Outlet] = []

    @property
    def fed(self) -> Fed:
        """What the child was fed so far."""
        return self.intake.fed

    def may_say(self, need: Need | None) -> May:
        """Whether agent code may hear what came after so much; None: what the log does not have."""
        self.intake.catch_up()
        return self._may(need)

    def _may(self, need: Need | None) -> May:
        if not self.is_fork():
            late = need is not None and self.fed.size < need.size and not self.fed.closed
            return May.NOT_YET if late and not self.fed.differs else May.YES
        return self.fed.may(need) if need is not None else May.NEVER

    def written(self) -> bytes:
        """What has been written by now, as far as it is what was expected."""
        self.intake.catch_up()
        return self.fed.so_far

    def wait_for(self, need: Need | None) -> None:
        """Agent code waits for what came after so much: asks the host where it may not be said."""
        begun, size = _now(), self.fed.size
        while (state := self.may_say(need)) is not May.YES:
            if self.fed.size != size:
                begun, size = _now(), self.fed.size
            if state is May.NEVER or _now() - begun > _PATIENCE_SECONDS:
                self._ask(self.fed, need)
                return
            _sleep(_LOOK_SECONDS)

    def wait_for_end(self) -> None:
        """Agent code waits for the end of the child."""
        self.wait_for(self.need)

    def wait_for_all(self) -> None:
        """Another process reads all that the child says."""
        self.wait_for(self.need or Need(self.fed.expected_bytes, closed=False))

    def wait_behind(self, need: Need | None) -> None:
        """Waits in a thread of ours; asks only where agent code must be waiting in a way that is not seen."""
        began, pause = _now(), _LOOK_SECONDS
        while (state := self.may_say(need)) is not May.YES:
            if state is May.NOT_YET and self.is_fork():
                began = _now()  # more may still be written
            elif need is not None and _now() - began > _UNSEEN_SECONDS:
                self._ask(self.fed, need)
                return
            _sleep(pause)
            pause = min(2 * pause, _SELDOM_SECONDS)

    def communicate(self, rest: bytes | None) -> None:
        """Agent code writes the rest of the input, if it can, and waits for all that is said, and the end."""
        self.intake.catch_up()
        fed = self.fed if rest is None else self.fed.after(rest)
        if self.need is None or fed.may(self.need) is not May.YES:
            self._ask(fed, self.need)

    def idle(self, *, timers: bool) -> None:
        """An event loop has nothing to do but to wait for its children, or for a timer."""
        self.intake.catch_up()
        if not self.is_fork() or self.fed.assumed:
            return
        needs = [rest[0].need for outlet in self.outlets if (rest := outlet.rest())]
        needs.append(self.need)
        states = [self._may(need) for need in needs]
        if self.fed.differs or not (timers or May.YES in states):
            self._ask(self.fed, needs[0])

    def _ask(self, fed: Fed, need: Need | None) -> None:
        """Asks whether the answers are to be used all the same; else the fork ends here."""
        if not self.is_fork():
            return
        why = _OTHERWISE if fed.differs else _NO_MORE if need is None else _TOO_LITTLE
        facts = {"child": self._number, "why": why, "recorded": need is not None}
        self._recorder.request("process.unanswered", facts)
        self.fed.assumed = True


class Said(NamedTuple):
    """A piece of a child's output."""

    need: Need | None
    """What it had been fed by then; None where the log does not say that it came."""
    piece: bytes
    """Empty for the end."""


class Outlet(io.FileIO):
    """Agent code's end of a pipe from an answered child: reads stop where there is no answer."""

    _answers: Answers
    stream: str
    said: list[Said]
    given = 0
    """How many pieces are in the pipe."""
    told = 0
    """How many have been told, or are about to be given."""

    def hold(self, answers: Answers, stream: str, said: list[Said]) -> None:
        """Says what will come through it."""
        self._answers, self.stream, self.said = answers, stream, said
        answers.outlets.append(self)

    def offset(self, number: int) -> int:
        """How many bytes come before a piece."""
        return sum(len(each.piece) for each in self.said[:number])

    def rest(self) -> list[Said]:
        """What has not been said yet."""
        return self.said[self.given :]

    def _wait(self) -> None:
        answers = self._answers
        if not answers.is_fork() or self.closed:
            return
        answers.may_say(None)
        rest = self.rest()  # before looking at the pipe: it may be filled in between
        if rest and (answers.fed.differs or not _is_ready(self.fileno())):
            answers.wait_for(rest[0].need)

    def readinto(self, buffer: Any, /) -> Any:
        """Reads as the class does."""
        self._wait()
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> Any:
        """Reads as the class does."""
        if size is None or size < 0:
            return self.readall()
        self._wait()
        return super().read(size)

    def readall(self) -> Any:
        """Reads as the class does."""
        parts = []
        while piece := self.read(_CHUNK):
            parts.append(piece)
        return b"".join(parts)


def outlet_of(popen: Any, name: str) -> Outlet:
    """Makes the agent's end of a pipe from a child one that waits for answers: same number, same form."""
    given: Any = getattr(popen, name)
    text = (given.encoding, given.errors) if isinstance(given, io.TextIOWrapper) else None
    stream = given.detach() if text else given
    fd = stream.fileno()
    spare = _dup(fd)
    stream.close()
    _dup2(spare, fd, inheritable=False)
    _close(spare)
    outlet = Outlet(fd, "rb")
    made: Any = outlet
    if isinstance(stream, io.BufferedReader):
        made = io.BufferedReader(outlet, outlet._blksize)  # type: ignore[attr-defined]
    setattr(popen, name, io.TextIOWrapper(made, encoding=text[0], errors=text[1]) if text else made)
    return outlet


def _is_ready(fd: int) -> bool:
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    return bool(waiting.poll(0))
