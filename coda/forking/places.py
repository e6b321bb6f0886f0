"""An event as a person finds it: number, block, line, source and what happened, in a few words.

Guarantee: bounded text for any event of any size; secrets are masked where it is printed, not here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from coda.forking.difference import Place
from coda.log import (
    BlockFinished,
    BlockStarted,
    Elided,
    FileRenamed,
    LlmResponded,
    ProcessFinished,
    ProcessStarted,
    RunFinished,
    ToolCalled,
    ToolReturned,
    Trace,
    TraceEvent,
    UserMessage,
    render,
)

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
    line: TraceEvent | None = None  # waits for what it bound: handed out with an event that follows
    for event in events:
        if line is not None and (event.bound or event.type == "line"):
            yield line.seq, _place(line, _bound(event))
            line = None
        if event.seq in wanted:
            if event.type == "line":
                line = event
            else:
                yield event.seq, _place(event, describe(event))
    if line is not None:
        yield line.seq, _place(line, "")


def _place(event: TraceEvent, what: str) -> Place:
    return Place(
        seq=event.seq, type=event.type, block=event.block, file=event.file, line=event.line,
        function=event.function, source=event.source or None, what=what,
    )  # fmt: skip


def describe(event: TraceEvent) -> str:
    """Gives what happened, in a few words."""
    match event.record:
        case ToolCalled() as call:
            words = [*(render(arg, width=40) for arg in call.args)]
            words += [f"{name}={render(value, width=40)}" for name, value in call.kwargs.items()]
            return cut(f"{call.name}({', '.join(words)})")
        case ToolReturned() as answer:
            return cut(render(answer.value, width=_WIDTH) if answer.ok else _raised(answer.error))
        case ProcessStarted() as process:
            return cut(" ".join(process.argv))
        case ProcessFinished() as process:
            return f"exit status {process.code}" if process.error is None else _raised(process.error)
        case LlmResponded() | UserMessage() as message:
            return cut(message.text)
        case BlockStarted() as block:
            return f"block {block.block} starts"
        case BlockFinished() as block:
            return f"block {block.block} ends: {block.outcome}"
        case RunFinished() as run:
            return f"run ends: {run.outcome}"
        case Elided() as elided:
            return f"{elided.n} lines not listed"
        case FileRenamed() as renamed:
            return cut(f"{renamed.path} -> {renamed.to}")
        case _:
            return _other(event)


def _other(event: TraceEvent) -> str:
    path = getattr(event.record, "path", None) or getattr(event.record, "module", None)
    if path:
        return cut(str(path))
    name = event.name or getattr(event.record, "kind", None) or ""
    if event.value is None:
        return cut(str(name))
    return cut(f"{name} {render(event.value, width=_WIDTH)}".strip())


def _bound(event: TraceEvent) -> str:
    return cut(", ".join(f"{name} = {render(value, width=40)}" for name, value in event.bound))


def _raised(error: dict[str, Any] | None) -> str:
    error = error or {}
    return cut(f"raised {error.get('type', 'an exception')}: {error.get('message', '')}".rstrip(": "))


def cut(text: str, width: int = _WIDTH) -> str:
    """Gives text on one line, cut at a width."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
