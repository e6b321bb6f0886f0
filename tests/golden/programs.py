"""What the golden traces are recordings of; a later version of the format is recorded from the same."""

from __future__ import annotations

from typing import Final

FILES: Final = {
    "given.txt": "one\ntwo\nthree\n",
    "helper.py": (
        '"""A module of the workspace."""\n\n\ndef double(x):\n    """Twice as much."""\n    return x * 2\n'
    ),
}
"""The workspace before each recording."""

RECURSION: Final = '''\
"""Recursion, an exception that unwinds it, a generator, a method, a closure."""


class Account:
    total = 0

    def add(self, amount):
        if amount < 0:
            raise ValueError(f"negative: {amount}")
        self.total += amount
        return self.total


def fact(n):
    if n == 0:
        return 1
    less = fact(n - 1)
    return n * less


def fall(n):
    if n == 0:
        raise KeyError(n)
    deeper = fall(n - 1)
    return deeper


def walk(tree):
    for part in tree:
        if isinstance(part, list):
            yield from walk(part)
        else:
            yield part


def counter():
    count = 0

    def step():
        nonlocal count
        count += 1
        return count

    return step


account = Account()
answer = fact(3)
try:
    fall(2)
except KeyError as error:
    caught = repr(error)
leaves = [leaf for leaf in walk([1, [2, [3]], 4])]
step = counter()
steps = step(), step()
account.add(answer)
try:
    account.add(-1)
except ValueError as error:
    refused = str(error)
first, *rest = leaves
match rest:
    case [2, *others]:
        matched = others
if (size := len(rest)) > 2:
    print(answer, caught, leaves, steps, refused, matched, size)
'''

WORLD: Final = """\
import json, os, random, shutil, subprocess, sys, time, uuid
import helper

stamps = time.time(), time.perf_counter() > 0, time.monotonic() > 0
chance = random.randint(1, 6), uuid.uuid4().hex
name = input()
home = os.environ["HOME"], os.getpid() > 0
with open("given.txt") as f:
    words = f.read().split()
os.mkdir("made")
with open("made/a.json", "w") as f:
    json.dump({"words": words, "double": helper.double(len(words))}, f)
shutil.copy("made/a.json", "made/b.json")
os.rename("made/b.json", "made/c.json")
os.remove("made/a.json")
listed = sorted(os.listdir("made"))
done = subprocess.run(["sh", "-c", "echo from a child > child.txt; cat given.txt"], capture_output=True)
print(words, listed, done.stdout, name, file=sys.stderr)
os.write(1, b"raw\\n")
print(len(words))
raise SystemExit(3)
"""

UNSEEN: Final = """\
import socket, threading

seen = []
thread = threading.Thread(target=seen.append, args=(1,))
thread.start()
thread.join()
probe = socket.socket()
try:
    probe.connect(("127.0.0.1", 9))
except OSError:
    refused = True
finally:
    probe.close()
print(seen, refused)
"""

CELLS: Final = """\
# %% first
import asyncio
limit = 3

# %% second
async def part(n):
    await asyncio.sleep(0)
    return n * n

async def whole():
    return await asyncio.gather(*(part(n) for n in range(limit)))

squares = asyncio.run(whole())

# %% third
def fails():
    return 1 / (limit - 3)

value = fails()
"""

LOOP: Final = """\
total = 0
for i in range(400):
    total += i
    if i % 50 == 0:
        print(i)
"""

REPLIES: Final = (
    "I look first.\n```python\nnames = ls()\ntext = read('given.txt')\nctx.text = text\n```",
    (
        "Now I count.\n```python\nctx.words = text.split()\nctx.words.append('four')\n"
        "price = lookup('one', n=2)\nprint(price)\n```"
    ),
    (
        "One more.\n```python\ndel ctx.text\nout = bash('wc -l < given.txt')\nwrite('made.txt', out)\n"
        "edit('made.txt', '3', 'three')\nctx.lines = out\n```"
    ),
    "There are three words, and one that I added.",
)
