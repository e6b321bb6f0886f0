"""What does it cost to keep files: a folder that an opaque act changed, and a large file that is read again?

Units of work and budgets: the delta of a workspace of ten thousand files, ten of which were changed since
its manifest was taken, at most 100 ms (it must find those ten). And a file of 100 MB that a program reads,
with room for it (`max_blob_bytes`): it must be in the store; what recording adds to the program, from the
call of `execute` until `close` has returned, is shown as a multiple of hashing the file once, and for a
program that reads it ten times as a multiple of that: kept and hashed once, it costs little more.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Figure, Options, Spread, WrongResult, in_turn, main
from benchmarks.sides import Program, bare
from coda.log import BlobStore
from coda.runtime import Sandbox, Workspace

_MOST_BYTES = 256 << 20

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
    digest = hashlib.sha256(content).hexdigest()

    def adds(times: int) -> Callable[[], float]:
        program = Program.of(folder / f"reads{times}.py", READ.format(times=times, path=str(path)))
        return lambda: _added(program, digest, folder)

    def hashing() -> float:
        started = time.perf_counter()
        hashlib.sha256(content).hexdigest()
        return time.perf_counter() - started

    turns = min(3, options.repeats)
    what = f"recording adds to {size // 1_000_000} MB read"
    once = in_turn(turns, adds(1), hashing).ratio()
    ten = in_turn(turns, adds(10), adds(1)).ratio()
    return [
        Figure(f"{what} once, to hashing", "x", once.median, once),
        Figure(f"{what} ten times, to once", "x", ten.median, ten),
    ]


def _added(program: Program, digest: str, folder: Path) -> float:
    """Seconds that recording adds to a program; the file must be in the store."""
    work, trace = folder / "workspace", folder / "reads.jsonl"
    work.mkdir(exist_ok=True)
    kept = trace.with_suffix(".blobs") / digest[:2] / digest[2:]
    kept.unlink(missing_ok=True)
    sandbox = Sandbox(
        root=work, trace=trace, level="effects", primitives=False, force=True, max_blob_bytes=_MOST_BYTES
    )
    with sandbox:
        started = time.perf_counter()
        result = sandbox.execute(program.source)
        sandbox.close()
        seconds = time.perf_counter() - started
    if result.stdout != program.printed or not kept.is_file():
        raise WrongResult(f"printed {result.stdout!r}; kept: {kept.is_file()}")
    return seconds - bare(program).wall


if __name__ == "__main__":
    main(questions)
