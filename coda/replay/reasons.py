"""Where a replay left its log, and what it is likely to come from.

Guarantee: a reason is a fact that was found, first of all: another library than recorded, a file that is
gone, a mark that the recording itself made. Only when there is none the kinds of things are named that coda
cannot see.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from coda.errors import Diverged, MissingEffect, UsageError
from coda.log import Import, LimitHit, Trace, TraceEvent
from coda.runtime import version_of

_NO_DOUBT = frozenset(
    ("wall", "cpu", "memory", "lines", "output", "logged-output", "processes", "restore", "tool")
)
"""Marks of limits that a block ran into: its replay is none the worse."""
_UNSEEN = (
    "what decided it is not in the log: a clock or chance of C code, the order of a set of objects, "
    "an address, a thread of a library, or a file that coda did not see read"
)


class Cause(NamedTuple):
    """Where a replay left its log, and the likely reason."""

    file: str | None
    line: int | None
    function: str | None
    source: str
    """Text of the line; "" when it is not known."""
    reason: str


def cause_of(trace: Trace, problem: Diverged | MissingEffect, *, gone: Iterable[str]) -> Cause:
    """Gives the place of a problem in the program, and what it is likely to come from.

    Args:
        trace: the run.
        problem: where and how the replay left it.
        gone: files outside of the workspace that are not there any more.
    """
    seq = int(problem.facts.get("seq", trace.count()))
    reason = next(_reasons(trace, problem, seq, list(gone)))
    at = _line_at(trace, seq)
    if at is None:
        return Cause(None, None, None, "", reason)
    return Cause(at.file, at.line, at.function, at.source, reason)


def refuse_missing_libraries(trace: Trace, problem: Diverged | MissingEffect) -> None:
    """Raises where the run could not be replayed because a library that it had is not here.

    Raises:
        UsageError: which one.
    """
    seq = int(problem.facts.get("seq", trace.count()))
    for imported in _libraries(trace, seq):
        if imported.version is not None and not _is_here(imported.module):
            raise UsageError(
                f"{trace.path} needs {imported.module} {imported.version}, which is not installed here: "
                "replay it where it was recorded, or install it",
                module=imported.module,
                version=imported.version,
            )


def _reasons(trace: Trace, problem: Diverged | MissingEffect, seq: int, gone: list[str]) -> Iterator[str]:
    for mark in _marks(trace, seq + 2):
        if mark.cause == seq:
            told = "" if mark.detail in problem.message else f": {mark.detail}"
            yield f"the recording says so at event {mark.seq}{told}"
    for imported in _libraries(trace, seq):
        here = version_of(imported.module, sys.path)
        if imported.version is not None and here != imported.version:
            yield f"another {imported.module} than recorded: {here} here, {imported.version} then"
    if gone:
        yield f"{gone[0]}, which the program read, is not there any more"
    for mark in reversed(_marks(trace, seq + 1)):
        yield f"the recording says so at event {mark.seq}: {mark.detail}"
    if isinstance(problem, MissingEffect):
        yield "the log does not hold what was asked for"
    yield _UNSEEN


def _line_at(trace: Trace, seq: int) -> TraceEvent | None:
    """The event, if it is at a line of the program; else the last one of its block that is."""
    block = trace.block_of(seq)
    last = None
    for event in trace.events(block.seq if block is not None else 0, seq + 1):
        last = event if event.line is not None else last
    return last


def _libraries(trace: Trace, before: int) -> Iterator[Import]:
    for placed in trace.records(own=False, types={"import"}):
        record = placed.record
        if isinstance(record, Import) and record.seq <= before and record.path is None:
            yield record


def _is_here(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _marks(trace: Trace, before: int) -> list[LimitHit]:
    return [
        placed.record
        for placed in trace.records(own=False, types={"limit.hit"})
        if isinstance(placed.record, LimitHit)
        and placed.record.seq < before
        and placed.record.what not in _NO_DOUBT
    ]
