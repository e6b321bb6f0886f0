"""Reading a trace: the run as one sequence of events, whatever files it is in.

Guarantee: everything streams, in constant memory but for the index of `coda.log.files`; a fork reads as
the whole run from 0, its prefix from its parents' files and only as far as it relied on them. A torn
tail is dropped and said (`Trace.torn`); damage anywhere else raises `LogError` with the byte, never
yields an event that was not recorded. A trace that is still being written can be read at any time.
"""

from __future__ import annotations

import bisect
import os
import time
from collections.abc import Callable, Collection, Container, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from coda.errors import LogError, MissingBlob, UsageError
from coda.log.blobs import BlobStore
from coda.log.codec import decode, head_of, type_of
from coda.log.events import (
    BlockFinished,
    BlockStarted,
    Import,
    Lines,
    RunFinished,
    RunStarted,
    TurnFinished,
    TurnStarted,
    Unknown,
)
from coda.log.failures import FAILED, settled, with_failures
from coda.log.files import LogFile, Torn
from coda.log.framing import frames_at
from coda.log.pieces import Piece, Placed
from coda.log.positions import Position, parse_position
from coda.log.records import Event, Header, Record
from coda.log.runs import find_run, locate
from coda.log.seals import compare_seals
from coda.log.tables import Table
from coda.log.traceevent import TraceEvent
from coda.log.units import StatementInfo, UnitInfo, Units, unit_from
from coda.log.walk import Walker

_MAX_PARENTS: Final = 200


class BlockInfo(NamedTuple):
    """One block of the run. `end_seq` and what follows from the end are None while it is open."""

    number: int
    seq: int
    end_seq: int | None
    source: str
    file: str
    turn: int | None
    outcome: str | None
    table: Table | None
    started: BlockStarted
    finished: BlockFinished | None


class TurnInfo(NamedTuple):
    """One turn of the run."""

    number: int
    seq: int
    end_seq: int | None


def open_trace(path: str | os.PathLike[str]) -> Trace:
    """Opens a trace.

    Args:
        path: a `.jsonl` file, a run's directory, or a run id of the run directory of the current folder.

    Raises:
        UsageError: there is no such trace.
        LogError: it is not a trace, or its parent cannot be found.
    """
    return Trace(locate(path))


class Trace:
    """One run, read from its file and those of the runs it was forked from. See `open_trace`."""

    def __init__(self, path: Path, *, _below: tuple[Path, ...] = ()) -> None:
        resolved = Path(os.path.realpath(path))
        if resolved in _below:
            raise LogError(f"{_below[0]} names parents in a circle: {path} comes again", path=str(path))
        if len(_below) > _MAX_PARENTS:
            raise LogError(f"{_below[0]} has more than {_MAX_PARENTS} ancestors", path=str(_below[0]))
        self.path = path
        self.file = LogFile(path)
        self.header: Header = self.file.header
        self.run: str = self.header.run
        self.parent: Trace | None = self._open_parent((*_below, resolved))
        ancestors = () if self.parent is None else (self.parent.blobs,)
        self._blobs = BlobStore.beside(path, ancestors=ancestors)
        self.first_seq = self.file.first_seq
        self._blocks: list[BlockInfo] = []
        self._turns: list[TurnInfo] = []
        self._units = Units()
        self._structured = -1

    def __repr__(self) -> str:
        return f"Trace({str(self.path)!r})"

    def _open_parent(self, below: tuple[Path, ...]) -> Trace | None:
        named = self.header.parent
        if named is None:
            return None
        near = (self.path.parent / named.path) if named.path else None
        for candidate in (near, find_run(named.run, self.path.parent), find_run(named.run)):
            if candidate is None or not _is_file(candidate):
                continue
            parent = Trace(Path(os.path.realpath(candidate)), _below=below)
            if parent.run == named.run:
                return parent
        raise LogError(
            f"{self.path} is a fork of run {named.run}, whose trace is not at {named.path} "
            "nor in the run directory: put it back beside the fork",
            path=str(self.path),
            parent=named.run,
        )

    # --- the run as a whole ------------------------------------------------------------------

    @property
    def blobs(self) -> BlobStore:
        """The contents that records name; those of the parents are found as well."""
        return self._blobs

    @property
    def live(self) -> bool:
        """Whether a writer holds the trace now."""
        return self.file.is_live()

    @property
    def torn(self) -> Torn | None:
        """The incomplete last line that was dropped; None for a whole trace and for a live one."""
        return self.file.torn()

    @property
    def started(self) -> RunStarted:
        """How the run began; for a fork, how its first ancestor did.

        Raises:
            LogError: the trace was cut short before that.
        """
        if self.parent is not None:
            return self.parent.started
        for at, raw in self.file.lines():
            if type_of(raw, at) == "run.started":
                record = decode(raw, at, "run.started")
                assert isinstance(record, RunStarted)
                return record
            if head_of(raw, at).count:
                break
        raise LogError(f"{self.path} holds no run: it was cut short before run.started", path=str(self.path))

    @property
    def finished(self) -> RunFinished | None:
        """How the run ended; None when it goes on or was cut short. Reads from the file's end."""
        last = self.file.last("run.finished")
        if last is None:
            return None
        record = decode(last.raw, last.offset, "run.finished")
        return record if isinstance(record, RunFinished) else None

    def verify_seals(self) -> None:
        """Compares each seal of this file with the bytes before it, and of its parents what it relied on.

        Raises:
            LogError: one does not match: the log was damaged or changed before that byte.

        Cost: one pass over the bytes at the speed of SHA-256.
        """
        compare_seals(self)

    def count(self) -> int:
        """Gives the number of events in the whole run, as far as it is written now.

        Valid positions are 0 to this number. Cost: reads from the end of the file.
        """
        last = self.file.last()
        return self.first_seq if last is None else last.head.seq + last.head.n

    def pieces(self, start: int = 0, stop: int | None = None) -> list[Piece]:
        """Gives the files that hold a range of events, oldest first."""
        pieces = [] if stop is not None and stop <= self.first_seq else [
            Piece(self, max(start, self.first_seq), stop)
        ]  # fmt: skip
        if self.parent is not None and start < self.first_seq:
            limit = self.first_seq if stop is None else min(stop, self.first_seq)
            pieces = self.parent.pieces(start, limit) + pieces
        return pieces

    # --- records and events ------------------------------------------------------------------

    def records(
        self, *, own: bool = True, types: Container[str] | None = None, offset: int = 0
    ) -> Iterator[Placed]:
        """Streams records, seals included, the header excluded.

        Args:
            own: only this file's; False begins with the records of the parents that hold prefix
                events, the last `lines` record as far as it belongs to the prefix.
            types: only these; others are skipped without being decoded.
            offset: byte of this file at which to begin (own records only).

        Raises:
            LogError: the trace is damaged.
        """
        pieces = [Piece(self, self.first_seq, None)] if own else self.pieces()
        for piece in pieces:
            yield from piece.records(types, offset=offset if piece.trace is self else 0)

    def events(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        types: Collection[str] | None = None,
        own: bool = False,
    ) -> Iterator[TraceEvent]:
        """Streams the events of the run, lines unbatched, a fork's prefix from its parent.

        Args:
            start: first event.
            stop: the event before which to stop; None goes to the end.
            types: only these types (`line` for lines); a million others cost under a second. Values
                that are bound by lines are then given with the next line that is asked for, or not at
                all when no lines are: read without a filter to have them all.
            own: for a fork, only its own events.

        Raises:
            LogError: the trace is damaged; what was yielded before is sound.
        """
        start = max(start, self.first_seq if own else 0)
        if stop is not None and start >= stop:
            return
        # In the middle of an `elided` record is as good as at its start: it is one event.
        start = self._record_start(start)
        wanted = None if types is None else frozenset(types)
        read = with_failures(wanted)
        events = self._events(start, stop, read)
        if wanted is not None and read == wanted:
            yield from events
            return

        def behind() -> TraceEvent | None:
            return None if stop is None else next(self._events(stop, stop + 1, frozenset({FAILED})), None)

        yield from settled(events, wanted, behind=behind)

    def _events(self, start: int, stop: int | None, types: frozenset[str] | None) -> Iterator[TraceEvent]:
        walker: Walker | None = None
        # From the event before: what was bound after it became known by the first one.
        for trace, begin, end in self.pieces(max(start - 1, 0), stop):
            if walker is None:
                walker = trace._walker(begin, types)
                offset = trace.seek(begin)
                if begin and (types is None or "line" in types):
                    walker.frames = frames_at(trace, offset, walker.units)
            else:
                offset = 0
            walker.enter(trace.header, resume=offset > trace.file.body)
            yield from _events_of(trace, walker, offset, start, end)

    def _record_start(self, seq: int) -> int:
        """First number of the `elided` record that covers an event; the event's own when none does."""
        for trace, _, _ in self.pieces(seq, seq + 1) if seq > 0 else ():
            trace.file.index()
            for at, raw in trace.file.lines(*trace.file.bounds(trace.file.segment(seq))):
                head = head_of(raw, at)
                if head.seq > seq:
                    break
                if head.type == "elided" and seq < head.seq + head.count:
                    return head.seq
        return seq

    def event(self, seq: int) -> TraceEvent:
        """Gives one event; for a number that an `elided` record covers, that record's event.

        Raises:
            UsageError: there is no such event.
        """
        if seq >= 0:
            for event in self.events(seq, seq + 1):
                return event
        raise UsageError(f"{self.path} has no event {seq}: events are 0 to {self.count() - 1}", seq=seq)

    def follow(
        self,
        poll_s: float = 0.1,
        stop: Callable[[], bool] = lambda: False,
        *,
        start: int = 0,
        types: Collection[str] | None = None,
    ) -> Iterator[TraceEvent]:
        """Streams events and waits for more until the run has finished or its writer is gone.

        Args:
            poll_s: seconds between looks at the file.
            stop: asked while waiting; True ends the stream.
            start: first event.
            types: only these types.
        """
        wanted = None if types is None else frozenset(types)
        yield from settled(self._follow(poll_s, stop, start, with_failures(wanted)), wanted)

    def _follow(
        self, poll_s: float, stop: Callable[[], bool], start: int, types: frozenset[str] | None
    ) -> Iterator[TraceEvent]:
        if start < self.first_seq:
            yield from self.events(start, self.first_seq, types=types)
        start = max(start, self.first_seq)
        walker, offset = self._walker(start, types), self.seek(start)
        if start:
            walker.frames = frames_at(self, offset, walker.units)
        walker.enter(self.header, resume=offset > self.file.body)
        while True:
            alive = self.live
            for at, raw in self.file.lines(offset):
                yield from walker.walk(at, raw, start)
                offset = at + len(raw)
                if raw.startswith(b'{"type":"run.finished"'):
                    return
            if not alive or stop():
                return
            time.sleep(poll_s)

    def _walker(self, start: int, types: frozenset[str] | None) -> Walker:
        """A walker that knows what came before event `start`."""
        if start == 0:
            return Walker(run=self.run, units=Units(), fetch=self._fetch, types=types)
        block = self.block_of(start)
        turn = self.turn_of(start)
        units = Units(self.units(start))
        begun = block.seq if block is not None else start
        return Walker(
            run=self.run,
            units=units,
            fetch=self._fetch,
            types=types,
            look_back=lambda: self._last_statement(begun, start, units),
            block=block.number if block is not None and block.seq < start else None,
            turn=turn.number if turn is not None and turn.seq < start else None,
        )

    def seek(self, seq: int) -> int:
        """Gives the byte offset from which to read so as to meet event `seq`, a record before it included."""
        if seq <= self.first_seq:
            return 0
        self.file.index()
        return self.file.bounds(max(self.file.segment(seq) - 1, 0))[0]

    def _last_statement(self, since: int, before: int, units: Units) -> int | None:
        """The last statement that began in events `since` to `before`, looking backwards."""
        for trace, begin, end in reversed(self.pieces(since, before)):
            stop = before if end is None else end
            trace.file.index()
            for segment in range(trace.file.segment(stop), trace.file.segment(begin) - 1, -1):
                found = _last_in(trace, trace.file.bounds(segment), begin, stop, units)
                if found is not None:
                    return found
        return None

    # --- blocks, turns and units ----------------------------------------------------------------

    @property
    def blocks(self) -> list[BlockInfo]:
        """The blocks of the run, in order. Cost: one pass over what is new in the file."""
        self._read_structure()
        return list(self._blocks)

    @property
    def turns(self) -> list[TurnInfo]:
        """The turns of the run, in order."""
        self._read_structure()
        return list(self._turns)

    def block(self, number: int) -> BlockInfo:
        """Gives a block by its number.

        Raises:
            UsageError: the run has no such block.
        """
        self._read_structure()
        for block in reversed(self._blocks):
            if block.number == number:
                return block
        raise UsageError(f"{self.path} has no block {number}: it has {len(self._blocks)}", block=number)

    def block_of(self, seq: int) -> BlockInfo | None:
        """Gives the block that an event is in, its start and end included; None outside of blocks."""
        self._read_structure()
        return _enclosing(self._blocks, seq)

    def turn_of(self, seq: int) -> TurnInfo | None:
        """Gives the turn that an event is in, its start and end included."""
        self._read_structure()
        return _enclosing(self._turns, seq)

    def unit_of(self, id: int) -> UnitInfo:
        """Gives the code unit that an id of a `lines` record belongs to.

        Raises:
            LogError: no table covers it.
        """
        self._read_structure()
        unit = self._units.find(id)
        if unit is None:
            raise LogError(f"{self.path} has no table that covers statement {id}", id=id)
        return unit

    def statement(self, id: int) -> StatementInfo:
        """Gives a statement by its id, or the statement that a binding's id belongs to."""
        return self.unit_of(id).statement(id)

    def path_of(self, block: int) -> Iterator[int]:
        """Streams the ids of a block in the order they ran: statements, bindings and stream codes."""
        info = self.block(block)
        self._read_structure()
        for piece in self.pieces(info.seq, info.end_seq):
            for placed in piece.records({"lines"}, offset=piece.trace.seek(piece.start)):
                if isinstance(placed.record, Lines) and placed.record.seq >= piece.start:
                    yield from placed.record.ids

    def position(self, text: str) -> Position:
        """Gives the position that `N`, `N+K` or `B:S` stands for in this run.

        Raises:
            UsageError: it is not a position, or out of the run's range.
        """
        return parse_position(text, self)

    def _fetch(self, digest: str) -> bytes:
        try:
            return self.blobs.get(digest)
        except MissingBlob:
            return b""

    def units(self, before: int | None = None) -> Iterator[UnitInfo]:
        """Gives the code units that came in before an event, oldest first; None gives all."""
        if self.parent is not None:
            limit = self.first_seq if before is None else min(before, self.first_seq)
            yield from self.parent.units(limit)
        self.file.index()
        for _, record in self.file.structure:
            if isinstance(record, Event) and (before is None or record.seq < before):
                unit = unit_from(record, self._fetch)
                if unit is not None:
                    yield unit

    def _read_structure(self) -> None:
        """Brings blocks, turns and units up to date with the file."""
        self.file.index()
        if self._structured == len(self.file.structure):
            return
        blocks: list[BlockInfo] = []
        turns: list[TurnInfo] = []
        if self._structured < 0:
            self._structured = 0
            if self.parent is not None:
                blocks = [_opened(b, self.first_seq) for b in self.parent.blocks if b.seq < self.first_seq]
                turns = [_reopened(t, self.first_seq) for t in self.parent.turns if t.seq < self.first_seq]
                for unit in self.parent.units(self.first_seq):
                    self._units.add(unit)
            self._blocks, self._turns = blocks, turns
        new = self.file.structure[self._structured :]
        self._structured = len(self.file.structure)
        for _, record in new:
            self._take_in(record)

    def _take_in(self, record: Record | Unknown) -> None:
        if isinstance(record, BlockStarted | Import):
            unit = unit_from(record, self._fetch)
            if unit is not None:
                self._units.add(unit)
        if isinstance(record, BlockStarted):
            turn = record.turn
            if turn is None and self._turns and self._turns[-1].end_seq is None:
                turn = self._turns[-1].number
            self._blocks.append(BlockInfo(
                record.block, record.seq, None, record.source, record.file, turn, None, record.table,
                record, None,
            ))  # fmt: skip
        elif isinstance(record, BlockFinished):
            for index in range(len(self._blocks) - 1, -1, -1):
                if self._blocks[index].number == record.block:
                    self._blocks[index] = self._blocks[index]._replace(
                        end_seq=record.seq, outcome=record.outcome, finished=record
                    )
                    break
        elif isinstance(record, TurnStarted):
            self._turns.append(TurnInfo(record.turn, record.seq, None))
        elif isinstance(record, TurnFinished) and self._turns:
            self._turns[-1] = self._turns[-1]._replace(end_seq=record.seq)


def _is_file(path: Path) -> bool:
    """Whether there is a regular file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _events_of(
    trace: Trace, walker: Walker, offset: int, start: int, stop: int | None
) -> Iterator[TraceEvent]:
    prefixes = walker.prefixes()
    edge = limit = None
    if stop is not None and walker.types is not None:
        # Records that are passed over do not show their numbers; near the end each is looked at.
        trace.file.index()
        edge, limit = trace.file.bounds(trace.file.segment(stop))[0], trace.file.end_of(stop + 1)
    for at, raw in trace.file.lines(offset, limit):
        near = edge is not None and at >= edge
        if stop is not None and (near or (walker.next is not None and walker.next >= stop)):
            head = head_of(raw, at)
            # A `lines` record that begins with the stop may begin with what was bound before it.
            if head.seq > stop or (head.seq == stop and head.type != "lines"):
                return
        elif prefixes is not None and raw.startswith(b'{"type":"') and not raw.startswith(prefixes):
            continue  # one comparison in C for each line that nobody asked for
        yield from walker.walk(at, raw, start, stop if edge is None or near else None)


def _last_in(
    trace: Trace, bounds: tuple[int, int | None], since: int, before: int, units: Units
) -> int | None:
    found: int | None = None
    for at, raw in trace.file.lines(*bounds):
        if type_of(raw, at) != "lines":
            continue
        record = decode(raw, at, "lines")
        assert isinstance(record, Lines)
        if record.seq >= before:
            break
        if record.seq + record.n > since:
            last = units.last_statement(units.cut(record, before))
            found = found if last is None else last
    return found


_Spanned = TypeVar("_Spanned", BlockInfo, TurnInfo)


def _enclosing(items: list[_Spanned], seq: int) -> _Spanned | None:
    """The last item that began at or before an event and had not ended before it."""
    index = bisect.bisect_right(items, seq, key=_seq_of) - 1
    if index < 0:
        return None
    item = items[index]
    return item if item.end_seq is None or item.end_seq >= seq else None


def _seq_of(item: BlockInfo | TurnInfo) -> int:
    return item.seq


def _opened(block: BlockInfo, stop: int) -> BlockInfo:
    """A block as the prefix knows it: still open when it ended after the fork."""
    if block.end_seq is None or block.end_seq < stop:
        return block
    return block._replace(end_seq=None, outcome=None, finished=None)


def _reopened(turn: TurnInfo, stop: int) -> TurnInfo:
    return turn._replace(end_seq=None) if turn.end_seq is not None and turn.end_seq >= stop else turn
