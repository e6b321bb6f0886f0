import asyncio

import httpx

base = open("url.txt").read()
async with httpx.AsyncClient(base_url=base, timeout=10) as client:
    answers = await asyncio.gather(*(client.get(f"/n/{n}") for n in range(4)))
    print([answer.text for answer in answers])
    print((await client.post("/echo", content=b"abc")).content)
    async with client.stream("GET", "/big") as response:
        print(sum([len(chunk) async for chunk in response.aiter_bytes()]) > 1_000_000)
# %%
async with httpx.AsyncClient(base_url=open("safe_url.txt").read(), verify=False) as client:
    print((await client.get("/secret")).text)
