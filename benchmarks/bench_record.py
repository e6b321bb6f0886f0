"""What does recording cost, on a tight loop, against the same code run bare and against the peer?

Unit of work: the tight loop of `generate_data` (assignments, calls, branches), 400,000 executed lines.
Budgets: at most 1.05x (`effects`), 1.8x (`lines`) and 2.5x (`values`) of bare time; at most 4 and 12 bytes
a line; and the peer (`peer_settrace`: sys.settrace, one json.dumps and a flush a line) adds at least 150
and 60 times as much a line as we do.

What is timed: ours from the call of `execute` until `close` has returned, so that draining, encoding,
writing, sealing and closing are in it; less the median of the same for a block that only prints, which
is what start-up and closing cost whatever ran (the figure is in the table). Bare and peer run in a fresh
process each, timed inside it from the first line to the last (the peer: to its closed log). Each side must
print the same sums, and our trace and the peer's log must hold every line.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.generate_data import nothing, tight_loop
from benchmarks.harness import Figure, Options, Spread, WrongResult, environment, in_turn, main
from coda.log import open_trace
from coda.runtime import Sandbox

LEVELS = {"effects": 1.05, "lines": 1.8, "values": 2.5}
BYTES = {"lines": 4.0, "values": 12.0}
PEER = {"lines": 150.0, "values": 60.0}
PEER_REPEATS = 3


class Recorded(NamedTuple):
    """One recording of the loop."""

    seconds: float
    lines: int
    size: int


def questions(options: Options) -> list[Figure]:
    """Gives the cost of each level, bytes a line, and how much more the peer adds."""
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as folder:
        bench = _Bench(Path(folder), options)
        figures: list[Figure] = []
        added: dict[str, Spread] = {}
        for level, target in LEVELS.items():
            more, added[level] = bench.level(level, target)
            figures += more
        return [*figures, *bench.peer(added)]


class _Bench:
    def __init__(self, folder: Path, options: Options) -> None:
        self.folder, self.options = folder, options
        self.source = tight_loop(options.lines)
        self.program = folder / "loop.py"
        self.program.write_text(self.source, encoding="utf-8")
        self.expected = self._run("benchmarks.bare", self.program)[0]

    def level(self, level: str, target: float) -> tuple[list[Figure], Spread]:
        """Measures one level; also gives the nanoseconds that it adds to a line."""
        fixed = Spread.of(
            [self.record(nothing(), level, "0 0 0\n").seconds for _ in range(self.options.repeats)]
        )
        last: list[Recorded] = []

        def ours() -> float:
            last[:] = [self.record(self.source, level, self.expected)]
            return last[0].seconds - fixed.median

        pairs = in_turn(self.options.repeats, ours, self.bare)
        spread = pairs.ratio()
        figures = [Figure(f"record, {level}", "x bare", spread.median, spread, target)]
        lines = last[0].lines or self.options.lines
        if level in BYTES:
            size = last[0].size / lines
            figures.append(Figure(f"size, {level}", "bytes a line", size, Spread.of([size]), BYTES[level]))
        milliseconds = Spread(*(value * 1e3 for value in fixed))
        name = f"an empty block and closing, {level}"
        figures.append(Figure(name, "ms", milliseconds.median, milliseconds, note="subtracted above"))
        added = [max(a - b, 1e-9) / lines * 1e9 for a, b in zip(*pairs, strict=True)]
        return figures, Spread.of(added)

    def peer(self, added: dict[str, Spread]) -> list[Figure]:
        """Measures the peer, and how much more it adds to a line than each level does."""
        log = self.folder / "peer.log"
        costs = []
        for _ in range(min(PEER_REPEATS, self.options.repeats)):
            printed, seconds = self._run("benchmarks.peer_settrace", self.program, log)
            with open(log, "rb") as file:
                lines = sum(1 for _ in file)
            if printed != self.expected or lines < self.options.lines * 0.9:
                raise WrongResult(f"the peer printed {printed!r} and logged {lines} lines")
            costs.append((seconds - self.bare()) / lines * 1e9)
        spread = Spread.of(costs)
        figures = [Figure("the peer adds", "ns a line", spread.median, spread)]
        for level, target in PEER.items():
            ours = added[level]
            figures.append(Figure(f"we add, {level}", "ns a line", ours.median, ours))
            ratio = Spread(spread.least / ours.most, spread.median / ours.median, spread.most / ours.least)
            name = f"the peer adds more than {level}"
            figures.append(Figure(name, "x", ratio.median, ratio, target, more_is_better=True))
        return figures

    def bare(self) -> float:
        printed, seconds = self._run("benchmarks.bare", self.program)
        if printed != self.expected:
            raise WrongResult(f"bare printed {printed!r}")
        return seconds

    def record(self, source: str, level: str, expected: str) -> Recorded:
        path = self.folder / f"{level}.jsonl"
        sandbox = Sandbox(root=self.folder, trace=path, level=level, primitives=False, force=True)
        with sandbox:
            started = time.perf_counter()
            result = sandbox.execute(source)
            sandbox.close()
            seconds = time.perf_counter() - started
        if result.outcome != "ok" or result.stdout != expected:
            raise WrongResult(f"{level}: {result.outcome}, printed {result.stdout!r}")
        lines = 0 if level == "effects" else open_trace(path).blocks[0].finished.lines  # type: ignore[union-attr]
        if level != "effects" and source == self.source and lines < self.options.lines * 0.9:
            raise WrongResult(f"{level}: {lines} lines recorded")
        return Recorded(seconds, lines, path.stat().st_size)

    def _run(self, module: str, *arguments: Path) -> tuple[str, float]:
        """Runs a side in a process of its own; gives what the loop printed, and the seconds it took."""
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=self.folder, capture_output=True, text=True, check=False, env=environment(),
        )  # fmt: skip
        if done.returncode:
            raise WrongResult(f"{module} ended with {done.returncode}: {done.stderr[-800:]}")
        return done.stdout, float(done.stderr)


if __name__ == "__main__":
    main(questions)
