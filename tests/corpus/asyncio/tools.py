import asyncio
import time


def look(key):
    return {"key": key, "read": read("facts.txt").strip() if key == "file" else key.upper()}


write("facts.txt", "a fact\n")
answers = await asyncio.gather(*(asyncio.to_thread(look, key) for key in ("file", "b", "c")))
print(answers, bash("echo tool")["stdout"].strip())
