"""The seam to whoever can rebuild the variables of a run after its worker was lost.

Guarantee: the sandbox knows no more of replaying than this. Without a `Restorer` it goes on with an empty
worker, and says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from coda.runtime.engine import Engine
from coda.runtime.protocol import Configure


class Restored(NamedTuple):
    """A worker that has the variables again, and works on the real workspace."""

    engine: Engine
    flags: int
    """Compiler flags in force for its next block."""
    notes: tuple[str, ...]
    """What is not as it was: open files that could not be opened again."""


class Restorer(Protocol):
    """Rebuilds the variables of a run that is still being recorded."""

    def restore(self, trace: Path, *, before: int, configure: Configure) -> Restored:
        """Gives a worker that stands just before an event.

        Args:
            trace: the run, as far as it is recorded.
            before: number of the event; it begins a block, or is the next one to be written.
            configure: what a worker of the sandbox is told when it begins with nothing.

        Raises:
            CodaError: it cannot be done; the reason is in the message.
        """
