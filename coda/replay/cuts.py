"""Runs that were ended from outside: where their log ends, and what of them can be found again.

Guarantee: how such a run ended is told by the log alone. A replay, and a fork without a change, end where the
log does; nobody claims to know at which instant a worker was stopped.
"""

from __future__ import annotations

import importlib.util
from typing import Final

from coda.errors import Diverged, LogError, MissingBlob, MissingEffect
from coda.log import FileRead, Trace
from coda.replay.tape import BlockTape, is_discarded
from coda.runtime import program_end, split_cells

CUT_SHORT: Final = "cut short"
"""Outcome of a run whose log just ends, and of a fork that ends where its parent's log does."""
_FAILED: Final = 125
"""Exit status of a program whose worker failed."""
_ENDS: Final = {"exited": "ended the worker", "error": "ran out of memory"}


def ends_there(trace: Trace, error: MissingEffect) -> bool:
    """Whether it is the log that ends there: a run that was cut short, a fork of one, or at its frontier."""
    finished = trace.finished
    end = trace.count() if finished is None else finished.seq
    return _is_cut(trace) and error.facts.get("seq") == end


def ending(tape: BlockTape) -> str:
    """Says what became of a block whose worker was lost, as in `block 2 ended the worker`."""
    outcome = tape.finished.outcome if tape.finished is not None else ""
    return _ENDS.get(outcome, f"was {outcome} from outside")


def ends_nowhere(tape: BlockTape) -> bool:
    """Whether a block was ended at an instant that no replay finds again."""
    return is_discarded(tape) and tape.finished is not None and tape.finished.outcome != "exited"


def last_block(trace: Trace) -> int:
    """Gives the number of the run's last block; of a program whose log was cut, that of its file's last cell.

    0 when that is not known.
    """
    if trace.started.kind != "exec" or not _is_cut(trace):
        return trace.blocks[-1].number if trace.blocks else 0
    for placed in trace.records(own=False, types={"file.read"}):
        record = placed.record
        if isinstance(record, FileRead) and record.via == "main" and record.digest is not None:
            try:
                return len(split_cells(importlib.util.decode_source(trace.blobs.get(record.digest))))
            except (MissingBlob, LogError, SyntaxError, UnicodeDecodeError):
                return 0  # an archive
    return 0


def compare_end(trace: Trace) -> Diverged | None:
    """Compares the end of a program in the log with what its last block, which was replayed, makes of it.

    None as well where that cannot be told: the log was cut, or the end was a failure of the recorder's own.
    """
    finished = trace.finished
    block = trace.blocks[-1].finished if trace.blocks else None
    if trace.started.kind != "exec" or finished is None or block is None or _is_cut(trace):
        return None
    outcome, code = program_end(block.outcome, block.code)
    failed = (finished.outcome, finished.code) == ("killed", _FAILED)
    if finished.outcome == outcome and (finished.code in (None, code) or failed):
        return None
    recorded = f"{finished.outcome} with exit status {finished.code}"
    found = f"{outcome} with exit status {code}"
    return Diverged(
        f"diverged at event {finished.seq}: the log has the program's end as {recorded}; "
        f"the replay ended {found}",
        seq=finished.seq,
        expected=recorded,
        found=found,
    )


def _is_cut(trace: Trace) -> bool:
    """Whether a log may end inside a block."""
    finished = trace.finished
    if finished is None or finished.outcome in ("frontier", CUT_SHORT):
        return True
    ended_within = bool(trace.blocks) and trace.blocks[-1].finished is None
    return trace.parent is not None and finished.outcome == "interrupted" and ended_within
