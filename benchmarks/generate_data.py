"""Input of the benchmarks, the same in every run: programs as text, and large traces.

Guarantee: equal arguments give equal input, byte for byte (randomness is seeded by the argument).
"""

from __future__ import annotations

LINES_AN_ITERATION = 8

_LOOP = """\
def weigh(value, step):
    if value % 3 == 0:
        return value + step
    return value - step


total = 0
kept = 0
for number in range({iterations}):
    half = number // 2
    score = weigh(half, 3)
    if score > 100:
        kept = kept + 1
    total = total + score
    last = score
print(total, kept, last)
"""


def tight_loop(lines: int) -> str:
    """Gives a program of assignments, calls and branches that executes about that many lines.

    Each turn of its loop starts eight statements (seven for some of its first turns), and its only
    output is one line of sums.
    """
    return _LOOP.format(iterations=lines // LINES_AN_ITERATION)


def nothing() -> str:
    """Gives the program whose cost is subtracted from both sides: start-up and closing alone."""
    return "print(0, 0, 0)\n"
