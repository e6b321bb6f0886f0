"""Records small programs into traces without a worker: the real instrumenter, the real writer.

Agent code here may call `print`, `ask(x)` (a tool), `save(path, text)` (a file that is written) and set
`ctx.NAME`; each becomes the records that the sandbox writes for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from coda.log import (
    BlockFinished,
    BlockStarted,
    CtxSet,
    Event,
    ExceptionRaised,
    FileWrote,
    ForkApplied,
    Header,
    Lines,
    Parent,
    RunFinished,
    RunStarted,
    ToolCalled,
    ToolReturned,
    Trace,
    TraceWriter,
    open_trace,
    to_envelope,
)
from coda.runtime.instrument import compile_unit
from coda.runtime.instrument_hooks import Buffer, Values

Answer = Callable[[Any], Any]


class Recorder:
    """A run in the making."""

    def __init__(
        self,
        path: Path,
        *,
        run: str = "r1",
        level: str = "values",
        value_limit: int = 64,
        answer: Answer = lambda question: question * 2,
        parent: Parent | None = None,
    ) -> None:
        self.level, self.value_limit, self.answer = level, value_limit, answer
        first = 0 if parent is None else parent.seq
        self.writer = TraceWriter(path, Header(run=run, parent=parent), first_seq=first, clock=lambda: 0)
        self.lines, self.values = Buffer(), Values()
        self.block, self.base, self.is_statement = 0, 0, set[int]()
        self.names: dict[str, Any] = {
            "print": self.print,
            "ask": self.ask,
            "save": self.save,
            "ctx": _Ctx(self),
        }
        if parent is None:
            started = RunStarted(
                wall="2026-01-02T03:04:05Z", kind="sandbox", coda="0", python="3.11.7", level=level,
                value_limit=value_limit, line_limit=10**7, hash_seed=0, random_seed=0, cwd="/w", root="/w",
            )  # fmt: skip
            self.emit(started)

    def emit(self, record: Event) -> None:
        self.drain()
        self.writer.append(record)

    def drain(self, *more: tuple[int, Any]) -> None:
        ids, vals = list(self.lines), [_envelope(value) for value in self.values]
        self.lines.clear()
        self.values.clear()
        for code, value in more:
            ids.append(code)
            vals.append(to_envelope(value))
        if ids:
            n = sum(1 for entry in ids if entry < 0 or entry in self.is_statement)
            self.writer.append(Lines(n=n, ids=tuple(ids), vals=tuple(vals), block=self.block))

    def print(self, *words: object) -> None:
        self.drain((-1, " ".join(map(str, words)) + "\n"))

    def ask(self, question: Any) -> Any:
        self.emit(ToolCalled(name="ask", args=(to_envelope(question),)))
        called = self.writer.next_seq - 1
        answer = self.answer(question)
        self.emit(ToolReturned(name="ask", value=to_envelope(answer), cause=called))
        return answer

    def save(self, path: str, text: str) -> None:
        data = text.encode()
        self.emit(FileWrote(path=path, digest=self.writer.blobs.put(data), size=len(data)))

    def run(self, source: str) -> bool:
        """Executes one block and records it; False when it failed."""
        self.block += 1
        unit = compile_unit(
            source, filename=f"<block {self.block}>", base=self.base, level=self.level,
            lines=self.lines, values=self.values, value_limit=self.value_limit,
        )  # fmt: skip
        self.is_statement.update(range(self.base, self.base + len(unit.table.statements)))
        self.base = unit.table.end
        self.emit(
            BlockStarted(block=self.block, source=source, file=f"<block {self.block}>", table=unit.table)
        )
        unit.budget.refill(self.value_limit)
        outcome = "ok"
        try:
            exec(unit.code, self.names)
        except Exception as error:
            outcome = "error"
            self.emit(ExceptionRaised(kind=type(error).__name__, message=str(error)))
        self.emit(BlockFinished(block=self.block, outcome=outcome))
        return outcome == "ok"

    def finish(self, outcome: str, text: str | None = None) -> Trace:
        self.emit(RunFinished(outcome=outcome, text=text))
        self.writer.close()
        return open_trace(self.writer.path)


def _envelope(captured: Any) -> Any:
    """Captured values are scalars, or in the envelope already."""
    return captured if isinstance(captured, dict) else to_envelope(captured)


class _Ctx:
    _recorder: Recorder

    def __init__(self, recorder: Recorder) -> None:
        object.__setattr__(self, "_recorder", recorder)

    def __setattr__(self, name: str, value: Any) -> None:
        self._recorder.emit(CtxSet(name=name, value=to_envelope(value)))


def record(path: Path, *sources: str, **options: Any) -> Trace:
    """Records blocks one after the other; the first that fails ends the run."""
    recorder = Recorder(path, **options)
    with contextlib.closing(recorder.writer):
        fine = all(recorder.run(source) for source in sources)
        return recorder.finish("ok" if fine else "error")


def fork_of(
    parent: Trace, path: Path, at: int, rest: Sequence[Event], changes: Sequence[dict[str, Any]]
) -> Trace:
    """Writes a fork of `parent` at event `at` whose own events are `rest`."""
    header = Header(run="f1", parent=Parent(run=parent.run, path=parent.path.name, seq=at, position=str(at)))
    writer = TraceWriter(path, header, first_seq=at, clock=lambda: 0)
    writer.append(ForkApplied(parent=parent.run, position=str(at), changes=tuple(changes)))
    for event in rest:
        writer.append(event)
    writer.close()
    return open_trace(path)
