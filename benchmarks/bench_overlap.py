"""Do things that are waited for at the same time still take the time of one, when they are recorded?

Unit of work: sixteen waits of 50 ms, started together: sleeps of threads, calls of a tool by a pool of
threads, sleeps of an event loop, calls of a tool by `asyncio.to_thread`. Budget: at most a third of what they
take one after the other. Measured inside the block, from before the first starts until the last has ended;
each must give its results in order. The replay of the same run, which waits for nothing, is shown beside it.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import coda
from benchmarks.harness import Figure, Options, Spread, WrongResult, main
from coda.log import open_trace
from coda.replay import replay
from coda.runtime import Sandbox

WAITS, SECONDS = 16, 0.05
PRELUDE = f"""
import asyncio, threading, time
from concurrent.futures import ThreadPoolExecutor
def started(act):
    threads = [threading.Thread(target=act, args=(n,)) for n in range({WAITS})]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return list(range({WAITS}))
def pooled(act):
    with ThreadPoolExecutor({WAITS}) as pool:
        return list(pool.map(act, range({WAITS})))
async def gathered(act):
    return list(await asyncio.gather(*(act(n) for n in range({WAITS}))))
"""
WAYS = {
    "sleeps of threads": f"started(lambda n: time.sleep({SECONDS}))",
    "calls of a tool by a pool": "pooled(wait)",
    "sleeps of an event loop": f"await gathered(lambda n: asyncio.sleep({SECONDS}, n))",
    "calls of a tool by to_thread": "await gathered(lambda n: asyncio.to_thread(wait, n))",
}


@coda.tool(effect="pure")
def wait(number: int) -> int:
    """Takes its time."""
    threading.Event().wait(SECONDS)
    return number


def questions(options: Options) -> list[Figure]:
    """Gives the time of each way in parts of the time that the waits take one after the other."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    replayed: list[float] = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="coda-bench-") as folder:
            root = Path(folder) / "workspace"
            root.mkdir()
            trace = Path(folder) / "overlap.jsonl"
            with Sandbox(root=root, trace=trace, tools=[wait]) as sandbox:
                sandbox.execute(PRELUDE)
                for way, source in WAYS.items():
                    seconds[way].append(_timed(sandbox, source) / (WAITS * SECONDS))
            replayed.append(_replayed(trace) / (WAITS * SECONDS * len(WAYS)))
    figures = []
    for way, parts in seconds.items():
        spread = Spread.of(parts)
        figures.append(Figure(way, "x one by one", spread.median, spread, 1 / 3, note="recorded"))
    spread = Spread.of(replayed)
    note = "with its worker"
    return [*figures, Figure("replay of all", "x one by one", spread.median, spread, None, note=note)]


def _timed(sandbox: Sandbox, source: str) -> float:
    lines = ("began = time.perf_counter()", f"got = {source}", "print(time.perf_counter() - began, got)")
    done = sandbox.execute("\n".join(lines))
    took, _, got = done.stdout.partition(" ")
    if got != f"{list(range(WAITS))}\n":
        raise WrongResult(f"{source} gave {done.stdout!r}: {done.error}")
    return float(took)


def _replayed(trace: Path) -> float:
    began = time.perf_counter()
    verdict = replay(trace)
    seconds = time.perf_counter() - began
    marked = [event.seq for event in open_trace(trace).events(types={"limit.hit"})]
    if verdict.diverged is not None or marked:
        raise WrongResult(f"the replay diverged, or the trace has marks: {verdict.diverged} {marked}")
    return seconds


if __name__ == "__main__":
    main(questions)
