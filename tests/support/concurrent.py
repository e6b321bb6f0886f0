"""Programs whose outcome depends on the order in which things happen to end, made from a seed.

Each prints that order as it sees it. Waiting times are so close to each other that no two runs of one program
need print the same; so a replay that prints the same followed the recorded order.
"""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable

Maker = Callable[[random.Random, int], str]


def _ms(rng: random.Random) -> str:
    return f"{rng.randrange(0, 30) / 10000:.4f}"


def _indent(text: str, by: int) -> str:
    return textwrap.indent(text, " " * by)


# --- event loops ---------------------------------------------------------------------------------


def async_program(seed: int, *, main: str = "await") -> str:
    """A program of coroutines; `main` says how its first one is run: `await` or `run`."""
    rng = random.Random(seed)
    jobs = rng.randrange(2, 5)
    parts = [
        "import asyncio",
        f"log = []\nrng_seed = {seed}",
        "def note(*what):\n    log.append(what)",
    ]
    parts += [_job(rng, number) for number in range(jobs)]
    steps = [rng.choice(_ASYNC_STEPS)(rng, jobs) for _ in range(rng.randrange(2, 6))]
    body = "queue, lock, gate = asyncio.Queue(2), asyncio.Lock(), asyncio.Event()\n" + "\n".join(steps)
    parts.append("async def main():\n    global queue, lock, gate\n" + _indent(body, 4))
    parts.append("await main()" if main == "await" else "asyncio.run(main())")
    parts.append("print(log)")
    return "\n".join(parts) + "\n"


def _job(rng: random.Random, number: int) -> str:
    lines = [f"async def job{number}(tag):"]
    for step in range(rng.randrange(1, 4)):
        kind = rng.randrange(6)
        if kind == 0:
            lines.append(f"    for _ in range({rng.randrange(1, 120)}):\n        await asyncio.sleep(0)")
        elif kind == 1:
            lines.append(f"    async with lock:\n        await asyncio.sleep({_ms(rng)})")
        elif kind == 2:
            lines.append(f"    x = sum(range({rng.randrange(1, 3000)}))")
        else:
            lines.append(f"    await asyncio.sleep({_ms(rng)})")
        lines.append(f"    note('job{number}', tag, {step})")
    if rng.random() < 0.15:
        lines.append("    raise ValueError(tag)")
    lines.append(f"    return ({number}, tag)")
    return "\n".join(lines)


def _calls(rng: random.Random, jobs: int, most: int = 6) -> list[str]:
    return [f"job{rng.randrange(jobs)}({tag})" for tag in range(rng.randrange(2, most))]


def _gather(rng: random.Random, jobs: int) -> str:
    calls = ", ".join(_calls(rng, jobs))
    return f"note('gather', str(await asyncio.gather({calls}, return_exceptions=True)))"


def _group(rng: random.Random, jobs: int) -> str:
    starts = "\n".join(f"        group.create_task({call})" for call in _calls(rng, jobs))
    return (
        "try:\n    async with asyncio.TaskGroup() as group:\n" + starts + "\n"
        "except* ValueError as errors:\n    note('group', [str(e) for e in errors.exceptions])"
    )


def _as_completed(rng: random.Random, jobs: int) -> str:
    calls = ", ".join(_calls(rng, jobs, 8))
    return (
        f"for each in asyncio.as_completed([{calls}]):\n"
        "    try:\n        note('next', await each)\n    except ValueError as e:\n        note('bad', str(e))"
    )


def _wait_for(rng: random.Random, jobs: int) -> str:
    return (
        f"try:\n    note('in time', await asyncio.wait_for(job{rng.randrange(jobs)}(0), {_ms(rng)}))\n"
        "except (TimeoutError, ValueError) as e:\n    note(type(e).__name__)"
    )


def _timeout(rng: random.Random, jobs: int) -> str:
    return (
        f"try:\n    async with asyncio.timeout({_ms(rng)}) as limit:\n"
        f"        note('in time', await job{rng.randrange(jobs)}(1))\n"
        "except (TimeoutError, ValueError) as e:\n    note(type(e).__name__, limit.expired())"
    )


def _wait(rng: random.Random, jobs: int) -> str:
    calls = ", ".join(f"asyncio.ensure_future({call})" for call in _calls(rng, jobs, 7))
    how = rng.choice(("FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"))
    return (
        f"done, pending = await asyncio.wait([{calls}], timeout={_ms(rng)}, return_when=asyncio.{how})\n"
        "note(len(done), len(pending), [t.get_coro().__name__ for t in done])\n"
        "for task in pending:\n    task.cancel()\n"
        "note(str(await asyncio.gather(*done, *pending, return_exceptions=True)))"
    )


def _queue(rng: random.Random, _jobs: int) -> str:
    makers, takers, items = rng.randrange(1, 3), rng.randrange(2, 4), rng.randrange(3, 8)
    return (
        "async def make(who):\n"
        f"    for n in range({items}):\n        await queue.put((who, n))\n"
        f"        await asyncio.sleep({_ms(rng)})\n"
        "async def take(who):\n    while True:\n        item = await queue.get()\n"
        f"        await asyncio.sleep({_ms(rng)})\n        note('took', who, item)\n"
        "        queue.task_done()\n"
        f"takers = [asyncio.create_task(take(n)) for n in range({takers})]\n"
        f"await asyncio.gather(*(make(n) for n in range({makers})))\n"
        "await queue.join()\nfor task in takers:\n    task.cancel()\n"
        "await asyncio.gather(*takers, return_exceptions=True)"
    )


def _gate(rng: random.Random, _jobs: int) -> str:
    return (
        "async def behind(n):\n    await gate.wait()\n"
        f"    await asyncio.sleep({_ms(rng)} * (n % 2))\n    note('through', n)\n"
        f"waiting = [asyncio.create_task(behind(n)) for n in range({rng.randrange(2, 5)})]\n"
        f"asyncio.get_running_loop().call_later({_ms(rng)}, gate.set)\n"
        "await asyncio.wait(waiting)\ngate.clear()"
    )


_ASYNC_STEPS: tuple[Maker, ...] = (_gather, _group, _as_completed, _wait_for, _timeout, _wait, _queue, _gate)
