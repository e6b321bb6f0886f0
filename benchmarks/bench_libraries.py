"""What does recording cost when the work is in libraries, over real data?

Unit of work: the source of forty modules of the running Python's standard library (about a megabyte), read
once, then searched with `re`, written and read as `csv`, and turned into `json` and back. Budget: at most
1.05x of bare time, at each level. Timed and subtracted as `sides` says. Both sides must print the same
digest of what they found.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.harness import Figure, Options, main
from benchmarks.sides import Program, cost

TARGET = 1.05

SOURCE = """\
import csv
import hashlib
import io
import json
import os
import re

folder = os.path.dirname(os.__file__)
names = sorted(name for name in os.listdir(folder) if name.endswith(".py"))[:{files}]
texts = {{}}
for name in names:
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        texts[name] = file.read()

digest = hashlib.sha256()
word = re.compile(r"\\b[A-Za-z_]\\w+\\b")
definition = re.compile(r"^[ ]*(?:def|class)[ ]+(\\w+)", re.MULTILINE)
for name, text in texts.items():
    words = word.findall(text)
    table = io.StringIO()
    csv.writer(table).writerows(enumerate(text.splitlines()))
    rows = list(csv.reader(io.StringIO(table.getvalue())))
    found = {{"name": name, "words": words, "rows": rows, "found": definition.findall(text)}}
    kept = json.dumps(found, indent=1)
    again = json.loads(kept)
    digest.update(json.dumps(again, sort_keys=True).encode())
print(len(texts), digest.hexdigest()[:16])
"""


def questions(options: Options) -> list[Figure]:
    """Gives the cost of each level."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="coda-bench-") as name:
        folder = Path(name)
        files = 40 if options.lines >= Options().lines else 8
        program = Program.of(folder / "libraries.py", SOURCE.format(files=files))
        for level in ("effects", "lines", "values"):
            measured = cost(program, level=level, repeats=options.repeats, folder=folder)
            wall, cpu = measured.wall.ratio(), measured.cpu.ratio()
            figures.append(Figure(f"re, csv and json, {level}", "x bare", wall.median, wall, TARGET))
            figures.append(Figure(f"re, csv and json, {level}, processor time", "x bare", cpu.median, cpu))
    return figures


if __name__ == "__main__":
    main(questions)
