"""Traces for tests, written through the real writer: small ones of every shape, and big ones fast.

Each builder makes one file and gives its path; the docstring says what a reader must find in it.
Statement tables come from `coda.log.analyse`, so that they are what a recording would hold.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from coda.log import (
    BlockFinished,
    BlockStarted,
    CtxMutated,
    CtxSet,
    Effect,
    ExceptionRaised,
    FileOpened,
    FileRead,
    FileWrote,
    ForkApplied,
    Header,
    Lines,
    LlmRequested,
    LlmResponded,
    Parent,
    ProcessFinished,
    ProcessStarted,
    RunFinished,
    RunStarted,
    SandboxStarted,
    Table,
    ToolCalled,
    ToolDeclared,
    ToolReturned,
    TraceWriter,
    TurnFinished,
    TurnStarted,
    UserMessage,
    analyse,
    open_trace,
    to_envelope,
)

ENV_TEXT = b"API_KEY=sk-test-0123456789abcdefghij\nLIMIT=10\n"

PROGRAM = """\
import os

limit = 3
total = 0


def add(item):
    global total
    total += item
    return total


for n in range(limit):
    add(n)
text = open(".env").read()
print("total", total)
answer = search("python", top=2)
ctx.best = answer[0]
raise ValueError("done")
"""


def ticking(step_ns: int = 1000) -> Callable[[], int]:
    """A clock that advances by the same step at each look, so that traces are the same every time."""
    counter = itertools.count(0, step_ns)
    return lambda: next(counter)


def started(**changes: Any) -> RunStarted:
    """A `run.started` record with ordinary values; any field can be given another."""
    values: dict[str, Any] = {
        "wall": "2026-03-14T15:09:26.535897+00:00",
        "kind": "exec",
        "coda": "0.1.0",
        "python": "3.11.7",
        "platform": "linux-x86_64",
        "level": "values",
        "value_limit": 256,
        "line_limit": 10_000_000,
        "hash_seed": 1,
        "random_seed": 2,
        "cwd": "/home/ada/project",
        "root": "/home/ada/project",
        "argv": ("prog.py",),
        "main": "prog.py",
    }
    return RunStarted(**{**values, **changes})


def table_of(source: str, base: int = 0) -> Table:
    """The statement table of a source text."""
    return analyse(ast.parse(source), base=base).table


class Ids:
    """Ids of a table by what they stand for: `at(line)` a statement, `of(line, name)` a binding."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def at(self, line: int) -> int:
        return next(
            self.table.base + index for index, row in enumerate(self.table.statements) if row.line == line
        )

    def of(self, line: int, name: str) -> int:
        first = self.table.base + len(self.table.statements)
        return next(
            first + index
            for index, row in enumerate(self.table.bindings)
            if row.name == name and self.table.statements[row.statement].line == line
        )


def writer(path: Path, run: str = "20260314T150926-a1b2c3", **options: Any) -> TraceWriter:
    """A writer of a new trace with the ticking clock."""
    options.setdefault("clock", ticking())
    return TraceWriter(path, Header(run=run), **options)


Entries: TypeAlias = list[int | tuple[int, Any]]


def lines(entries: Iterable[int | tuple[int, Any]], table: Table, block: int | None = 1) -> Lines:
    """A `lines` record from ids, and (id, value) pairs for bindings and stream codes."""
    ids: list[int] = []
    vals: list[Any] = []
    for entry in entries:
        if isinstance(entry, tuple):
            ids.append(entry[0])
            vals.append(to_envelope(entry[1]))
        else:
            ids.append(entry)
    end = table.base + len(table.statements)
    return Lines(n=sum(id < end for id in ids), ids=tuple(ids), vals=tuple(vals), block=block)


def program_trace(path: Path, *, run: str = "20260314T150926-a1b2c3", finish: bool = True) -> Path:
    """An exec-like run of PROGRAM: lines and bindings in three batches, recursion-free calls, output, a
    file read, a tool call, ctx, and the exception that ends its only block.

    With `finish=False` the file ends after the tool's answer, as a killed run leaves it.
    """
    table = table_of(PROGRAM)
    ids = Ids(table)
    with writer(path, run) as out:
        out.append(started())
        out.append(ToolDeclared(name="search", signature="(text, top=5)", effect="read"))
        out.append(SandboxStarted(names=("ctx", "search")))
        out.append(BlockStarted(block=1, source=PROGRAM, file="prog.py", table=table))
        loop: list[int | tuple[int, Any]] = [
            ids.at(1),
            (ids.of(1, "os"), os),
            ids.at(3),
            (ids.of(3, "limit"), 3),
        ]
        loop += [ids.at(4), (ids.of(4, "total"), 0), ids.at(7), ids.at(13)]
        total = 0
        for n in range(3):
            total += n
            loop += [(ids.of(13, "n"), n), ids.at(14), ids.at(9), (ids.of(9, "total"), total), ids.at(10)]
        out.append(lines([*loop, ids.at(15)], table))
        digest = out.blobs.put(ENV_TEXT)
        out.append(
            FileRead(path=".env", digest=digest, size=len(ENV_TEXT), file="prog.py", line=15, function="")
        )
        body: Entries = [(ids.of(15, "text"), ENV_TEXT.decode()), ids.at(16)]
        out.append(lines([*body, (-1, "total 3\n"), ids.at(17)], table))
        call = out.append(
            ToolCalled(name="search", args=("python",), kwargs={"top": 2}, line=17, file="prog.py")
        )
        out.append(ToolReturned(name="search", value=["a", "b"], cause=call, line=17, file="prog.py"))
        if not finish:
            return path
        out.append(lines([(ids.of(17, "answer"), ["a", "b"]), ids.at(18)], table))
        out.append(CtxSet(name="best", value="a", expr="answer[0]", file="prog.py", line=18, function=""))
        out.append(lines([ids.at(19)], table))
        out.append(
            ExceptionRaised(
                kind="ValueError", message="done", file="prog.py", line=19, function="",
                traceback='Traceback (most recent call last):\n  File "prog.py", line 19, in <module>\n'
                '    raise ValueError("done")\nValueError: done\n',
                mro=("ValueError", "Exception", "BaseException", "object"),
            )
        )  # fmt: skip
        out.append(BlockFinished(block=1, outcome="error", lines=18))
        out.append(RunFinished(outcome="error", code=1))
    return path


TURNS: tuple[tuple[str, str], ...] = (
    ("I look first.", "names = ls()\nprint(names)\n"),
    (
        "Now I read.",
        "text = read('a.txt')\nctx.text = text\nctx.words = text.split()\nctx.words.append('end')\n",
    ),
    ("A program counts.", "out = bash('wc -w a.txt')\nopen('b.txt', 'w').write(out)\n"),
)


def agent_trace(path: Path, *, run: str = "20260314T151500-b2c3d4") -> Path:
    """An agent run of three turns, a block each: primitives as tools, ctx set and mutated, a process, a
    file written; model requests and replies with token counts; it ends with an answer.
    """
    base = 0
    with writer(path, run) as out:
        out.append(started(kind="run", task="count the words", model="scripted", main=None, argv=()))
        for name in ("ls", "read", "bash"):
            out.append(
                ToolDeclared(name=name, origin="primitive", effect="act" if name == "bash" else "read")
            )
        out.append(SandboxStarted(names=("ctx", "ls", "read", "bash")))
        out.append(UserMessage(text="count the words"))
        for turn, (thought, source) in enumerate(TURNS, 1):
            out.append(TurnStarted(turn=turn))
            asked = out.append(
                LlmRequested(model="scripted", messages=({"role": "user", "content": "go"},), count=turn)
            )
            out.append(
                LlmResponded(
                    text=f"{thought}\n```python\n{source}```",
                    cause=asked,
                    input_tokens=100 * turn,
                    output_tokens=10,
                )
            )
            table = table_of(source, base)
            base = table.end
            out.append(
                BlockStarted(block=turn, source=source, file=f"<block {turn}>", turn=turn, table=table)
            )
            _agent_block(out, turn, table)
            out.append(BlockFinished(block=turn, outcome="ok", lines=len(table.statements)))
            out.append(TurnFinished(turn=turn, blocks=1, done=turn == len(TURNS)))
        out.append(RunFinished(outcome="ok", text="2 words"))
    return path


def _agent_block(out: TraceWriter, turn: int, table: Table) -> None:
    ids = Ids(table)
    file = f"<block {turn}>"

    def call(name: str, argument: tuple[Any, ...], value: Any, line: int) -> None:
        at: dict[str, Any] = {"file": file, "line": line, "function": ""}
        seq = out.append(ToolCalled(name=name, args=argument, **at))
        if name == "read":
            digest = out.blobs.put(b"two words")
            out.append(
                FileRead(path="a.txt", digest=digest, size=9, via="read", cause=seq, file=file, line=line)
            )
        out.append(ToolReturned(name=name, value=value, cause=seq, **at))

    out.append(lines([ids.at(1)], table, turn))
    if turn == 1:
        call("ls", (), ["a.txt"], 1)
        out.append(lines([(ids.of(1, "names"), ["a.txt"]), ids.at(2), (-1, "['a.txt']\n")], table, turn))
    elif turn == 2:
        call("read", ("a.txt",), "two words", 1)
        out.append(lines([(ids.of(1, "text"), "two words"), ids.at(2)], table, turn))
        out.append(CtxSet(name="text", value="two words", expr="text", file=file, line=2, function=""))
        out.append(lines([ids.at(3)], table, turn))
        out.append(CtxSet(name="words", value=["two", "words"], expr="text.split()", file=file, line=3))
        out.append(lines([ids.at(4)], table, turn))
        out.append(CtxMutated(name="words", value=["two", "words", "end"]))
    else:
        seq = out.append(ToolCalled(name="bash", args=("wc -w a.txt",), file=file, line=1, function=""))
        child = out.append(
            ProcessStarted(argv=("wc -w a.txt",), shell=True, via="bash", cause=seq, file=file, line=1)
        )
        out.append(ProcessFinished(code=0, stdout="2 a.txt\n", stderr="", cause=child, file=file, line=1))
        out.append(ToolReturned(name="bash", value="2 a.txt\n", cause=seq, file=file, line=1, function=""))
        out.append(lines([(ids.of(1, "out"), "2 a.txt\n"), ids.at(2)], table, turn))
        opened = out.append(FileOpened(path="b.txt", mode="w", file=file, line=2, function=""))
        digest = out.blobs.put(b"2 a.txt\n")
        out.append(FileWrote(path="b.txt", digest=digest, size=8, cause=opened, file=file, line=2))


LOOP = "total = 0\nfor i in range(n):\n    total += i\n    if i % 2:\n        total -= 1\n"


def big_lines_trace(path: Path, events: int = 400_000, *, batch: int = 20_000) -> Path:
    """One block of LOOP with exactly so many line events, in batches, the first values of each site kept."""
    table = table_of(LOOP)
    ids = Ids(table)
    with writer(path, "20260314T160000-c3d4e5") as out:
        out.append(started(kind="sandbox", main=None))
        out.append(BlockStarted(block=1, source=LOOP, file="<block 1>", table=table))
        out.append(lines([ids.at(1), (ids.of(1, "total"), 0), ids.at(2)], table))
        odd = [ids.at(3), ids.at(4), ids.at(5)]
        cycle = [ids.at(3), ids.at(4), *odd]
        left = events - 2
        while left > 0:
            n = min(batch, left)
            out.append(Lines(n=n, ids=tuple(itertools.islice(itertools.cycle(cycle), n)), block=1))
            left -= n
        out.append(BlockFinished(block=1, outcome="ok", lines=events))
        out.append(RunFinished(outcome="ok"))
    return path


def many_records_trace(path: Path, events: int = 1_000_000, *, reads_every: int = 1000) -> Path:
    """So many small records in one block: clock effects, and a read of a `.env` every `reads_every`.

    Event `k` of the middle part is a `file.read` when `k % reads_every == 0`, else an `effect`.
    """
    source = "for path in paths:\n    read(path)\n"
    table = table_of(source)
    with writer(path, "20260314T170000-d4e5f6") as out:
        out.append(started(kind="sandbox", main=None))
        out.append(BlockStarted(block=1, source=source, file="<block 1>", table=table))
        out.append(lines([Ids(table).at(1), Ids(table).at(2)], table))
        seq = out.next_seq
        last = events - 2
        while seq < last:
            end = min(last, seq + 5000)
            out.append_many(
                FileRead(path=f"d{k % 7}/{k}.env", size=k, file="<block 1>", line=2, function="")
                if k % reads_every == 0
                else Effect(name="time.time", value=k / 7, file="<block 1>", line=2, function="")
                for k in range(seq, end)
            )
            seq = end
        out.append(BlockFinished(block=1, outcome="ok", lines=2))
        out.append(RunFinished(outcome="ok"))
    return path


def fork_trace(path: Path, parent: Path, seq: int, *, run: str = "20260314T180000-e5f6a7") -> Path:
    """A fork of `program_trace` at an event inside its first batch of lines: `total` was set to 10, the
    loop's last part ran again, and the block ended well.
    """
    origin = open_trace(parent)
    relied = parent.read_bytes()
    named = Parent(
        run=origin.run,
        path=os.path.relpath(parent, path.parent),
        seq=seq,
        position=str(seq),
        offset=len(relied),
        sha256=hashlib.sha256(relied).hexdigest(),
    )
    table = table_of(PROGRAM)
    ids = Ids(table)
    with TraceWriter(path, Header(run=run, parent=named), first_seq=seq, clock=ticking()) as out:
        change = {"kind": "set", "name": "total", "expr": "10", "before": 0, "after": 10}
        out.append(ForkApplied(parent=origin.run, position=str(seq), changes=(change,)))
        out.append(
            lines([ids.at(9), (ids.of(9, "total"), 12), ids.at(10), ids.at(16), (-1, "total 12\n")], table)
        )
        out.append(BlockFinished(block=1, outcome="ok", lines=20))
        out.append(RunFinished(outcome="ok", code=0))
    return path
