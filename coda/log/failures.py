"""Acts on files that failed: their records say so when they are read.

Guarantee: whoever reads a trace, by events or by records, finds `error` on an act that failed. The log has
it in an event of its own, `file.failed`, since an act's intent is written before the act; the wrong
alternative is that each reader joins the two, and some forget to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, TypeGuard

import msgspec

from coda.log.effects import FileDeleted, FileFailed, FileMade, FileOpened, FileRenamed
from coda.log.events import Unknown
from coda.log.records import Record
from coda.log.traceevent import TraceEvent

FAILED: Final = "file.failed"
ACTS: Final = frozenset({"file.opened", "file.deleted", "file.renamed", "file.made"})


def with_failures(types: frozenset[str] | None) -> frozenset[str] | None:
    """Gives the types that have to be read to know which acts of the wanted types failed."""
    return types if types is None or types.isdisjoint(ACTS) else types | {FAILED}


def settled(
    events: Iterable[TraceEvent],
    types: Collection[str] | None,
    *,
    behind: Callable[[], TraceEvent | None] = lambda: None,
) -> Iterator[TraceEvent]:
    """Gives events with the failures of acts on them; an act is given when the event behind it is known.

    Args:
        events: as they come, those of `with_failures`.
        types: those that are wanted.
        behind: gives the event behind the last of them.
    """
    held: TraceEvent | None = None
    for event in events:
        if held is not None:
            yield _told(held, event)
            held = None
        if event.type in ACTS:
            held = event
        elif types is None or event.type in types:
            yield event
    if held is not None:
        yield _told(held, behind())


def _told(act: TraceEvent, after: TraceEvent | None) -> TraceEvent:
    record = act.record if after is None else settle(act.record, after.record)
    return act if record is act.record else msgspec.structs.replace(act, record=record)


def settle(act: Record | Unknown, after: Record | Unknown) -> Record | Unknown:
    """Gives the record of an act with the error that the record behind it may tell of."""
    if isinstance(after, FileFailed) and is_act(act) and after.cause == act.seq:
        return msgspec.structs.replace(act, error=after.error)
    return act


def is_act(record: Record | Unknown) -> TypeGuard[FileOpened | FileDeleted | FileRenamed | FileMade]:
    """Whether it is a record of an act that may fail."""
    return isinstance(record, FileOpened | FileDeleted | FileRenamed | FileMade)
