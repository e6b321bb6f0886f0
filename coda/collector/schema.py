"""What the collector's API answers, as the OpenAPI page shows it.

Guarantee: fields are only ever added. Events are not described here: they are the JSON form of
`docs/log-format.md`, one object a line.
"""

from __future__ import annotations

from pydantic import BaseModel, Field


class Run(BaseModel):
    """One run of the run directory."""

    id: str = Field(description="Run id.")
    kind: str | None = Field(default=None, description="exec, run or sandbox.")
    what: str | None = Field(default=None, description="The program, module or task; masked.")
    started: str | None = Field(default=None, description="Wall clock, ISO 8601 in UTC.")
    outcome: str | None = Field(default=None, description="None while it runs, or when it was cut short.")
    live: bool = Field(default=False, description="A writer holds the trace now.")
    torn: bool = Field(default=False, description="The last record is incomplete, and left out.")
    events: int = Field(default=0, description="Events of the whole run; positions are 0 to this number.")
    bytes: int = Field(default=0, description="Size of the trace, without blobs.")
    parent: str | None = Field(default=None, description="Run that it was forked from.")
    parent_seq: int | None = Field(default=None, description="Event at which it was forked.")
    error: str | None = Field(default=None, description="Why the trace cannot be read.")


class RunList(BaseModel):
    """Runs, the newest first."""

    runs: list[Run]
    total: int = Field(description="How many runs there are in all.")


class Block(BaseModel):
    """One block of a run."""

    block: int
    seq: int = Field(description="Event that began it.")
    end_seq: int | None = Field(description="Event that ended it; None while it is open.")
    file: str
    turn: int | None
    outcome: str | None


class RunDetail(Run):
    """One run with its blocks."""

    model: str | None = None
    python: str | None = None
    level: str | None = None
    blocks: list[Block] = Field(default_factory=list)


class Health(BaseModel):
    """The server answers."""

    status: str = "ok"
    uptime_s: float


class Failure(BaseModel):
    """One error."""

    kind: str = Field(description="Name of the error's class.")
    message: str


class FailureReply(BaseModel):
    """What every failed request answers."""

    error: Failure
