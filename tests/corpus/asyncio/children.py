import asyncio
import sys

child = await asyncio.create_subprocess_exec(
    sys.executable, "-c", "print(6 * 7)", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
)
out, err = await child.communicate()
print(out, err, child.returncode)


async def follow(name):
    child = await asyncio.create_subprocess_shell(
        f"for i in 1 2 3; do echo {name} $i; sleep 0.002; done; exit 2", stdout=asyncio.subprocess.PIPE
    )
    lines = [line.decode().strip() async for line in child.stdout]
    return lines, await child.wait()


print(await asyncio.gather(follow("a"), follow("b")))
# %%
talker = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
talker.stdin.write(b"spoken\n")
await talker.stdin.drain()
print(await talker.stdout.readline())
try:
    await asyncio.wait_for(talker.wait(), 0.01)
except TimeoutError:
    talker.terminate()
print(await talker.wait())
