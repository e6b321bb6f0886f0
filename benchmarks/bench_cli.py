"""How long does `coda --help` take, against the import of click that it cannot avoid?

Unit of work: one fresh process. Budget: at most 1.5x of `python -c "import click"`, for the help and for
`import coda`. Timed as a whole process, from before the interpreter starts until it has ended, both sides in
turn. The help must list every verb. `coda query` on a small trace and `coda log` are shown beside it, without
a target: they are what people wait for.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.generate_data import small_trace
from benchmarks.harness import Figure, Options, WrongResult, in_turn, main, run_python

VERBS = (
    "exec",
    "run",
    "log",
    "check",
    "runs",
    "replay",
    "state",
    "fork",
    "diff",
    "query",
    "export",
    "serve",
    "view",
    "config",
)


def questions(options: Options) -> list[Figure]:
    """Gives the start of the help, and of two small commands, to that of a click program."""
    repeats = options.repeats * 2
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as folder:
        trace = small_trace(Path(folder) / "small.jsonl")
        commands = {
            "coda --help": (_command("--help", wanted=VERBS), 1.5),
            "import coda": (_import_coda, 1.5),
            "coda log": (_command("log", str(trace), wanted=("block.started",)), None),
            'coda query "line"': (_command("query", "line", str(trace), wanted=("number",)), None),
        }
        figures = []
        for name, (command, target) in commands.items():
            spread = in_turn(repeats, command, _click).ratio()
            figures.append(
                Figure(name, "x import click", spread.median, spread, target, note="whole process")
            )
    return figures


def _command(*arguments: str, wanted: tuple[str, ...]) -> Callable[[], float]:
    def measure() -> float:
        started = time.perf_counter()
        printed = run_python("-m", "coda", *arguments)
        seconds = time.perf_counter() - started
        if missing := [word for word in wanted if word not in printed]:
            raise WrongResult(f"coda {' '.join(arguments)} does not print {', '.join(missing)}")
        return seconds

    return measure


def _import_coda() -> float:
    started = time.perf_counter()
    printed = run_python("-c", "import coda; print(coda.__name__)")
    seconds = time.perf_counter() - started
    if printed != "coda\n":
        raise WrongResult(f"import coda printed {printed!r}")
    return seconds


def _click() -> float:
    started = time.perf_counter()
    run_python("-c", "import click")
    return time.perf_counter() - started


if __name__ == "__main__":
    main(questions)
