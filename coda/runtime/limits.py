"""What a sandbox may use.

Guarantee: a limit that was reached is an event (`limit.hit`), an outcome of the block and a sentence for the
model. Output that is over a limit is counted and still in the log; only `logged_bytes` ends a block for it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from coda.errors import UsageError
from coda.runtime.usage import can_look

OUTPUT_BYTES = 32 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits of a sandbox; None is no limit."""

    wall_s: float | None = None
    """Time of a block. It is interrupted, then killed."""
    cpu_s: float | None = None
    """Processor time of a block: that of the worker and its threads, not of the children it starts."""
    memory_bytes: int | None = None
    """Address space of the worker: what is over it is a MemoryError in agent code."""
    processes: int | None = None
    """Processes below the worker at one time. With more of them all are killed; the block goes on."""
    output_bytes: int | None = OUTPUT_BYTES
    """Output of a block that its result holds; the rest is in the log alone."""
    run_output_bytes: int | None = None
    """The same over all blocks of the run."""
    logged_bytes: int | None = None
    """Output of a run that the log holds. A block that writes more is interrupted, then killed."""

    def check(self) -> Limits:
        """Gives the limits themselves.

        Raises:
            UsageError: one is not a positive number.
        """
        for name, value in self.in_force().items():
            whole = name.endswith(("_bytes", "processes"))
            fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not fits or not value > 0:
                kind = "whole number" if whole else "number"
                raise UsageError(f"the limit {name} is a {kind} above 0; got {value!r}")
        return self

    def in_force(self) -> dict[str, Any]:
        """The limits that are set, by name."""
        pairs = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: value for name, value in pairs if value is not None}


def limits_in_force(
    limits: Limits, timeout_s: float | None, memory_bytes: int | None, *, inprocess: bool
) -> Limits:
    """The limits in force; UsageError when one makes no sense, or cannot be kept here."""
    given = {"wall_s": timeout_s, "memory_bytes": memory_bytes}
    whole = msgspec.structs.replace(limits, **{n: v for n, v in given.items() if v is not None}).check()
    if inprocess and (whole.cpu_s or whole.processes or whole.memory_bytes):
        raise UsageError(
            "in the caller's process there is no limit of cpu_s, processes or memory_bytes: "
            "they would be limits of the caller"
        )
    if (whole.cpu_s or whole.processes) and not can_look():
        raise UsageError("this system does not tell of processes: it can hold no limit of cpu_s or processes")
    return whole
