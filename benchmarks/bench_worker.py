"""What does the worker cost: its start, a call of a tool through it, and a clock that is read in a loop?

Units of work and budgets: the start of a sandbox, from its call until the worker is ready, at most 150 ms;
a call of a tool that gives a small dict, at most 300 microseconds more than calling it where it lives (a loop
of calls, less the same loop in this process); a million `time.perf_counter()` calls in a loop, at most 3x
bare at `effects`, timed and subtracted as `sides` says. The tool's answers are summed up, the clock must
never go back. The first two are absolute, since people feel no ratio; `python -c pass` is beside them.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.harness import Figure, Options, Spread, WrongResult, main, run_python
from benchmarks.sides import Program, cost
from coda.runtime import Sandbox, tool

CALLS = """\
total = 0
for number in range({calls}):
    total += price("item", number)["price"]
print(total)
"""

CLOCK = """\
from time import perf_counter
earlier = perf_counter()
back = 0
for _ in range({calls}):
    if perf_counter() < earlier:
        back += 1
print(back)
"""


@tool(effect="pure")
def price(name: str, number: int) -> dict[str, object]:
    """Gives the price of something."""
    return {"name": name, "price": number * 3 % 101, "currency": "EUR"}


def questions(options: Options) -> list[Figure]:
    """Gives start, call and clock."""
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as name:
        folder = Path(name)
        return [*_start(folder, options), *_call(folder, options), *_clock(folder, options)]


def _start(folder: Path, options: Options) -> list[Figure]:
    ours, plain = [], []
    for _ in range(options.repeats + 1):
        started = time.perf_counter()
        run_python("-c", "pass")
        plain.append((time.perf_counter() - started) * 1e3)
        started = time.perf_counter()
        sandbox = Sandbox(root=folder, trace=folder / "start.jsonl", force=True)
        ours.append((time.perf_counter() - started) * 1e3)
        sandbox.close()
    figures = []
    for what, values, target in (("start of a worker", ours, 150.0), ("python -c pass", plain, None)):
        spread = Spread.of(values[1:])
        figures.append(Figure(what, "ms", spread.median, spread, target))
    return figures


def _call(folder: Path, options: Options) -> list[Figure]:
    calls = 2_000 if options.lines >= Options().lines else 200
    each = []
    for _ in range(options.repeats):
        started = time.perf_counter()
        expected = sum(int(str(price("item", number)["price"])) for number in range(calls))
        bare = time.perf_counter() - started
        sandbox = Sandbox(
            root=folder, trace=folder / "call.jsonl", tools=[price], primitives=False, force=True
        )
        with sandbox:
            started = time.perf_counter()
            result = sandbox.execute(CALLS.format(calls=calls))
            seconds = time.perf_counter() - started
        if result.stdout != f"{expected}\n":
            raise WrongResult(f"the tool's answers sum up to {result.stdout!r}, not {expected}")
        each.append((seconds - bare) / calls * 1e6)
    spread = Spread.of(each)
    return [Figure("a call of a tool", "us", spread.median, spread, 300.0, note="more than where it lives")]


def _clock(folder: Path, options: Options) -> list[Figure]:
    calls = 1_000_000 if options.lines >= Options().lines else 100_000
    program = Program.of(folder / "clock.py", CLOCK.format(calls=calls))
    if program.printed != "0\n":
        raise WrongResult(f"the clock went back {program.printed!r} times")
    figures = []
    for level, target in (("effects", 3.0), ("values", None)):
        measured = cost(program, level=level, repeats=options.repeats, folder=folder)
        wall, size = measured.wall.ratio(), measured.last.size_bytes / calls
        figures.append(Figure(f"{calls:,} perf_counter(), {level}", "x bare", wall.median, wall, target))
        name = f"size of a reading, {level}"
        figures.append(Figure(name, "bytes", size, Spread.of([size])))
    return figures


if __name__ == "__main__":
    main(questions)
