"""Whether a trace is whole: the judgement behind `coda check`.

Guarantee: every byte of the file is read. What is said to be consistent has numbers without gaps,
batches that agree with themselves and with their tables, seals that match, and every blob it names,
unchanged. That finds accidents, not an editor, who can compute seals anew: `authentic` is said only
against a digest that was kept elsewhere, or when the user's own key signed all of it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from coda.errors import LogError, MissingBlob, UsageError
from coda.log.codec import count_of, decode, head_of
from coda.log.effects import (
    FileChanged,
    FileDeleted,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    ProcessStarted,
)
from coda.log.events import (
    Import,
    Lines,
    RunFinished,
    RunResumed,
    RunStarted,
    ToolReturned,
    Unknown,
)
from coda.log.files import Torn
from coda.log.keys import Key, find_key
from coda.log.reader import Trace
from coda.log.records import CODES, Event, Header, Record, Seal
from coda.log.seals import digest_of, is_own
from coda.log.units import Units, unit_from

MAX_DAMAGE: Final = 20
"""So many problems are told one by one."""

_BLOBS: Final[dict[type, tuple[str, ...]]] = {
    RunStarted: ("manifest",),
    RunResumed: ("cut_sha256",),
    FileRead: ("digest",),
    FileWrote: ("digest", "before"),
    FileOpened: ("before",),
    FileDeleted: ("before",),
    FileRenamed: ("before",),
    FileChanged: ("digest",),
    Import: ("digest",),
    ToolReturned: ("stdout", "stderr"),
    ProcessStarted: ("stdin",),
}


class Damage(msgspec.Struct, frozen=True):
    """One thing that is wrong."""

    offset: int
    """Byte of the file at which the record begins."""
    seq: int | None
    """Its event, as far as it can be told."""
    what: str


class Report(msgspec.Struct, frozen=True):
    """What was found. A trace is consistent when nothing is damaged; a torn tail is not damage."""

    path: str
    run: str | None
    consistent: bool
    authentic: bool | None
    """True: the given digest matches, or your key signed all of it; false: the given digest does not match;
    null: nothing vouches for it."""
    events: int
    """Events of the run, a fork's prefix included."""
    records: int
    bytes: int
    """Bytes of whole records."""
    head: str
    """SHA-256 of those bytes: what to keep elsewhere, for a later `--head`."""
    seals: int
    unsealed_bytes: int
    """Bytes of records after the last sound seal: damage there may go unseen."""
    blobs: int
    """Different blobs that the trace names and that were verified."""
    finished: bool
    live: bool
    torn_offset: int | None
    torn_bytes: int
    damage: tuple[Damage, ...]
    more_damage: int
    """How many problems are not listed."""
    signature: str = "none"
    """Who signed the last seal: `own`: you, and it covers every record; `part`: you, and more follows;
    `other`: another key; `none`: nobody."""


def check_trace(path: str | os.PathLike[str], *, head: str | None = None, key: Key | None = None) -> Report:
    """Reads a whole trace and judges it.

    Args:
        path: the trace file.
        head: a SHA-256 that was kept elsewhere: of the whole file, or of one of its seals.
        key: the user's key; None looks it up.

    Raises:
        UsageError: there is no such file.
    """
    try:
        trace = Trace(Path(path))
    except LogError as error:
        return _unreadable(Path(path), error)
    checker = _Checker(trace, head, key or find_key().key)
    checker.run()
    return checker.report()


def _unreadable(path: Path, error: LogError) -> Report:
    """The report of a file whose header, or whose parent, cannot be read."""
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as problem:
        raise UsageError(f"cannot read {path}: {problem.strerror}", path=str(path)) from problem
    damage = Damage(offset=error.facts.get("offset", 0), seq=None, what=error.message)
    return Report(
        path=str(path), run=None, consistent=False, authentic=None, events=0, records=0, bytes=size,
        head=digest, seals=0, unsealed_bytes=size, blobs=0, finished=False, live=False,
        torn_offset=None, torn_bytes=0, damage=(damage,), more_damage=0,
    )  # fmt: skip


class _Checker:
    """One pass over one file."""

    def __init__(self, trace: Trace, head: str | None, key: Key | None) -> None:
        self.trace = trace
        self.key = key
        self.last_seal: Seal | None = None
        self.given = None if head is None else head.strip().lower()
        self.digest = hashlib.sha256()
        self.codes = trace.header.codes or CODES
        self.units = Units()
        self.expected = trace.first_seq
        self.damage: list[Damage] = []
        self.problems = 0
        self.records = self.seals = self.bytes = self.sealed = 0
        self.blobs: set[str] = set()
        self.anchored = False
        self.finished = False

    def note(self, offset: int, seq: int | None, what: str) -> None:
        """Takes down a problem."""
        self.problems += 1
        if len(self.damage) < MAX_DAMAGE:
            self.damage.append(Damage(offset, seq, what))

    def run(self) -> None:
        """Judges every record."""
        self._check_parent()
        with self.trace.path.open("rb") as file:
            header = file.read(self.trace.file.body)
        self._hash(header)
        for offset, raw in self.trace.file.lines():
            self.records += 1
            try:
                self._record(offset, raw, decode(raw, offset))
            except LogError as error:
                self.note(offset, error.facts.get("seq", self.expected), error.message)
                self._resume(raw, offset)
            self._hash(raw)
        if self.records == 0:
            self.note(self.bytes, None, "it holds no events")

    def _hash(self, raw: bytes) -> None:
        self.digest.update(raw)
        self.bytes += len(raw)

    def _resume(self, raw: bytes, offset: int) -> None:
        """After a damaged record: the numbers go on from what it says, else from what comes next."""
        try:
            head = head_of(raw, offset)
        except LogError:
            self.expected = -1
        else:
            if head.seq >= 0:
                self.expected = head.seq + head.count

    def _record(self, offset: int, raw: bytes, record: Record | Unknown) -> None:
        if isinstance(record, Header):
            self.note(offset, None, f"a second header at byte {offset}")
        elif isinstance(record, Seal):
            self._seal(offset, len(raw), record)
        elif isinstance(record, Event | Unknown) and record.seq >= 0:
            self._event(offset, raw, record)

    def _seal(self, offset: int, length: int, seal: Seal) -> None:
        self.seals += 1
        found = self.digest.hexdigest()
        if seal.offset != offset or seal.sha256 != found:
            self.note(
                offset, None,
                f"the seal at byte {offset} does not match the bytes before it: one of them was changed",
            )  # fmt: skip
        elif self.expected >= 0 and seal.events != self.expected:
            self.note(
                offset, None, f"the seal at byte {offset} counts {seal.events} events, not {self.expected}"
            )
        elif self.key is not None and self.key.signed(seal) is False:
            self.note(
                offset, None,
                f"the seal at byte {offset} bears the name of your key, which did not make it: "
                "somebody changed the trace",
            )  # fmt: skip
        else:
            self.sealed = offset + length
            self.last_seal = seal
        self.anchored = self.anchored or found == self.given

    def _event(self, offset: int, raw: bytes, record: Event | Unknown) -> None:
        seq, count = record.seq, count_of(record)
        if self.expected >= 0 and seq != self.expected:
            self.note(offset, seq, f"event {seq} at byte {offset}, expected event {self.expected}")
        self.expected = seq + count
        self.anchored = False  # a digest of earlier bytes says nothing of this event
        cause = getattr(record, "cause", None)
        if cause is not None and cause >= seq:
            self.note(offset, seq, f"event {seq} at byte {offset} is caused by event {cause}, which is later")
        if isinstance(record, Lines):
            self.units.verify(record, self.codes, offset)
        self.finished = isinstance(record, RunFinished)
        for digest in _digests(record, raw):
            self._blob(offset, seq, digest)
        unit = unit_from(record, self.trace.blobs.get)
        if unit is not None:
            self.units.add(unit)

    def _blob(self, offset: int, seq: int, digest: str) -> None:
        if digest in self.blobs:
            return
        try:
            self.trace.blobs.get(digest)
            self.blobs.add(digest)
        except MissingBlob as error:
            self.note(offset, seq, error.message)

    def _check_parent(self) -> None:
        """The parent must still hold the bytes that the fork relied on."""
        named, parent = self.trace.header.parent, self.trace.parent
        if named is None or parent is None:
            return
        try:
            for unit in parent.units(self.trace.first_seq):
                self.units.add(unit)
            if parent.count() < named.seq:
                self.note(0, None, f"its parent {parent.path} holds fewer than {named.seq} events")
        except LogError as error:
            self.note(0, None, f"its parent {parent.path}: {error.message}")
        if named.sha256 and digest_of(parent.path, named.offset) != named.sha256:
            self.note(
                0, None,
                f"the first {named.offset} bytes of its parent {parent.path} changed since the fork",
            )  # fmt: skip

    def report(self) -> Report:
        """Gives what the pass found."""
        torn: Torn | None = self.trace.torn
        found = self.digest.hexdigest()
        signature = self._signature()
        authentic = True if signature == "own" else None
        if self.given is not None:
            authentic = self.anchored or found == self.given
        return Report(
            path=str(self.trace.path),
            run=self.trace.run,
            consistent=self.problems == 0,
            authentic=None if authentic is None else authentic and self.problems == 0,
            events=max(self.expected, 0),
            records=self.records,
            bytes=self.bytes,
            head=found,
            seals=self.seals,
            unsealed_bytes=self.bytes - self.sealed,
            blobs=len(self.blobs),
            finished=self.finished,
            live=self.trace.live,
            torn_offset=torn.offset if torn is not None else None,
            torn_bytes=torn.bytes if torn is not None else 0,
            damage=tuple(self.damage),
            more_damage=self.problems - len(self.damage),
            signature=signature,
        )

    def _signature(self) -> str:
        """Who vouches for the file, as far as its last sound seal tells."""
        seal, key = self.last_seal, self.key
        if seal is None or seal.mac is None:
            return "none"
        if key is None or key.signed(seal) is not True:
            return "other"
        parent = self.trace.parent
        whole = self.bytes == self.sealed and not self.problems and (parent is None or is_own(parent, key))
        return "own" if whole else "part"


def _digests(record: Event | Unknown, raw: bytes) -> Iterator[str]:
    """The blobs that a record names: in its own fields, and in value envelopes."""
    for name in _BLOBS.get(type(record), ()):
        digest = getattr(record, name)
        if isinstance(digest, str) and (digest or not isinstance(record, RunResumed)):  # nothing was cut
            yield digest
    if b'"$":"blob"' in raw:
        yield from _referred(msgspec.json.decode(raw))


def _referred(data: Any) -> Iterator[str]:
    stack = [data]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if item.get("$") == "blob" and isinstance(item.get("d"), str):
                yield item["d"]
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
