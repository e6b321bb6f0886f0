"""docs/schemas is made from the types of today, and what the verbs really print is valid against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coda.cli.schemas import schemas, text_of
from tests.conftest import ROOT, RunCoda
from tests.integration.receiving import receiver
from tests.support.json_schema import problems

pytestmark = pytest.mark.slow

FOLDER = ROOT / "docs" / "schemas"
PROGRAM = """\
import json, os, random, subprocess, time

def twice(number):
    return number * 2

limit = 3
started = time.time()
chosen = [twice(number) for number in range(5) if number > limit]
total = sum(chosen) + random.random()
with open("settings.env", "w") as file:
    file.write("LEVEL=1")
with open("settings.env") as file:
    text = file.read()
os.remove("settings.env")
done = subprocess.run(["echo", "hello"], capture_output=True)
print(json.dumps({"text": text, "home": os.environ.get("HOME") is None}))
try:
    {}["nothing"]
except KeyError as error:
    problem = error
strange = {1: float("nan"), "set": {1, 2}, "raw": b"\\x00", "big": 10**30}
raise ValueError("the end")
"""
REPLIES = """\
<!-- reply -->
First look.

```python
def parts(text):
    return text.split(",")

ctx.limit = 3
words = parts("a,b,c")
write("out.txt", "\\n".join(words))
print(read("out.txt"), ls())
```

<!-- reply -->
That is all.
"""


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_the_folder_holds_the_schemas_of_today() -> None:
    made = schemas()
    assert {path.stem for path in FOLDER.glob("*.json")} == set(made)
    stale = [
        name
        for name, made_now in made.items()
        if (FOLDER / f"{name}.json").read_text(encoding="utf-8") != text_of(made_now)
    ]
    assert not stale, "make them anew: python -m coda.cli.schemas"


def test_the_script_writes_what_the_folder_holds(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "coda.cli.schemas", str(tmp_path)], cwd=ROOT, check=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in FOLDER.glob("*.json")
    }


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_reference_leads_to_a_definition(name: str) -> None:
    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return own.union(*map(references, part.values()))
        return set().union(*map(references, part)) if isinstance(part, list) else set()

    whole = schema(name)
    assert {f"#/$defs/{defined}" for defined in whole.get("$defs", {})} == references(whole)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with a recorded program, an agent's run, and a fork."""
    place = tmp_path_factory.mktemp("answers")
    (place / "program.py").write_text(PROGRAM)
    (place / "replies.md").write_text(REPLIES)
    (place / "work").mkdir()
    for arguments, status in (
        (("exec", "-o", "program.jsonl", "--quiet", "program.py"), 1),
        (("run", "a job", "--script", "replies.md", "--root", "work", "-o", "agent.jsonl"), 0),
        (("fork", "program.jsonl", "--at", "12", "--set", "limit=1", "--new", "-o", "fork.jsonl"), 0),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "coda", *arguments],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
    return place


ASKED: dict[str, tuple[str, tuple[str, ...]]] = {
    "log of a program": ("log", ("log", "program.jsonl")),
    "log of an agent": ("log", ("log", "agent.jsonl")),
    "log of a fork": ("log", ("log", "fork.jsonl")),
    "check": ("check", ("check", "program.jsonl")),
    "check of a fork": ("check", ("check", "fork.jsonl")),
    "check against a digest": ("check", ("check", "program.jsonl", "--head", "0" * 64)),
    "runs": ("runs", ("runs", ".")),
    "replay": ("replay", ("replay", "program.jsonl")),
    "replay of an agent": ("replay", ("replay", "agent.jsonl")),
    "state in a block": (
        "state",
        ("state", "program.jsonl", "--at", "20", "--expr", "1/0", "--expr", "limit"),
    ),
    "state at the end": ("state", ("state", "agent.jsonl", "--at", "5")),
    "fork": (
        "fork",
        ("fork", "program.jsonl", "--at", "12", "--set", "limit=2", "--new", "-o", "again.jsonl"),
    ),
    "fork without a change": ("fork", ("fork", "agent.jsonl", "--at", "5", "-o", "same.jsonl")),
    "diff": ("diff", ("diff", "program.jsonl", "fork.jsonl")),
    "diff of strangers": ("diff", ("diff", "program.jsonl", "agent.jsonl")),
    "query of files": ("query.hit", ("query", "read *.env", "program.jsonl")),
    "query of names": ("query.hit", ("query", "set limit", "program.jsonl", "fork.jsonl")),
    "query of calls": ("query.hit", ("query", "tool", "agent.jsonl")),
    "query of lines": ("query.hit", ("query", "line", "program.jsonl")),
    "count": ("query.count", ("query", "line | count", "program.jsonl")),
    "count by": ("query.count", ("query", "set | count by value", "program.jsonl")),
    "why": ("query.why", ("query", "why total", "program.jsonl")),
    "why nothing": ("query.why", ("query", "why nowhere", "program.jsonl")),
    "run": ("run", ("run", "a job", "--script", "replies.md", "--root", "work", "-o", "more.jsonl")),
    "spans": ("span", ("export", "agent.jsonl", "--dry-run")),
    "spans of a failure": ("span", ("export", "program.jsonl", "--dry-run")),
    "missing trace": ("error", ("log", "nowhere.jsonl")),
    "bad option": ("error", ("log", "--nothing")),
    "bad position": ("error", ("state", "program.jsonl", "--at", "999999")),
    "bad query": ("error", ("query", "reed *.env", "program.jsonl")),
}


@pytest.mark.parametrize("what", ASKED)
def test_what_a_verb_prints_is_valid(what: str, folder: Path, coda: RunCoda) -> None:
    name, arguments = ASKED[what]
    ran = coda(*arguments, "--json", cwd=folder)
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert rows, ran.err
    assert [found for row in rows for found in problems(schema(name), row)] == []


def test_what_an_export_prints_is_valid(folder: Path, coda: RunCoda, tmp_path: Path) -> None:
    with receiver(tmp_path) as backend:
        ran = coda("export", "agent.jsonl", "--otlp", backend.url, "--json", cwd=folder)
    assert ran.status == 0, ran.err
    assert problems(schema("export"), json.loads(ran.out)) == []


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("check", {"consistent": "yes"}),
        ("replay", {"compared": {"blocks": 1}}),
        ("runs", {"parent": 7}),
        ("state", {"frames": [{"function": "f"}]}),
    ],
)
def test_what_is_not_valid_is_found(name: str, wrong: dict[str, Any], folder: Path, coda: RunCoda) -> None:
    asked = dict(reversed(ASKED.values()))[name]
    row = json.loads(coda(*asked, "--json", cwd=folder).out.splitlines()[0])
    assert problems(schema(name), {**row, **wrong})
    for field in schema(name)["required"]:
        assert problems(schema(name), {key: value for key, value in row.items() if key != field})


def test_a_log_row_of_a_known_type_has_its_fields() -> None:
    row = {"seq": 1, "type": "output", "t": 2, "run": "r", "stream": "stdout", "text": "x"}
    row |= dict.fromkeys(("block", "turn", "file", "line", "function", "cause"))
    assert problems(schema("log"), row) == []
    assert problems(schema("log"), {**row, "stream": 7})
    assert problems(schema("log"), {**row, "type": "of.tomorrow", "text": 7}) == []
    assert problems(schema("log"), {"seq": 1, "type": "of.tomorrow"})
