"""What the verbs answer with `--json`, where no room has a type for it already.

Guarantee: each answer is a type, so that the schemas in docs/schemas are made from what is printed and not
from a description of it. Fields are only added, never renamed or removed, within one schema number.
"""

from __future__ import annotations

from typing import Any

import msgspec

from coda.forking import Diff, ForkResult
from coda.log import render
from coda.replay import Verdict


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How much a replay compared, by kind."""

    blocks: int
    effects: int
    lines: int
    values: int
    outputs: int


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Where and why a replay could not follow its log."""

    kind: str
    """`Diverged`, or `MissingEffect` when the log holds no answer to what was asked."""
    seq: int | None
    """The event at which it happened."""
    message: str
    expected: str | None = None
    """What the log has, in words; null where nothing was to come."""
    found: str | None = None
    """What the replay did."""
    file: str | None = None
    """Where in the program."""
    line: int | None = None
    function: str | None = None
    source: str | None = None
    """Text of the line."""
    reason: str | None = None
    """What it is likely to come from."""

    @classmethod
    def of(cls, verdict: Verdict) -> Problem | None:
        """Gives the problem of a verdict; None when it has none."""
        problem, cause = verdict.diverged, verdict.cause
        if problem is None or cause is None:
            return None
        sides = {
            name: value if isinstance(value, str) else render(value)
            for name in ("expected", "found")
            if (value := problem.facts.get(name)) is not None
        }
        return cls(
            kind=type(problem).__name__,
            seq=problem.facts.get("seq"),
            message=problem.message,
            file=cause.file,
            line=cause.line,
            function=cause.function,
            source=cause.source or None,
            reason=cause.reason,
            **sides,
        )


class ReplayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of `coda replay`."""

    run: str
    faithful: bool
    events: int
    """Events of the recorded run."""
    diverged: Problem | None
    compared: Compared
    renamed: int
    """Addresses in texts that were matched by renaming."""
    uncompared: tuple[str, ...]
    """What no replay can compare, in words."""
    isolation: str
    """`kernel`, `partial` or `none`."""
    layers: tuple[str, ...]
    """The layers of isolation that held."""
    notes: tuple[str, ...]
    ends_at: int | None = None
    """Where the log ends inside a block; null when it ends with the run."""
    to: str | None = None
    """The position at which it was enough; null: the end of the run."""

    @classmethod
    def of(cls, verdict: Verdict, *, run: str, events: int, to: str | None = None) -> ReplayAnswer:
        """Gives the answer for a verdict.

        Args:
            verdict: what the replay showed.
            run: run id.
            events: events of the recorded run.
            to: the position up to which it was replayed.
        """
        return cls(
            run=run,
            faithful=verdict.faithful,
            events=events,
            diverged=Problem.of(verdict),
            compared=Compared(
                blocks=verdict.blocks,
                effects=verdict.effects,
                lines=verdict.lines,
                values=verdict.values,
                outputs=verdict.outputs,
            ),
            renamed=verdict.renamed,
            uncompared=tuple(verdict.uncompared),
            isolation=verdict.isolation,
            layers=tuple(verdict.layers),
            notes=tuple(verdict.notes),
            ends_at=verdict.ends_at,
            to=to,
        )


class ForkAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What `coda fork` made."""

    path: str
    """The new trace."""
    position: str
    """Where it left its parent."""
    outcome: str
    """As in the event `run.finished`: `ok`, `error`, `exited`, `frontier` and so on."""
    frontier: str | None
    """Why it could not go on, when it stopped at its frontier."""
    ended: str | None
    """Why it was ended from outside, as by `--timeout`."""
    assumed: int
    """Recorded answers that were used though they may not hold."""
    changes: tuple[dict[str, Any], ...]
    """What was changed at the position."""
    identical: bool
    """Nothing was changed, and nothing differs."""
    diff: Diff
    """Parent and fork compared, as `coda diff --json` does."""

    @classmethod
    def of(cls, made: ForkResult) -> ForkAnswer:
        """Gives the answer for a fork."""
        return cls(
            path=str(made.path),
            position=made.position,
            outcome=made.outcome,
            frontier=made.frontier,
            ended=made.ended,
            assumed=made.assumed,
            changes=tuple(dict(change) for change in made.changes),
            identical=not made.changes and made.diff.equal,
            diff=made.diff,
        )
