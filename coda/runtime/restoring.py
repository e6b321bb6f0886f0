"""The seam to whoever can rebuild the variables of a run after its worker was lost.

Guarantee: the sandbox knows no more of replaying than this. Without a `Restorer` it goes on with an empty
worker, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from coda.runtime.engine import Engine


class Restored(NamedTuple):
    """A worker that has the variables again, and works on the real workspace."""

    engine: Engine
    flags: int
    """Compiler flags in force for its next block."""
    notes: tuple[str, ...]
    """What is not as it was: open files that could not be opened again."""


class Restorer(Protocol):
    """Rebuilds the variables of a run that is still being recorded."""

    def restore(
        self, trace: Path, *, before: int, env: Mapping[str, str], origin_ns: int, memory_bytes: int | None
    ) -> Restored:
        """Gives a worker that stands just before an event.

        Args:
            trace: the run, as far as it is recorded.
            before: number of the event; it begins a block, or is the next one to be written.
            env: the environment of agent code.
            origin_ns: `time.monotonic_ns()` of the run's beginning.
            memory_bytes: address space of the worker; None: no limit.

        Raises:
            CodaError: it cannot be done; the reason is in the message.
        """
