"""What a query means, as a tree: the one form that both parsers make and the planner reads.

Guarantee: two texts with the same meaning give equal trees, columns apart being part of the tree so
that a mistake found later (a field that no event has) can still be pointed at. Everything here is
frozen and can be printed as JSON, so a saved query survives a restart.
"""

from __future__ import annotations

import msgspec

VERBS = (
    "read", "write", "delete", "run", "connect", "tool", "llm", "ctx", "set", "line", "error",
    "output", "import", "effect", "env",
)  # fmt: skip
"""The verbs in the order in which help and error messages list them."""

RESERVED = frozenset({"where", "at", "and", "or", "not"})
"""Words that must be quoted to be a pattern or a value."""


class Node(msgspec.Struct, frozen=True, tag_field="node"):
    """A part of a query."""


class Pattern(Node, frozen=True):
    """What the verb is about: a glob, a number or a text."""

    text: str
    column: int
    quoted: bool = False


class Literal(Node, frozen=True):
    """The right side of a comparison."""

    text: str
    """As it was written, quotes and escapes resolved."""
    value: str | int | float | bool | None
    """What it means: `10kb` is 10000, `5s` is 5000000000 (nanoseconds), `null` is None."""


class Compare(Node, frozen=True):
    """`FIELD OP VALUE`."""

    field: str
    op: str
    literal: Literal
    column: int


class Not(Node, frozen=True):
    """The opposite of a condition; what cannot be decided stays undecided."""

    of: Compare | Not | And | Or


class And(Node, frozen=True):
    """All of the conditions."""

    parts: tuple[Compare | Not | And | Or, ...]


class Or(Node, frozen=True):
    """At least one of the conditions."""

    parts: tuple[Compare | Not | And | Or, ...]


Condition = Compare | Not | And | Or


class Range(Node, frozen=True):
    """`at FIRST..LAST`, both ends included; an open end is None. Positions as everywhere."""

    first: str | None
    last: str | None
    column: int


class Stage(Node, frozen=True):
    """`| count [by FIELD]`, `| first N`, `| last N`, `| lines`."""

    kind: str
    column: int
    field: str | None = None
    n: int | None = None


class Query(Node, frozen=True):
    """A question about events."""

    verb: str
    pattern: Pattern | None = None
    at: Range | None = None
    where: Condition | None = None
    stages: tuple[Stage, ...] = ()


class Why(Node, frozen=True):
    """`why NAME [at POSITION]`."""

    name: str
    column: int
    at: str | None = None


def fields_of(condition: Condition | None) -> tuple[Compare, ...]:
    """Gives every comparison of a condition, from left to right."""
    if condition is None:
        return ()
    if isinstance(condition, Compare):
        return (condition,)
    if isinstance(condition, Not):
        return fields_of(condition.of)
    return tuple(compare for part in condition.parts for compare in fields_of(part))
