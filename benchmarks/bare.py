"""The bare side of every pair: runs a program with nothing around it.

    python -m benchmarks.bare PROGRAM

prints the program's own output, then on standard error the seconds from its first line to its last, and
the seconds of processor time in them. Reading and compiling are outside of both, as they are for the peers.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any


def run(program: Path) -> tuple[float, float]:
    """Runs a program and gives the seconds it took, and those of processor time."""
    code = compile(program.read_text(encoding="utf-8"), str(program), "exec")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    started, worked = time.perf_counter(), time.process_time()
    exec(code, namespace)
    return time.perf_counter() - started, time.process_time() - worked


if __name__ == "__main__":
    print(*run(Path(sys.argv[1])), file=sys.stderr)
