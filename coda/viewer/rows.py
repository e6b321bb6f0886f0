"""Turns one event into one row of the timeline: an icon, a label and what stands at the right edge.

Guarantee: a row is immutable, made from the event and its group alone, and holds nothing that was not
recorded; a type that this version does not know is shown by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from coda.log import (
    BlockFinished,
    BlockStarted,
    CtxDeleted,
    CtxMutated,
    CtxSet,
    Effect,
    Elided,
    ExceptionRaised,
    FileChanged,
    FileDeleted,
    FileFailed,
    FileListed,
    FileMade,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    ForkApplied,
    Import,
    LimitHit,
    LlmRequested,
    LlmResponded,
    LoopWoke,
    NetConnected,
    Note,
    Output,
    ProcessFinished,
    ProcessStarted,
    RunFinished,
    RunResumed,
    RunStarted,
    Signal,
    ThreadFinished,
    ThreadStarted,
    ToolCalled,
    ToolDeclared,
    ToolReturned,
    TurnFinished,
    TurnStarted,
    Unknown,
    UserMessage,
)  # fmt: skip
from coda.viewer.moments import Moment
from coda.viewer.text import Line, Span, clean, cut, duration, shown
from coda.viewer.timeline import BLOCK, CALL, SETUP, Group

_WIDE = 160
"""Cells of a value or text that a row may need at most; the widget cuts further."""


class Row(NamedTuple):
    """One row of the timeline."""

    seq: int
    depth: int
    fold: bool | None
    """True when folded, False when open, None when there is nothing to fold."""
    icon: Span
    label: Line
    right: Line = ()
    failed: bool = False


Describe = tuple[Span, Line]


def row(moment: Moment, depth: int, group: Group | None, answer: Moment | None, *, live: bool) -> Row:
    """Gives the row of an event.

    Args:
        moment: the event.
        depth: how many groups are around it.
        group: the group that it opens, if any.
        answer: the last event of that group, when it is a call that has returned.
        live: the run is still being written.
    """
    icon, label = _describe(moment)
    right: Line = ()
    failed = icon.tone == "error"
    if group is not None:
        right = _right(group, live=live)
        failed = failed or group.failed
        if group.kind == CALL and answer is not None:
            label = (*label, Span("  "), *_answer(answer))
    return Row(moment.seq, depth, group.folded if group is not None else None, icon, label, right, failed)


def end_row(count: int, outcome: str | None, *, finished: bool, live: bool) -> Row:
    """The last row: after the last event."""
    if finished:
        failed = outcome in ("error", "killed", "interrupted")
        icon = Span("■", "error" if failed else "ok")
        label: Line = (Span("end of run", "muted"), Span(f"  {outcome or ''}", "error" if failed else "ok"))
    elif live:
        icon, label = Span("●", "accent"), (Span("recording…", "accent"),)
    else:
        icon, label = Span("■", "warn"), (Span("the recording stops here", "warn"),)
    return Row(count, 0, None, icon, label)


def _right(group: Group, *, live: bool) -> Line:
    took = Span(duration(group.took_ns), "faint")
    if group.open:
        return (Span("running", "accent"),) if live else (Span("cut short", "warn"),)
    if group.kind == SETUP:
        return ()  # the row names the run, of which this is not the time
    if group.kind == BLOCK:
        good = group.outcome in (None, "ok")
        return took, Span(" ✓" if good else " ✗", "ok" if good else "error")
    if group.kind == CALL and group.failed:
        return took, Span(" ✗", "error")
    return (took,)


def _answer(answer: Moment) -> Line:
    record = answer.record
    if isinstance(record, ToolReturned):
        if record.ok:
            return (Span("→ ", "faint"), Span(shown(record.value, width=_WIDE), "value"))
        return (Span("→ ", "faint"), Span(_error(record.error), "error"))
    if isinstance(record, ProcessFinished):
        if record.error:
            return (Span("→ ", "faint"), Span(_error(record.error), "error"))
        return (Span("→ ", "faint"), Span(f"exit {record.code}", "error" if record.code else "value"))
    return ()


def _error(error: dict[str, Any] | None) -> str:
    error = error or {}
    return cut(clean(f"{error.get('type', 'error')}: {error.get('message', '')}"), _WIDE)


def arguments(record: ToolCalled, *, width: int = _WIDE) -> str:
    """The arguments of a call as text, without the parentheses."""
    parts = [shown(value, width=width) for value in record.args]
    parts += [
        f"{clean(name)}={shown(value, width=width, under=name)}" for name, value in record.kwargs.items()
    ]
    return ", ".join(parts)


def _describe(moment: Moment) -> Describe:
    if moment.type == "line":
        return _line(moment)
    if moment.id is not None:
        return _coded(moment)
    if isinstance(moment.record, Unknown):
        return Span("?", "faint"), (Span(clean(moment.type), "muted"),)
    maker = _MAKERS.get(type(moment.record))
    if maker is None:
        return Span("·", "faint"), (Span(moment.type, "muted"), Span(f" {clean(moment.name or '')}", "text"))
    return maker(moment.record)


def _line(moment: Moment) -> Describe:
    statement, unit = moment.statement, moment.unit
    if statement is None or unit is None:
        return Span("·", "faint"), (Span(f"statement {moment.id}", "muted"),)
    text = clean(unit.text(statement.line))
    indent = (len(text) - len(text.lstrip())) // 2
    label = [Span(f"{statement.line:>3} ", "gutter"), Span(" " * min(indent, 8)), Span(text.strip(), "text")]
    for known in moment.bound:
        if known.statement != moment.id:
            continue  # an earlier statement's value that became known here: it would read as this line's
        label += [
            Span("  "),
            Span(clean(known.name), "faint"),
            Span(" "),
            Span(shown(known.value, width=60, under=known.name), "value"),
        ]
    return Span("·", "faint"), tuple(label)


def _coded(moment: Moment) -> Describe:
    if moment.type == "output":
        tone = "warn" if moment.name == "stderr" else "string"
        return Span("▌", tone), (Span(_printed(moment.value), tone),)
    if moment.type == "gc":
        return Span("·", "faint"), (Span("garbage collection", "faint"),)
    if moment.type in ("thread.switched", "thread.preempted"):
        return Span("·", "faint"), (Span(f"{moment.type} {moment.value}", "faint"),)
    return _observed(moment.name or "", moment.value)


def _woke(record: LoopWoke) -> str:
    calls = [f"call {number}" for number in record.calls]
    return "woke for " + ", ".join([*calls, *(f"timer {number}" for number in record.timers)])


def _observed(name: str, value: Any) -> Describe:
    return Span("◦", "effect"), (
        Span(f"{clean(name)} ", "effect"),
        Span(shown(value, width=_WIDE, under=name), "muted"),
    )


def _printed(value: Any) -> str:
    text = value if isinstance(value, str) else shown(value, width=_WIDE)
    return cut(clean(text.rstrip("\n")), _WIDE)


def _first_line(text: str) -> str:
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            return line.strip()
    return text.strip().splitlines()[0].strip() if text.strip() else ""


def _run_started(record: RunStarted) -> Describe:
    what = record.task or record.main or record.module or record.kind
    return Span("●", "accent"), (
        Span("run ", "title"), Span(cut(clean(what), _WIDE), "text"),
        Span(f"  python {clean(record.python)}, {clean(record.level)}", "faint"),
    )  # fmt: skip


def _run_finished(record: RunFinished) -> Describe:
    failed = record.outcome in ("error", "killed", "interrupted")
    tone = "error" if failed else "ok"
    text = f"  {_first_line(record.text)}" if record.text else ""
    return Span("■", tone), (Span(f"run {clean(record.outcome)}", tone), Span(clean(text), "muted"))


def _turn(record: TurnStarted) -> Describe:
    return Span("◆", "accent"), (Span(f"Turn {record.turn}", "title"),)


def _turn_end(record: TurnFinished) -> Describe:
    return Span("◇", "faint"), (
        Span(f"turn {record.turn} ends" + (", done" if record.done else ""), "faint"),
    )


def _block(record: BlockStarted) -> Describe:
    head = f"Block {record.block}"
    return Span("■", "name"), (Span(head, "strong"), Span(f"  {clean(_first_line(record.source))}", "muted"))


def _block_end(record: BlockFinished) -> Describe:
    good = record.outcome == "ok"
    lines = f"{record.lines:,} line" + ("" if record.lines == 1 else "s")
    back = ", rolled back" if record.state == "rolled_back" else ""
    return Span("✓" if good else "✗", "ok" if good else "error"), (
        Span(clean(record.outcome), "ok" if good else "error"), Span(f"  {lines}{back}", "faint"),
    )  # fmt: skip


def _called(record: ToolCalled) -> Describe:
    return Span("ƒ", "call"), (
        Span(clean(record.name), "call"), Span("(", "faint"),
        Span(arguments(record, width=60), "text"), Span(")", "faint"),
    )  # fmt: skip


def _returned(record: ToolReturned) -> Describe:
    if record.ok:
        mark = " (assumed)" if record.assumed else ""
        return Span("↩", "call"), (Span(shown(record.value, width=_WIDE), "value"), Span(mark, "warn"))
    return Span("✗", "error"), (Span(_error(record.error), "error"),)


def _declared(record: ToolDeclared) -> Describe:
    return Span("·", "faint"), (
        Span(clean(record.name + record.signature), "muted"), Span(f"  {clean(record.effect)}", "faint"),
    )  # fmt: skip


def _output(record: Output) -> Describe:
    tone = "warn" if record.stream == "stderr" else "string"
    return Span("▌", tone), (Span(_printed(record.text), tone),)


def _ctx_set(record: CtxSet | CtxMutated) -> Describe:
    verb = " = " if isinstance(record, CtxSet) else " became "
    return Span("◈", "ctx"), (
        Span(f"ctx.{clean(record.name)}", "ctx"), Span(verb, "faint"),
        Span(shown(record.value, width=_WIDE, under=record.name), "value"),
    )  # fmt: skip


def _process(record: ProcessStarted) -> Describe:
    return Span("$", "call"), (Span(cut(clean(" ".join(record.argv)), _WIDE), "call"),)


def _process_end(record: ProcessFinished) -> Describe:
    if record.error:
        return Span("✗", "error"), (Span(_error(record.error), "error"),)
    return Span("↩", "error" if record.code else "call"), (Span(f"exit {record.code}", "muted"),)


def _exception(record: ExceptionRaised) -> Describe:
    return Span("✗", "error"), (Span(cut(clean(f"{record.kind}: {record.message}"), _WIDE), "error"),)


def _asked(record: LlmRequested) -> Describe:
    new = f"  {len(record.messages)} new of {record.count} messages" if record.count else ""
    return Span("↑", "talk"), (Span(f"ask {clean(record.model)}", "talk"), Span(new, "faint"))


def _replied(record: LlmResponded) -> Describe:
    tokens = f"  {record.output_tokens:,} tokens" if record.output_tokens else ""
    mark = "  assumed" if record.assumed else ""
    return Span("↓", "talk"), (
        Span(cut(clean(_first_line(record.text)), _WIDE), "talk"), Span(tokens, "faint"), Span(mark, "warn"),
    )  # fmt: skip


def _file(verb: str, record: Any, extra: str = "", tone: str = "effect") -> Describe:
    return Span("◦", tone), (
        Span(f"{verb} ", "effect"),
        Span(clean(record.path), "text"),
        Span(extra, "faint"),
    )


def _size(size: int) -> str:
    for unit, scale in (("MB", 1 << 20), ("KB", 1 << 10)):
        if size >= scale:
            return f"  {size / scale:.1f} {unit}"
    return f"  {size} B"


def _act(verb: str, record: Any, extra: str = "") -> Describe:
    """An act on a file, and the error when it failed."""
    if record.error is not None:
        return _file(verb, record, f"{extra}  {clean(record.error)}", "warn")
    return _file(verb, record, extra)


def _read(record: FileRead) -> Describe:
    if record.error:
        return _file("read", record, f"  {record.error}", "warn")
    return _file("read", record, _size(record.size))


def _fork(record: ForkApplied) -> Describe:
    changes = ", ".join(_change(change) for change in record.changes) or "no change"
    return Span("↳", "accent"), (
        Span(f"forked at {clean(record.position)}  ", "title"), Span(cut(changes, _WIDE), "value"),
    )  # fmt: skip


def _change(change: dict[str, Any]) -> str:
    name = change.get("name") or change.get("kind") or ""
    return clean(f"{name} = {change.get('expr', '')}" if change.get("expr") else str(name))


_MAKERS: dict[type, Callable[[Any], Describe]] = {
    RunStarted: _run_started,
    RunFinished: _run_finished,
    TurnStarted: _turn,
    TurnFinished: _turn_end,
    BlockStarted: _block,
    BlockFinished: _block_end,
    ToolCalled: _called,
    ToolReturned: _returned,
    ToolDeclared: _declared,
    CtxSet: _ctx_set,
    CtxMutated: _ctx_set,
    CtxDeleted: lambda r: (Span("◈", "ctx"), (Span(f"del ctx.{clean(r.name)}", "ctx"),)),
    ProcessStarted: _process,
    ProcessFinished: _process_end,
    ExceptionRaised: _exception,
    LlmRequested: _asked,
    LlmResponded: _replied,
    UserMessage: lambda r: (Span("›", "talk"), (Span(cut(clean(r.text), _WIDE), "talk"),)),
    Output: _output,
    Effect: lambda r: _observed(r.name, r.value),
    NetConnected: lambda r: (Span("◦", "effect"), (Span(f"connect {clean(r.address)}", "effect"),)),
    Signal: lambda r: (Span("!", "warn"), (Span(f"signal {clean(r.name)}", "warn"),)),
    LoopWoke: lambda r: (Span("◦", "effect"), (Span(_woke(r), "effect"),)),
    ThreadStarted: lambda r: (Span("◦", "effect"), (Span("thread ", "effect"), Span(clean(r.name), "text"))),
    ThreadFinished: lambda r: (
        Span("◦", "effect"),
        (Span("thread ended ", "effect"), Span(clean(r.name), "text")),
    ),
    RunResumed: lambda r: (Span("!", "warn"), (Span("writing went on after a crash", "warn"),)),
    FileListed: lambda r: _file("list", r),
    FileChanged: lambda r: _file("changed outside", r, _size(r.size), "warn"),
    FileRead: _read,
    FileOpened: lambda r: _act("open", r, f"  {r.mode}"),
    FileWrote: lambda r: _file("write", r, _size(r.size)),
    FileDeleted: lambda r: _act("delete", r),
    FileMade: lambda r: _act("mkdir", r),
    FileRenamed: lambda r: _act("rename", r, f" to {clean(r.to)}"),
    FileFailed: lambda r: _file("failed", r, f"  {clean(r.error)}", "warn"),
    Import: lambda r: (Span("◦", "effect"), (Span("import ", "effect"), Span(clean(r.module), "text"))),
    Elided: lambda r: (Span("…", "warn"), (Span(f"{r.n:,} statements not listed (line limit)", "warn"),)),
    LimitHit: lambda r: (Span("!", "warn"), (Span(clean(f"{r.what} {r.detail}".strip()), "warn"),)),
    Note: lambda r: (Span("·", "faint"), (Span(cut(clean(r.text), _WIDE), "muted"),)),
    ForkApplied: _fork,
}  # fmt: skip
