"""Files that a run had changed when a fork leaves it, and of which its log does not yet tell what became.

Guarantee: the fork's first look at its files tells of them as the parent's next look did, with what they
held before. The wrong alternative is to take them as they are at the fork's position for what they were.
"""

from __future__ import annotations

from collections.abc import Mapping

from coda.log import (
    BlockFinished,
    Event,
    FileDeleted,
    FileOpened,
    FileRenamed,
    FileWrote,
    ProcessFinished,
    ProcessStarted,
    ToolCalled,
    Trace,
)
from coda.runtime import Changed

_KINDS = frozenset((
    "file.opened", "file.wrote", "file.deleted", "file.renamed", "block.finished", "process.started",
    "process.finished", "tool.called",
))  # fmt: skip


def open_files(trace: Trace, before: int, effects: Mapping[str, str]) -> dict[str, Changed]:
    """Gives what agent code had changed by event `before` since the workspace was last looked at, by path.

    Args:
        trace: the run.
        before: number of the event.
        effects: effect of each tool by name; what may act is preceded by a look.
    """
    opened: dict[str, Changed] = {}

    def change(path: str, seq: int, held: str | None) -> None:
        opened[path] = Changed(seq, opened[path].before if path in opened else held)

    for placed in trace.records(own=False, types=_KINDS):
        record = placed.record
        if not isinstance(record, Event) or record.seq >= before:
            continue
        match record:
            case FileOpened(error=None):
                change(record.resolved or record.path, record.seq, record.before)
            case FileRenamed(error=None):
                opened.pop(record.path, None)
                change(record.to, record.seq, record.before)
            case FileWrote() | FileDeleted(error=None):
                opened.pop(record.path, None)
            case BlockFinished() | ProcessStarted() | ProcessFinished():
                opened.clear()
            case ToolCalled() if effects.get(record.name) == "act":
                opened.clear()
    return opened
