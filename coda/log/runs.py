"""The run directory: `.coda/runs/<run id>/trace.jsonl`, and what is in it.

Guarantee: run ids sort by the time at which runs began and are safe as file names; a name that comes from
a trace or a user is checked to be one before it is joined to a path. Listing reads heads and
tails of files and never fails on a damaged one: it is listed with what is wrong.
"""

from __future__ import annotations

import datetime
import os
import re
import secrets
from pathlib import Path
from typing import Final

RUNS: Final = Path(".coda") / "runs"
TRACE_NAME: Final = "trace.jsonl"
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}")


def new_run_id(now: datetime.datetime | None = None, *, token: str | None = None) -> str:
    """Gives a new run id: time in UTC and a random part, e.g. `20260314T150926-1c9e4f`.

    Args:
        now: when the run begins, with a time zone; None asks the clock.
        token: the random part; None draws one.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    return f"{now.astimezone(datetime.UTC):%Y%m%dT%H%M%S}-{token or secrets.token_hex(3)}"


def run_directory(root: Path | str | None = None) -> Path:
    """Gives the run directory of a workspace; None takes the current folder. It need not exist."""
    return Path(root or ".") / RUNS


def is_run_id(text: str) -> bool:
    """Tells whether a text can be a run id."""
    return _RUN_ID.fullmatch(text) is not None


def locate(path: str | os.PathLike[str]) -> Path:
    """Gives the trace file that a user means: a file, a run's directory, or a run id."""
    given = Path(path)
    if given.is_dir():
        return given / TRACE_NAME
    return given if given.exists() else find_run(os.fspath(path)) or given


def find_run(run: str, start: Path | str | None = None) -> Path | None:
    """Gives the trace of a run id in the run directory of a folder or of one above it.

    Also in `start` itself when that is a run directory or a run's folder. A unique beginning of a run id
    is enough.
    """
    if not is_run_id(run):
        return None
    here = Path(start or ".").absolute()
    for folder in (here, *here.parents):
        for runs in (folder, folder / RUNS):
            exact = runs / run / TRACE_NAME
            if exact.is_file():
                return exact
        for runs in (folder, folder / RUNS) if folder == here else (folder / RUNS,):
            found = list(runs.glob(f"{run}*/{TRACE_NAME}")) if len(run) >= 4 else []
            if len(found) == 1:
                return found[0]
    return None
