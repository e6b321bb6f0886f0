"""A hit: one answer to a question about events, with the place in the agent's code that caused it.

Guarantee: every hit names its run and event, so it can be handed to `coda state --at` and
`coda fork --at`; block, line and source text are those of the agent's code, taken from the event or,
when the event happened in the host, from the call that caused it.
"""

from __future__ import annotations

from typing import Any

import msgspec

SCHEMA_NAME = "query.hit"


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One row of an answer."""

    run: str
    """Run id."""
    trace: str
    """Path of the trace."""
    verb: str
    seq: int
    """Number of the event."""
    type: str
    t: int | None = None
    """Nanoseconds since the run began."""
    block: int | None = None
    turn: int | None = None
    file: str | None = None
    line: int | None = None
    function: str | None = None
    """Function path, "" at module level."""
    source: str | None = None
    """Source text of the line, without its indentation."""
    cause: int | None = None
    """Event that this one belongs to."""
    what: str = ""
    """The thing itself: a path, a command, a call, a name."""
    detail: str = ""
    """A few more words for people."""
    times: int = 1
    """How many events the row stands for; more than one only where the log itself holds a count."""
    fields: dict[str, Any] = msgspec.field(default_factory=dict)
    """What else the event says, as in `coda log --json`, and what was derived from it."""

    def lookup(self) -> dict[str, Any]:
        """Gives every field by name, for conditions and counts."""
        own = {name: getattr(self, name) for name in COMMON}
        return {**self.fields, **own}

    def to_json(self) -> dict[str, Any]:
        """Gives the row as data, without `schema`; a field of the event never hides one of the row."""
        row = {
            name: getattr(self, name) for name in self.__struct_fields__ if name not in ("fields", "detail")
        }
        return row | {name: value for name, value in self.fields.items() if name not in row}


COMMON = ("run", "trace", "verb", "seq", "type", "t", "block", "turn", "file", "line", "function", "source",
          "cause", "what", "times")  # fmt: skip
"""Fields that every hit has."""
