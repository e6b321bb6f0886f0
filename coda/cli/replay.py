"""`coda replay`: run a trace again, in a worker of its own, and tell whether it is the same."""

from __future__ import annotations

import click

from coda.cli.answers import ReplayAnswer
from coda.cli.options import json_option, trace_argument, trust_option
from coda.cli.render import Printer, Styled
from coda.cli.settings import setting_option
from coda.errors import Diverged
from coda.log import open_trace
from coda.replay import Cause, Verdict, replay


@click.command()
@trace_argument
@click.option(
    "--verify", is_flag=True, help="Compare everything (a replay always does; kept for scripts that say so)."
)
@trust_option
@click.option("--best-effort", is_flag=True, help="Also replay a run that was only observed (in-process).")
@json_option
@setting_option("color")
def command(trace: str, verify: bool, trust: bool, best_effort: bool, as_json: bool, color: str) -> int:
    """Runs TRACE again from its log alone, and compares all that happens with what was recorded.

    Nothing is performed: every tool, process, file, clock and input is answered from the log, in a private
    copy of the workspace. Exit status: 0 the replay is faithful, 3 it diverged (the event is named), 2 it
    could not be run, or something in it cannot be answered yet.
    """
    opened = open_trace(trace)
    verdict = replay(opened, trust=trust, best_effort=best_effort)
    printer = Printer(color=color)
    if as_json:
        printer.json("replay", ReplayAnswer.of(verdict, run=opened.run, events=opened.count()))
    else:
        _print(printer, verdict, str(opened.path))
    if verdict.faithful:
        return 0
    return 3 if isinstance(verdict.diverged, Diverged) else 2


def _place(cause: Cause) -> str:
    """File, line and text of the line."""
    if cause.file is None:
        return "no line of the program"
    return f"{cause.file}:{cause.line}: {cause.source}"


def _print(printer: Printer, verdict: Verdict, path: str) -> None:
    if verdict.diverged is None:
        until = "" if verdict.ends_at is None else f" up to event {verdict.ends_at}, where the log ends"
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
