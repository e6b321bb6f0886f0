"""The decoding examples of docs/log-format.md, recorded: `python -m tests.support.page_examples` writes them.

The records are those of a real recording in a worker. What differs from one recording to the next is made
neutral: run id, clock, interpreter and places; a batch that was sent in two pieces is one. The rows of the
tables are what `coda.log` reads from the result.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

import coda
from coda.log import (
    MARKS,
    Event,
    Header,
    Lines,
    RunStarted,
    Stored,
    TraceEvent,
    TraceWriter,
    open_trace,
    render,
)
from tests.support.programs import dedent

PAGE = Path(__file__).resolve().parents[2] / "docs" / "log-format.md"
BEGIN, END = "<!-- examples -->\n", "<!-- end of examples -->\n"


class Example(NamedTuple):
    """One block of the trace that the page shows."""

    title: str
    source: str
    remark: str


EXAMPLES: Final = (
    Example(
        "Recursion",
        """
        def fact(n):
            if n == 0:
                return 1
            less = fact(n - 1)
            return n * less


        print(fact(2))
        """,
        """
        Arguments stand before the first line of their frame. The value of `less` is known only after the
        lines of the inner call, when that has ended ({exit} is `<exit>` of `fact`): it belongs to the frame
        on top then, and there to the last start of its statement. The output comes when the calls are over;
        its line is that of the last statement before it, whose frame runs no more.
        """,
    ),
    Example(
        "An exception",
        """
        def fall(n):
            if n == 0:
                raise KeyError(n)
            fall(n - 1)


        try:
            fall(1)
        except KeyError as error:
            caught = repr(error)
        """,
        """
        The exception leaves two frames, and each says so ({exit} is `<exit>` of `fall`). `error` is bound
        by the `try` statement, which began long before; what is bound last is known by `block.finished`.
        """,
    ),
    Example(
        "Generators",
        """
        def squares(n):
            for i in range(n):
                yield i * i


        one = squares(2)
        two = squares(9)
        pairs = list(zip(one, two))
        del two
        """,
        """
        A generator's frame begins when it is first asked, and has its arguments then. Two of them run the
        same statements in turn: {resume}, `<resume>`, says which one runs, by its number; {suspend},
        `<suspend>`, that it may stop. `one` ends by itself while `zip` asks it, `two` is thrown away where
        it was suspended: {exit}, `<exit>`, has the number of each.
        """,
    ),
)


def record(path: Path) -> None:
    """Records the examples, one block each, and writes the trace with neutral surroundings."""
    raw = path.with_suffix(".raw.jsonl")
    with tempfile.TemporaryDirectory() as root:
        with coda.Sandbox(root=root, trace=raw, primitives=False) as sandbox:
            for example in EXAMPLES:
                assert sandbox.execute(dedent(example.source)).outcome == "ok"
    clock = itertools.count(0, 1000)
    with TraceWriter(path, Header(run="20260314T150926-a1b2c3"), clock=lambda: next(clock)) as writer:
        for event in _joined(placed.record for placed in open_trace(raw).records()):
            writer.append(_neutral(event))


def _joined(records: Iterator[Any]) -> Iterator[Event]:
    """The events, with `lines` records that follow one another as one."""
    held: Lines | None = None
    for event in records:
        if isinstance(held, Lines) and isinstance(event, Lines):
            held = msgspec.structs.replace(
                held, n=held.n + event.n, ids=held.ids + event.ids, vals=held.vals + event.vals
            )
        elif isinstance(event, Event):
            if held is not None:
                yield held
            held = event if isinstance(event, Lines) else None
            if held is None:
                yield event


def _neutral(event: Event) -> Event:
    if isinstance(event, RunStarted):
        return RunStarted(
            wall="2026-03-14T15:09:26.535+00:00", kind=event.kind, coda="0.1.0", python="3.11.7",
            platform="linux-x86_64", level=event.level, value_limit=event.value_limit,
            line_limit=event.line_limit, hash_seed=event.hash_seed, random_seed=2,
            threads=event.threads, cwd="/home/ada", root="/home/ada", frames=event.frames,
        )  # fmt: skip
    return msgspec.structs.replace(event, t=-1)


def examples() -> str:
    """The examples as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.jsonl"
        record(path)
        lines = path.read_text().splitlines()
        events = list(open_trace(path).events())
    starts = [index for index, line in enumerate(lines) if line.startswith('{"type":"block.started"')] + [
        next(index for index, line in enumerate(lines) if line.startswith('{"type":"run.finished"'))
    ]
    parts = [
        "The file begins with the header and what was before the first block.",
        "",
        *_fence("jsonl", lines[: starts[0]]),
    ]
    for number, (example, first, stop) in enumerate(zip(EXAMPLES, starts, starts[1:], strict=False), 1):
        parts += [f"### {example.title}", "", *_fence("python", dedent(example.source).splitlines())]
        parts += [*_fence("jsonl", lines[first:stop]), _remark(example, lines[first]), ""]
        parts += _rows([event for event in events if event.block == number])
    parts += ["### The end", "", *_fence("jsonl", lines[starts[-1] :])]
    return "\n".join(parts)


def _remark(example: Example, started: str) -> str:
    """The remark, with the ids that the marks of the block's function have."""
    table = msgspec.json.decode(started)["table"]
    first = table["base"] + len(table["statements"])
    ids = {name[1:-1]: first + at for at, (_, name) in enumerate(table["bindings"]) if name in MARKS}
    return dedent(example.remark).strip().format(**ids)


def _fence(language: str, lines: list[str]) -> list[str]:
    return [f"```{language}", *lines, "```", ""]


def _rows(events: list[TraceEvent]) -> list[str]:
    rows = ["| seq | type | line | function | frame | source | bound by then |", "| --- " * 7 + "|"]
    for event in events:
        source = f"`{event.source}`" if event.type == "line" else ""
        bound = ", ".join(_bound(item) for item in event.stored)
        cells = (event.seq, event.type, event.line, event.function, event.frame, source, bound)
        rows.append("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
    return [*rows, ""]


def _bound(item: Stored) -> str:
    at = "" if item.at is None else f" (by {item.at} in {item.frame})"
    return f"`{item.name} = {render(item.value, width=60)}`{at}"


def page_with_examples(page: str) -> str:
    """The page with its examples recorded anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{examples()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_examples(PAGE.read_text()))
