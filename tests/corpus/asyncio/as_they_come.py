import asyncio


async def after(seconds, value):
    await asyncio.sleep(seconds)
    return value


for earliest in asyncio.as_completed([after(0.004, "late"), after(0.001, "early"), after(0.002, "middle")]):
    print(await earliest)
done, pending = await asyncio.wait(
    {asyncio.create_task(after(0.001 * n, n)) for n in range(3)}, return_when=asyncio.FIRST_COMPLETED
)
print(sorted(task.result() for task in done), len(pending))
print(sorted(await asyncio.gather(*pending)))
