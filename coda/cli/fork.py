"""`coda fork`: go back to a position, change something, run on, and see where the futures part."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from coda.cli.answers import ForkAnswer
from coda.cli.options import (
    at_option,
    force_option,
    json_option,
    output_option,
    secrets_option,
    trace_argument,
    trust_option,
)
from coda.cli.progress import Progress
from coda.cli.render import Printer, Styled
from coda.cli.settings import config, setting_option
from coda.errors import UsageError
from coda.forking import ForkResult, fork
from coda.log import open_trace
from coda.replay import CUT_SHORT

_UP_TO = ", up to where its log ends"


@click.command()
@trace_argument
@at_option(required=True)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME=EXPR",
    help="Bind a variable there to the value of a Python expression; may be given again.",
)
@click.option("--new", is_flag=True, help="Let --set also make names that are not bound there.")
@click.option("--result", metavar="JSON|@FILE", help="Give the call or observation there another answer.")
@click.option(
    "--assume-recorded", is_flag=True, help="Use recorded answers also where they may not hold any more."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End what runs live after so many seconds.",
)
@trust_option
@click.option("--best-effort", is_flag=True, help="Also replay a run that was only observed (in-process).")
@output_option
@force_option
@json_option
@secrets_option
@setting_option("color")
def command(
    trace: str,
    at: str,
    sets: tuple[str, ...],
    new: bool,
    result: str | None,
    assume_recorded: bool,
    timeout: float | None,
    trust: bool,
    best_effort: bool,
    output: str | None,
    force: bool,
    as_json: bool,
    show_secrets: bool,
    color: str,
) -> int:
    """Replays TRACE to a position, applies the changes, and runs on to the end of the recorded blocks.

    The fork is a trace of its own, which names its parent; the difference is printed. Recorded answers
    are given as long as they hold; where none does, the fork stops at its frontier and says why. Without a
    change it confirms that the run goes the same way again. What never ends by itself is ended by --timeout
    or Ctrl-C; its trace is whole. Exit status: 0, or 3 when the replay diverged.
    """
    opened = open_trace(trace)
    options: dict[str, Any] = {} if result is None else {"result": _result(result)}
    with Progress() as progress:
        made = fork(
            opened,
            opened.position(at),
            sets=[_assignment(text) for text in sets],
            new=new,
            out=output,
            force=force,
            assume_recorded=assume_recorded,
            trust=trust,
            best_effort=best_effort,
            runs=config().runs,
            command=shlex.join(["coda", *sys.argv[1:]]),
            timeout_s=timeout,
            on_progress=progress.show,
            **options,
        )
    printer = Printer(color=color, show_secrets=show_secrets)
    if as_json:
        printer.json("fork", ForkAnswer.of(made))
    else:
        _print(printer, made)
    return 0


def _assignment(text: str) -> tuple[str, str]:
    name, sign, expr = text.partition("=")
    if not sign or not name.strip().isidentifier() or not expr.strip():
        raise UsageError(f"--set {text!r} is not NAME=EXPR, for example --set limit=200")
    return name.strip(), expr.strip()


def _result(text: str) -> Any:
    if text.startswith("@"):
        try:
            data = Path(text[1:]).read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read the result from {text[1:]!r}: {error.strerror}") from error
    else:
        data = text.encode()
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise UsageError(
            f"--result is not JSON ({error}); a text needs quotes: --result '\"text\"'"
        ) from error


def _print(printer: Printer, made: ForkResult) -> None:
    if not made.changes:
        same = "no change; identical to parent" + (_UP_TO if made.outcome == CUT_SHORT else "")
        printer.line(same if made.diff.equal else "no change, but it went another way")
    for line in made.diff.summary() if not made.diff.equal or made.changes else ():
        printer.line(line)
    if made.frontier is not None:
        printer.line(Styled(f"stopped at the frontier: {made.frontier}", "yellow"))
    if made.ended is not None:
        printer.line(Styled(f"interrupted: {made.ended}", "yellow"))
    if made.assumed:
        printer.line(f"{made.assumed} recorded answers were assumed to hold")
    relative = os.path.relpath(made.path)
    printer.line(f"fork: {made.path if relative.startswith('..') else relative}")
