"""What is told of a block that ended.

Guarantee: values alone; nothing here refers to the worker or to its objects.
"""

from __future__ import annotations

import signal
from typing import Any, NamedTuple

from coda.runtime.protocol import Done


class ErrorInfo(NamedTuple):
    """An exception that left a block."""

    kind: str
    message: str
    traceback: str


class CtxChange(NamedTuple):
    """A change of `ctx`: op is `set`, `deleted` or `mutated`; value is an envelope."""

    op: str
    name: str
    value: Any
    expr: str | None


class BlockResult(NamedTuple):
    """What a block did."""

    block: int
    outcome: str
    """`ok`, `error`, `interrupted`, `killed` or `exited`."""
    state: str
    stdout: str
    stderr: str
    error: ErrorInfo | None
    lines: int
    ctx: tuple[CtxChange, ...]
    first_seq: int
    last_seq: int
    code: int | None = None
    left_out_bytes: int = 0
    """Output beyond the limit: it is in the trace, and not here."""
    acts: tuple[str, ...] = ()
    """What it did that another process could see, in a few words each: none of it is undone by a kill."""

    @property
    def succeeded(self) -> bool:
        """True when the block ran to its end."""
        return self.outcome == "ok"


def program_end(outcome: str, code: int | None) -> tuple[str, int]:
    """Gives the outcome and exit status of a program that a block ended, as a shell would show them.

    Args:
        outcome: of the block.
        code: its own exit status, or that of what stopped it; None when it has none.
    """
    if outcome == "ok":
        return "ok", 0
    if outcome == "exited":
        return "error" if code else "ok", code or 0
    if outcome == "interrupted" and code is None:
        return "interrupted", 128 + signal.SIGINT
    if outcome in ("interrupted", "killed"):
        return outcome, code or 128 + signal.SIGKILL
    return "error", 1


def out_of_memory(done: Done, limit_bytes: float | None) -> str | None:
    """Says that a block ran out of memory: it failed at an instant that no replay finds again."""
    if limit_bytes is None or done.error is None or done.error.get("type") != "MemoryError":
        return None
    return f"block {done.block} came to the limit of {limit_bytes:.0f} bytes of memory"
