"""Runs all benchmarks and prints one table: figure, spread, target, whether it is met.

    python -m benchmarks [NAME...] [--quick] [--json]

NAME picks benchmarks (`record` is bench_record.py). `--quick` takes fewer and smaller measurements, for a
look. `--json` prints one object with the figures, the machine and the versions. A benchmark whose result is
wrong, or that fails, is named and the status is 2; a missed target is in the table and is no failure, since
a clock decides nothing.
"""

from __future__ import annotations

import argparse
import compileall
import json
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import coda
from benchmarks import bench_query
from benchmarks.harness import Figure, Options, Spread, quick_options, report, table


def names() -> list[str]:
    """Gives the benchmarks there are, by name."""
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def run(name: str, options: Options) -> list[Figure]:
    """Runs one benchmark."""
    if name == "query":
        return query_figures(options)
    module: Any = import_module(f"benchmarks.bench_{name}")
    figures: list[Figure] = module.questions(options)
    return figures


def query_figures(options: Options) -> list[Figure]:
    """Runs bench_query, which stands alone, and gives its figures: `coda query` and its peers."""
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as folder:
        trace = Path(folder) / "trace.jsonl"
        expected = bench_query.make_trace(trace, options.events)
        times = bench_query.measure(trace, expected, min(5, options.repeats))
    figures = []
    for name, seconds in times.items():
        spread, ours = Spread.of(seconds), name == "coda query"
        title = f"read *.env over {options.events:,} events" if ours else f"the same, {name}"
        figures.append(Figure(title, "s", spread.median, spread, 1.0 if ours else None, note="whole process"))
    return figures


def run_all(chosen: list[str], options: Options) -> tuple[list[Figure], list[str]]:
    """Runs benchmarks one after the other; gives their figures, and the names of those that failed."""
    figures: list[Figure] = []
    failed: list[str] = []
    for name in chosen:
        print(f"bench_{name} ...", file=sys.stderr, flush=True)
        try:
            figures += run(name, options)
        except (Exception, SystemExit):  # noqa: BLE001 - the others have something to say; this one is named
            traceback.print_exc()
            failed.append(name)
    return figures, failed


def main() -> int:
    """Runs what the command line asks for and gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names())}")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller measurements")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    if unknown := sorted({*given.names} - {*names()}):
        parser.error(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(names())}")
    options = quick_options() if given.quick else Options()
    # As after an installation: nobody's coda is compiled anew in each process.
    compileall.compile_dir(Path(coda.__file__).parent, quiet=1)
    figures, failed = run_all(given.names or names(), options)
    print(json.dumps(report(figures)) if given.json else table(figures))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
