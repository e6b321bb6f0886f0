"""The verbs: which records answer each, and which fields one can ask of them.

Guarantee: a field that no event of a verb has is refused with its column before anything is read,
instead of being quietly absent from every row. The list of record types is what the reader is told
to decode; all others are skipped.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from coda.errors import QuerySyntax, UnknownField
from coda.log import TYPES
from coda.query.hits import COMMON
from coda.query.tree import Query, fields_of


class Verb(NamedTuple):
    """What one verb reads and offers."""

    types: frozenset[str]
    """Types of the records that its hits come from."""
    derived: tuple[str, ...] = ()
    """Fields that are computed, beside those of the records."""
    support: frozenset[str] = frozenset()
    """Types that complete a hit without being one."""


def _verb(*types: str, derived: tuple[str, ...] = (), support: tuple[str, ...] = ()) -> Verb:
    return Verb(frozenset(types), derived, frozenset(support))


VERBS: dict[str, Verb] = {
    "read": _verb("file.read", support=("file.opened", "process.started", "tool.called")),
    "write": _verb(
        "file.wrote", "file.opened", "file.renamed", derived=("opened", "via"), support=("block.finished",)
    ),
    "delete": _verb("file.deleted"),
    "run": _verb(
        "process.started", "tool.called",
        derived=("cmd", "code", "stdout", "stderr", "error", "duration", "finished", "program"),
        support=("process.finished", "tool.returned", "sandbox.started"),
    ),
    "connect": _verb("net.connected"),
    "tool": _verb(
        "tool.called",
        derived=("result", "value", "ok", "error", "duration", "returned", "assumed", "origin"),
        support=("tool.returned", "tool.declared", "sandbox.started"),
    ),
    "llm": _verb(
        "llm.requested", "llm.responded", derived=("duration", "responded"), support=("turn.finished",)
    ),
    "ctx": _verb("ctx.set", "ctx.deleted", "ctx.mutated", derived=("op",)),
    "set": _verb("lines", "elided", derived=("name", "value", "known", "captured", "pairing")),
    "line": _verb("lines", "elided", derived=("statement", "kind")),
    "error": _verb("exception", "tool.returned", "process.finished", derived=("kind", "message", "mro")),
    "output": _verb("output", derived=("stream", "text")),
    "import": _verb("import", derived=("basis",)),
    "effect": _verb("effect", derived=("name", "value", "group")),
    "env": _verb("effect", derived=("name", "value")),
}  # fmt: skip

_HIDDEN = frozenset({"table", "ids", "vals", "n", "counts"})


def known_fields(verb: str) -> tuple[str, ...]:
    """Gives the names that may begin a field in a query of this verb, sorted."""
    names = set(COMMON) | set(VERBS[verb].derived)
    for kind in VERBS[verb].types | VERBS[verb].support:
        if kind in VERBS[verb].types or verb in ("run", "tool", "llm"):
            names.update(field.name for field in msgspec.structs.fields(TYPES[kind]))
    return tuple(sorted(names - _HIDDEN))


def check(query: Query) -> None:
    """Refuses what can be seen to be wrong without a trace.

    Raises:
        UnknownField: the query names a field that no event of its verb has.
        QuerySyntax: `line` without a number.
    """
    asked = [(compare.field, compare.column) for compare in fields_of(query.where)]
    asked += [(stage.field, stage.column) for stage in query.stages if stage.field is not None]
    known = known_fields(query.verb)
    for field, column in asked:
        if field.partition(".")[0] not in known:
            raise _unknown(field, column, query.verb, known)
    if query.verb == "line" and query.pattern is not None:
        line_range(query)


def _unknown(field: str, column: int, verb: str, known: Iterable[str]) -> UnknownField:
    near = difflib.get_close_matches(field.partition(".")[0], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(known)
    return UnknownField(
        f"query, column {column}: no event of {verb!r} has a field {field!r}; {hint}",
        column=column,
        field=field,
    )


def line_range(query: Query) -> tuple[int, int]:
    """Gives the first and last line that a `line` query is about.

    Raises:
        QuerySyntax: the pattern is no line number and no range of them.
    """
    assert query.pattern is not None
    first, dots, last = query.pattern.text.partition("..")
    ends = (first, last if dots else first)
    if not all(end.isascii() and end.isdecimal() and len(end) < 10 for end in ends):
        raise QuerySyntax(
            f"query, column {query.pattern.column}: expected a line number or FIRST..LAST after 'line',"
            f" found {query.pattern.text!r}",
            column=query.pattern.column,
            expected="a line number",
        )
    return int(ends[0]), int(ends[1])
