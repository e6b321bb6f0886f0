"""One event in one line of words, for people.

Guarantee: the text is short, and complete in what happened if not in every value. It is neither masked
nor made safe for a terminal: whoever prints it does both.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, Final

from coda.log.effects import (
    FileChanged,
    FileDeleted,
    FileFailed,
    FileListed,
    FileMade,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    NetConnected,
    ProcessFinished,
    ProcessSignaled,
    ProcessStarted,
)
from coda.log.events import (
    BlockFinished,
    BlockStarted,
    CtxDeleted,
    CtxMutated,
    CtxSet,
    Elided,
    ExceptionRaised,
    ForkApplied,
    Import,
    LimitHit,
    LlmRequested,
    LlmResponded,
    LoopWoke,
    Note,
    RunFinished,
    RunResumed,
    RunStarted,
    SandboxStarted,
    Signal,
    ThreadFinished,
    ThreadStarted,
    ToolCalled,
    ToolDeclared,
    ToolReturned,
    TurnFinished,
    TurnStarted,
    UserMessage,
)
from coda.log.rendering import render
from coda.log.sources import source_lines
from coda.log.traceevent import TraceEvent


def describe(event: TraceEvent, *, width: int = 80) -> str:
    """Gives what happened, in about so many characters; of a line, its source text."""
    if event.type == "line":
        return event.source
    if event.type == "output":
        return f"{event.name}: {render(event.value, width=width)}"
    if event.type in ("effect", "gc", "thread.switched", "thread.preempted"):
        return f"{event.name} = {render(event.value, width=width)}"
    teller = _TELLERS.get(type(event.record))
    if teller is not None:
        return teller(event.record, width)
    fields = {
        name: value for name, value in event.fields.items() if name not in _COMMON and value is not None
    }
    return " ".join(f"{name}={render(value, width=40)}" for name, value in fields.items())[: 2 * width]


_COMMON: Final = frozenset(
    {"seq", "type", "t", "run", "block", "turn", "file", "line", "function", "cause", "bound"}
)


def _first_line(text: str, width: int) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= width else line[: width - 1] + "…"


def _call(record: ToolCalled, width: int) -> str:
    parts = [render(value, width=width) for value in record.args]
    parts += [f"{name}={render(value, width=width)}" for name, value in record.kwargs.items()]
    return f"{record.name}({', '.join(parts)})"


def _returned(record: ToolReturned, width: int) -> str:
    if record.ok:
        return f"{record.name} gave {render(record.value, width=width)}"
    return f"{record.name} raised {_error(record.error)}"


def _signaled(record: ProcessSignaled) -> str:
    name = signal.Signals(record.number).name if record.number in set(signal.Signals) else record.number
    return f"{name} to {'group' if record.group else 'process'} {record.pid}"


def _error(error: dict[str, Any] | None) -> str:
    return f"{(error or {}).get('type', '?')}: {(error or {}).get('message', '')}"


def _started(record: RunStarted, _: int) -> str:
    what = record.main or (f"-m {record.module}" if record.module else record.task)
    return f"{record.kind} {what or ''} (Python {record.python}, level {record.level})".replace("  ", " ")


def _finished(record: RunFinished, width: int) -> str:
    code = "" if record.code is None else f", exit status {record.code}"
    text = f": {_first_line(record.text, width)}" if record.text else ""
    return f"{record.outcome}{code}{text}"


def _block(record: BlockStarted, width: int) -> str:
    note = f" ({record.note})" if record.note else ""
    count = len(source_lines(record.source))
    return f"block {record.block}: {count} {'line' if count == 1 else 'lines'}, {record.file}{note}"


def _block_end(record: BlockFinished, _: int) -> str:
    state = "" if record.state == "kept" else f", {record.state}"
    return f"block {record.block} {record.outcome}, {record.lines} statements{state}"


def _read(record: FileRead, _: int) -> str:
    result = f"failed: {record.error}" if record.error else f"{record.size} bytes"
    led = f" -> {record.resolved}" if record.resolved is not None else ""
    return f"{record.path}{led}: {result}" + ("" if record.via == "open" else f", by {record.via}")


def _wrote(record: FileWrote, _: int) -> str:
    new = ", new" if record.before is None else ""
    return f"{record.path}: {record.size} bytes{new}" + _by(record.by)


def _failed(error: str | None) -> str:
    return "" if error is None else f", failed: {error}"


def _by(who: str) -> str:
    return "" if who == "agent" else f", by {who}"


def _process_end(record: ProcessFinished, width: int) -> str:
    if record.error is not None:
        return _error(record.error)
    shown = f", stdout {render(record.stdout, width=width)}" if record.stdout else ""
    return f"exit status {record.code}{shown}"


def _forked(record: ForkApplied, width: int) -> str:
    changes = [
        f"{change.get('kind', 'change')} {change.get('name') or ''} {change.get('expr') or ''}".strip()
        for change in record.changes
    ]
    return f"left {record.parent} at {record.position}" + (f": {'; '.join(changes)}" if changes else "")


def _elided(record: Elided, _: int) -> str:
    return f"{record.n} statements that are not listed"


def _woke(record: LoopWoke) -> str:
    calls = [f"call {number}" for number in record.calls]
    return ", ".join([*calls, *(f"timer {number}" for number in record.timers)])


_TELLERS: Final[dict[type, Callable[[Any, int], str]]] = {
    RunStarted: _started,
    RunResumed: lambda record, _: f"writing went on after {record.cut_bytes} torn bytes",
    RunFinished: _finished,
    SandboxStarted: lambda record, _: (
        f"worker {record.worker + 1} with {', '.join(record.names) or 'no names'}"
    ),
    ToolDeclared: lambda record, _: f"{record.origin} {record.name}{record.signature}, {record.effect}",
    UserMessage: lambda record, width: _first_line(record.text, width),
    TurnStarted: lambda record, _: f"turn {record.turn}",
    TurnFinished: lambda record, _: f"turn {record.turn}" + (", done" if record.done else ""),
    LlmRequested: lambda record, _: (
        f"{record.model}: {record.count} {'message' if record.count == 1 else 'messages'}, "
        f"{len(record.messages)} new"
    ),
    LlmResponded: lambda record, width: (
        f"{record.input_tokens} tokens in, {record.output_tokens} out: {_first_line(record.text, width)}"
    ),
    BlockStarted: _block,
    BlockFinished: _block_end,
    Elided: _elided,
    ToolCalled: _call,
    ToolReturned: _returned,
    CtxSet: lambda record, width: f"ctx.{record.name} = {render(record.value, width=width)}",
    CtxDeleted: lambda record, _: f"del ctx.{record.name}",
    CtxMutated: lambda record, width: f"ctx.{record.name} is now {render(record.value, width=width)}",
    FileOpened: lambda record, _: f"{record.path} ({record.mode})" + _failed(record.error),
    FileRead: _read,
    FileWrote: _wrote,
    FileRenamed: lambda record, _: f"{record.path} to {record.to}" + _failed(record.error),
    FileDeleted: lambda record, _: record.path + _by(record.by) + _failed(record.error),
    FileMade: lambda record, _: f"folder {record.path}" + _by(record.by) + _failed(record.error),
    FileFailed: lambda record, _: f"{record.path}: {record.error}",
    FileListed: lambda record, _: f"{record.path}, by {record.via}",
    FileChanged: lambda record, _: f"{record.path}: {record.size} bytes now, by {record.by}",
    ProcessSignaled: lambda record, width: _signaled(record),
    ProcessStarted: lambda record, width: _first_line(" ".join(record.argv), width),
    ProcessFinished: _process_end,
    NetConnected: lambda record, _: record.address,
    Import: lambda record, _: record.module + (f" from {record.path}" if record.path else ""),
    ExceptionRaised: lambda record, width: f"{record.kind}: {_first_line(record.message, width)}",
    Signal: lambda record, width: (
        f"{record.name}: {_first_line(record.detail, width)}" if record.detail else record.name
    ),
    LoopWoke: lambda record, _: _woke(record),
    ThreadStarted: lambda record, _: record.name,
    ThreadFinished: lambda record, _: record.name,
    LimitHit: lambda record, width: f"{record.what}: {_first_line(record.detail, width)}",
    ForkApplied: _forked,
    Note: lambda record, width: _first_line(record.text, width) or render(record.data, width=width),
}
