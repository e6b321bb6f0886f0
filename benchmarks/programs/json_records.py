"""Records written as JSON and read again, the work being in the library."""

import json

SIZE = 4_000

total = 0
chars = 0
for number in range(SIZE):
    record = {"id": number, "tags": ["a", "b", str(number)], "size": {"w": number % 7, "h": number % 11}}
    line = json.dumps(record)
    again = json.loads(line)
    chars += len(line)
    total += again["size"]["w"] * again["size"]["h"] + len(again["tags"])
print(total, chars)
