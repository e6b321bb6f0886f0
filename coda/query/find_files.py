"""Finders of files: `read`, `write`, `delete`.

Guarantee: one hit for each access. A read is opening readable: one event, whether the code used the
primitive, `open` or a library (`via` and `cause` tell); what was kept of a file before it was opened to
be appended to is none. A write is the open and the content that was
noticed afterwards, merged to one hit, so nothing is counted twice; a rename onto a path is a write of
it, since that is how careful programs write.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from coda.log import (
    BlockFinished,
    FileDeleted,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    ProcessStarted,
    ToolCalled,
    TraceEvent,
)
from coda.query.find_calls import SHELL
from coda.query.hits import Hit
from coda.query.order import Pending
from coda.query.scan import Scan, size_text

_MACHINERY = frozenset({"main", "import"})


def find_reads(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each file opened readable.

    Failed attempts count only when `error` is asked for; programs and modules that were read to be
    executed, which no agent code asked to read, only when `via` is.
    """
    match = scan.path_test()
    held: TraceEvent | None = None
    for event in scan.events(scan.first):
        if held is not None and not _is_content_before(held, event):
            yield from _read_hit(scan, held)
        held = None
        if scan.past(event.seq):
            return
        record = event.record
        if isinstance(record, FileRead):
            # The next event tells whether the code could read it.
            held = event if match(record.path, record.given, record.resolved) else None
        elif not isinstance(record, FileOpened):
            scan.possible += (
                event.seq >= scan.first
                and scan.query.pattern is not None
                and any(map(match, words_of(record)))
            )
    if held is not None:
        yield from _read_hit(scan, held)


def _is_content_before(read: TraceEvent, event: TraceEvent) -> bool:
    """Tells whether a read was the recorder's: it keeps what stood in a file that is about to be written."""
    opened, record = event.record, read.record
    return (
        isinstance(opened, FileOpened)
        and isinstance(record, FileRead)
        and event.seq == read.seq + 1
        and record.via == "open"
        and record.path == opened.path
        and bool(opened.mode)
        and not set(opened.mode) & {"r", "+"}
    )


def _read_hit(scan: Scan, event: TraceEvent) -> Iterator[Hit]:
    """Gives the hit of a read that agent code asked for."""
    record = event.record
    assert isinstance(record, FileRead)
    if record.error is not None and "error" not in scan.asked:
        scan.note("failed attempt to read; `where error != null` lists them")
    elif record.via in _MACHINERY and "via" not in scan.asked:
        scan.note(f"read to be executed; `where via = {record.via}` lists them")
    else:
        state = record.error if record.error is not None else size_text(record.size)
        yield scan.hit(event, record.path, f"{record.via}, {state}")


def words_of(record: object) -> list[str]:
    """Gives the words of a command that a record started, none for other records."""
    if isinstance(record, ProcessStarted):
        words = [word for argument in record.argv for word in (argument, *argument.split())]
    elif isinstance(record, ToolCalled) and record.name == SHELL:
        words = [
            w
            for value in (*record.args, *record.kwargs.values())
            if isinstance(value, str)
            for w in value.split()
        ]
    else:
        return []
    return [part for word in words if (part := word.strip("\"'();<>|&"))]


def find_deletes(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each file or empty directory that went away; failed attempts only when asked for."""
    match = scan.path_test()
    for event in scan.events(scan.first):
        if scan.past(event.seq):
            return
        record = event.record
        if isinstance(record, FileDeleted) and match(record.path) and _counts(scan, record.error, "delete"):
            yield scan.hit(event, record.path, record.error or f"by {record.by}")


def _counts(scan: Scan, error: str | None, verb: str) -> bool:
    """Whether an act is a hit: a failed one only when `error` is asked for."""
    if error is not None and "error" not in scan.asked:
        scan.note(f"failed attempt to {verb}; `where error != null` lists them")
        return False
    return True


def find_writes(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each file that was written, with what was noticed of it."""
    return _Writes(scan).find()


class _Writes:
    """Joins each open for writing with the content that was noticed after it."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.match = scan.path_test()
        self.pending: Pending[Hit] = Pending()
        self.settled: set[str] = set()

    def find(self) -> Iterator[Hit]:
        for event in self.scan.events():
            record = event.record
            if isinstance(record, FileOpened):
                if self.match(record.path, record.given, record.resolved):
                    self.opened(event, record)
            elif isinstance(record, FileWrote):
                self.wrote(event, record)
            elif isinstance(record, FileRenamed):
                self.renamed(event, record)
            elif isinstance(record, BlockFinished):
                # A block's writes are noticed at its end at the latest.
                self.pending.give_up()
            yield from self.pending.take()
        self.pending.give_up()
        yield from self.pending.take()

    def opened(self, event: TraceEvent, record: FileOpened) -> None:
        """Begins the hit of an open, whose content is noticed later; of a failed one there is none."""
        detail = record.error or f"open {record.mode}".rstrip()
        changed = record.resolved or record.path
        if not _counts(self.scan, record.error, "write"):
            return
        hit = self.scan.hit(event, record.path, detail, opened=event.seq, via="open")
        if record.error is not None:
            self.pending.put(hit)
            return
        self.settled.discard(changed)
        self.pending.open(changed, hit)

    def renamed(self, event: TraceEvent, record: FileRenamed) -> None:
        """Takes what a rename put somewhere for written."""
        if record.error is None:
            self.settled.add(record.to)  # what is found there later is what the rename put there
        if self.match(record.to) and _counts(self.scan, record.error, "write"):
            detail = record.error or f"renamed from {record.path}"
            self.pending.put(self.scan.hit(event, record.to, detail, opened=None, via="rename"))

    def wrote(self, event: TraceEvent, record: FileWrote) -> None:
        """Completes the open of the same path, or stands alone when a tool or process wrote."""
        opened = self.pending.peek(record.path) if record.by == "agent" else None
        if opened is None:
            # A later notice of an access that was told already is no second write.
            again = record.by == "agent" and record.path in self.settled
            if not again and self.match(record.path):
                self.pending.put(self.hit(event, record, None))
            return
        self.settled.add(record.path)
        self.pending.settle(record.path, self.hit(event, record, opened))

    def hit(self, event: TraceEvent, record: FileWrote, opened: Hit | None) -> Hit:
        what = "new" if record.before is None else "changed"
        detail = f"{record.by}, {what}, {size_text(record.size)}"
        if opened is None:
            return self.scan.hit(event, record.path, detail, opened=None, via=self.via(event, record))
        made = self.scan.hit(event, opened.what, detail, opened=opened.seq, via="open")
        # The line is that of the open: the content is noticed at some later event.
        place = {
            name: getattr(opened, name) for name in ("block", "turn", "file", "line", "function", "source")
        }
        given = {"given": opened.fields.get("given"), "mode": opened.fields.get("mode")}
        return msgspec.structs.replace(made, **place, fields=made.fields | given)

    def via(self, event: TraceEvent, record: FileWrote) -> str:
        if event.cause is None:
            return record.by
        cause = self.scan.cause(event.cause)
        name = getattr(cause.record, "name", None) or getattr(cause.record, "via", None)
        return str(name) if name else cause.type
