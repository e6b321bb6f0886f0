"""How the host ends a block that must not go on: it asks, then it signals, then it kills.

Guarantee: whatever agent code does, the block has ended when the last deadline has passed. Only the first
step, an exception before a statement, can be found again by a replay, so only after that one is the worker
kept. (`max(iter(int, 1))` holds the interpreter's lock in C and can be ended by nothing but the last.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from coda.runtime.protocol import Done

TIMED_OUT = 124
"""Exit status of what was stopped at its time limit, as of timeout(1)."""
HOOK_SECONDS = 0.25
"""A block that reaches no statement in this time is signalled: it waits, or computes in C or in a library."""
GRACE_SECONDS = 1.0
"""What `finally` and `except` of an interrupted block may take, before it is killed."""

Ask = Callable[[str], None]


class Stopping:
    """One block, and how far the host has gone to end it.

    Args:
        ask: tells the worker to raise an exception, with this message, before its next statement.
        break_off: lets the call of a tool for which the worker waits raise KeyboardInterrupt; False when it
            waits for none.
        signal: sends SIGINT.
        has_hooks: statements have hooks (not at level `effects`).
        timeout_s: wall time of the block; None: no limit.
    """

    def __init__(
        self,
        *,
        ask: Ask,
        break_off: Callable[[str], bool],
        signal: Callable[[], None],
        has_hooks: bool,
        timeout_s: float | None,
    ) -> None:
        self._ask = ask
        self._break_off = break_off
        self._signal = signal
        self._has_hooks = has_hooks
        self._end = self.deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        self.step = "running"
        """`running`, `asked`, `placed` (a statement or a call was interrupted) or `signalled`."""
        self.kind = "KeyboardInterrupt"
        self.reason = ""

    def look_every(self, seconds: float) -> None:
        """While the block runs: the deadline is the next look, or the end of its time."""
        self.deadline = min(self._end, time.monotonic() + seconds)

    @property
    def is_late(self) -> bool:
        """Whether the block's own time is over."""
        return time.monotonic() >= self._end

    def begin(self, reason: str, kind: str) -> None:
        """The block is to end, for this reason; asking twice changes nothing."""
        if self.step != "running":
            return
        self.reason, self.kind = reason, kind
        if self._break_off(reason):
            self._place()
        elif self._has_hooks:
            self.step = "asked"
            self.deadline = time.monotonic() + HOOK_SECONDS
            self._ask(reason)
        else:
            self._send_signal()

    def go_on(self) -> bool:
        """The deadline has passed: takes the next step; False when nothing is left but to kill."""
        if self.step != "asked":
            return False
        if self._break_off(self.reason):
            self._place()
        else:
            self._send_signal()
        return True

    def placed(self) -> None:
        """The worker says that a statement was interrupted: what follows is the block's own cleaning up."""
        if self.step in ("asked", "signalled"):  # it may have been said before the signal was sent
            self._place()

    def _place(self) -> None:
        self.step = "placed"
        self.deadline = time.monotonic() + GRACE_SECONDS

    def _send_signal(self) -> None:
        self.step = "signalled"
        self.deadline = time.monotonic() + GRACE_SECONDS
        self._signal()

    @property
    def code(self) -> int | None:
        """Exit status of a program that is ended so; None when a person ended it."""
        return None if self.kind == "KeyboardInterrupt" else TIMED_OUT

    @property
    def error(self) -> dict[str, Any]:
        """The exception of a block that did not live to raise one."""
        return _error(self.kind, self.reason)


class NotCompiled(Exception):
    """Internal: a block was stopped while it was compiled.

    Attributes:
        reason: why, in words.
        kind: `KeyboardInterrupt` or `TimeoutError`.
    """

    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason, kind)
        self.reason, self.kind = reason, kind

    def done(self, block: int) -> Done:
        """How the block ended."""
        code = None if self.kind == "KeyboardInterrupt" else TIMED_OUT
        return Done(block, "killed", code, _error(self.kind, self.reason), -1, 0, broken=True)


def _error(kind: str, reason: str) -> dict[str, Any]:
    """The exception of a block that was stopped, as data."""
    return {"type": kind, "mro": [kind], "message": reason, "args": [], "traceback": ""}
