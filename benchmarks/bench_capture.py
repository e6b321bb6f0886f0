"""What does it cost to keep files: a folder that an opaque act changed, and a large file that is read again?

Units of work and budgets: the delta of a workspace of ten thousand files, ten of which were changed since
its manifest was taken, at most 100 ms (it must find those ten). And a file of 100 MB that a program reads
ten times: it must be in the store, and what recording adds to the program, timed as `sides` says, is shown
as a multiple of hashing the file once, beside the same for a program that reads it once. Kept and hashed
once, the two are nearly the same; most of either is the way of the content to the host and to the disk.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.harness import Figure, Options, Spread, WrongResult, main
from benchmarks.sides import Program, bare, record
from coda.log import BlobStore
from coda.runtime import Workspace

READ = """\
import os
size = 0
for _ in range({times}):
    with open({path!r}, "rb") as file:
        size += len(file.read())
print(size)
"""


def questions(options: Options) -> list[Figure]:
    """Gives the delta's time, and what reading a large file costs."""
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as name:
        return [_delta(Path(name), options), *_large_file(Path(name), options)]


def _delta(folder: Path, options: Options) -> Figure:
    files = 10_000 if options.lines >= Options().lines else 1_000
    root = folder / "tree"
    paths = [root / f"d{number // 100}" / f"f{number}.txt" for number in range(files)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {path.name}\n", encoding="utf-8")
        os.utime(path, (1_700_000_000, 1_700_000_000))
    workspace = Workspace(root, blobs=BlobStore(folder / "blobs"))
    seconds = []
    for turn in range(options.repeats + 1):
        before = workspace.scan()
        for path in paths[:: files // 10]:
            path.write_text(f"turn {turn}\n", encoding="utf-8")
        started = time.perf_counter()
        found = workspace.delta(before).changes
        seconds.append((time.perf_counter() - started) * 1e3)
        if len(found) != 10:
            raise WrongResult(f"the delta tells {len(found)} changes of 10")
    spread = Spread.of(seconds[1:])
    return Figure(f"delta of {files:,} files, ten changed", "ms", spread.median, spread, 100.0)


def _large_file(folder: Path, options: Options) -> list[Figure]:
    size = 100_000_000 if options.lines >= Options().lines else 5_000_000
    content = os.urandom(size)
    path = folder / "large.bin"
    path.write_bytes(content)
    hashing = []
    for _ in range(options.repeats):
        started = time.perf_counter()
        digest = hashlib.sha256(content).hexdigest()
        hashing.append(time.perf_counter() - started)
    figures = []
    for times in (10, 1):
        program = Program.of(folder / "reads.py", READ.format(times=times, path=str(path)))
        added = [_added(program, digest, folder) for _ in range(options.repeats)]
        spread = Spread.of([seconds / median(hashing) for seconds in added])
        what = "read ten times" if times == 10 else "read once"
        figures.append(Figure(f"{size // 1_000_000} MB {what}", "x hashing", spread.median, spread))
    return figures


def _added(program: Program, digest: str, folder: Path) -> float:
    """Seconds that recording adds to a program; the file must be in the store once."""
    store = folder / "effects.blobs"
    kept = store / digest[:2] / digest[2:]
    kept.unlink(missing_ok=True)
    seconds = record(program.source, program.printed, level="effects", folder=folder).times.wall
    if not kept.is_file():
        raise WrongResult("the file that was read is not in the store")
    return seconds - bare(program).wall


if __name__ == "__main__":
    main(questions)
