"""An event as a person finds it: number, block, line, source and what happened, in a few words.

Guarantee: bounded text for any event of any size; secrets are masked where it is printed, not here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

import msgspec

from coda.forking.difference import Place
from coda.log import Trace, TraceEvent, describe, render

_WIDTH = 72
_LOOK_AHEAD = 8  # events: the calls that one line makes before it binds
_WINDOW, _NEAR = 4096, 512  # events that are read in one pass


def places_of(trace: Trace, seqs: Iterable[int]) -> dict[int, Place]:
    """Gives events as a person finds them, by number.

    Cost: wanted events that are close to one another are read in one pass, since a large batch of lines
    is unpacked whole each time.
    """
    wanted = sorted(set(seqs))
    found: dict[int, Place] = {}
    count = trace.count()
    while wanted:
        end = bisect_right(wanted, wanted[0] + _WINDOW)
        while end < len(wanted) and wanted[end] - wanted[end - 1] <= _NEAR:
            end += 1
        group, wanted = wanted[:end], wanted[end:]
        events = trace.events(group[0], min(count, group[-1] + _LOOK_AHEAD))
        found.update(_places_in(events, set(group)))
    return found


def _places_in(events: Iterable[TraceEvent], wanted: set[int]) -> Iterator[tuple[int, Place]]:
    line: TraceEvent | None = None  # waits for what it bound: handed out with the events that follow it
    bound: list[str] = []
    for event in _joined(events):
        if line is not None:
            bound += _bound_by(line, event)
            if event.type == "line":
                yield line.seq, _place(line, cut(", ".join(bound)))
                line, bound = None, []
        if event.seq in wanted:
            if event.type == "line":
                line = event
            else:
                yield event.seq, _place(event, cut(describe(event)))
    if line is not None:
        yield line.seq, _place(line, cut(", ".join(bound)))


def _joined(events: Iterable[TraceEvent]) -> Iterator[TraceEvent]:
    """The events, with the pieces of what one statement wrote to a stream as the first of them."""
    waiting: TraceEvent | None = None
    for event in events:
        if waiting is not None and _goes_on(waiting, event):
            waiting = msgspec.structs.replace(waiting, value=waiting.value + event.value)
            continue
        if waiting is not None:
            yield waiting
        waiting = event
    if waiting is not None:
        yield waiting


def _goes_on(first: TraceEvent, event: TraceEvent) -> bool:
    same = first.type == event.type == "output" and first.name == event.name and not event.stored
    texts = isinstance(first.value, str) and isinstance(event.value, str)
    return same and texts and first.id is not None and event.id is not None


def _place(event: TraceEvent, what: str) -> Place:
    return Place(
        seq=event.seq, type=event.type, block=event.block, file=event.file, line=event.line,
        function=event.function, source=event.source or None, what=what,
    )  # fmt: skip


def _bound_by(line: TraceEvent, event: TraceEvent) -> Iterator[str]:
    """What `event` makes known of the names that the statement of `line` bound."""
    for stored in event.stored:
        statement = event.statement_of(stored)
        if statement is not None and statement.id == line.id:
            yield f"{stored.name} = {render(stored.value, width=40)}"


def cut(text: str, width: int = _WIDTH) -> str:
    """Gives text on one line, cut at a width."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
