"""How long does `coda query "read *.env"` take on a trace of a million events?

Unit of work: one whole process, start-up included, over one trace of small records, a fifth of which are
reads of other files. Budget: at most 1 s. The same question is put in turn to `grep -c` on the raw bytes
(the physical limit), to a scan that decodes every line with `json.loads`, and to `jq` where installed;
each must find the same number of reads. Prints seconds (median of the runs) and ratios.

    python benchmarks/bench_query.py [--events N] [--runs N] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from coda.log import Event, FileListed, FileRead, Header, RunStarted, ToolCalled, TraceWriter

NAIVE = """
import fnmatch, json, sys
found = 0
for line in open(sys.argv[1], encoding="utf-8"):
    record = json.loads(line)
    if record["type"] == "file.read" and fnmatch.fnmatch(record["path"].rpartition("/")[2], "*.env"):
        found += 1
print(found)
"""
JQ = 'select(.type == "file.read" and (.path | test("\\\\.env$"))) | .seq'


def records(events: int) -> Iterator[Event]:
    """Gives records of an ordinary mix; one read in two thousand is of a `.env`."""
    place = {"file": "<block 1>", "line": 4, "function": "scan"}
    for number in range(events):
        if number % 10 < 5:
            yield FileListed(path=f"src/package{number % 97}", **place)  # type: ignore[arg-type]
        elif number % 10 < 8:
            args = ("TODO", f"src/module{number}.py")
            yield ToolCalled(name="grep", args=args, **place)  # type: ignore[arg-type]
        else:
            name = f"conf/{number}.env" if number % 10_000 == 9 else f"src/module{number}.py"
            yield FileRead(path=name, size=1000, **place)  # type: ignore[arg-type]


def make_trace(path: Path, events: int) -> int:
    """Writes the trace with the real writer; gives how many reads of a `.env` are in it."""
    start = RunStarted(
        wall="2026-01-01T00:00:00Z", kind="sandbox", coda="0", python=platform.python_version(),
        level="lines", value_limit=0, line_limit=10**7, hash_seed=0, random_seed=0, cwd="/job", root="/job",
    )  # fmt: skip
    with TraceWriter(path, Header(run="bench")) as writer:
        writer.append(start)
        source = records(events - 1)
        while batch := list(itertools.islice(source, 10_000)):
            writer.append_many(batch)
    return sum(number % 10_000 == 9 for number in range(events - 1))


def commands(trace: Path) -> dict[str, list[str]]:
    """Gives what is compared, by name."""
    python = sys.executable
    found = {
        "coda query": [python, "-m", "coda", "query", "read *.env | count", str(trace)],
        "python -c pass": [python, "-c", "pass"],
        "grep -c": ["grep", "-c", '^{"type":"file.read".*\\.env"', str(trace)],
        "json.loads": [python, "-c", NAIVE, str(trace)],
    }
    if shutil.which("jq"):
        found["jq"] = ["jq", JQ, str(trace)]
    return found


def count_of(name: str, output: str) -> int:
    """Gives how many reads a side found."""
    return len(output.splitlines()) if name == "jq" else int(output.replace(",", "") or 0)


def measure(trace: Path, expected: int, runs: int) -> dict[str, list[float]]:
    """Runs the sides in turn, so that a slow moment of the machine is shared.

    Raises:
        SystemExit: a side gave a wrong answer; its time would mean nothing.
    """
    times: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, command in commands(trace).items():
            begin = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times.setdefault(name, []).append(time.perf_counter() - begin)
            if name != "python -c pass" and count_of(name, done.stdout) != expected:
                raise SystemExit(f"{name} found {done.stdout.strip()[:40]}, expected {expected}")
    return times


def main() -> int:
    """Makes the trace, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.jsonl"
        expected = make_trace(trace, options.events)
        size = trace.stat().st_size
        times = measure(trace, expected, options.runs)
    own = statistics.median(times["coda query"])
    if options.json:
        body = {
            "bench": "query", "unit": "s", "events": options.events, "bytes": size, "python": sys.version,
            "machine": platform.platform(), "seconds": times,
        }  # fmt: skip
        print(json.dumps(body))
        return 0
    print(
        f"read *.env over {options.events:,} events, {size:,} bytes; median of {options.runs} (least to most)"
    )
    for name, taken in times.items():
        middle = statistics.median(taken)
        ratio = f"{middle / own:7.2f}x of coda" if name != "coda query" else "  budget 1 s"
        print(f"  {name:<16}{middle:8.3f} s  ({min(taken):.3f} to {max(taken):.3f}){ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
