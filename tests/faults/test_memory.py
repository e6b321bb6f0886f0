"""Whatever runs without end, the recorder keeps up or makes it wait: its memory is bounded on both sides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coda.log import check_trace, open_trace

ROOT = Path(__file__).resolve().parents[2]
BOUND_KIB = 128 << 10
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="asks /proc for the peak"),
]

# Each makes entries of another kind as fast as it can, and keeps nothing.
LOOPS = {
    "lines": "x = 0\nwhile True:\n    x += 1",
    "calls": "def f(n):\n    m = n + 1\n    return m\nx = 0\nwhile True:\n    x = f(x)\n    y = [x, x]",
    "output": "while True:\n    print('some text, and more of it')",
    "pages": "while True:\n    print('x' * 4000)\n    print('y' * 5000)",
    "clocks": "import time\nwhile True:\n    time.perf_counter()",
    "threads": (
        "import threading\ndef spin():\n    x = 0\n    while True:\n        x += 1\n"
        "threads = [threading.Thread(target=spin, daemon=True) for _ in range(3)]\n"
        "for thread in threads: thread.start()\nspin()"
    ),
}

HOST = """
import json, sys, threading, time
from coda.runtime import Sandbox

def peak(pid="self", name="VmHWM"):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))

def slow(record, line):
    # A disk that takes its time, once: meanwhile the worker computes on.
    if sys.argv[3] == "stalled" and record.__struct_config__.tag == "lines" and not stalled:
        stalled.append(1)
        until = time.monotonic() + 1.5
        while time.monotonic() < until and peak(pid) - worker < 400_000:
            pass

stalled = []
box = Sandbox(root=sys.argv[1], trace=sys.argv[2], timeout_s=1.2, on_append=slow)
stalled.append(1)
box.execute("x = 1")
stalled.clear()
pid = box.engine.pid
worker, host = peak(pid, "VmRSS"), peak(name="VmRSS")
ended, seen = threading.Event(), []

def watch():
    try:
        while not ended.wait(0.02):
            seen.append(peak(pid))
    except (OSError, StopIteration):
        pass  # it was ended

watcher = threading.Thread(target=watch)
watcher.start()
result = box.execute(sys.argv[4])
ended.set()
watcher.join()
# What the user asked for, the output in pieces and as a whole, is not the recorder's.
grown = peak() - host - 2 * len(result.stdout) // 1024
print(json.dumps([result.outcome, max(seen) - worker, grown]), flush=True)
box.close()
"""


@pytest.mark.parametrize(
    ("loop", "disk"), [*((loop, "fast") for loop in LOOPS), ("lines", "stalled"), ("pages", "stalled")]
)
def test_an_endless_loop_costs_bounded_memory(loop: str, disk: str, tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    trace = tmp_path / "t.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", HOST, str(tmp_path / "ws"), str(trace), disk, LOOPS[loop]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    outcome, worker, host = json.loads(done.stdout)
    assert outcome in ("interrupted", "killed"), done
    print(f"{loop}, {disk}: {worker} and {host} KiB")  # shown when it is too much
    assert worker < BOUND_KIB
    assert host < BOUND_KIB
    report = check_trace(trace)
    assert (report.damage, report.finished) == ((), True)
    assert open_trace(trace).count() > 1000
