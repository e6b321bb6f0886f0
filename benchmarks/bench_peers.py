"""What do other ways of watching the tight loop cost, where they are installed?

Unit of work: the tight loop of `generate_data`. Peers: `sys.monitoring` line events kept in a list that is
written at the end (CPython 3.12+); VizTracer with its defaults, which sees functions and not lines, saving
included; smolagents' own interpreter, which records nothing; Retrace (`retracesoftware`), which records what
crosses the boundary and no lines, and so compares with our `effects`: a million of `perf_counter()` calls are
there as well. They promise other things than a log of lines that survives the process: no targets.

Each runs in a fresh process, in turn with bare, and must print the same. All but Retrace are timed inside
it; Retrace is a command of its own, timed as a whole process less the same for a program that only prints. A
peer that is not there is named on stderr; `pip install -e '.[bench]'` brings those that an index has.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.bench_worker import CLOCK
from benchmarks.generate_data import nothing, tight_loop
from benchmarks.harness import Figure, Options, Pairs, WrongResult, environment, in_turn, main

REPEATS = 3

# Each runs PROGRAM (argv 1) with the log at argv 2, prints the program's output, and its seconds on stderr.
_FRAME = """\
import sys, time
source = open(sys.argv[1], encoding="utf-8").read()
code = compile(source, sys.argv[1], "exec")
{prepare}
started = time.perf_counter()
{run}
print(time.perf_counter() - started, file=sys.stderr)
"""

_MONITORING = _FRAME.format(
    prepare="""\
monitor, seen = sys.monitoring, []
def line(code, number):
    if code.co_filename == sys.argv[1]:
        seen.append(number)
    else:
        return monitor.DISABLE
monitor.use_tool_id(4, "peer")
monitor.register_callback(4, monitor.events.LINE, line)""",
    run="""\
monitor.set_events(4, monitor.events.LINE)
exec(code, {"__name__": "__main__"})
monitor.set_events(4, 0)
with open(sys.argv[2], "w", encoding="utf-8") as log:
    log.write(repr(seen))""",
)

_VIZTRACER = _FRAME.format(
    prepare="from viztracer import VizTracer",
    run="""\
tracer = VizTracer(output_file=sys.argv[2], verbose=0)
tracer.start()
exec(code, {"__name__": "__main__"})
tracer.stop()
tracer.save()""",
)

_SMOLAGENTS = _FRAME.format(
    prepare="""\
from smolagents.local_python_executor import LocalPythonExecutor
executor = LocalPythonExecutor([], max_print_outputs_length=1000)
executor.send_tools({})""",
    run="""\
print(executor(source).logs, end="")""",
)

PEERS = {
    "sys.monitoring, a list of lines": ("import sys; sys.monitoring", _MONITORING),
    "VizTracer, functions": ("import viztracer", _VIZTRACER),
    "smolagents' interpreter": ("import smolagents.local_python_executor", _SMOLAGENTS),
}


def questions(options: Options) -> list[Figure]:
    """Gives the cost of each peer that is there, to bare."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as name:
        program, log = Path(name) / "loop.py", Path(name) / "peer.json"
        program.write_text(tight_loop(options.lines), encoding="utf-8")
        expected, _ = _run(["-m", "benchmarks.bare", str(program)])
        for peer, (needs, code) in PEERS.items():
            if not _is_there(needs):
                print(f"bench_peers: {peer}: not here", file=sys.stderr)
                continue

            def theirs(peer: str = peer, code: str = code) -> float:
                printed, seconds = _run(["-c", code, str(program), str(log)])
                if printed != expected:
                    raise WrongResult(f"{peer} printed {printed!r}")
                return seconds

            pairs = in_turn(
                min(REPEATS, options.repeats),
                theirs,
                lambda: _run(["-m", "benchmarks.bare", str(program)])[1],
            )
            spread = pairs.ratio()
            figures.append(Figure(peer, "x bare", spread.median, spread))
        return figures + _retrace(Path(name), options)


def _retrace(folder: Path, options: Options) -> list[Figure]:
    if not _is_there("import retracesoftware"):
        print("bench_peers: Retrace: not here", file=sys.stderr)
        return []
    calls = 1_000_000 if options.lines >= Options().lines else 100_000
    figures = []
    for title, source in {
        "Retrace, effects": tight_loop(options.lines),
        f"Retrace, {calls:,} perf_counter()": CLOCK.format(calls=calls),
    }.items():
        program, empty = folder / "program.py", folder / "empty.py"
        program.write_text(source, encoding="utf-8")
        empty.write_text(nothing(), encoding="utf-8")
        expected, _ = _run(["-m", "benchmarks.bare", str(program)])
        fixed, ours, bare = [], [], []
        for _ in range(min(REPEATS, options.repeats) + 1):
            fixed.append(_retraced(empty, "0 0 0\n"))
            ours.append(_retraced(program, expected))
            bare.append(_run(["-m", "benchmarks.bare", str(program)])[1])
        less = median(fixed[1:])
        spread = Pairs([seconds - less for seconds in ours[1:]], bare[1:]).ratio()
        figures.append(Figure(title, "x bare", spread.median, spread, note="whole process"))
    return figures


def _retraced(program: Path, expected: str) -> float:
    recording = program.with_suffix(".retrace")
    recording.unlink(missing_ok=True)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "retracesoftware", "--recording", str(recording), "--", program.name],
        cwd=program.parent, capture_output=True, text=True, check=False, env=environment(), timeout=600,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if done.returncode or done.stdout != expected or not recording.exists():
        raise WrongResult(
            f"Retrace ended with {done.returncode}, printed {done.stdout!r}: {done.stderr[-400:]}"
        )
    return seconds


def _is_there(needs: str) -> bool:
    return subprocess.run([sys.executable, "-c", needs], capture_output=True, check=False).returncode == 0


def _run(arguments: list[str]) -> tuple[str, float]:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment()
    )
    if done.returncode:
        raise WrongResult(f"{arguments[:2]} ended with {done.returncode}: {done.stderr[-800:]}")
    return done.stdout, float(done.stderr.splitlines()[-1].split()[0])


if __name__ == "__main__":
    main(questions)
