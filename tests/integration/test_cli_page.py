"""The examples of docs/cli.md run as they stand, in one folder, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from coda.cli.main import VERBS
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

# What the examples work on.
FILES = {
    "report.py": """\
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--month", type=int)
month = parser.parse_args().month
total = 0
with open("sales.csv") as file:
    sales = [int(line) for line in file]
for sale in sales:
    total += sale * month
print(month, total)
""",
    "sales.csv": "10\n20\n30\n",
    "replies.md": """\
<!-- reply -->
I count.

```python
lines = len(read("report.py").splitlines())
print(lines)
```
<!-- reply -->
It has eleven lines.
""",
}


class Example:
    """One `$ coda ...` line of the page, and the status that it ends with."""

    def __init__(self, line: str) -> None:
        self.command, _, note = line.partition("   # status ")
        self.status = int(note or 0)


def examples() -> list[Example]:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    return [Example(line) for line in re.findall(r"^    \$ (.+)$", page, flags=re.MULTILINE)]


def test_every_verb_that_ends_by_itself_has_an_example() -> None:
    shown = {next(word for word in example.command.split() if word in VERBS) for example in examples()}
    assert shown == {
        "exec", "run", "log", "check", "runs", "replay", "state", "fork", "diff", "query", "export", "config",
        "doctor",
    }  # fmt: skip


def test_the_examples_run_as_they_stand(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    programs = tmp_path.parent / "programs"
    programs.mkdir(exist_ok=True)
    coda = programs / "coda"
    coda.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m coda "$@"\n', encoding="utf-8")
    coda.chmod(0o755)
    for example in examples():
        done = subprocess.run(
            ["/bin/sh", "-c", example.command],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (example.command, done.returncode, done.stderr) == (
            example.command,
            example.status,
            done.stderr,
        )
        assert done.stdout or done.stderr or "--quiet" in example.command, example.command
