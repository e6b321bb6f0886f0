import asyncio
import time


async def fetch(name, seconds):
    await asyncio.sleep(seconds)
    return f"{name} after {seconds}"


began = time.perf_counter()
results = await asyncio.gather(*(fetch(name, 0.003) for name in "abc"))
print(results, time.perf_counter() - began)
outcome = await asyncio.gather(fetch("x", 0.001), asyncio.wait_for(fetch("slow", 5), 0.005), return_exceptions=True)
print([type(each).__name__ for each in outcome])
