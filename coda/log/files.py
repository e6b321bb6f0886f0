"""One trace file: its lines by offset, and a small index of where events are.

Guarantee: lines are streamed, never all in memory; the index keeps one entry for every 64 records or
256 KiB, and the few records that structure a run (blocks, turns, start and end). An unfinished last
line is not a record: it is torn when nobody holds the writer's lock, and awaited when somebody does.
"""

from __future__ import annotations

import bisect
import errno
import fcntl
import os
import stat
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from coda.errors import LogError, SchemaMismatch, UsageError
from coda.log.codec import Head, decode, decode_header, head_of, type_of
from coda.log.events import Import, Unknown
from coda.log.records import Record

MAX_RECORD_BYTES: Final = 1 << 30
_HEADER: Final = b'{"type":"header"'
_BUFFER: Final = 1 << 20
_STRIDE_RECORDS: Final = 64
_STRIDE_BYTES: Final = 256 << 10
_STRUCTURE: Final = frozenset(
    [
        "run.started",
        "run.finished",
        "block.started",
        "block.finished",
        "turn.started",
        "turn.finished",
        "import",
    ]
)


class Torn(NamedTuple):
    """An incomplete last line: where it begins and how long it is."""

    offset: int
    bytes: int


class LastLine(NamedTuple):
    """The last line of the file that holds events."""

    offset: int
    raw: bytes
    head: Head


class Structured(NamedTuple):
    """A record that structures the run, with its place."""

    offset: int
    record: Record | Unknown


class LogFile:
    """One physical file of a trace. Opening reads its header only.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        SchemaMismatch: it is not a trace.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with open(path, "rb", opener=_open_regular) as file:
                first = file.readline(_BUFFER)
        except FileNotFoundError as error:
            raise UsageError(f"there is no trace {path}", path=str(path)) from error
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}", path=str(path)) from error
        if not first:
            raise SchemaMismatch(f"{path} is not a coda trace: it is empty, nothing was recorded", offset=0)
        if not first.endswith(b"\n") and (first.startswith(_HEADER) or _HEADER.startswith(first)):
            raise LogError(f"{path} was cut short inside its header: nothing was recorded", offset=0)
        self.header = decode_header(first, str(path))
        self.body = len(first)
        self.first_seq = self.header.parent.seq if self.header.parent is not None else 0
        self.structure: list[Structured] = []
        self._offsets = array("q", [self.body])
        self._seqs = array("q", [self.first_seq])
        self._indexed = self.body
        self._since_records = 0

    def is_live(self) -> bool:
        """Tells whether a writer holds the file now."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def size(self) -> int:
        """Bytes in the file now."""
        return os.stat(self.path).st_size

    def lines(self, offset: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Streams whole lines, each with its offset, from one on; ends before an unfinished one.

        Args:
            offset: where a line begins; 0 skips the header.
            stop: lines that begin here or later are left out.
        """
        offset = max(offset, self.body)
        with self.path.open("rb", buffering=_BUFFER) as file:
            file.seek(offset)
            while stop is None or offset < stop:
                raw = file.readline(MAX_RECORD_BYTES)
                if raw[-1:] != b"\n":
                    if len(raw) >= MAX_RECORD_BYTES:
                        raise LogError(f"damaged trace: the line at byte {offset} has no end", offset=offset)
                    return
                yield offset, raw
                offset += len(raw)

    def torn(self) -> Torn | None:
        """Gives the incomplete last line, None when the file is whole or still being written."""
        size = self.size()
        start = size
        with self.path.open("rb") as file:
            while start > 0:
                step = min(_BUFFER, start)
                file.seek(start - step)
                at = file.read(step).rfind(b"\n")
                if at >= 0:
                    start = start - step + at + 1
                    break
                start -= step
        if start == size or self.is_live():
            return None
        return Torn(start, size - start)

    def last(self, kind: str | None = None) -> LastLine | None:
        """Gives the last record with a seq, reading from the end; of the given type, or None.

        With a type, looks no further back than the last record that has a seq.
        """
        end = self.size()
        window = 64 << 10
        while True:
            start = max(end - window, self.body)
            with self.path.open("rb") as file:
                file.seek(start)
                data = file.read(end - start)
            if start > self.body:
                start, data = _after_newline(start, data)
            data = data[: data.rfind(b"\n") + 1]
            at = start + len(data)
            for raw in reversed(_split(data)):
                at -= len(raw)
                head = head_of(raw, at)
                if head.count:
                    return LastLine(at, raw, head) if kind in (None, head.type) else None
            if start <= self.body:
                return None
            window *= 8

    def index(self) -> None:
        """Brings the index up to the end of the file. Cost: one pass over what is new."""
        since = self._since_records
        for offset, raw in self.lines(self._indexed):
            kind = type_of(raw, offset)
            if kind in _STRUCTURE:
                record = decode(raw, offset, kind)
                if not isinstance(record, Import) or record.table is not None:
                    self.structure.append(Structured(offset, record))
            since += 1
            if since >= _STRIDE_RECORDS or offset - self._offsets[-1] >= _STRIDE_BYTES:
                head = head_of(raw, offset)
                if head.count:
                    if head.seq < self._seqs[-1]:
                        raise LogError(
                            f"damaged trace: event {head.seq} (byte {offset}) follows {self._seqs[-1]}",
                            offset=offset,
                        )
                    self._offsets.append(offset)
                    self._seqs.append(head.seq)
                    since = 0
            self._indexed = offset + len(raw)
        self._since_records = since

    def segment(self, seq: int) -> int:
        """Gives the number of the index segment in which an event's record begins."""
        return max(bisect.bisect_right(self._seqs, seq) - 1, 0)

    def bounds(self, segment: int) -> tuple[int, int | None]:
        """Gives the byte range of a segment; the last one has no end."""
        end = self._offsets[segment + 1] if segment + 1 < len(self._offsets) else None
        return self._offsets[segment], end

    def end_of(self, seq: int) -> int | None:
        """Gives a byte offset from which on no record begins before event `seq`; None when not known."""
        index = bisect.bisect_left(self._seqs, seq)
        return self._offsets[index] if index < len(self._offsets) else None


def _open_regular(path: str, flags: int) -> int:
    """Opens a file for reading, but no pipe or device: those may wait for ever, or never end."""
    fd = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "it is no regular file", path)


def _after_newline(start: int, data: bytes) -> tuple[int, bytes]:
    cut = data.find(b"\n") + 1
    return (start + cut, data[cut:]) if cut else (start + len(data), b"")


def _split(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")[:-1]]
