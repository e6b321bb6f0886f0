"""The difference of two runs as text: one sentence that says it all, then what it is made of.

Guarantee: bounded (some sixty lines), each line one thought, the first one readable alone. Event
numbers are those of the first run unless both are given as `a/b`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coda.forking.difference import CallChange, Change, Diff, Difference, Place
    from coda.forking.ends import Outcome

_SHOWN = 8
_IN_SENTENCE = 2
_OUTPUT_LINES = 12
_OUTPUT_WIDTH = 100


def summarise(diff: Diff) -> list[str]:
    """Gives a difference as lines of text; `no difference` alone when there is none."""
    if diff.equal:
        return ["no difference", *(f"note: {note}" for note in diff.notes)]
    lines = [headline(diff)]
    lines += _indented(_facts(diff))
    lines += [f"  note: {note}" for note in diff.notes]
    return lines


def headline(diff: Diff) -> str:
    """Gives the sentence: where the runs part, by how much, what came of it."""
    parts = [*_amount(diff), *_changes(diff), _outcomes(diff)]
    return f"{_where(diff)}: {'; '.join(parts)}"


def _where(diff: Diff) -> str:
    first = diff.first
    if first is None:
        return "same path and values, but " + ("another source" if diff.blocks.differ else "another result")
    if first.kind == "path" and first.after is not None:
        return f"differs after event {first.after.seq} ({_spot(first.after)})"
    place = first.a or first.b
    assert place is not None
    return f"differs from event {place.seq}{'' if first.a else ' of b'} ({_spot(place)})"


def _spot(place: Place) -> str:
    """Block, line and source of a place, as far as it has them."""
    words = [f"block {place.block}"] if place.block is not None else []
    if place.line is not None:
        source = _short(place.source, 60).removesuffix(":")
        words.append(f"line {place.line}" + (f": {source}" if source else ""))
    return ", ".join(words) or place.type


def _amount(diff: Diff) -> Iterator[str]:
    counts = diff.counts
    if counts.a_only_lines or counts.b_only_lines:
        yield _in_place_of(counts.a_only_lines, counts.b_only_lines, "line")
    elif counts.a_only or counts.b_only:
        yield _in_place_of(counts.a_only, counts.b_only, "event")
    elif counts.other_values:
        yield f"{_many(counts.other_values, 'step')} with other values"
    if counts.calls:
        yield f"{_many(counts.calls, 'call')} differ{'s' if counts.calls == 1 else ''}"


def _changes(diff: Diff) -> Iterator[str]:
    named = [*(("ctx.", change) for change in diff.ctx), *(("", change) for change in diff.variables)]
    for prefix, change in named[:_IN_SENTENCE]:
        yield f"{prefix}{_change(change, 24)}"
    if len(named) > _IN_SENTENCE:
        yield f"{len(named) - _IN_SENTENCE} more names"
    if diff.files:
        yield _many(len(diff.files), "file")


def _change(change: Change, width: int) -> str:
    scope = f"{change.scope}: " if change.scope else ""
    a = "(none)" if change.a is None else _short(change.a, width)
    b = "(none)" if change.b is None else _short(change.b, width)
    return f"{scope}{change.name} {a} -> {b}{'' if change.exact else ' (last recorded)'}"


def _outcomes(diff: Diff) -> str:
    a, b = (_outcome(outcome) for outcome in diff.outcome)
    return f"outcome {a} -> {b}"


def _outcome(outcome: Outcome) -> str:
    if outcome.exception is not None:
        return f"{outcome.finish} ({outcome.exception})"
    return f"{outcome.finish} {outcome.code}" if outcome.code else outcome.finish


def _facts(diff: Diff) -> Iterator[tuple[str, Sequence[str]]]:
    """What the sentence is made of: (title, lines)."""
    yield "changed", [_applied(change) for change in diff.applied]
    yield "first", _first(diff)
    yield "paths", _paths(diff.hunks[1:], diff)
    yield "join", _join(diff)
    yield "blocks", _blocks(diff)
    yield "names", _cut([_change(change, 60) for change in diff.variables])
    yield "ctx", _cut([_change(change, 60) for change in diff.ctx])
    yield "calls", _cut([_call(call) for call in diff.calls], diff.counts.calls)
    yield "files", _cut([f"{change.path}: {change.kind}" for change in diff.files])
    for change in diff.files[:_SHOWN]:
        yield change.path, _cut(_narrow(change.text), at=_OUTPUT_LINES)
    for stream, rows in diff.output.items():
        yield stream, _cut(_narrow(rows), at=_OUTPUT_LINES)
    a, b = (outcome.answer for outcome in diff.outcome)
    if a != b:
        yield "answer", [f"{_short(a or '(none)', 100)}", f"-> {_short(b or '(none)', 100)}"]


def _indented(facts: Iterator[tuple[str, Sequence[str]]]) -> Iterator[str]:
    for title, lines in facts:
        for at, line in enumerate(lines):
            yield f"  {title if at == 0 else '':<9} {line}"


def _cut(lines: Sequence[str], total: int | None = None, *, at: int = _SHOWN) -> list[str]:
    left = (len(lines) if total is None else total) - at
    return [*lines[:at], f"... and {left} more"] if left > 0 else list(lines)


def _narrow(rows: Sequence[str]) -> list[str]:
    """Rows of a text difference, cut at a width; they keep their indentation."""
    return [row if len(row) <= _OUTPUT_WIDTH else row[: _OUTPUT_WIDTH - 1] + "…" for row in rows]


def _applied(change: dict[str, object]) -> str:
    name = change.get("name") or change.get("kind") or ""
    before, after = change.get("before"), change.get("after", change.get("expr"))
    return (
        f"{name} {_short(str(before), 40)} -> {_short(str(after), 40)}"
        if before is not None
        else f"{name} = {after}"
    )


def _first(diff: Diff) -> list[str]:
    first = diff.first
    if first is None:
        return []
    return [f"{side}: {_place(place)}" for side, place in (("a", first.a), ("b", first.b))]


def _place(place: Place | None) -> str:
    if place is None:
        return "nothing (goes on with what both do)"
    what = place.what if place.type == "line" else f"{place.type} {place.what}".rstrip()
    return f"event {place.seq}, {_spot(place)}" + (f" [{what}]" if what else "")


def _paths(hunks: Sequence[Difference], diff: Diff) -> list[str]:
    lines = []
    for hunk in hunks[:3]:
        place = hunk.after or hunk.a or hunk.b
        if place is not None:
            amount = _in_place_of(hunk.a_lines, hunk.b_lines, "line")
            lines.append(f"after event {place.seq}, {_spot(place)}: {amount}")
    if len(hunks) > 3:
        more = "at least " if len(diff.hunks) == 100 else ""
        lines.append(f"... and {more}{len(hunks) - 3} more places")
    return lines


def _join(diff: Diff) -> list[str]:
    if diff.first is None:
        return []
    if diff.join is None:
        return ["they do not join again"]
    a, b = diff.join.a, diff.join.b
    return [f"event {a.seq}/{b.seq}, {_spot(a)}"]


def _blocks(diff: Diff) -> list[str]:
    blocks = diff.blocks
    lines = [f"block {a}/{b} has another source" for a, b in blocks.edited[:_SHOWN]]
    lines += [f"block {number} only in a" for number in blocks.a_only[:_SHOWN]]
    return lines + [f"block {number} only in b" for number in blocks.b_only[:_SHOWN]]


def _call(call: CallChange) -> str:
    a = call.a.what if call.a else ""
    b = call.b.what if call.b else ""
    if call.kind == "removed":
        return f"removed {a or call.name}"
    if call.kind == "added":
        return f"added {b or call.name}"
    return f"other {call.kind}: {_short(a, 60)} -> {_short(b, 60)}"


def _in_place_of(a: int, b: int, noun: str) -> str:
    """What b did where a did something else."""
    if a == b:
        return _many(b, f"other {noun}") if b else "other effects"
    return f"{_many(b, noun)} instead of {a:,}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _short(text: str | None, width: int) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= width else line[: width - 1] + "…"
