"""The named peer: a line recorder as earlier systems were built.

`sys.settrace`, and for every line of the program one dict, one `json.dumps` and a flush, so that the
log is complete up to the line when the process dies. It records no values, which is in its favour.
Nothing is slowed on purpose: the file is opened once, the clock is read once a line, and frames of
other files are refused at their call.

    python -m benchmarks.peer_settrace PROGRAM LOG

runs PROGRAM, writes LOG, and prints the seconds that it took (closing included) on standard error.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

Tracer = Callable[[FrameType, str, Any], "Tracer | None"]


def make_tracer(filename: str, log: TextIO) -> Tracer:
    """Gives a trace function that writes each line of filename to log."""
    write, flush, dumps, clock = log.write, log.flush, json.dumps, time.time

    def on_line(frame: FrameType, event: str, _: Any) -> Tracer | None:
        if event == "line":
            write(dumps({"ts": clock(), "type": "line", "payload": {"line": frame.f_lineno}}) + "\n")
            flush()
        return on_line

    def on_call(frame: FrameType, _event: str, _: Any) -> Tracer | None:
        return on_line if frame.f_code.co_filename == filename else None

    return on_call


def record(program: Path, log_path: Path) -> float:
    """Runs a program under the peer and gives the seconds from its first line to the closed log."""
    code = compile(program.read_text(encoding="utf-8"), str(program), "exec")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    started = time.perf_counter()
    with open(log_path, "w", encoding="utf-8") as log:
        sys.settrace(make_tracer(str(program), log))
        try:
            exec(code, namespace)
        finally:
            sys.settrace(None)
    return time.perf_counter() - started


if __name__ == "__main__":
    print(record(Path(sys.argv[1]), Path(sys.argv[2])), file=sys.stderr)
