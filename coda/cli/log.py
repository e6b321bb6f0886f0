"""`coda log`: the events of a trace, streamed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

import click

from coda.cli.options import json_option, secrets_option, trace_argument
from coda.cli.render import Printer, Styled, say
from coda.cli.settings import setting_option
from coda.errors import LogError, UsageError
from coda.log import TYPES, SealWatch, Stored, Trace, TraceEvent, describe, open_trace, render

EVENT_TYPES = frozenset(TYPES) - {"header", "seal", "lines"} | {"line", "gc"}

_STYLES = {
    "exception": "red", "limit.hit": "yellow", "tool": "cyan", "ctx": "magenta", "file": "green",
    "process": "green", "net": "green", "llm": "blue", "run": "bold", "turn": "bold", "block": "bold",
    "fork": "bold", "output": "", "effect": "dim", "gc": "dim",
}  # fmt: skip


@click.command(short_help="Print the events of a trace.")
@trace_argument
@click.option(
    "--type", "types", metavar="T", multiple=True, help="Only events of this type; may be repeated."
)
@click.option("--from", "first", metavar="N", type=click.IntRange(min=0), help="Begin with event N.")
@click.option("--to", "last", metavar="N", type=click.IntRange(min=0), help="End with event N.")
@click.option("--block", metavar="B", type=click.IntRange(min=1), help="Only events of block B.")
@click.option("--follow", is_flag=True, help="Wait for more events until the run has ended.")
@click.option("--own", is_flag=True, help="Of a fork: leave out what it shares with its parent.")
@secrets_option
@setting_option("color")
@json_option
def command(
    trace: str,
    types: tuple[str, ...],
    first: int | None,
    last: int | None,
    block: int | None,
    follow: bool,
    own: bool,
    show_secrets: bool,
    color: str,
    as_json: bool,
) -> int:
    """Print the events of a trace.

    One line for each event, indented by turn, block and call: its number, the seconds since the run began,
    and what happened; a line of code with its source and the values that it bound. With --json, one
    object a line. Streams, whatever the size of the trace; meanwhile its seals are compared with its bytes,
    and a log that was damaged or changed ends with status 2.
    """
    opened = open_trace(trace)
    start, stop = _range(opened, first, last, block, own)
    wanted = _types(types)
    watch = None if follow else SealWatch(opened)
    if follow:
        events: Iterable[TraceEvent] = _until(opened.follow(start=start, types=wanted), stop)
    else:
        events = opened.events(start, stop, types=wanted)
    printer = Printer(show_secrets=show_secrets, color=color)
    if as_json:
        for event in events:
            printer.raw_json(event.to_json(mask=not show_secrets))
            if follow:
                printer.stream.flush()
    else:
        _print(printer, events, opened, start, follow=follow)
    torn = opened.torn
    if torn is not None:
        say(
            f"coda: the last line is torn: {torn.bytes} bytes from byte {torn.offset} on are no record "
            "and were left out"
        )
    _say_what_seals_tell(watch or SealWatch(opened))
    return 0


def _say_what_seals_tell(watch: SealWatch) -> None:
    """Raises for a damaged log; what no seal vouches for is said."""
    damage = watch.damage()
    if damage is not None:
        raise LogError(damage, path=str(watch.trace.path))
    unsealed = watch.unsealed()
    if unsealed is not None:
        say(f"coda: {unsealed}")


def _types(given: tuple[str, ...]) -> frozenset[str] | None:
    for name in given:
        if name not in EVENT_TYPES:
            near = difflib.get_close_matches(name, EVENT_TYPES, n=2) or sorted(
                kind for kind in EVENT_TYPES if kind.partition(".")[0] == name
            )
            hint = (
                f"did you mean {' or '.join(near)}?"
                if near
                else f"types are {', '.join(sorted(EVENT_TYPES))}"
            )
            raise UsageError(f"there is no event type {name!r}; {hint}", type=name)
    return frozenset(given) or None


def _range(
    trace: Trace, first: int | None, last: int | None, block: int | None, own: bool
) -> tuple[int, int | None]:
    start, stop = first or 0, None if last is None else last + 1
    if block is not None:
        info = trace.block(block)
        start = max(start, info.seq)
        if info.end_seq is not None:
            stop = min(info.end_seq + 1, info.end_seq + 1 if stop is None else stop)
    if own:
        start = max(start, trace.first_seq)
    return start, stop


def _until(events: Iterable[TraceEvent], stop: int | None) -> Iterator[TraceEvent]:
    for event in events:
        if stop is not None and event.seq >= stop:
            return
        yield event
        if stop is not None and event.seq + event.n >= stop:
            return


def _print(printer: Printer, events: Iterable[TraceEvent], trace: Trace, start: int, *, follow: bool) -> None:
    """Prints a line of code when the next event is known, because what it bound comes with that one."""
    calls = 0
    if start > 0:
        calls = _open_calls(trace, start)
    held: TraceEvent | None = None
    for event in events:
        if held is not None:
            _row(printer, held, calls, tuple(item for item in event.stored if _by(held, item, event)))
        for item in event.stored:
            if held is None or not _by(held, item, event):
                _stored_row(printer, event, item, calls)
        if event.type == "tool.returned":
            calls = max(calls - 1, 0)
        held = event if event.type == "line" else None
        if held is None:
            _row(printer, event, calls, ())
        if event.type == "tool.called":
            calls += 1
        if follow:
            printer.stream.flush()
    if held is not None:
        _row(printer, held, calls, ())


def _open_calls(trace: Trace, start: int) -> int:
    """How many calls of tools are under way at an event of a block."""
    block = trace.block_of(start)
    if block is None or block.seq >= start:
        return 0
    depth = 0
    for event in trace.events(block.seq, start, types={"tool.called", "tool.returned"}):
        depth = depth + 1 if event.type == "tool.called" else max(depth - 1, 0)
    return depth


def _by(line: TraceEvent, item: Stored, event: TraceEvent) -> bool:
    """Whether the statement that bound a value is the one that began last (else only by name)."""
    statement = event.statement_of(item)
    return statement is not None and (statement.file, statement.line) == (line.file, line.line)


def _margin(event: TraceEvent, calls: int) -> str:
    depth = (event.turn is not None) + (event.block is not None) + calls
    if event.type in ("turn.started", "turn.finished", "block.started", "block.finished"):
        depth -= 1
    return f"{event.seq:>7} {event.t / 1e9:>10.6f}  {'  ' * depth}"


def _row(printer: Printer, event: TraceEvent, calls: int, stored: tuple[Stored, ...]) -> None:
    margin = Styled(_margin(event, calls), "dim")
    if event.type == "line":
        where = f"{event.line:>4}  "
        bound = "  ".join(f"{item.name} = {render(item.value, width=60)}" for item in stored)
        text = event.source or f"({event.file})"
        inside = f"  in {event.function}" if event.function else ""
        tail = (Styled(f"   # {bound}", "dim"),) if bound else ()
        printer.line(margin, Styled(where, "dim"), text, Styled(inside, "dim"), *tail)
        return
    style = _STYLES.get(event.type, _STYLES.get(event.type.partition(".")[0], ""))
    kind = Styled(event.type, style) if style else event.type
    printer.line(margin, kind, "  ", describe(event))


def _stored_row(printer: Printer, event: TraceEvent, item: Stored, calls: int) -> None:
    """A value that became known after other statements had run: with the line that bound it."""
    statement = event.statement_of(item)
    where = "" if statement is None else f"  (bound at line {statement.line})"
    blank = " " * len(_margin(event, calls))
    printer.line(Styled(f"{blank}      # {item.name} = {render(item.value, width=60)}{where}", "dim"))
