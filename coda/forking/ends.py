"""What two runs left behind: ctx, files, output and outcome, compared as a user would.

Guarantee: the last word of each run on each thing, taken from the whole run and not only from what
came after the shared prefix; contents are compared by digest, and text is shown only when it is small.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from coda.forking.strands import parts, without_addresses
from coda.log import (
    CtxDeleted,
    CtxMutated,
    CtxSet,
    ExceptionRaised,
    FileDeleted,
    FileRenamed,
    FileWrote,
    RunFinished,
    Trace,
)
from coda.replay import CUT_SHORT

TEXT_BYTES = 64_000
TEXT_LINES = 200
_TYPES = {
    "ctx.set", "ctx.deleted", "ctx.mutated", "file.wrote", "file.deleted", "file.renamed",
    "exception", "run.finished", "block.finished",
}  # fmt: skip


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    finish: str
    """`ok`, `error`, `exited` ... as in run.finished, or `cut short` when the trace has no end."""
    code: int | None = None
    exception: str | None = None
    """Qualified type of the exception that ended it."""
    answer: str | None = None


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the runs left in different states."""

    path: str
    kind: str
    """`changed`, `only in a` or `only in b` (deleted by the other; or written or deleted by that run
    alone)."""
    a: str | None = None
    """Digest of the content; None when it was deleted, not kept or not touched."""
    b: str | None = None
    text: tuple[str, ...] = ()
    """Unified difference, when both are small texts."""


class Ends(NamedTuple):
    """The last state of one run."""

    ctx: dict[str, Any]
    files: dict[str, tuple[str | None, int]]
    outcome: Outcome


_GONE = (None, -1)


def ends_of(trace: Trace) -> Ends:
    """Gives the final ctx (envelope values), files touched (digest and size) and outcome of a run."""
    ctx: dict[str, Any] = {}
    files: dict[str, tuple[str | None, int]] = {}
    finished: RunFinished | None = None
    raised: ExceptionRaised | None = None
    for part in parts(trace, types=_TYPES):
        match part.record:
            case CtxSet() | CtxMutated() as record:
                ctx[record.name] = record.value
            case CtxDeleted() as record:
                ctx.pop(record.name, None)
            case FileWrote() as record:
                files[record.path] = (record.digest, record.size)
            case FileDeleted(error=None) as record:
                files[record.path] = _GONE
            case FileRenamed(error=None) as record:
                files[record.to] = files.get(record.path, (None, 0))
                files[record.path] = _GONE
            case ExceptionRaised() as record:
                raised = record
            case RunFinished() as record:
                finished = record
    return Ends(ctx, files, _outcome(finished, raised))


def _outcome(finished: RunFinished | None, raised: ExceptionRaised | None) -> Outcome:
    if finished is None or finished.outcome == CUT_SHORT:
        return Outcome(finish=CUT_SHORT)
    exception = raised.kind if raised is not None and finished.outcome == "error" else None
    return Outcome(finish=finished.outcome, code=finished.code, exception=exception, answer=finished.text)


def compare_files(a: Trace, b: Trace, a_ends: Ends, b_ends: Ends) -> Iterator[FileChange]:
    """Gives the files that the two runs left in different states, by path."""
    for path in sorted({*a_ends.files, *b_ends.files}):
        left, right = a_ends.files.get(path), b_ends.files.get(path)
        if left == right:
            continue
        kind = _kind(left, right)
        left_digest, right_digest = (left or _GONE)[0], (right or _GONE)[0]
        text = _text_change(a, b, left_digest, right_digest) if kind == "changed" else ()
        yield FileChange(path=path, kind=kind, a=left_digest, b=right_digest, text=text)


def _kind(left: tuple[str | None, int] | None, right: tuple[str | None, int] | None) -> str:
    """Who alone has a file, or alone changed it, when the other did nothing to it."""
    if left is None or right is None:
        return "only in b" if left is None else "only in a"
    return "only in b" if left == _GONE else "only in a" if right == _GONE else "changed"


def _text_change(a: Trace, b: Trace, left: str | None, right: str | None) -> tuple[str, ...]:
    texts = [_small_text(a, left), _small_text(b, right)]
    if texts[0] is None or texts[1] is None:
        return ()
    return unified(texts[0].splitlines(), texts[1].splitlines())


def _small_text(trace: Trace, name: str | None) -> str | None:
    if name is None or not trace.blobs.has(name):
        return None
    data = trace.blobs.get(name)
    if len(data) > TEXT_BYTES or b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def compare_output(a: list[str], b: list[str]) -> tuple[str, ...]:
    """Gives the unified difference of what was printed; empty when it is the same but for addresses."""
    left, right = (without_addresses("".join(pieces)) for pieces in (a, b))
    return () if left == right else unified(left.splitlines(), right.splitlines())


def unified(a: list[str], b: list[str]) -> tuple[str, ...]:
    """Gives a unified difference of at most TEXT_LINES lines, the last of which says what was left out.

    Cost: the common head and tail are dropped first, and of what differs only the first 2,000 lines
    of each side are compared.
    """
    head = _common(a, b)
    tail = _common(a[head:][::-1], b[head:][::-1])
    from_, a_end, b_end = max(0, head - 3), len(a) - tail + 3, len(b) - tail + 3
    left, right = a[from_:a_end], b[from_:b_end]
    cut = max(len(left), len(right)) > 2000
    rows = list(difflib.unified_diff(left[:2000], right[:2000], "a", "b", lineterm=""))[2:]
    rows = [_shift(row, from_) for row in rows]
    if len(rows) > TEXT_LINES or cut:
        left_out = max(0, len(rows) - TEXT_LINES + 1)
        rows = [*rows[: TEXT_LINES - 1], f"... {left_out} more lines" if not cut else "... more differs"]
    return tuple(rows)


def _common(a: list[str], b: list[str]) -> int:
    for at, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return at
    return min(len(a), len(b))


def _shift(row: str, by: int) -> str:
    """Moves the line numbers of a hunk's head by the lines that were dropped above."""
    if not row.startswith("@@ ") or not by:
        return row
    moved = []
    for part in row.split()[1:3]:
        first, comma, count = part[1:].partition(",")
        moved.append(f"{part[0]}{int(first) + by}{comma}{count}")
    return f"@@ {' '.join(moved)} @@"
