"""What is told of a block that ended.

Guarantee: values alone; nothing here refers to the worker or to its objects.
"""

from __future__ import annotations

from typing import Any, NamedTuple


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
