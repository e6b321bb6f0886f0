import asyncio
import time


def blocking(number):
    time.sleep(0.002 * (3 - number))
    return number * number


print(await asyncio.gather(*(asyncio.to_thread(blocking, number) for number in range(3))))
loop = asyncio.get_running_loop()
print(await loop.run_in_executor(None, blocking, 2), loop.time() > 0)
