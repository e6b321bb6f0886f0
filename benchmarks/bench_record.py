"""What does recording cost, on a tight loop, against the same code run bare and against the peer?

Unit of work: the tight loop of `generate_data` (assignments, calls, branches), 400,000 executed lines.
Budgets: at most 1.05x (`effects`), 1.8x (`lines`) and 2.5x (`values`) of bare time; at most 4 and 12 bytes
a line; and the peer (`peer_settrace`: sys.settrace, one json.dumps and a flush a line) adds at least 150
and 60 times as much a line as we do.

What is timed is said in `sides`: closing is in it, an empty block is subtracted (the figure is in the table).
Bare and peer run in a fresh process each, timed inside it from the first line to the last (the peer: to its
closed log). Each side must print the same sums, and our trace and the peer's log must hold every line. Beside
each ratio of times stands that of processor time, host and worker together, which a busy machine sways less.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.generate_data import tight_loop
from benchmarks.harness import Figure, Options, Spread, WrongResult, main
from benchmarks.sides import Cost, Program, bare, cost, run_side

LEVELS = {"effects": 1.05, "lines": 1.8, "values": 2.5}
BYTES = {"lines": 4.0, "values": 12.0}
PEER = {"lines": 150.0, "values": 60.0}
PEER_REPEATS = 3


def questions(options: Options) -> list[Figure]:
    """Gives the cost of each level, bytes a line, and how much more the peer adds."""
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as name:
        folder = Path(name)
        program = Program.of(folder / "loop.py", tight_loop(options.lines))
        figures: list[Figure] = []
        added: dict[str, Spread] = {}
        for level, target in LEVELS.items():
            # The loop takes some hundredths of a second: repeat it more often than longer measurements.
            measured = cost(program, level=level, repeats=options.repeats * 2, folder=folder)
            more, added[level] = _figures(measured, level, target, options.lines)
            figures += more
        return [*figures, *_peer(program, folder / "peer.log", added, options)]


def _figures(measured: Cost, level: str, target: float, expected: int) -> tuple[list[Figure], Spread]:
    """The table's rows for a level, and the nanoseconds that it adds to a line."""
    lines = measured.last.lines or expected
    if level != "effects" and lines < expected * 0.9:
        raise WrongResult(f"{level}: {lines} lines recorded")
    wall, cpu = measured.wall.ratio(), measured.cpu.ratio()
    figures = [
        Figure(f"record, {level}", "x bare", wall.median, wall, target),
        Figure(f"record, {level}, processor time", "x bare", cpu.median, cpu),
    ]
    if level in BYTES:
        size = measured.last.size_bytes / lines
        figures.append(Figure(f"size, {level}", "bytes a line", size, Spread.of([size]), BYTES[level]))
    milliseconds = Spread(*(value * 1e3 for value in measured.fixed))
    name = f"an empty block and closing, {level}"
    figures.append(Figure(name, "ms", milliseconds.median, milliseconds, note="subtracted above"))
    return figures, Spread.of([max(a - b, 1e-9) / lines * 1e9 for a, b in zip(*measured.wall, strict=True)])


def _peer(program: Program, log: Path, added: dict[str, Spread], options: Options) -> list[Figure]:
    """Measures the peer, and how much more it adds to a line than each level does."""
    costs = []
    for _ in range(min(PEER_REPEATS, options.repeats)):
        printed, (seconds,) = run_side("benchmarks.peer_settrace", program.path, log)
        with open(log, "rb") as file:
            lines = sum(1 for _ in file)
        if printed != program.printed or lines < options.lines * 0.9:
            raise WrongResult(f"the peer printed {printed!r} and logged {lines} lines")
        costs.append((seconds - bare(program).wall) / lines * 1e9)
    spread = Spread.of(costs)
    figures = [Figure("the peer adds", "ns a line", spread.median, spread)]
    for level, target in PEER.items():
        ours = added[level]
        figures.append(Figure(f"we add, {level}", "ns a line", ours.median, ours))
        ratio = Spread(spread.least / ours.most, spread.median / ours.median, spread.most / ours.least)
        name = f"the peer adds more than {level}"
        figures.append(Figure(name, "x", ratio.median, ratio, target, more_is_better=True))
    return figures


if __name__ == "__main__":
    main(questions)
