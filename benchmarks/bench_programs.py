"""What does recording cost over ten programs of different kinds, from a tight loop to work in a library?

Unit of work: one program of `benchmarks/programs` (and the tight loop of `generate_data`), some tens of
milliseconds bare. Budget: a geometric mean of at most 1.4x of bare time at `lines` and 1.7x at `values`.
Timed and subtracted as `sides` says: closing is in it. Both sides must print the same. Each program's ratio
is in the table, without a target of its own. One is a group-by in pandas, or in SQLite where that is missing.
"""

from __future__ import annotations

import re
import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import geometric_mean

from benchmarks.generate_data import tight_loop
from benchmarks.harness import Figure, Options, Spread, main
from benchmarks.sides import Program, cost

LEVELS = {"lines": 1.4, "values": 1.7}
FOLDER = Path(__file__).with_name("programs")
_SIZE = re.compile(r"^SIZE = ([\d_]+)$", re.MULTILINE)


def sources(*, small: bool = False) -> dict[str, str]:
    """Gives the ten programs by name.

    Args:
        small: with a tenth of their sizes, for a look (and for tests).
    """
    unfit = "group_by_sqlite" if find_spec("pandas") else "group_by_pandas"
    found = {"tight_loop": tight_loop(40_000 if small else 400_000)}
    for path in sorted(FOLDER.glob("*.py")):
        if path.stem != unfit:
            source = path.read_text(encoding="utf-8")
            found[path.stem] = _SIZE.sub(_tenth, source) if small else source
    return found


def _tenth(found: re.Match[str]) -> str:
    size = int(found[1])
    return f"SIZE = {size // 10 if size > 100 else size * 3 // 4}"


def questions(options: Options) -> list[Figure]:
    """Gives each program's ratio at each level, and the geometric means."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as name:
        folder = Path(name)
        small = options.lines < Options().lines
        programs = {
            title: Program.of(folder / f"{title}.py", source)
            for title, source in sources(small=small).items()
        }
        for level, target in LEVELS.items():
            walls, cpus = [], []
            for title, program in programs.items():
                measured = cost(program, level=level, repeats=options.repeats, folder=folder)
                walls.append(measured.wall.ratio())
                cpus.append(measured.cpu.ratio())
                figures.append(Figure(f"{title}, {level}", "x bare", walls[-1].median, walls[-1]))
            figures.append(_mean(f"ten programs, {level}", walls, target))
            figures.append(_mean(f"ten programs, {level}, processor time", cpus, None))
    return figures


def _mean(name: str, spreads: list[Spread], target: float | None) -> Figure:
    mean = Spread(*(geometric_mean(max(spread[at], 0.01) for spread in spreads) for at in range(3)))
    return Figure(name, "x bare", mean.median, mean, target, note="geometric mean")


if __name__ == "__main__":
    main(questions)
