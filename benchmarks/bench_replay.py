"""How long do a replay to the last event and a verification take, against the same code run bare?

Unit of work: the tight loop of `generate_data`, 400,000 executed lines, recorded at level `values`; then
its state just before the last event of its block, by running it again with its path followed, and the
verdict on the whole run. Budget: each at most 8x of bare time, and a verification of at least 300,000 line
events a second. Timed in this process from the call of `state_at` or `replay` until it has returned, less
the median of the same for a block that only prints (the start of a worker, its private copy and its end,
which is in the table). Bare runs in a fresh process, timed inside it. The state must hold the sums that bare
printed, and the verdict must have compared every line.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.generate_data import nothing, tight_loop
from benchmarks.harness import Figure, Options, Spread, WrongResult, environment, in_turn, main
from coda.log import Trace, open_trace
from coda.replay import replay, state_at
from coda.runtime import Sandbox


def questions(options: Options) -> list[Figure]:
    """Gives the cost of seeking to the end of the loop, and of verifying it."""
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as name:
        folder = Path(name)
        program = folder / "loop.py"
        program.write_text(tight_loop(options.lines), encoding="utf-8")
        loop = _record(folder, "loop", tight_loop(options.lines))
        empty = _record(folder, "empty", nothing())
        printed = _bare(program)[0]
        figures = []
        for what, act, target in (
            ("replay to the last event", _seek, 8.0),
            ("replay, verify", _verify, 8.0),
        ):
            fixed = Spread.of([act(empty, "0 0 0\n") for _ in range(options.repeats)])
            ours = _less(act, loop, printed, fixed.median)
            pairs = in_turn(options.repeats, ours, lambda: _bare(program)[1])
            spread = pairs.ratio()
            figures.append(Figure(what, "x bare", spread.median, spread, target))
            rate = Spread.of([_lines(loop) / seconds for seconds in pairs.a])
            least = 300_000.0 if act is _verify else None
            figures.append(
                Figure(f"{what}, lines", "events/s", rate.median, rate, least, more_is_better=True)
            )
            shown = Spread(*(value * 1e3 for value in fixed))
            figures.append(Figure(f"{what}, an empty block", "ms", shown.median, shown, note="subtracted"))
        return figures


def _less(
    act: Callable[[Trace, str], float], trace: Trace, printed: str, fixed: float
) -> Callable[[], float]:
    return lambda: act(trace, printed) - fixed


def _record(folder: Path, name: str, source: str) -> Trace:
    path = folder / f"{name}.jsonl"
    with Sandbox(root=folder, trace=path, primitives=False) as sandbox:
        if sandbox.execute(source).outcome != "ok":
            raise WrongResult(f"{name} failed")
    return open_trace(path)


def _seek(trace: Trace, printed: str) -> float:
    """Seconds to the state just before the block's end: everything but its last line has run."""
    end = trace.blocks[-1].end_seq
    assert end is not None
    started = time.perf_counter()
    state = state_at(trace, trace.position(str(end)))
    seconds = time.perf_counter() - started
    names = ("total", "kept", "last")
    if printed != "0 0 0\n":
        sums = " ".join(state.globals[name].repr for name in names) + "\n"
        if sums != printed:
            raise WrongResult(f"the state holds {sums!r}, bare printed {printed!r}")
    return seconds


def _verify(trace: Trace, _: str) -> float:
    started = time.perf_counter()
    verdict = replay(trace)
    seconds = time.perf_counter() - started
    if not verdict.faithful or verdict.lines != _lines(trace):
        raise WrongResult(f"not faithful, or not all was compared: {verdict}")
    return seconds


def _lines(trace: Trace) -> int:
    finished = trace.blocks[-1].finished
    assert finished is not None
    return finished.lines


def _bare(program: Path) -> tuple[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bare", str(program)],
        capture_output=True, text=True, check=True, env=environment(),
    )  # fmt: skip
    return done.stdout, float(done.stderr.split()[0])


if __name__ == "__main__":
    main(questions)
