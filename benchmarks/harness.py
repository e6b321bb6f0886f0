"""Measuring in pairs: the two sides of a ratio are run in turn, within one run of the benchmark.

Guarantee: every figure comes with its spread, a ratio is the median of the ratios of neighbouring
pairs (so a machine that slows down half-way slows both sides), and a side whose result is wrong
raises `WrongResult` instead of giving a number.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import NamedTuple


class WrongResult(Exception):
    """A side of a benchmark did not compute what it should have: its time means nothing."""


class Spread(NamedTuple):
    """What repeated measurements of one thing gave."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Gives least, median and most of values (at least one)."""
        return cls(min(values), statistics.median(values), max(values))


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was measured.
        unit: of value and target; `x` for a ratio.
        value: the figure.
        spread: least, median and most over the repetitions.
        target: what it should be; None when there is no target.
        more_is_better: whether the target is a least value instead of a most.
        note: how it was measured, in a few words.
    """

    name: str
    unit: str
    value: float
    spread: Spread
    target: float | None = None
    more_is_better: bool = False
    note: str = ""

    @property
    def meets(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.value >= self.target if self.more_is_better else self.value <= self.target


class Pairs(NamedTuple):
    """Two sides measured in turn."""

    a: list[float]
    b: list[float]

    def ratio(self) -> Spread:
        """Gives a to b over neighbouring pairs."""
        return Spread.of([left / right for left, right in zip(self.a, self.b, strict=True)])


@dataclass(frozen=True)
class Options:
    """How thorough a run is.

    Attributes:
        repeats: how many pairs of each measurement.
        lines: how many lines the tight loop executes.
        events: how many events the large trace holds.
    """

    repeats: int = 9
    lines: int = 400_000
    events: int = 1_000_000


def quick_options() -> Options:
    """Gives the options of a quick look."""
    return Options(repeats=3, lines=80_000, events=100_000)


def in_turn(repeats: int, a: Callable[[], float], b: Callable[[], float]) -> Pairs:
    """Measures a and b in turn, the first of them alternating; one pair before is thrown away."""
    pairs = Pairs([], [])
    for at in range(repeats + 1):
        order = [(a, pairs.a), (b, pairs.b)]
        for measure, values in order if at % 2 else order[::-1]:
            value = measure()
            if at:
                values.append(value)
    return pairs


def run_python(*arguments: str, folder: Path | None = None) -> str:
    """Runs this interpreter with arguments and gives its standard output.

    Raises:
        WrongResult: it failed; the message holds the end of its standard error.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    if done.returncode:
        raise WrongResult(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-800:]}")
    return done.stdout


def environment() -> dict[str, str]:
    """Gives the environment for children: this one, with the repository importable and no exporters."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def machine() -> dict[str, object]:
    """Gives what a figure depends on: interpreter, system and versions."""
    versions = {}
    for name in (
        "coda-replay",
        "msgspec",
        "click",
        "textual",
        "viztracer",
        "smolagents",
        "retracesoftware",
        "pandas",
    ):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "versions": versions,
    }


def table(figures: Sequence[Figure]) -> str:
    """Gives the figures as text: name, figure, spread, target, whether it is met."""
    rows = [("figure", "value", "least .. most", "target", "")]
    for figure in figures:
        bound = (
            "" if figure.target is None else f"{'>=' if figure.more_is_better else '<='} {figure.target:g}"
        )
        met = {None: "", True: "met", False: "MISSED"}[figure.meets]
        spread = f"{figure.spread.least:.3g} .. {figure.spread.most:.3g}"
        rows.append((figure.name, f"{figure.value:.3g} {figure.unit}", spread, bound, met))
    widths = [max(len(row[at]) for row in rows) for at in range(5)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(widths[at]) for at, cell in enumerate(row[1:], 1))]
        ).rstrip()
        for row in rows
    )


def report(figures: Sequence[Figure]) -> dict[str, object]:
    """Gives the figures and the machine as one JSON object."""
    rows = [
        {**asdict(figure), "spread": figure.spread._asdict(), "meets": figure.meets} for figure in figures
    ]
    return {"schema": "coda.bench/1", "machine": machine(), "figures": rows}


def main(question: Callable[[Options], list[Figure]]) -> None:
    """Runs one benchmark from its file: prints its table, or with --json one object."""
    figures = question(quick_options() if "--quick" in sys.argv else Options())
    print(json.dumps(report(figures)) if "--json" in sys.argv else table(figures))
