"""How long until the viewer shows the first screen of a trace of a million events?

Unit of work: `coda view TRACE --no-replay` as a whole process in a real terminal (a pseudo terminal of 120 by
40), from before the interpreter starts until the source of a block and a number of the tree are on the
screen. Budget: at most 2 s. The trace is the one of `generate_data`; it is written before, and read once so
that the disk plays no part. After that the key `q` must end the viewer with status 0.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from benchmarks.generate_data import SMALL_SOURCE, large_trace
from benchmarks.harness import Figure, Options, Spread, WrongResult, environment, main

ROWS, COLUMNS = 40, 120
PATIENCE_S = 60.0
REPEATS = 5


def questions(options: Options) -> list[Figure]:
    """Gives the seconds to the first paint."""
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as folder:
        trace = large_trace(Path(folder) / "large.jsonl", events=options.events)
        trace.read_bytes()
        seconds = Spread.of([_first_paint(trace) for _ in range(min(REPEATS, options.repeats))])
        name = f"first paint of {options.events:,} events"
        return [Figure(name, "s", seconds.median, seconds, 2.0, note="whole process")]


def _first_paint(trace: Path) -> float:
    """Starts the viewer in a terminal of its own and waits for its first screen."""
    host, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    started = time.perf_counter()
    viewer = subprocess.Popen(
        [sys.executable, "-m", "coda", "view", str(trace), "--no-replay"],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        env={**environment(), "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(terminal)
    try:
        _wait_for(host, SMALL_SOURCE.split()[0].encode(), started)
        seconds = time.perf_counter() - started
        os.write(host, b"q")
        if _drain_until_end(host, viewer):
            raise WrongResult(f"the viewer ended with status {viewer.returncode}")
    finally:
        viewer.kill()
        viewer.wait()
        os.close(host)
    return seconds


def _wait_for(host: int, wanted: bytes, started: float) -> None:
    seen = b""
    while wanted not in seen:
        data = _read(host, 1.0)
        if data is None:
            raise WrongResult(f"the viewer ended without a screen: {seen[-400:]!r}")
        seen += data
        if time.perf_counter() - started > PATIENCE_S:
            raise WrongResult(f"no screen after {PATIENCE_S:.0f} s; the end of what came: {seen[-400:]!r}")


def _read(host: int, wait_s: float) -> bytes | None:
    """What the viewer wrote; empty when nothing came in time, None when it has ended."""
    ready, _, _ = select.select([host], [], [], wait_s)
    if not ready:
        return b""
    try:
        return os.read(host, 65536) or None
    except OSError:
        return None


def _drain_until_end(host: int, viewer: subprocess.Popen[bytes]) -> int:
    """Reads on, so that the viewer can write, until it has ended; gives its status."""
    deadline = time.perf_counter() + PATIENCE_S
    while viewer.poll() is None and time.perf_counter() < deadline:
        if _read(host, 0.2) is None:
            break
    return viewer.wait(timeout=PATIENCE_S)


if __name__ == "__main__":
    main(questions)
