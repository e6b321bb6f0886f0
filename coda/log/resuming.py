"""Going on in the file of a run that was cut short.

Guarantee: nothing that was acknowledged is touched. What a killed writer left of its last record is kept as
a blob, cut off, and named by a `run.resumed` event; the numbers go on where they stood. A trace that is
damaged elsewhere, that has finished, or that is being written is refused and left as it is. Seals from here
on bear no signature: nobody vouches for what the file held when it was found.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from coda.errors import LogError, UsageError
from coda.log.appending import AppendFile, Mark, open_locked
from coda.log.codec import decode, head_of
from coda.log.events import RunResumed
from coda.log.files import LogFile
from coda.log.records import Seal
from coda.log.writer import Listener, Resumed, TraceWriter


def resume_trace(
    path: str | os.PathLike[str],
    *,
    clock: Callable[[], int] = time.monotonic_ns,
    durability: Literal["write", "fsync"] = "write",
    on_append: Listener | None = None,
) -> TraceWriter:
    """Opens a trace that was cut short for appending; its first new event is `run.resumed`.

    Args:
        path: the `.jsonl` file.
        clock: gives nanoseconds; times go on from the last one in the file.
        durability: as for a new trace.
        on_append: as for a new trace.

    Raises:
        UsageError: there is no such file, it is being written, or the run has finished.
        LogError: the trace is damaged before its tail.

    Cost: one pass over the file.
    """
    path = Path(path)
    fd = open_locked(path)
    try:
        log = LogFile(path)
        found = _read(log)
        os.lseek(fd, found.mark.offset, os.SEEK_SET)
        torn = _read_all(fd)
    except BaseException:
        os.close(fd)
        raise
    file = AppendFile(path, fd, found.mark)
    out = TraceWriter(
        path,
        log.header,
        clock=clock,
        durability=durability,
        on_append=on_append,
        resumed=Resumed(file, found.t, found.sealed_at),
    )
    try:
        # The blob first: whatever happens in between, the bytes are in one of the two places.
        digest = out.blobs.put(torn) if torn else ""
        file.cut()
        out.append(RunResumed(cut_bytes=len(torn), cut_sha256=digest))
    except BaseException:
        file.close()
        raise
    return out


class _Found:
    """What the pass over the file told."""

    def __init__(self, mark: Mark) -> None:
        self.mark = mark
        self.t = 0
        self.sealed_at = 0


def _read(log: LogFile) -> _Found:
    with log.path.open("rb") as file:
        sha256 = hashlib.sha256(file.read(log.body))
    found = _Found(Mark(log.body, sha256, log.first_seq))
    for offset, raw in log.lines():
        head = head_of(raw, offset)
        if head.type == "seal":
            seal = decode(raw, offset, "seal")
            assert isinstance(seal, Seal)
            if seal.sha256 != sha256.hexdigest():
                raise LogError(f"damaged trace: the seal at byte {offset} does not match", offset=offset)
            found.sealed_at = offset + len(raw)
        elif head.count:
            if head.seq != found.mark.seq:
                raise LogError(
                    f"damaged trace: event {head.seq} at byte {offset}, expected event {found.mark.seq}",
                    offset=offset,
                )
            if head.type == "run.finished":
                raise UsageError(f"{log.path} has finished: there is nothing to go on with")
            found.t = max(found.t, head.t)
        sha256.update(raw)
        found.mark = Mark(offset + len(raw), sha256, found.mark.seq + head.count)
    return found


def _read_all(fd: int) -> bytes:
    parts = []
    while data := os.read(fd, 1 << 20):
        parts.append(data)
    return b"".join(parts)
