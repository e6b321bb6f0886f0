"""The recorded run as a replay reads it: blocks with their records, and where to stop in them.

Guarantee: records come in the run's order over a fork and all its parents, a `lines` record that a
fork cut in two only as far as it counts. One block is in memory at a time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from coda.errors import LogError, UsageError
from coda.log import (
    CODES,
    BlockFinished,
    BlockStarted,
    Elided,
    Event,
    ExceptionRaised,
    ForkApplied,
    Import,
    Lines,
    Position,
    Record,
    RunFinished,
    Signal,
    ToolReturned,
    Trace,
    Units,
    tag_of,
)  # fmt: skip

# Taken apart, a log is up to ten times as large as its text.
_KEPT_BYTES = 4 << 20
GC_CODE = -16
OUTPUT_CODES = (-1, -2)
ENV_CODE = -14
SWITCHED_CODE = -18
PREEMPTED_CODE = -19
SIGNAL_CODE = -20
# Stream codes that are not answered one by one: the environment is given whole.
_UNFED = frozenset((GC_CODE, ENV_CODE, SWITCHED_CODE, PREEMPTED_CODE, *OUTPUT_CODES))
# Events that have a worker do something at a statement.
_ACTING = frozenset(("gc", "thread.preempted", "signal", "fork.applied"))
# Nor can a worker stand still at them.
_NO_PLACE = frozenset((GC_CODE, ENV_CODE, SWITCHED_CODE, PREEMPTED_CODE))
_TOLD = frozenset(
    (
        "ctx.set", "ctx.deleted", "ctx.mutated", "file.listed", "import", "signal",
        "thread.started", "thread.finished",
    )
)  # fmt: skip
_STREAM_NAMES = {-1: "stdout", -2: "stderr"}


class BlockTape(NamedTuple):
    """One block of the run: how it began, what it did, how it ended."""

    started: BlockStarted
    items: list[Event]
    finished: BlockFinished | None
    error: ExceptionRaised | None

    @property
    def end_seq(self) -> int:
        """Seq of `block.finished`, or one past the last recorded event."""
        if self.finished is not None:
            return self.finished.seq
        if not self.items:
            return self.started.seq + 1
        return self.items[-1].seq + count_of(self.items[-1])

    @property
    def forks(self) -> list[ForkApplied]:
        """The changes that were made in it, in order."""
        return [item for item in self.items if isinstance(item, ForkApplied)]


def place_of(fork: ForkApplied, tape: BlockTape, level: str) -> Position:
    """Where a recorded fork left its parent: before its own first event, or after so many statements."""
    steps = fork.position.partition(":")[2]
    if level == "effects" and steps:
        return Position(tape.started.seq, int(steps), tape.started.block)
    return Position(fork.seq)


class Stop(NamedTuple):
    """Where a worker is to stand still inside a block."""

    seq: int
    """The event before which it really stands: the first one at or after the position that has a place."""
    ident: int | None = None
    """Statement before which to stop."""
    passes: int = 0
    """How often that statement has started in the block before."""
    feed: int = -1
    """Index of the coded observation before which to stop."""
    output: tuple[str, int] | None = None
    """Stream, and characters written to it in the block before."""
    steps: int | None = None
    """Statements of the block that ran before (level `effects`)."""
    held: bool = False
    """At a request of the worker: the boundary holds it back."""


def count_of(record: Event) -> int:
    """How many events a record holds."""
    return record.n if isinstance(record, (Lines, Elided)) else 1


def has_codes(record: Event) -> bool:
    """Whether a verified record holds stream codes, which are events and take a value each."""
    return isinstance(record, Lines) and record.n + len(record.vals) > len(record.ids)


def whole_run(trace: Trace, *, start: int = 0) -> Iterator[Event]:
    """All records with events of a run, in order, cut where a fork left its parent.

    Args:
        trace: the run.
        start: first event; of the `lines` record that it lies in, what comes before it is left out.
    """
    units = Units(trace.units())
    for piece in trace.pieces():
        codes = piece.trace.header.codes or CODES
        for placed in piece.records():
            record = placed.record
            if not isinstance(record, Event) or record.seq + count_of(record) <= start:
                continue
            if isinstance(record, Lines):
                units.verify(record, codes, placed.offset)
                if record.seq <= start:
                    record = units.split(record, start - record.seq)[1]
            yield record


class Tapes:
    """The blocks of a run, as often as they are gone through: `block_tapes`, read once if the log is small.

    Args:
        trace: the run.
        most_bytes: up to this size a log is kept as it was read.
    """

    def __init__(self, trace: Trace, *, most_bytes: int = _KEPT_BYTES) -> None:
        self._trace = trace
        self._keeps = sum(os.path.getsize(piece.trace.path) for piece in trace.pieces()) <= most_bytes
        self._kept: list[BlockTape | Event] = []
        self._rest = block_tapes(trace)

    def may_act(self) -> bool:
        """Whether a worker may have to do more at a statement than start it; a large log is only skimmed."""
        return self._keeps or next(self._trace.events(types=_ACTING), None) is not None

    def __iter__(self) -> Iterator[BlockTape | Event]:
        if not self._keeps:
            yield from block_tapes(self._trace)
            return
        for at in count():
            if at == len(self._kept):
                try:
                    tape = next(self._rest, None)
                except LogError:
                    self._keeps = False  # an iterator that has raised would seem to have ended
                    raise
                if tape is None:
                    return
                self._kept.append(tape)
            yield self._kept[at]


def block_tapes(trace: Trace) -> Iterator[BlockTape | Event]:
    """The run as blocks; events outside of blocks come by themselves."""
    started: BlockStarted | None = None
    items: list[Event] = []
    error: ExceptionRaised | None = None
    for record in whole_run(trace):
        if isinstance(record, BlockStarted):
            started, items, error = record, [], None
        elif isinstance(record, BlockFinished) and started is not None:
            yield BlockTape(started, items, record, error)
            started = None
        elif started is None:
            yield record
        elif isinstance(record, ExceptionRaised):
            error = record
        elif not isinstance(record, RunFinished):  # of a fork that ended inside a block
            items.append(record)
    if started is not None:
        yield BlockTape(started, items, None, error)


class Place(NamedTuple):
    """An event of a block, found on its tape."""

    seq: int
    item: int
    """Index of the item that holds it."""
    entry: int
    """Of the entry in its ids, for a `lines` record."""
    ident: int | None
    """Statement or stream code; None for a record of its own."""


class BlockMap:
    """Answers where in a block an event is.

    Args:
        tape: the block.
        units: tables of the run.
    """

    def __init__(self, tape: BlockTape, units: Units) -> None:
        self._tape = tape
        self._units = units

    def stop_at(self, position: Position) -> Stop | None:
        """Where to stop for a position in this block; None: at its end."""
        seq = position.seq
        if position.block is not None:
            return Stop(seq, steps=position.steps)
        if position.steps:
            seq = self._after_steps(seq, position.steps)
        place = self._find(seq)
        if place is None:
            return None
        seq = place.seq
        if place.ident is None:
            return Stop(seq, held=True)
        if place.ident >= 0:
            return Stop(seq, ident=place.ident, passes=self._passes(place))
        if place.ident in OUTPUT_CODES:
            return Stop(seq, output=(_STREAM_NAMES[place.ident], self._written(place)))
        return Stop(seq, feed=self._fed(place))

    def _has_lines(self) -> bool:
        return any(
            isinstance(item, Elided) or (isinstance(item, Lines) and any(ident >= 0 for ident in item.ids))
            for item in self._tape.items
        )

    def _after_steps(self, seq: int, steps: int) -> int:
        """Seq of the statement that begins `steps` statements after event `seq`."""
        left = steps
        for item in self._tape.items:
            if isinstance(item, Elided) and item.seq + item.n > seq:
                raise UsageError(
                    f"position {seq}+{steps} is among statements that were counted but not listed; "
                    f"give a position before event {item.seq}"
                )
            if not isinstance(item, Lines) or item.seq + item.n <= seq:
                continue
            number = item.seq
            for ident in item.ids:
                if ident >= 0 and not self._units.is_statement(ident):
                    continue
                if ident >= 0 and number > seq:
                    left -= 1
                    if left == 0:
                        return number
                number += 1
        if not self._has_lines():
            raise UsageError(
                f"position {seq}+{steps}: at level effects statements are counted from the block's start; "
                f"give it as {self._tape.started.block}:S"
            )
        raise UsageError(
            f"position {seq}+{steps} is beyond block {self._tape.started.block}, "
            f"which ended {steps - left} statements after event {seq}"
        )

    def _find(self, seq: int) -> Place | None:
        """The first event at or after `seq` at which a worker can stand still."""
        for index, item in enumerate(self._tape.items):
            if item.seq + count_of(item) <= seq:
                continue
            if isinstance(item, Lines):
                number = item.seq
                for entry, ident in enumerate(item.ids):
                    if ident >= 0 and not self._units.is_statement(ident):
                        continue
                    if number >= seq and ident not in _NO_PLACE:
                        return Place(number, index, entry, ident)
                    number += 1
            elif isinstance(item, Elided):
                raise UsageError(
                    f"event {seq} is among statements that were counted but not listed; "
                    f"give a position before event {item.seq}"
                )
            elif isinstance(item, Signal) and item.statement is not None:
                return Place(item.seq, index, 0, item.statement)
            elif _is_asked(item):
                return Place(max(seq, item.seq), index, 0, None)
        return None

    def _before(self, place: Place) -> Iterator[tuple[Lines, int]]:
        """The `lines` records up to a place, each with how many of its entries lie before it."""
        for index, item in enumerate(self._tape.items[: place.item + 1]):
            if isinstance(item, Lines):
                yield item, place.entry if index == place.item else len(item.ids)

    def _passes(self, place: Place) -> int:
        assert place.ident is not None
        listed = sum(item.ids[:limit].count(place.ident) for item, limit in self._before(place))
        return listed + _counted(self._tape.items[: place.item], place.ident)

    def _written(self, place: Place) -> int:
        written = 0
        for item, limit in self._before(place):
            values = iter(item.vals)
            for ident in item.ids[:limit]:
                if ident < 0 or not self._units.is_statement(ident):
                    value = next(values)
                    if ident == place.ident and isinstance(value, str):
                        written += len(value)
        return written

    def _fed(self, place: Place) -> int:
        return sum(
            1
            for item, limit in self._before(place)
            for ident in item.ids[:limit]
            if ident < 0 and ident not in _UNFED
        )


def feed_of(tape: BlockTape, units: Units) -> list[tuple[int, object]]:
    """The recorded answers of a block's coded observations, in order."""
    feed: list[tuple[int, object]] = []
    for item in tape.items:
        if not isinstance(item, Lines) or not has_codes(item):
            continue
        values = iter(item.vals)
        bindings = {ident for ident in set(item.ids) if ident >= 0 and not units.is_statement(ident)}
        for ident in item.ids:
            if ident < 0:
                value = next(values)
                if ident not in _UNFED:
                    feed.append((ident, value))
            elif ident in bindings:
                next(values)
    return feed


ACTIONS = {GC_CODE: "gc", PREEMPTED_CODE: "preempt", SIGNAL_CODE: "signal"}
"""What a worker did at a statement besides starting it, by the code that follows the statement."""


def actions_of(tape: BlockTape) -> dict[int, list[tuple[int, str]]]:
    """What was done at which statements of a block: id to (how often it had started before, what)."""
    marks: dict[int, list[tuple[int, str]]] = {}
    for code, action in ACTIONS.items():
        for ident, places in _places_of(tape, code).items():
            marks.setdefault(ident, []).extend((passes, action) for passes in places)
    return marks


def _places_of(tape: BlockTape, code: int) -> dict[int, list[int]]:
    if not any(has_codes(item) and isinstance(item, Lines) and code in item.ids for item in tape.items):
        return {}
    found: dict[int, list[int]] = {}
    counts: Counter[int] = Counter()
    last = -1
    for item in tape.items:
        if isinstance(item, Elided):
            counts.update(dict(item.counts))
        for ident in item.ids if isinstance(item, Lines) else ():
            if ident >= 0:
                counts[ident] += 1
                last = ident
            elif ident == code and last >= 0:
                found.setdefault(last, []).append(counts[last] - 1)
    return found


def _counted(items: list[Event], ident: int) -> int:
    """How often a statement started among those that were only counted."""
    return sum(dict(item.counts).get(ident, 0) for item in items if isinstance(item, Elided))


def is_discarded(tape: BlockTape) -> bool:
    """Whether the block's worker was lost: later blocks know nothing of its variables."""
    return tape.finished is not None and tape.finished.state != "kept"


def last_place(tape: BlockTape, units: Units) -> int | None:
    """The last event of a block at which a worker can stand still; None when there is none.

    What comes after statements that were only counted has no place, and what comes after a signal cannot be
    repeated.
    """
    found: int | None = None
    for item in tape.items:
        if isinstance(item, Elided) or (isinstance(item, Signal) and item.statement is None):
            break
        if isinstance(item, Lines):
            number = item.seq
            for ident in item.ids:
                is_event = ident < 0 or units.is_statement(ident)
                if ident >= 0 and is_event:
                    found = number
                number += is_event
        elif tag_of(type(item)) in _ASKED:
            found = item.seq
    return found


_ASKED = frozenset(
    ("tool.called", "file.opened", "file.renamed", "process.started", "process.signaled", "net.connected")
)
"""What a worker asks, and waits: the answer can be held back."""


def interruption_of(tape: BlockTape) -> Signal | None:
    """The interruption at a statement that a block ended with, if there was one."""
    found = (item for item in tape.items if isinstance(item, Signal) and item.statement is not None)
    return next(found, None)


def call_broken_off(tape: BlockTape) -> bool:
    """Whether the block was stopped in a call of a tool: a replay is stopped there, too."""
    return any(isinstance(item, ToolReturned) and item.is_broken_off for item in tape.items)


def triggers_of(tape: BlockTape, stops: list[Stop]) -> list[tuple[int, list[tuple[int, str]]]]:
    """What statements must do besides starting: stop, or what they did when they were recorded."""
    marks: dict[int, dict[int, set[str]]] = {}

    def mark(ident: int, passes: int, action: str) -> None:
        marks.setdefault(ident, {}).setdefault(passes, set()).add(action)

    for ident, acted in actions_of(tape).items():
        for passes, action in acted:
            mark(ident, passes, action)
    for stop in stops:
        if stop.ident is not None:
            mark(stop.ident, stop.passes, "stop")
    interruption = interruption_of(tape)
    if interruption is not None and interruption.statement is not None:
        ident = interruption.statement
        before = tape.items[: tape.items.index(interruption)]
        passes = sum(item.ids.count(ident) for item in before if isinstance(item, Lines))
        mark(ident, passes + _counted(before, ident), "interrupt")
    triggers = []
    for ident, places in marks.items():
        done = 0
        relative: list[tuple[int, str]] = []
        for passes in sorted(places):
            relative.append((passes - done, "+".join(sorted(places[passes]))))
            done = passes + 1
        triggers.append((ident, relative))
    return triggers


def _is_asked(record: Record) -> bool:
    """True where the worker waits for the host, and so can be held; of the rest it only tells and goes on."""
    return is_workers(record) and record.__struct_config__.tag not in _TOLD


def is_workers(record: Record) -> bool:
    """True for a record that the worker caused by speaking; the others came from the host."""
    kind = record.__struct_config__.tag
    if kind in (
        "tool.called",
        "loop.woke",
        "file.opened",
        "file.renamed",
        "process.started",
        "process.signaled",
        "net.connected",
        "net.opened",
        "net.sent",
        "net.received",
    ):
        return True
    if isinstance(record, Import):
        # Which libraries are new to a worker is no act of the agent's: only its own modules are compared.
        return record.digest is not None
    if kind == "process.finished":
        return getattr(record, "child", None) is not None
    if kind in ("ctx.set", "ctx.deleted", "ctx.mutated", "thread.started", "thread.finished"):
        return True
    if isinstance(record, Signal):
        return record.statement is not None
    cause = getattr(record, "cause", None)
    if kind in ("file.deleted", "file.made"):
        return cause is None and getattr(record, "by", "agent") == "agent"
    if kind == "file.read":
        return cause is None and getattr(record, "via", "") != "main"
    return kind == "file.listed" and cause is None
