"""Sums of groups, the work being in SQLite."""

import sqlite3

SIZE = 20_000

store = sqlite3.connect(":memory:")
store.execute("create table scores (team int, day int, points int)")
rows = [(number * 7 % 40, number * 13 % 300, number * number % 101) for number in range(SIZE)]
store.executemany("insert into scores values (?, ?, ?)", rows)
best = 0
for day in range(12):
    query = "select team, sum(points), avg(points), max(points) from scores where day > ? group by team"
    sums = store.execute(query, (day * 10,)).fetchall()
    best = max(best, max(row[1] for row in sums))
print(best, len(sums))
