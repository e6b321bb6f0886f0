"""The one writer of a trace.

Guarantee: every record is one whole line handed to the system by `append` before it returns, in the
order of the calls, numbered without gaps; a file that lost its writer at any instant is a valid trace
with at most one torn line at its end. When a record cannot be written (disk full), what was
written of it is taken back, the numbers stand still and `LogError` is raised, so that an action whose
intent did not reach the log is not performed.

A file has one writer: it holds an exclusive lock, which readers also use to know that a run is live.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, NamedTuple

import msgspec

from coda.errors import LogError, SchemaMismatch
from coda.log.appending import AppendFile, create_file
from coda.log.blobs import BlobStore
from coda.log.codec import Head, count_of, decode, encode_record, head_of
from coda.log.events import Lines, Unknown
from coda.log.keys import Key
from coda.log.records import CODES, Event, Header, Record, Seal

SEAL_BYTES: Final = 8 << 20
"""A seal is written after this many bytes, and at the end."""

# What another process could see: with durability "fsync" these are on the disk before `append` returns.
ACTIONS: Final = frozenset(
    {
        "run.started",
        "run.resumed",
        "run.finished",
        "fork.applied",
        "llm.requested",
        "tool.called",
        "file.opened",
        "file.deleted",
        "file.renamed",
        "file.made",
        "process.started",
        "process.signaled",
        "net.connected",
    }
)

Listener = Callable[[Record, bytes], None]


class Resumed(NamedTuple):
    """An existing trace that is to grow: its open file, the time it had reached, the end of its last seal."""

    file: AppendFile
    t: int
    sealed_at: int


class TraceWriter:
    """Appends records to a new trace file.

    Args:
        path: the `.jsonl` file to make; its blobs go to `NAME.blobs/` beside it.
        header: first record; the stream codes in force are filled in when it has none.
        first_seq: number of the first event; for a fork, `header.parent.seq`.
        clock: gives nanoseconds; `t` counts from its value now.
        durability: "write" survives the death of the process, "fsync" also that of the machine.
        force: replace an existing file that no writer holds.
        on_append: called after each append with the record and its line; must not raise.
        seal_bytes: how often to seal.
        key: signs the seals; None leaves them without a mac.
        resumed: the file to go on with (see `resume_trace`); None makes a new one.

    Raises:
        UsageError: the file exists, is being written, or its folder is missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Header,
        *,
        first_seq: int = 0,
        clock: Callable[[], int] = time.monotonic_ns,
        durability: Literal["write", "fsync"] = "write",
        force: bool = False,
        on_append: Listener | None = None,
        seal_bytes: int = SEAL_BYTES,
        key: Key | None = None,
        resumed: Resumed | None = None,
    ) -> None:
        self.path = Path(path)
        self.header = header if header.codes else msgspec.structs.replace(header, codes=dict(CODES))
        self.durability = durability
        self.on_append = on_append
        self.blobs = BlobStore.beside(self.path, durable=durability == "fsync")
        self._clock = clock
        self._origin = clock() - (resumed.t if resumed is not None else 0)
        self._seal_bytes = seal_bytes
        self._key = key
        self._sealed_at = resumed.sealed_at if resumed is not None else 0
        self._last_t = resumed.t if resumed is not None else 0
        self._lock = threading.RLock()
        if resumed is not None:
            self._file = resumed.file
            return
        self._file = create_file(self.path, force=force, seq=first_seq, durable=durability == "fsync")
        try:
            self._file.put(encode_record(self.header), first_seq)
        except BaseException:
            self._file.discard()
            raise

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether nothing can be appended any more: `close` was called, or the file was lost."""
        return self._file.closed

    @property
    def offset(self) -> int:
        """Bytes of the file so far."""
        return self._file.mark.offset

    @property
    def next_seq(self) -> int:
        """Number of the next event."""
        return self._file.mark.seq

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the run began."""
        return self._clock() - self._origin

    def append(self, record: Event) -> int:
        """Numbers a record, writes it and gives the seq of its first event.

        The record's `seq` is set in place, and its `t` when it is negative.

        Raises:
            LogError: it could not be written, or the writer is closed.
        """
        return self.append_many((record,))

    def append_many(self, records: Iterable[Event]) -> int:
        """Writes several records with one system call; gives the seq of the first event."""
        force = msgspec.structs.force_setattr
        with self._lock:
            first = seq = self.next_seq
            batch: list[tuple[Record, bytes]] = []
            for record in records:
                force(record, "seq", seq)
                force(record, "t", self._time(record.t))
                batch.append((record, encode_record(record)))
                seq += count_of(record)
            self._file.put(b"".join(line for _, line in batch), seq)
            if self.durability == "fsync" and any(r.__struct_config__.tag in ACTIONS for r, _ in batch):
                self._file.sync()
            self._after(batch)
            return first

    def append_lines(self, ids: bytes, vals: bytes, n: int, *, block: int | None = None, t: int = -1) -> int:
        """Writes a `lines` record from arrays that are JSON already; gives the seq of its first event.

        Args:
            ids: JSON array of the entries' numbers.
            vals: JSON array of the values of bindings and stream codes, in order.
            n: how many of the entries are events.
            block: the block that was executing.
            t: nanoseconds since the run began; -1 takes the clock.
        """
        with self._lock:
            first = self.next_seq
            t = self._time(t)
            tail = b"" if block is None else b',"block":%d' % block
            line = b'{"type":"lines","seq":%d,"t":%d,"n":%d,"ids":%b,"vals":%b%b}\n' % (
                first, t, n, ids, vals, tail,
            )  # fmt: skip
            if b"\n" in ids or b"\n" in vals:
                raise LogError("a lines record cannot hold newlines: encode its arrays without whitespace")
            self._file.put(line, first + n)
            if self.on_append is not None:
                record = decode(line, self.offset - len(line), "lines")
                assert isinstance(record, Lines)
                self._after([(record, line)])
            else:
                self._after([])
            return first

    def append_encoded(self, line: bytes) -> Head:
        """Copies a record byte for byte, unknown types and fields included.

        Args:
            line: one line of a trace, with or without its newline. Its seq must be the next one.

        Raises:
            LogError: it is not a record, or a header, or its number does not follow.
        """
        line = line.rstrip(b"\n") + b"\n"
        head = head_of(line, self.offset)
        if head.type in ("header", "seal") or b"\n" in line[:-1]:
            raise LogError(f"a {head.type} record cannot be copied: the writer makes its own")
        with self._lock:
            if head.seq >= 0 and head.seq != self.next_seq:
                raise SchemaMismatch(
                    f"copied record has event {head.seq}, expected {self.next_seq}",
                    expected=self.next_seq, found=head.seq,
                )  # fmt: skip
            record = decode(line, self.offset)
            self._file.put(line, self.next_seq + head.count)
            self._after([] if isinstance(record, Unknown) else [(record, line)])
        return head

    def _time(self, t: int) -> int:
        """The time of the next record: as given, or now; never before that of the last one."""
        # Host and worker read one clock, but the worker's messages arrive after what the host saw meanwhile.
        self._last_t = max(self._last_t, t if t >= 0 else self._clock() - self._origin)
        return self._last_t

    def _after(self, batch: list[tuple[Record, bytes]]) -> None:
        if self.on_append is not None:
            for record, line in batch:
                self.on_append(record, line)
        if self.offset - self._sealed_at >= self._seal_bytes:
            self.seal()

    def flush(self) -> None:
        """Makes what was appended as safe as the durability asks: syncs the file under "fsync"."""
        with self._lock:
            if self.durability == "fsync" and not self.closed:
                self._file.sync()

    def seal(self) -> None:
        """Writes a seal: the digest of all bytes before it. Seals have no event number."""
        with self._lock:
            offset, running, events = self._file.mark
            sha256 = running.hexdigest()
            mac = None if self._key is None else self._key.sign(offset=offset, events=events, sha256=sha256)
            record = Seal(offset=offset, sha256=sha256, events=events, mac=mac)
            line = encode_record(record)
            self._file.put(line, events)
            self._sealed_at = self.offset
            if self.on_append is not None:
                self.on_append(record, line)

    def close(self) -> None:
        """Seals the trace and lets go of it. Closing twice is harmless.

        Raises:
            LogError: the seal could not be written; the file is closed all the same.
        """
        with self._lock:
            if self.closed:
                return
            try:
                if self._file.is_ours:
                    if self.offset > self._sealed_at:
                        self.seal()
                    self.flush()
            finally:
                self._file.close()
