import asyncio


async def countdown(start):
    try:
        while start:
            yield start
            start -= 1
            await asyncio.sleep(0)
    finally:
        print("closed")


kept = countdown(5)
print(await anext(kept), await anext(kept))
# %%
print(await anext(kept))
await kept.aclose()
print([value async for value in countdown(2)])


class Connection:
    async def __aenter__(self):
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *error):
        print("left", error[0])


async with Connection() as connection:
    print(type(connection).__name__)
