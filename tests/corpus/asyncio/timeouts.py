import asyncio

try:
    async with asyncio.timeout(0.005):
        await asyncio.sleep(5)
except TimeoutError:
    print("timed out")
task = asyncio.create_task(asyncio.sleep(5))
await asyncio.sleep(0)
task.cancel()
try:
    await task
except asyncio.CancelledError:
    print("cancelled", task.cancelled())
shielded = asyncio.create_task(asyncio.sleep(0.004, "kept"))
try:
    await asyncio.wait_for(asyncio.shield(shielded), 0.001)
except TimeoutError:
    print(await shielded)
