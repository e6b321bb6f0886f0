"""The two sides of a recording's cost: a program run bare, and the same program recorded.

Guarantee: both sides printed what was expected, or there is no figure. The recorded side is timed from the
call of `execute` until `close` has returned, so that draining, encoding, writing, sealing and closing are in
it. What the same costs for a block that only prints (start of a block, end of a process, workspace looked
at) is measured in every round as well, and its median is subtracted: it is the same whatever ran.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.generate_data import nothing
from benchmarks.harness import Pairs, Spread, WrongResult, environment
from coda.log import open_trace
from coda.runtime import Sandbox


class Times(NamedTuple):
    """Seconds of one run: by the wall, and of the processors: host and worker, but not the worker's end."""

    wall: float
    cpu: float


class Recorded(NamedTuple):
    """One recording."""

    times: Times
    lines: int
    size_bytes: int


class Cost(NamedTuple):
    """What recording a program costs."""

    wall: Pairs
    """Recorded (less the fixed part) and bare, seconds."""
    cpu: Pairs
    fixed: Spread
    """Seconds of an empty block and closing: what was subtracted."""
    last: Recorded


class Program(NamedTuple):
    """A program, where it is, and what it prints."""

    path: Path
    source: str
    printed: str

    @classmethod
    def of(cls, path: Path, source: str) -> Program:
        """Writes a program down and runs it once, to know what it prints."""
        path.write_text(source, encoding="utf-8")
        return cls(path, source, run_side("benchmarks.bare", path)[0])


def run_side(module: str, *arguments: Path) -> tuple[str, list[float]]:
    """Runs a side in a process of its own; gives what it printed, and the figures on its standard error."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=arguments[0].parent, capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    if done.returncode:
        raise WrongResult(f"{module} ended with {done.returncode}: {done.stderr[-800:]}")
    return done.stdout, [float(word) for word in done.stderr.split()]


def bare(program: Program) -> Times:
    """Runs a program bare, in a fresh process, timed inside it."""
    printed, seconds = run_side("benchmarks.bare", program.path)
    if printed != program.printed:
        raise WrongResult(f"{program.path.name} printed {printed!r} when bare")
    return Times(*seconds)


def record(source: str, printed: str, *, level: str, folder: Path) -> Recorded:
    """Records a program in a folder of its own, as one block."""
    path = folder / f"{level}.jsonl"
    work = folder / "workspace"
    work.mkdir(exist_ok=True)
    sandbox = Sandbox(root=work, trace=path, level=level, primitives=False, force=True)
    with sandbox:
        started, worked = time.perf_counter(), time.process_time() + _worked(sandbox)
        result = sandbox.execute(source)
        workers = _worked(sandbox)
        sandbox.close()
        seconds, worked = time.perf_counter() - started, time.process_time() + workers - worked
    if result.outcome != "ok" or result.stdout != printed:
        raise WrongResult(f"{level}: {result.outcome}, printed {result.stdout!r}, not {printed!r}")
    lines = 0
    if level != "effects":
        finished = open_trace(path).blocks[0].finished
        lines = finished.lines if finished is not None else 0
    return Recorded(Times(seconds, worked), lines, path.stat().st_size)


def cost(program: Program, *, level: str, repeats: int, folder: Path) -> Cost:
    """Measures both sides and the fixed part in turn, the first of them going round.

    One round before is thrown away.
    """
    fixed: list[Times] = []
    ours: list[Recorded] = []
    plain: list[Times] = []

    def one_fixed() -> None:
        fixed.append(record(nothing(), "0 0 0\n", level=level, folder=folder).times)

    def one_of_ours() -> None:
        ours.append(record(program.source, program.printed, level=level, folder=folder))

    def one_bare() -> None:
        plain.append(bare(program))

    sides = [one_bare, one_fixed, one_of_ours]
    for at in range(repeats + 1):
        for side in sides[at % 3 :] + sides[: at % 3]:
            side()
        if not at:
            fixed.clear()
            ours.clear()
            plain.clear()
    less_wall, less_cpu = median(each.wall for each in fixed), median(each.cpu for each in fixed)
    return Cost(
        Pairs([each.times.wall - less_wall for each in ours], [each.wall for each in plain]),
        Pairs([each.times.cpu - less_cpu for each in ours], [each.cpu for each in plain]),
        Spread.of([each.wall for each in fixed]),
        ours[-1],
    )


def _worked(sandbox: Sandbox) -> float:
    """Seconds of processor time of the worker so far, all its threads together (on Linux; else 0)."""
    try:
        return time.clock_gettime(~sandbox.engine.pid << 3 | 2)  # the clock of another process
    except OSError:
        return 0.0
