"""How much memory does the recorder take on an endless loop, and a reader on a log of ten million lines?

Unit of work: an endless loop at level `values`, interrupted after some seconds; then one of ten million
lines, whose log is shown. Budget: the worker, which holds the recorder's buffers, grows by at most 128 MiB
from the loop's first line on, and the trace is consistent. `coda log` prints its first line as soon as for a
trace of one block (at most 1.5x, whole processes), and a million lines take at most 1.1x of the memory that a
tenth of them takes. Peaks are those that the system kept (`VmHWM`, `ru_maxrss`), so this needs Linux.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.generate_data import small_trace, tight_loop
from benchmarks.harness import Figure, Options, Spread, WrongResult, environment, in_turn, main
from coda.log import check_trace, open_trace
from coda.runtime import Sandbox

MOST_MIB = 128.0

ENDLESS = """\
total = 0
while True:
    total = total + 1
    other = total % 7
    if other == 3:
        total = total + 1
"""

# Runs `coda log` on argv 1, reads at most argv 2 lines of it, and says when the first line came, how many
# there were, and the most memory that the reader of the log had.
READER = """\
import resource, subprocess, sys, time
started = time.perf_counter()
child = subprocess.Popen([sys.executable, "-m", "coda", "log", sys.argv[1]], stdout=subprocess.PIPE)
first = child.stdout.readline()
seconds = time.perf_counter() - started
lines = 1 + sum(1 for _, _ in zip(range(int(sys.argv[2]) - 1), child.stdout))
child.stdout.close()
child.wait()
print(seconds, lines, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


class Read(NamedTuple):
    """One reading of a log."""

    first_s: float
    lines: int
    peak_mib: float


def questions(options: Options) -> list[Figure]:
    """Gives the recorder's growth, and what the long log takes to show."""
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as name:
        folder = Path(name)
        lines = options.lines * 25
        return [*_endless(folder, options), *_long(folder, lines, options)]


def _endless(folder: Path, options: Options) -> list[Figure]:
    seconds = 4.0 if options.lines >= Options().lines else 1.0
    path = folder / "endless.jsonl"
    sandbox = Sandbox(root=folder, trace=path, level="values", primitives=False, timeout_s=seconds)
    with sandbox:
        before = _resident_mib(sandbox.engine.pid)
        result = sandbox.execute(ENDLESS)
        after = _resident_mib(sandbox.engine.pid)
    if result.outcome != "interrupted" or result.lines < 100_000:
        raise WrongResult(f"the endless loop: {result.outcome}, {result.lines} lines")
    report = check_trace(path)
    if not report.consistent:
        raise WrongResult(f"the interrupted loop's trace: {report.damage}")
    grown = Spread.of([after - before])
    return [
        Figure("endless loop, the recorder grew", "MiB", grown.median, grown, MOST_MIB),
        Figure("lines of it", "million", result.lines / 1e6, Spread.of([result.lines / 1e6])),
    ]


def _long(folder: Path, lines: int, options: Options) -> list[Figure]:
    path, small = folder / "long.jsonl", small_trace(folder / "small.jsonl")
    started = time.perf_counter()
    with Sandbox(root=folder, trace=path, level="lines", primitives=False) as sandbox:
        result = sandbox.execute(tight_loop(lines))
    recorded = time.perf_counter() - started
    if result.outcome != "ok" or result.lines < lines * 0.9:
        raise WrongResult(f"the long loop: {result.outcome}, {result.lines} lines")
    first = in_turn(
        min(5, options.repeats), lambda: _read(path, 1).first_s, lambda: _read(small, 1).first_s
    ).ratio()
    much, little = _read(path, lines // 10), _read(path, lines // 100)
    if much.lines < lines // 10:
        raise WrongResult(f"coda log printed {much.lines} of {open_trace(path).count()} events")
    memory = Spread.of([much.peak_mib / little.peak_mib])
    title = f"{result.lines / 1e6:.1f} million lines"
    return [
        Figure(f"{title}, recorded", "s", recorded, Spread.of([recorded])),
        Figure(f"{title}, size", "MB", path.stat().st_size / 1e6, Spread.of([path.stat().st_size / 1e6])),
        Figure(f"{title}, first line shown", "x a small one", first.median, first, 1.5),
        Figure("a tenth of them shown, peak", "MiB", much.peak_mib, Spread.of([much.peak_mib])),
        Figure("a tenth of them shown, peak", "x a hundredth", memory.median, memory, 1.1),
    ]


def _read(path: Path, lines: int) -> Read:
    done = subprocess.run(
        [sys.executable, "-c", READER, str(path), str(lines)],
        capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    if done.returncode:
        raise WrongResult(f"reading {path.name} ended with {done.returncode}: {done.stderr[-800:]}")
    seconds, shown, peak = done.stdout.split()
    return Read(float(seconds), int(shown), int(peak) / 1024)


def _resident_mib(pid: int) -> float:
    """The most memory that a process has had so far."""
    for row in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if row.startswith("VmHWM:"):
            return int(row.split()[1]) / 1024
    raise WrongResult("the system does not tell a process's peak of memory")


if __name__ == "__main__":
    main(questions)
