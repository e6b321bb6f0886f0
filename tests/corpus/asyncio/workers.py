import asyncio
import random


async def worker(name, queue, done):
    while True:
        item = await queue.get()
        await asyncio.sleep(random.random() / 500)
        done.append((name, item))
        queue.task_done()


queue, finished = asyncio.Queue(), []
for number in range(9):
    queue.put_nowait(number)
workers = [asyncio.create_task(worker(name, queue, finished)) for name in ("w1", "w2", "w3")]
await queue.join()
for each in workers:
    each.cancel()
await asyncio.gather(*workers, return_exceptions=True)
print(finished)
