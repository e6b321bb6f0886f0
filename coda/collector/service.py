"""The runs that a collector serves: found, described and streamed, without a web framework.

Guarantee: a run id is checked to be one before it meets a path, and the trace it leads to lies inside the
run directory with links resolved, so no request reads another file; everything streams in bounded chunks;
text is masked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from coda.errors import CodaError, LogError, UsageError
from coda.log import Trace, TraceEvent, is_run_id, mask, open_trace

TRACE_NAME = "trace.jsonl"
CHUNK_BYTES = 64 << 10


class RunSummary(NamedTuple):
    """One run, as a list shows it."""

    id: str
    kind: str | None = None
    what: str | None = None
    started: str | None = None
    outcome: str | None = None
    live: bool = False
    torn: bool = False
    events: int = 0
    bytes: int = 0
    parent: str | None = None
    parent_seq: int | None = None
    error: str | None = None


class RunStore:
    """A run directory: one folder for each run, with its trace."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    def ids(self) -> list[str]:
        """Gives the ids of the runs, the newest first; none when the directory is not there yet."""
        try:
            with os.scandir(self.directory) as entries:
                names = [entry.name for entry in entries if is_run_id(entry.name) and entry.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UsageError(f"cannot read the run directory {self.directory}: {error.strerror}") from error
        found = [name for name in names if (self.directory / name / TRACE_NAME).is_file()]
        return sorted(found, reverse=True)

    def path(self, run: str) -> Path:
        """Gives the trace of a run.

        Raises:
            UsageError: there is no such run.
        """
        if is_run_id(run):
            path = self.directory / run / TRACE_NAME
            # Resolved, so that a link planted in the directory cannot lead out of it.
            if path.is_file() and path.resolve().is_relative_to(self.directory.resolve()):
                return path
        raise UsageError(f"there is no run {run[:140]!r} in the run directory.", run=run[:140])

    def open(self, run: str) -> Trace:
        """Opens the trace of a run.

        Raises:
            UsageError: there is no such run.
            LogError: its trace cannot be read.
        """
        return open_trace(self.path(run))

    def summary(self, run: str) -> RunSummary:
        """Describes a run; one that cannot be read is described by its error.

        Raises:
            UsageError: there is no such run.
        """
        path = self.path(run)
        try:
            return summarise(open_trace(path), run)
        except CodaError as error:
            return RunSummary(run, error=mask(error.message))


def summarise(trace: Trace, run: str) -> RunSummary:
    """Describes a trace. Cost: reads the beginning and the end of the file.

    Raises:
        LogError: it cannot be read.
    """
    started, finished, parent = trace.started, trace.finished, trace.header.parent
    what = started.task or started.main or started.module
    return RunSummary(
        id=run,
        kind=started.kind,
        what=mask(what) if what else None,
        started=started.wall,
        outcome=finished.outcome if finished else None,
        live=finished is None and trace.live,
        torn=trace.torn is not None,
        events=trace.count(),
        bytes=trace.path.stat().st_size,
        parent=parent.run if parent else None,
        parent_seq=parent.seq if parent else None,
    )


def stream(
    trace: Trace, *, start: int = 0, last: int | None = None, types: Collection[str] | None = None
) -> Iterator[bytes]:
    """Gives events as NDJSON in chunks of about 64 KiB, masked.

    Args:
        trace: any trace.
        start: first event.
        last: the event with which to end; None goes to the end.
        types: only these types; None gives all.

    Raises:
        LogError: the trace is damaged; what was given before is sound.
    """
    return chunks(trace.events(start, None if last is None else last + 1, types=types))


def follow(
    trace: Trace,
    put: Callable[[bytes], None],
    *,
    start: int,
    stopped: Callable[[], bool],
    poll_s: float = 0.1,
) -> None:
    """Hands events to `put` as NDJSON chunks, the recorded ones first, until the run ends or is stopped.

    Args:
        trace: a run that may be going on.
        put: takes a chunk; may block, which slows only this reader.
        start: first event.
        stopped: whether nobody listens any more.
        poll_s: seconds between looks at the file.
    """
    waiting: list[bytes] = []
    size = 0

    def flush() -> None:
        nonlocal size
        if waiting:
            put(b"".join(waiting))
            waiting.clear()
            size = 0

    def idle() -> bool:
        flush()
        return stopped()

    try:
        for event in trace.follow(poll_s, idle, start=start):
            row = event.to_json() + b"\n"
            waiting.append(row)
            size += len(row)
            if size >= CHUNK_BYTES:
                flush()
                if stopped():
                    return
    finally:
        flush()


def chunks(events: Iterator[TraceEvent]) -> Iterator[bytes]:
    """Gives the JSON of events, a line each, in chunks of about 64 KiB."""
    rows: list[bytes] = []
    size = 0
    try:
        for event in events:
            row = event.to_json()
            rows.append(row)
            size += len(row) + 1
            if size >= CHUNK_BYTES:
                yield b"\n".join(rows) + b"\n"
                rows, size = [], 0
    except LogError:
        # What came before the damage is sound, and is given first.
        if rows:
            yield b"\n".join(rows) + b"\n"
        raise
    if rows:
        yield b"\n".join(rows) + b"\n"
