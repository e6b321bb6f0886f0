"""`coda log`: the events of a trace, streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from coda.cli.options import json_option, secrets_option, trace_argument
from coda.cli.render import Printer, say
from coda.cli.settings import setting_option
from coda.cli.timeline import Timeline
from coda.errors import LogError
from coda.log import SealWatch, Trace, TraceEvent, event_types, open_trace


@click.command(short_help="Print the events of a trace.")
@trace_argument
@click.option(
    "--type",
    "types",
    metavar="T",
    multiple=True,
    help="Only events of this type, or family (file); may be given again.",
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
    start, stop = _range(opened, first, last, None if follow else block, own)
    wanted = event_types(types) or None
    watch = None if follow else SealWatch(opened)
    printer = Printer(show_secrets=show_secrets, color=color)
    timeline = Timeline(printer, tools=_open_calls(opened, start) if start > 0 and not as_json else 0)

    def waiting() -> bool:
        timeline.flush()  # what there is must be seen now: more may come in an hour
        return False

    events: Iterable[TraceEvent]
    if follow:
        events = _within(opened.follow(stop=waiting, start=start, types=wanted), stop, block)
    else:
        events = opened.events(start, stop, types=wanted)
    for event in events:
        if as_json:
            printer.raw_json(event.to_json(mask=not show_secrets))
        else:
            timeline.show(event)
    timeline.flush()
    if follow and opened.finished is None and not opened.live:
        say("coda: the recorder died before the run had ended")
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


def _within(events: Iterable[TraceEvent], stop: int | None, block: int | None) -> Iterator[TraceEvent]:
    """The events before one, of a block that may not have begun yet."""
    for event in events:
        if stop is not None and event.seq >= stop:
            return
        if block is None or event.block == block:
            yield event
        if stop is not None and event.seq + event.n >= stop:
            return
        if block is not None and event.block == block and event.type == "block.finished":
            return


def _open_calls(trace: Trace, start: int) -> int:
    """How many calls of tools are under way at an event of a block."""
    block = trace.block_of(start)
    if block is None or block.seq >= start:
        return 0
    depth = 0
    for event in trace.events(block.seq, start, types={"tool.called", "tool.returned"}):
        depth = depth + 1 if event.type == "tool.called" else max(depth - 1, 0)
    return depth
