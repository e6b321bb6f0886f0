"""Records small programs with the real instrumenter and the real writer, in this process.

The worker and its boundary are not used, so that what a query finds is tested without them; effects
are records that the program itself asks for by calling `emit`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from coda.log import (
    BlockFinished,
    BlockStarted,
    Event,
    Header,
    Lines,
    RunFinished,
    RunStarted,
    Trace,
    TraceWriter,
    open_trace,
    to_envelope,
)
from coda.runtime.instrument import compile_unit
from coda.runtime.instrument_hooks import Buffer, Values

ROOT = "/home/ann/job"


def started(level: str = "values", value_limit: int = 256) -> RunStarted:
    """Gives the first event of a run."""
    return RunStarted(
        wall="2026-01-02T03:04:05Z", kind="sandbox", coda="0", python="3.11.7", level=level,
        value_limit=value_limit, line_limit=10**7, hash_seed=0, random_seed=0, cwd=ROOT, root=ROOT,
    )  # fmt: skip


def write(path: Path, records: Sequence[Event], *, level: str = "values") -> Trace:
    """Writes a run of these records and opens it."""
    ticks = iter(range(0, 10**15, 1000))
    with TraceWriter(path, Header(run=path.stem), clock=lambda: next(ticks)) as writer:
        writer.append(started(level))
        for record in records:
            writer.append(record)
        writer.append(RunFinished(outcome="ok"))
    return open_trace(path)


def _envelope(value: Any) -> Any:
    # The hook has summarised what is no scalar.
    return value if isinstance(value, dict) else to_envelope(value)


class Recorder:
    """Runs blocks and writes what they did.

    Args:
        path: the trace to make; its stem is the run id.
        level: record level.
        value_limit: values kept of each site in a block.
        turn: number that the blocks carry.
    """

    def __init__(
        self, path: Path, *, level: str = "values", value_limit: int = 256, turn: int | None = None
    ) -> None:
        ticks = iter(range(0, 10**15, 1000))
        self.writer = TraceWriter(path, Header(run=path.stem), clock=lambda: next(ticks))
        self.level = level
        self.value_limit = value_limit
        self.turn = turn
        self.lines = Buffer()
        self.values = Values()
        self.base = 0
        self.number = 0
        self.bindings: set[int] = set()
        self.namespace: dict[str, Any] = {"__name__": "__main__", "emit": self.emit}
        self.writer.append(started(level, value_limit))

    def emit(self, record: Event) -> int:
        """Writes what ran so far, then the record; gives its number."""
        self.drain()
        return self.writer.append(record)

    def drain(self) -> None:
        ids, values = tuple(self.lines), tuple(map(_envelope, self.values))
        self.lines.clear()
        self.values.clear()
        if ids:
            events = sum(id not in self.bindings for id in ids)
            self.writer.append(Lines(n=events, ids=ids, vals=values, block=self.number))

    def block(self, source: str, *, outcome: str = "ok", prepare: Callable[[], None] | None = None) -> None:
        """Runs one block; an exception of its ends it."""
        self.number += 1
        text = textwrap.dedent(source).lstrip("\n")
        file = f"<block {self.number}>"
        unit = compile_unit(
            text, filename=file, base=self.base, level=self.level, lines=self.lines, values=self.values,
            value_limit=self.value_limit,
        )  # fmt: skip
        self.base = unit.table.end
        self.bindings |= set(range(unit.table.base + len(unit.table.statements), unit.table.end))
        self.writer.append(
            BlockStarted(
                block=self.number, source=text, file=file, table=unit.table, turn=self.turn, note=unit.note
            )
        )
        if prepare is not None:
            prepare()
        try:
            exec(unit.code, self.namespace)
        except Exception:
            outcome = "error"
        self.drain()
        self.writer.append(BlockFinished(block=self.number, outcome=outcome))

    def close(self) -> Trace:
        """Ends the run and opens its trace."""
        self.writer.append(RunFinished(outcome="ok"))
        self.writer.close()
        return open_trace(self.writer.path)


def record(path: Path, *blocks: str, level: str = "values", value_limit: int = 256) -> Trace:
    """Runs blocks and gives the trace."""
    recorder = Recorder(path, level=level, value_limit=value_limit)
    for source in blocks:
        recorder.block(source)
    return recorder.close()
