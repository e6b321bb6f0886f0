"""Watches for threads that keep the baton: they are made to pass it on, at a statement that the log names.

Guarantee: a thread that never blocks is stopped at a statement hook after its slice; the place is an entry of
the stream (`thread.preempted`), and a replay stops it at the same one. So a loop that waits for a flag ends,
when recording and when replaying. A thread that stands in C code, which has no statements, is passed by
(`Baton.take_away`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from coda.runtime.instrument_hooks import Buffer
from coda.runtime.worker.baton import Baton, Strand
from coda.runtime.worker.recorder import Recorder

PREEMPTED_CODE = -19
_SLICE_SECONDS = 0.02
_BLOCKED_LOOKS = 10
"""A thread is taken for blocked when it sleeps at so many looks, one after the other."""
_WHOLE_SECONDS, _STUCK_SECONDS = 2.0, 10.0
"""So long a thread may wait for a child process, or compute without a statement, before it is passed by."""


class Watch:
    """Looks at the thread that has the baton, on the recorder's own thread.

    Args:
        recorder: whose buffer is swapped.
        baton: what is passed on.
        is_statement: tells statements from bindings.
    """

    def __init__(self, recorder: Recorder, baton: Baton, is_statement: Callable[[int], bool]) -> None:
        self.active = False
        """Whether slices are cut (recording, and live after a fork's position): a replay follows the log."""
        self._recorder = recorder
        self._baton = baton
        self._clock = time.monotonic
        self._seen = (-1, 0.0)
        self._asleep = 0
        self._open, self._read, self._close = os.open, os.read, os.close
        self._preempting = _buffer_class(self, is_statement)

    def look(self) -> bool:
        """Called by the flusher; True when there is more than one thread, whose slices are short."""
        baton = self._baton
        if len(baton.strands) == 1:
            return False
        now = self._clock()
        turns = baton.turns
        if self._seen[0] != turns:
            self._seen = (turns, now)
            self._asleep = 0
            return True
        kept = now - self._seen[1]
        if kept < _SLICE_SECONDS or not baton.has_others():
            return True
        if self._recorder.is_asking:  # the host answers in its own time
            self._seen = (turns, now)
            self._asleep = 0
            return True
        self._asleep = self._asleep + 1 if self._is_blocked(baton.current) else 0
        if self.active and type(self._recorder.lines) is Buffer:
            self._recorder.lines.__class__ = self._preempting
        # What is recorded as a whole (a process that is waited for) keeps its order as long as it can.
        patience = _WHOLE_SECONDS if baton.current.ident in self._recorder.exempt else 0.0
        if (self._asleep >= _BLOCKED_LOOKS and kept > patience) or kept > _STUCK_SECONDS:
            self._recorder.go_parallel(baton.number_here)
            self.active = False
            baton.take_away(turns)
        return True

    def _is_blocked(self, strand: Strand) -> bool:
        """Whether the thread sleeps in the system, as far as the system tells."""
        if not strand.native:
            return False  # it has not come to life yet
        try:
            fd = self._open(f"/proc/self/task/{strand.native}/stat", os.O_RDONLY)
            try:
                return b") S " in self._read(fd, 512)
            finally:
                self._close(fd)
        except OSError:
            return True  # the thread has ended, before or after its file was opened

    def preempt(self) -> None:
        """At a statement of the thread that has the baton: others have their turns."""
        recorder, baton = self._recorder, self._baton
        if not baton.is_mine() or recorder.busy():
            return
        recorder.code(PREEMPTED_CODE, baton.current.number)
        baton.breathe()


def _buffer_class(watch: Watch, is_statement: Callable[[int], bool]) -> Any:
    class PreemptingBuffer(Buffer):
        """Swapped in for one statement: others have their turns after it."""

        __slots__ = ()

        def append(self, ident: int, /) -> None:
            """Appends, and passes the baton on."""
            list.append(self, ident)
            if ident >= 0 and is_statement(ident):
                self.__class__ = Buffer  # type: ignore[assignment]  # back to the plain buffer
                watch.preempt()

    return PreemptingBuffer
