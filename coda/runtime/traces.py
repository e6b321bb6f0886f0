"""Where a new trace is written, and which files are coda's own.

Guarantee: nothing that exists is replaced unless that was said; a trace, its contents and its seals' key are
never taken for a part of the workspace.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coda.errors import UsageError
from coda.log import Header, TraceWriter, find_key, key_path, new_run_id, run_directory


def create_trace(
    root: Path,
    trace: str | os.PathLike[str] | None,
    *,
    runs: str | os.PathLike[str] | None,
    force: bool,
    durability: str,
    on_append: Any,
) -> TraceWriter:
    """Begins the trace of a new run.

    Args:
        root: the workspace.
        trace: its path; None makes `<run id>/trace.jsonl` in the run directory.
        runs: the run directory; None: that of the workspace.
        force: replace an existing trace.
        durability: `write` or `fsync`.
        on_append: told of each record.

    Raises:
        UsageError: it cannot be made there, or exists.
    """
    run = new_run_id(datetime.datetime.now(datetime.UTC))
    if trace is None:
        folder = (run_directory(root) if runs is None else Path(runs)) / run
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UsageError(
                f"cannot make the run directory {folder}: {error.strerror}; name a place for the trace (-o)"
            ) from error
        trace = folder / "trace.jsonl"
    return TraceWriter(
        trace,
        Header(run=run),
        force=force,
        durability="fsync" if durability == "fsync" else "write",
        on_append=on_append,
        key=find_key(make=True).key,
    )


def own_files(trace: str | os.PathLike[str], outside: Iterable[str]) -> list[Path]:
    """The trace and what belongs to it, the key of its seals, and files that are no part of the workspace."""
    path = Path(os.path.abspath(trace))
    key = key_path()
    own = [path, path.with_suffix(".blobs"), path.with_suffix(".ckpt"), *([key] if key else [])]
    return [*own, *map(Path, outside)]
