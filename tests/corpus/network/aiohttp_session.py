import asyncio

import aiohttp

base = open("url.txt").read()


async def fetch(session, path):
    async with session.get(base + path) as response:
        return response.status, await response.text()


async with aiohttp.ClientSession() as session:
    print(await asyncio.gather(*(fetch(session, f"/page/{n}") for n in range(3)), fetch(session, "/missing")))
    try:
        await asyncio.wait_for(session.get("http://127.0.0.1:1/"), 5)
    except aiohttp.ClientConnectorError as error:
        print(type(error).__name__)
