"""An event as a person finds it: number, block, line, source and what happened, in a few words.

Guarantee: bounded text for any event of any size; secrets are masked where it is printed, not here.
"""

from __future__ import annotations

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


def place_of(trace: Trace, seq: int) -> Place:
    """Gives an event as a person finds it."""
    event = trace.event(seq)
    return Place(
        seq=seq, type=event.type, block=event.block, file=event.file, line=event.line,
        function=event.function, source=event.source or None, what=describe(trace, event),
    )  # fmt: skip


def describe(trace: Trace, event: TraceEvent) -> str:
    """Gives what happened, in a few words; for a line, what it bound."""
    if event.type == "line":
        return _bound_by(trace, event)
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


def _bound_by(trace: Trace, event: TraceEvent) -> str:
    """What a line bound: the reader hands it out with an event that follows, the next line at the latest."""
    for after in trace.events(event.seq + event.n, min(trace.count(), event.seq + event.n + _LOOK_AHEAD)):
        if after.bound:
            return cut(", ".join(f"{name} = {render(value, width=40)}" for name, value in after.bound))
        if after.type == "line":
            break
    return ""


def _raised(error: dict[str, Any] | None) -> str:
    error = error or {}
    return cut(f"raised {error.get('type', 'an exception')}: {error.get('message', '')}".rstrip(": "))


def cut(text: str, width: int = _WIDTH) -> str:
    """Gives text on one line, cut at a width."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
