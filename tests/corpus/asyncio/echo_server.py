import asyncio


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


server = await asyncio.start_server(serve, "127.0.0.1", 0)
port = server.sockets[0].getsockname()[1]


async def ask(name):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for word in ("one", "two"):
        writer.write(f"{name} {word}\n".encode())
        answers.append((await reader.readline()).decode().strip())
    writer.close()
    await writer.wait_closed()
    return answers


print(await asyncio.gather(ask("x"), ask("y")))
server.close()
