"""What runs there are: the rows of `coda runs`.

Guarantee: a run that is damaged, cut short or still going on is listed as such, never left out and never
in the way of the others.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from coda.errors import CodaError, UsageError
from coda.log.events import LlmResponded, RunStarted
from coda.log.reader import Trace
from coda.log.runs import TRACE_NAME


class RunInfo(msgspec.Struct, frozen=True):
    """One run, as its trace tells it."""

    run: str
    path: str
    kind: str
    """`exec`, `run`, `sandbox`, `fork`, or `?` when the trace cannot be read."""
    task: str | None
    """The task of an agent, or the program with its arguments."""
    start: str | None
    """Wall clock, ISO 8601 in UTC."""
    duration_ns: int
    outcome: str
    """As in `run.finished`; `live` while it is written, `killed` when its recorder died, `damaged`."""
    events: int
    input_tokens: int
    output_tokens: int
    parent: str | None
    """Run id of the run that it was forked from."""
    problem: str | None = None
    position: str | None = None
    """Where a fork left its parent."""


def list_runs(folder: str | os.PathLike[str]) -> list[RunInfo]:
    """Gives the runs of a run directory, oldest first. Cost: agents' traces are read for their tokens.

    Args:
        folder: holds `<run id>/trace.jsonl`, or traces `NAME.jsonl`. One that is missing is empty.

    Raises:
        UsageError: it is no folder, or may not be read.
    """
    place = Path(folder)
    if not place.exists():
        return []
    try:
        found = sorted(_traces(place))
    except OSError as error:
        raise UsageError(f"cannot list runs in {place}: {error.strerror}", path=str(place)) from error
    return sorted((run_info(path) for path in found), key=lambda info: (info.start or "", info.run))


def families(runs: Iterable[RunInfo]) -> list[tuple[int, RunInfo]]:
    """Puts forks under their parents: each run with its depth, otherwise in the order given.

    A fork whose parent is not among them stands by itself.
    """
    listed = list(runs)
    known = {info.run for info in listed}
    below: dict[str | None, list[RunInfo]] = {}
    for info in listed:
        below.setdefault(
            info.parent if info.parent in known and info.parent != info.run else None, []
        ).append(info)
    rows: list[tuple[int, RunInfo]] = []
    waiting = [(0, info) for info in reversed(below.pop(None, []))]
    while waiting:
        depth, info = waiting.pop()
        rows.append((depth, info))
        waiting += [(depth + 1, fork) for fork in reversed(below.pop(info.run, []))]
    # What is left names its parents in a circle: no order is right, but nothing is left out.
    return rows + [(0, info) for rest in below.values() for info in rest]


def _traces(place: Path) -> Iterator[Path]:
    for entry in os.scandir(place):
        path = Path(entry.path)
        if entry.is_dir() and (path / TRACE_NAME).is_file():
            yield path / TRACE_NAME
        elif entry.name.endswith(".jsonl") and entry.is_file():
            yield path


def run_info(path: Path) -> RunInfo:
    """Gives the row of one trace; never raises for what the file holds."""
    name = path.parent.name if path.name == TRACE_NAME else path.stem
    try:
        return _read(Trace(path))
    except (CodaError, OSError) as error:
        return RunInfo(
            run=name, path=str(path), kind="?", task=None, start=None, duration_ns=0, outcome="damaged",
            events=0, input_tokens=0, output_tokens=0, parent=None, problem=str(error),
        )  # fmt: skip


def _read(trace: Trace) -> RunInfo:
    started, finished, parent = trace.started, trace.finished, trace.header.parent
    last = trace.file.last()
    tokens_in = tokens_out = 0
    if started.kind != "exec":
        for placed in trace.records(types={"llm.responded"}):
            if isinstance(placed.record, LlmResponded):
                tokens_in += placed.record.input_tokens
                tokens_out += placed.record.output_tokens
    outcome = finished.outcome if finished is not None else "live" if trace.live else "killed"
    return RunInfo(
        run=trace.run,
        path=str(trace.path),
        kind=started.kind if parent is None else "fork",
        task=_task(started),
        start=started.wall if parent is None else _start_of(trace.run),
        duration_ns=max(last.head.t, 0) if last is not None else 0,
        outcome=outcome,
        events=trace.count(),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        parent=parent.run if parent is not None else None,
        position=(parent.position or str(parent.seq)) if parent is not None else None,
    )


def _task(started: RunStarted) -> str | None:
    if started.task is not None:
        return started.task
    if started.module is not None:
        return " ".join(["-m", started.module, *started.argv[1:]])
    if started.main is not None:
        return " ".join([started.main, *started.argv[1:]])
    return None


def _start_of(run: str) -> str | None:
    """When a run id was made, in ISO 8601."""
    try:
        made = datetime.datetime.strptime(run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=datetime.UTC)
    except ValueError:
        return None
    return made.isoformat()
