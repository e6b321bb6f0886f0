"""The limits of a block that must be looked at while it runs: processor time and processes.

Guarantee: looking costs one look in 50 ms, and only when there is something to look at.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import NamedTuple

from coda.runtime.limits import Limits
from coda.runtime.usage import cpu_s, processes_below

LOOK_SECONDS = 0.05
Tell = Callable[[str, str], None]


class Reached(NamedTuple):
    """A limit that ends the block."""

    what: str
    detail: str
    reason: str


class Watch:
    """One block's worker.

    Args:
        pid: the worker.
        block: number of the block.
        limits: what it may use.
        tell: told of a limit that does not end the block (what, detail).
    """

    def __init__(self, pid: int, block: int, limits: Limits, tell: Tell) -> None:
        self._pid = pid
        self._block = block
        self._limits = limits
        self._tell = tell
        self._cpu_before = cpu_s(pid) or 0.0 if limits.cpu_s is not None else 0.0
        self._told = False

    @property
    def looks(self) -> bool:
        """Whether there is anything to look at."""
        return self._limits.cpu_s is not None or self._limits.processes is not None

    def look(self) -> Reached | None:
        """Ends what is too much; gives the limit for which the block itself must end."""
        if self._limits.processes is not None:
            self._end_processes(self._limits.processes)
        limit = self._limits.cpu_s
        if limit is None or (cpu_s(self._pid) or 0.0) - self._cpu_before <= limit:
            return None
        return Reached(
            "cpu",
            f"block {self._block} used more than {limit:g} s of processor time",
            f"stopped after {limit:g} s of processor time",
        )

    def _end_processes(self, most: int) -> None:
        below = processes_below(self._pid)
        if len(below) <= most:
            return
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        if not self._told:
            self._told = True
            detail = f"block {self._block} had {len(below)} processes, more than {most}: all were killed"
            self._tell("processes", detail)
