import asyncio

log = []


async def ticker(name, count):
    for number in range(count):
        log.append(f"{name}{number}")
        await asyncio.sleep(0.001)
    return name


ticking = [asyncio.create_task(ticker(name, 3)) for name in "pq"]
await asyncio.sleep(0.001)
print(log)
# %%
print([task.done() for task in ticking])
# %%
print(await asyncio.gather(*ticking), log)
