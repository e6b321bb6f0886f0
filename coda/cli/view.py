"""`coda view`: the timeline of a run in the terminal."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from coda.cli.options import find_trace, trust_option
from coda.cli.settings import runs_folder, setting_option
from coda.errors import UsageError


@click.command(short_help="Step through a trace in the terminal.")
@click.argument("trace", metavar="[TRACE]", required=False, callback=find_trace)
@setting_option("replay", words="Run the recorded code again, or show recorded values only")
@trust_option
@setting_option(
    "light", "--light/--dark", words="Begin with the light, or the dark, colours (the key t changes them)"
)
def command(trace: str | None, replay: bool, trust: bool, light: bool) -> int:
    """Open TRACE, or the newest run of the run directory, as a timeline to step through.

    Keys: arrows step and move, ] next block, / search, f fork, ? all keys, q quit.
    A trace that is still being written is followed. Exit status: 0, or 2 when it cannot be opened.
    """
    path = Path(trace) if trace is not None else newest_run(runs_folder())
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            f"coda view needs a terminal; to read {path} in a pipe use: coda log {path}", path=str(path)
        )
    from coda.forking import fork
    from coda.query import query
    from coda.replay import state_at
    from coda.viewer import Floors, run_viewer

    floors = Floors(None if not replay else partial(state_at, trust=trust), partial(fork, trust=trust), query)
    run_viewer(path, floors, light=light)
    return 0


def newest_run(directory: Path) -> Path:
    """Gives the trace of the run that began last.

    Raises:
        UsageError: there is none.
    """
    # Run ids begin with the time at which the run began.
    runs = sorted((path for path in directory.glob("*/trace.jsonl")), key=lambda path: path.parent.name)
    if not runs:
        raise UsageError(
            f"there is no run in {directory}; name a trace, or record one: coda exec FILE -o TRACE",
            path=str(directory),
        )
    return runs[-1]
