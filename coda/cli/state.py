"""`coda state`: all variables of a run at a position, by re-execution."""

from __future__ import annotations

import click

from coda.cli.options import at_option, json_option, secrets_option, trace_argument, trust_option
from coda.cli.render import Printer, Styled
from coda.cli.settings import setting_option
from coda.log import open_trace
from coda.replay import Shown, State, state_at

_WIDTH = 100


@click.command()
@trace_argument
@at_option(required=True)
@click.option(
    "--expr", "exprs", multiple=True, metavar="EXPR", help="Also show the value of this expression there."
)
@trust_option
@click.option("--best-effort", is_flag=True, help="Also replay a run that was only observed (in-process).")
@json_option
@secrets_option
@setting_option("color")
def command(
    trace: str,
    at: str,
    exprs: tuple[str, ...],
    trust: bool,
    best_effort: bool,
    as_json: bool,
    show_secrets: bool,
    color: str,
) -> int:
    """Shows the live state of TRACE just before a position: source, frames, variables, ctx.

    The run is executed again up to there, in isolation and without any effect; objects are real, not guessed
    from the log. Exit status: 0, or 3 when the replay diverged before the position.
    """
    opened = open_trace(trace)
    state = state_at(opened, opened.position(at), exprs=exprs, trust=trust, best_effort=best_effort)
    printer = Printer(color=color, show_secrets=show_secrets)
    if as_json:
        printer.json("state", state)
    else:
        _print(printer, state)
    return 0


def _print(printer: Printer, state: State) -> None:
    where = f"block {state.block}, line {state.line}" if state.frames else "between blocks"
    function = f" in {state.function}()" if state.function else ""
    printer.line(Styled(f"position {state.position}: {where}{function}", "bold"))
    if state.source:
        printer.line(Styled(f"  > {state.source}", "yellow"))
    for text, shown in state.exprs.items():
        value = shown if isinstance(shown, str) else shown.repr
        printer.line(f"  {text} = {value}")
    for frame in state.frames:
        if frame.function:
            printer.line(Styled(f"{frame.function}()  line {frame.line}", "bold"))
            _print_names(printer, frame.locals)
    printer.line(Styled("globals", "bold"))
    _print_names(printer, state.globals)
    if state.ctx:
        printer.line(Styled("ctx", "bold"))
        _print_names(printer, state.ctx)
    if state.others:
        printer.line(Styled("elsewhere", "bold"))
        for other in state.others:
            printer.line(f"  {other}")
    for note in state.notes:
        printer.line(f"note: {note}")


def _print_names(printer: Printer, names: dict[str, Shown]) -> None:
    width = min(24, max((len(name) for name in names), default=0))
    for name, shown in names.items():
        text = " ".join(shown.repr.split()) if "\n" in shown.repr else shown.repr
        if len(text) > _WIDTH:
            text = text[: _WIDTH - 1] + "…"
        printer.line(f"  {name:<{width}}  {text}")
