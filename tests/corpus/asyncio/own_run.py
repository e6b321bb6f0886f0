import asyncio
import contextvars

request = contextvars.ContextVar("request", default="none")


async def handle(number):
    request.set(f"request {number}")
    await asyncio.sleep(0)
    return request.get()


async def main():
    semaphore = asyncio.Semaphore(2)
    active = peak = 0

    async def limited(number):
        nonlocal active, peak
        async with semaphore:
            active += 1
            peak = max(peak, active)
            await asyncio.sleep(0.001)
            active -= 1
        return await handle(number)

    return await asyncio.gather(*map(limited, range(5))), peak


print(asyncio.run(main()), request.get())
