"""Input of the benchmarks, the same in every run: programs as text, and large traces.

Guarantee: equal arguments give equal input, byte for byte (randomness is seeded by the argument).
"""

from __future__ import annotations

import random
from pathlib import Path

from coda.log import (
    Binding,
    BlockFinished,
    BlockStarted,
    FileRead,
    Header,
    Lines,
    RunFinished,
    RunStarted,
    Statement,
    Table,
    ToolCalled,
    ToolReturned,
    TraceWriter,
)

LINES_AN_ITERATION = 8

_LOOP = """\
def weigh(value, step):
    if value % 3 == 0:
        return value + step
    return value - step


total = 0
kept = 0
for number in range({iterations}):
    half = number // 2
    score = weigh(half, 3)
    if score > 100:
        kept = kept + 1
    total = total + score
    last = score
print(total, kept, last)
"""


def tight_loop(lines: int) -> str:
    """Gives a program of assignments, calls and branches that executes about that many lines.

    Each turn of its loop starts eight statements (seven for some of its first turns), and its only
    output is one line of sums.
    """
    return _LOOP.format(iterations=lines // LINES_AN_ITERATION)


def nothing() -> str:
    """Gives the program whose cost is subtracted from both sides: start-up and closing alone."""
    return "print(0, 0, 0)\n"


SMALL_SOURCE = "number = 1\nother = number + 1\n"


def small_trace(path: Path) -> Path:
    """Writes a trace of one block with two lines, and gives its path."""
    return _write(path, blocks=1, batches=1, lines=2, calls=0, seed=0)


def large_trace(path: Path, *, events: int, seed: int = 1) -> Path:
    """Writes a trace of about that many events and gives its path.

    Nine of ten events are lines, in batches of some hundreds with a few values each, in fifty blocks; the
    rest are tool calls, their answers and reads of files, one in a thousand of which is an `.env`.
    """
    blocks = 50
    batches = max(1, events // (blocks * 600))
    return _write(path, blocks=blocks, batches=batches, lines=540, calls=30, seed=seed)


def _write(path: Path, *, blocks: int, batches: int, lines: int, calls: int, seed: int) -> Path:
    dice = random.Random(seed)
    with TraceWriter(path, Header(run=f"bench-{seed}"), clock=lambda: 0, force=True) as writer:
        writer.append(_started(seed))
        for block in range(1, blocks + 1):
            base = (block - 1) * 4
            writer.append(
                BlockStarted(block=block, source=SMALL_SOURCE, file=f"<block {block}>", table=_table(base))
            )
            for _ in range(batches):
                writer.append(_batch(base, lines, block, dice))
                for _ in range(calls):
                    _call(writer, block, dice)
            writer.append(BlockFinished(block=block, outcome="ok", lines=batches * lines))
        writer.append(RunFinished(outcome="ok"))
    return path


def _started(seed: int) -> RunStarted:
    return RunStarted(
        wall="2026-01-01T00:00:00+00:00", kind="sandbox", coda="0", python="3.11.0", level="values",
        value_limit=64, line_limit=10_000_000, hash_seed=0, random_seed=seed, cwd="/w", root="/w",
    )  # fmt: skip


def _table(base: int) -> Table:
    rows = (
        Statement(1, 1, "assign", 0, ("number",), ()),
        Statement(2, 2, "assign", 0, ("other",), ("number",)),
    )
    return Table(base=base, statements=rows, bindings=(Binding(0, "number"), Binding(1, "other")))


def _batch(base: int, lines: int, block: int, dice: random.Random) -> Lines:
    ids: list[int] = []
    values: list[int] = []
    for at in range(lines):
        ids.append(base + at % 2)
        if at < 8:
            ids.append(base + 2 + at % 2)
            values.append(dice.randrange(1000))
    return Lines(n=lines, ids=tuple(ids), vals=tuple(values), block=block)


def _call(writer: TraceWriter, block: int, dice: random.Random) -> None:
    name = ".env" if dice.random() < 0.001 else f"data/part-{dice.randrange(10_000)}.csv"
    file = f"<block {block}>"
    call = writer.append(ToolCalled(name="read", args=(name,), file=file, line=2))
    writer.append(FileRead(path=name, size=100, via="read", cause=call, file=file, line=2))
    writer.append(ToolReturned(name="read", value="text", cause=call, file=file, line=2))
