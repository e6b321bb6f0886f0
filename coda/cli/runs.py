"""`coda runs`: the recorded runs of a run directory."""

from __future__ import annotations

from pathlib import Path

import click

from coda.cli.options import json_option, secrets_option
from coda.cli.render import Printer, say
from coda.cli.settings import runs_folder
from coda.errors import UsageError
from coda.log import RunInfo, families, list_runs, run_directory


@click.command(short_help="List the recorded runs.")
@click.argument("directory", metavar="[DIR]", required=False)
@secrets_option
@json_option
def command(directory: str | None, show_secrets: bool, as_json: bool) -> int:
    """List the recorded runs of DIR, oldest first, forks under their parents.

    DIR is a run directory, a folder of traces, or a workspace that has a run directory; the run directory
    of the current folder when it is not given. A run that is being written is `live`; one whose recorder
    died is `killed`. Exit status: 0 also when there are none.
    """
    folder = _folder(directory)
    runs = families(list_runs(folder))
    printer = Printer(show_secrets=show_secrets)
    if as_json:
        for _, run in runs:
            printer.json("runs", run)
        return 0
    if not runs:
        say(f"coda: no runs in {folder}")
        return 0
    headers = ("RUN", "KIND", "TASK", "START", "DURATION", "OUTCOME", "EVENTS", "TOKENS", "LEFT AT")
    printer.table(headers, [_row(depth, run) for depth, run in runs], right=(4, 6, 7))
    for _, run in runs:
        if run.problem is not None:
            say(f"coda: {run.problem}")
    return 0


def _folder(directory: str | None) -> Path:
    if directory is None:
        return runs_folder()
    folder = Path(directory)
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", path=str(folder))
    inner = run_directory(folder)
    return inner if inner.is_dir() else folder


def _row(depth: int, run: RunInfo) -> tuple[object, ...]:
    task = " ".join((run.task or "").split())
    tokens = run.input_tokens + run.output_tokens
    return (
        "  " * depth + run.run,
        run.kind,
        task if len(task) <= 40 else task[:39] + "…",
        (run.start or "")[:19].replace("T", " "),
        duration(run.duration_ns),
        run.outcome,
        run.events,
        tokens or "",
        _left(depth, run),
    )


def _left(depth: int, run: RunInfo) -> str:
    """Where a fork left its parent, which is named when it does not stand above."""
    if run.parent is None:
        return ""
    return (run.position or "") + ("" if depth else f" of {run.parent}")


def duration(ns: int) -> str:
    """Gives a span of time in the unit that suits it: 12 ms, 3.4 s, 5 min 02 s, 2 h 05 min."""
    if ns < 1_000_000_000:
        return f"{ns / 1e6:.0f} ms"
    seconds = ns / 1e9
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02} min"
