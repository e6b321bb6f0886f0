"""What a comparison of two runs found: the data behind `coda diff`, its JSON and its summary.

Guarantee: every place names its event number in its own run, so it can be given to `coda state`,
`coda fork` and `coda view` as it is. Lists are cut at a hundred entries; counts never are.
"""

from __future__ import annotations

from typing import Any

import msgspec

from coda.forking.ends import FileChange, Outcome
from coda.forking.summary import summarise


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """An event, as a person finds it."""

    seq: int
    type: str
    block: int | None = None
    file: str | None = None
    line: int | None = None
    function: str | None = None
    source: str | None = None
    """Text of the line."""
    what: str = ""
    """The event in a few words: the call, the value bound, the text printed."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A place where the runs differ."""

    kind: str
    """`path` (other steps) or `value` (the same step with another value or answer)."""
    a: Place | None = None
    """Where it begins in the first run; None when that run goes on elsewhere or has ended."""
    b: Place | None = None
    after: Place | None = None
    """The last line that both ran before it: for a path, the statement that decided."""
    a_lines: int = 0
    """Lines that only the first run executed here."""
    b_lines: int = 0


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Where both runs take the same path again."""

    a: Place
    b: Place


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A name whose last recorded value differs."""

    name: str
    scope: str = ""
    """Function path; "" for the namespace of the blocks and for ctx."""
    a: str | None = None
    """The value as text; None when the run has none."""
    b: str | None = None
    a_seq: int | None = None
    b_seq: int | None = None
    exact: bool = True
    """False when later bindings may have gone unrecorded (the limit of values of a site)."""


class CallChange(msgspec.Struct, frozen=True, kw_only=True):
    """A call, or an answer to one, that differs."""

    kind: str
    """`added`, `removed`, `arguments` or `answer`."""
    name: str
    a: Place | None = None
    b: Place | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much is the same; events of the shared prefix included in `same`."""

    same: int
    a_only: int
    b_only: int
    a_only_lines: int
    b_only_lines: int
    other_values: int
    """Values bound, and answers, that differ in steps that both have."""
    calls: int
    """Calls added, removed or answered otherwise, listed or not."""


class Blocks(msgspec.Struct, frozen=True, kw_only=True):
    """Block numbers: matched blocks whose source differs, and those of one run alone."""

    matched: int
    edited: tuple[tuple[int, int], ...] = ()
    a_only: tuple[int, ...] = ()
    b_only: tuple[int, ...] = ()

    @property
    def differ(self) -> bool:
        """Whether the runs executed other code."""
        return bool(self.edited or self.a_only or self.b_only)


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between the runs `a` and `b`."""

    a: str
    """Run id."""
    b: str
    equal: bool
    shared: int
    """Events that they have in common by construction: a fork and its parent."""
    first: Difference | None
    join: Join | None
    counts: Counts
    blocks: Blocks
    hunks: tuple[Difference, ...]
    """Path differences in order, the first hundred."""
    variables: tuple[Change, ...]
    ctx: tuple[Change, ...]
    calls: tuple[CallChange, ...]
    output: dict[str, tuple[str, ...]]
    """Unified difference of each stream that differs."""
    files: tuple[FileChange, ...]
    outcome: tuple[Outcome, Outcome]
    applied: tuple[dict[str, Any], ...] = ()
    """What was changed to make the fork, when one run is a fork of the other."""
    notes: tuple[str, ...] = ()

    def summary(self) -> list[str]:
        """Gives the difference as lines for a person, the first of which says it all."""
        return summarise(self)

    def to_json(self) -> dict[str, Any]:
        """Gives built-in data, as `coda diff --json` prints it."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data
