"""Changes to recorded traces: their JSON lines rewritten, seals left out, blobs beside them as before."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows_of(trace: Path) -> list[Row]:
    """All records of a trace file as plain JSON objects."""
    return [json.loads(line) for line in trace.read_bytes().splitlines()]


def write_rows(rows: Iterable[Row], trace: Path, *, blobs_of: Path) -> Path:
    """Writes a trace from JSON objects; the blobs of another one come with it."""
    kept = [row for row in rows if row["type"] != "seal"]
    text = "".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in kept)
    trace.write_bytes(text.encode("utf-8", "surrogatepass"))
    source = blobs_of.with_suffix(".blobs")
    if source.exists():
        shutil.copytree(source, trace.with_suffix(".blobs"), dirs_exist_ok=True)
    return trace


def put_blob(trace: Path, data: bytes) -> str:
    """Adds a blob to a trace's store; gives its digest."""
    digest = hashlib.sha256(data).hexdigest()
    path = trace.with_suffix(".blobs") / digest[:2] / digest[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return digest


def doctored(trace: Path, to: Path, change: Callable[[list[Row]], None]) -> Path:
    """A copy of a trace, changed: `change` may edit the rows in place."""
    rows = rows_of(trace)
    change(rows)
    return write_rows(rows, to, blobs_of=trace)
