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


# --- threads -------------------------------------------------------------------------------------


def thread_program(seed: int) -> str:
    """A program of threads that calls the tool `work(value, ms)`, which waits and gives the value back."""
    rng = random.Random(seed)
    steps = [rng.choice(_THREAD_STEPS)(rng, number) for number in range(rng.randrange(2, 5))]
    head = [
        "import asyncio, queue, threading, time",
        "from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, as_completed, wait",
        f"log = []\nrng_seed = {seed}",
        "def note(*what):\n    log.append((threading.current_thread().name.rpartition('-')[2], *what))",
    ]
    return "\n".join([*head, *steps, "print(log)"]) + "\n"


def _few(rng: random.Random) -> int:
    return rng.randrange(0, 4)


def _map(rng: random.Random, number: int) -> str:
    return (
        f"def each{number}(n):\n    got = work(n, (n * {rng.randrange(1, 9)}) % 4)\n"
        "    note('did', n)\n    return got\n"
        f"with ThreadPoolExecutor({rng.randrange(1, 5)}) as pool:\n"
        f"    note(list(pool.map(each{number}, range({rng.randrange(2, 8)}))))"
    )


def _submit(rng: random.Random, number: int) -> str:
    how = rng.choice(
        (
            "for f in as_completed(futures):\n        note('done', f.result())",
            """done, rest = wait(futures, return_when=FIRST_COMPLETED)
    note(len(done) > 0, [f.result() for f in done])""",
            f"""try:
        for f in as_completed(futures, timeout={_ms(rng)}):
            note(f.result())
    except TimeoutError as e:
        note(str(e))""",
        )
    )
    return (
        f"with ThreadPoolExecutor({rng.randrange(2, 5)}) as pool:\n"
        f"    times = [(n * {rng.randrange(1, 9)}) % 4 for n in range({rng.randrange(2, 7)})]\n"
        f"    futures = [pool.submit(work, n, ms) for n, ms in enumerate(times)]\n"
        f"    {how}"
    )


def _shared_queue(rng: random.Random, number: int) -> str:
    wait = rng.choice((f"time.sleep({_ms(rng)})", f"work(item, {_few(rng)})", "pass"))
    return (
        f"items{number} = queue.Queue({rng.randrange(0, 3)})\n"
        f"def take{number}():\n    while (item := items{number}.get()) is not None:\n"
        f"        {wait}\n        note('took', item)\n"
        f"takers = [threading.Thread(target=take{number}) for _ in range({rng.randrange(2, 4)})]\n"
        "for t in takers:\n    t.start()\n"
        f"for n in range({rng.randrange(3, 9)}):\n    items{number}.put(n)\n"
        f"for t in takers:\n    items{number}.put(None)\nfor t in takers:\n    t.join()"
    )


def _race(rng: random.Random, number: int) -> str:
    between = rng.choice((f"time.sleep({_ms(rng)})", f"work(0, {_few(rng)})", "sum(range(2000))"))
    return (
        f"total{number} = 0\n"
        f"def add{number}():\n    global total{number}\n    for _ in range({rng.randrange(2, 6)}):\n"
        f"        seen = total{number}\n        {between}\n        total{number} = seen + 1\n"
        f"adders = [threading.Thread(target=add{number}) for _ in range(3)]\n"
        f"for t in adders:\n    t.start()\nfor t in adders:\n    t.join()\nnote(total{number})"
    )


def _locked(rng: random.Random, number: int) -> str:
    kind = rng.choice(("Lock", "RLock"))
    return (
        f"lock{number} = threading.{kind}()\n"
        f"def hold{number}(n):\n    if lock{number}.acquire(timeout={_ms(rng)} + 0.0001):\n"
        f"        time.sleep({_ms(rng)})\n        note('held', n)\n        lock{number}.release()\n"
        "    else:\n        note('gave up', n)\n"
        f"many = range({rng.randrange(2, 5)})\n"
        f"holders = [threading.Thread(target=hold{number}, args=(n,)) for n in many]\n"
        "for t in holders:\n    t.start()\nfor t in holders:\n    t.join()"
    )


def _condition(rng: random.Random, number: int) -> str:
    return (
        f"ready{number}, there{number} = threading.Condition(), []\n"
        f"def wait{number}(n):\n    with ready{number}:\n"
        f"        if ready{number}.wait_for(lambda: there{number}, timeout={_ms(rng)} + 0.001):\n"
        f"            note('got', n, there{number}.pop())\n        else:\n            note('late', n)\n"
        f"waiters = [threading.Thread(target=wait{number}, args=(n,)) for n in range(3)]\n"
        "for t in waiters:\n    t.start()\n"
        f"for n in range(3):\n    time.sleep({_ms(rng)})\n    with ready{number}:\n"
        f"        there{number}.append(n)\n        ready{number}.notify({rng.randrange(1, 3)})\n"
        "for t in waiters:\n    t.join()"
    )


def _event(rng: random.Random, number: int) -> str:
    return (
        f"go{number} = threading.Event()\n"
        f"threading.Timer({_ms(rng)}, go{number}.set).start()\n"
        f"note('in time', go{number}.wait({_ms(rng)} + 0.0005))\n"
        f"try:\n    queue.Queue().get(timeout={_ms(rng)} + 0.0001)\nexcept queue.Empty:\n    note('empty')\n"
        f"go{number}.wait()"
    )


def _gates(rng: random.Random, number: int) -> str:
    return (
        f"few{number}, all{number} = threading.Semaphore(2), threading.Barrier(4)\n"
        f"def pass{number}(n):\n    with few{number}:\n        work(n, {_few(rng)})\n        note('in', n)\n"
        f"    all{number}.wait()\n"
        f"crowd = [threading.Thread(target=pass{number}, args=(n,)) for n in range(4)]\n"
        "for t in crowd:\n    t.start()\nfor t in crowd:\n    t.join()"
    )


def _to_thread(rng: random.Random, number: int) -> str:
    return (
        f"async def off{number}(n):\n"
        f"    got = await asyncio.to_thread(work, n, (n * {rng.randrange(1, 9)}) % 4)\n"
        f"    note('off', got)\n    await asyncio.sleep({_ms(rng)})\n    return got\n"
        f"async def all_off{number}():\n"
        f"    return await asyncio.gather(*(off{number}(n) for n in range({rng.randrange(2, 6)})))\n"
        f"note(asyncio.run(all_off{number}()))"
    )


_THREAD_STEPS: tuple[Maker, ...] = (
    _map, _submit, _shared_queue, _race, _locked, _condition, _event, _gates, _to_thread,
)  # fmt: skip
