"""Sums of groups, the work being in pandas."""

import pandas

SIZE = 40_000

frame = pandas.DataFrame(
    {
        "team": [number * 7 % 40 for number in range(SIZE)],
        "day": [number * 13 % 300 for number in range(SIZE)],
        "points": [number * number % 101 for number in range(SIZE)],
    }
)
best = 0
for day in range(20):
    some = frame[frame["day"] > day * 10]
    sums = some.groupby("team")["points"].agg(["sum", "mean", "max"])
    best = max(best, int(sums["sum"].max()))
print(best, len(sums))
