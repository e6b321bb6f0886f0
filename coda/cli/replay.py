"""`coda replay`: run a trace again, in a worker of its own, and tell whether it is the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import click

from coda.cli.answers import ReplayAnswer
from coda.cli.options import json_option, secrets_option, trace_argument, trust_option
from coda.cli.render import Printer, Styled
from coda.cli.settings import setting_option
from coda.cli.timeline import Timeline
from coda.errors import Diverged
from coda.log import Trace, TraceEvent, event_types, open_trace
from coda.replay import Cause, Verdict, replay

_LONG_SECONDS = 0.1
"""Before a longer pause the last row is printed, though its values may come only after it."""


@click.command()
@trace_argument
@click.option(
    "--verify", is_flag=True, help="Compare everything (a replay always does; kept for scripts that say so)."
)
@click.option("--to", metavar="POS", help="Replay up to this position only.")
@click.option("--show", is_flag=True, help="Print the run as it happened: the events that were replayed.")
@click.option(
    "--speed",
    metavar="X",
    type=click.FloatRange(min=0, min_open=True),
    help="Show it in its own time, X times as fast; without, all at once.",
)
@click.option(
    "--type", "types", metavar="T", multiple=True, help="Show only events of this type, or family (file)."
)
@trust_option
@click.option("--best-effort", is_flag=True, help="Also replay a run that was only observed (in-process).")
@secrets_option
@json_option
@setting_option("color")
def command(
    trace: str,
    verify: bool,
    to: str | None,
    show: bool,
    speed: float | None,
    types: tuple[str, ...],
    trust: bool,
    best_effort: bool,
    show_secrets: bool,
    as_json: bool,
    color: str,
) -> int:
    """Runs TRACE again from its log alone, and compares all that happens with what was recorded.

    Nothing is performed: every tool, process, file, clock and input is answered from the log, in a private
    copy of the workspace. With --show, --speed or --type the events that were replayed, and those alone, are
    printed before the verdict. Exit status: 0 the replay is faithful, 3 it diverged (the event is named), 2
    it could not be run, or something in it cannot be answered yet.
    """
    opened = open_trace(trace)
    wanted = event_types(types) or None
    verdict = replay(opened, to=to, trust=trust, best_effort=best_effort)
    printer = Printer(show_secrets=show_secrets, color=color)
    if show or speed is not None or types:
        events = opened.events(0, _replayed(opened, verdict, to), types=wanted)
        _show(events, printer, speed, as_json=as_json, mask=not show_secrets)
    if as_json:
        printer.json("replay", ReplayAnswer.of(verdict, run=opened.run, events=opened.count(), to=to))
    else:
        _print(printer, verdict, str(opened.path), to)
    if verdict.faithful:
        return 0
    return 3 if isinstance(verdict.diverged, Diverged) else 2


def _replayed(trace: Trace, verdict: Verdict, to: str | None) -> int:
    """The first event that was not replayed."""
    if verdict.diverged is not None:
        return int(verdict.diverged.facts.get("seq", 0))
    if verdict.ends_at is not None:
        return verdict.ends_at
    return trace.count() if to is None else trace.position(to).seq


def _show(
    events: Iterable[TraceEvent], printer: Printer, speed: float | None, *, as_json: bool, mask: bool
) -> None:
    timeline = Timeline(printer)

    def wait(seconds: float) -> None:
        if seconds > _LONG_SECONDS:
            timeline.flush()  # what there is must be seen now
        time.sleep(seconds)

    for event in paced(events, speed, clock=time.monotonic, sleep=wait):
        if as_json:
            printer.raw_json(event.to_json(mask=mask))
        else:
            timeline.show(event)
    timeline.flush()


def paced(
    events: Iterable[TraceEvent],
    speed: float | None,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[TraceEvent]:
    """Gives events in their own time.

    Args:
        events: in order.
        speed: how many times as fast as they were; None: at once.
        clock: seconds.
        sleep: waits for so many seconds.
    """
    began, first_ns = clock(), None
    for event in events:
        if speed is not None:
            first_ns = event.t if first_ns is None else first_ns
            ahead = (event.t - first_ns) / 1e9 / speed - (clock() - began)
            if ahead > 0:
                sleep(ahead)
        yield event


def _place(cause: Cause) -> str:
    """File, line and text of the line."""
    if cause.file is None:
        return "no line of the program"
    return f"{cause.file}:{cause.line}: {cause.source}"


def _print(printer: Printer, verdict: Verdict, path: str, to: str | None) -> None:
    if verdict.diverged is None:
        until = "" if to is None else f" up to {to}"
        if verdict.ends_at is not None:
            until = f" up to event {verdict.ends_at}, where the log ends"
        printer.line(Styled(f"faithful{until}: {path}", "green"))
    elif isinstance(verdict.diverged, Diverged):
        printer.line(Styled(verdict.diverged.message, "red"))
    else:
        printer.line(Styled(f"cannot be answered: {verdict.diverged.message}", "red"))
    if verdict.cause is not None:
        printer.line(f"  at          {_place(verdict.cause)}")
        printer.line(f"  likely      {verdict.cause.reason}")
    compared = (
        f"{verdict.blocks} blocks, {verdict.effects} effects, {verdict.lines} lines, "
        f"{verdict.values} values, {verdict.outputs} outputs"
    )
    printer.line(f"  compared    {compared}")
    if verdict.renamed:
        printer.line(f"  addresses   {verdict.renamed} in texts, matched by renaming")
    for text in verdict.uncompared:
        printer.line(f"  uncompared  {text}")
    printer.line(
        f"  isolation   {verdict.isolation}: {', '.join(verdict.layers) or 'none (guarded, not hermetic)'}"
    )
    for note in verdict.notes:
        printer.line(f"  note        {note}")
