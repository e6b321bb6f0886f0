"""Another answer to what a program observed: clock, input, environment, facts, a file, a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coda.errors import UsageError
from coda.forking import fork
from coda.log import Trace, TraceEvent, open_trace
from coda.replay import replay
from tests.conftest import RunCoda

pytestmark = pytest.mark.slow

PROGRAM = """\
import os, subprocess, sys, time
line = input()
now = time.time()
later = time.time() - now
home = os.environ["HOME_OF"]
kind = os.access("data.txt", os.R_OK)
size = os.stat("data.txt").st_size
text = open("data.txt").read()
done = subprocess.run(["echo", "hi"], capture_output=True, text=True)
print(now < 10, 0 <= later < 60, home, kind, size, text, line, done.returncode, done.stdout.split(), sep="|")
"""
PLAIN = "False|True|/there|True|3|abc|typed|0|['hi']\n"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    folder = tmp_path_factory.mktemp("results")
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "data.txt").write_text("abc", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "coda", "exec", "-o", "a.jsonl", "program.py"],
        cwd=folder, input="typed\n", env={**os.environ, "HOME_OF": "/there"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, PLAIN), done.stderr
    return open_trace(folder / "a.jsonl")


def answer_at(trace: Trace, name: str) -> int:
    """Number of the first event of a name: an effect, a fact of the system, or a type."""

    def is_meant(event: TraceEvent) -> bool:
        fact = event.value[0] if event.name == "host" else None
        main = getattr(event.record, "via", None) == "main"
        return name in (event.name, fact, event.type) and not main

    return next(event.seq for event in trace.events() if is_meant(event))


def output_of(path: Path) -> str:
    return "".join(str(event.value) for event in open_trace(path).events(types={"output"}))


@pytest.mark.parametrize(
    ("name", "result", "output"),
    [
        ("time.time", 5, PLAIN.replace("False", "True", 1)),
        ("env", "/here", PLAIN.replace("/there", "/here")),
        ("env", ["HOME_OF", "/here"], PLAIN.replace("/there", "/here")),
        ("access", False, PLAIN.replace("True|3", "False|3")),
        ("stat", {"stat": [33188, 0, 0, 1, 0, 0, 77, 0, 0, 0]}, PLAIN.replace("|3|", "|77|")),
        ("file.read", "ZZ", PLAIN.replace("abc", "ZZ")),
        ("file.read", {"$": "bytes", "v": "WVk="}, PLAIN.replace("abc", "YY")),
        ("input", "other\n", PLAIN.replace("typed", "other")),
        ("process.started", {"returncode": 7}, PLAIN.replace("|0|", "|7|")),
        ("process.started", {"code": 7, "stdout": "x"}, PLAIN.replace("|0|['hi']", "|7|['x']")),
        ("process.started", "x y", PLAIN.replace("['hi']", "['x', 'y']")),
    ],
)
def test_another_answer_is_what_the_program_gets(
    recorded: Trace, tmp_path: Path, name: str, result: Any, output: str
) -> None:
    seen_by_child = name in ("env", "file.read")
    made = fork(
        recorded,
        answer_at(recorded, name),
        result=result,
        out=tmp_path / "f.jsonl",
        assume_recorded=seen_by_child,
    )
    assert (made.outcome, made.frontier, output_of(made.path)) == ("ok", None, output)
    assert made.assumed == seen_by_child
    assert replay(made.path).diverged is None


@pytest.mark.parametrize(
    ("name", "result", "said"),
    [
        ("time.time", "noon", "answers with a number"),
        ("env", 3, "HOME_OF is a JSON text"),
        ("stat", 4, "as in the log"),
        ("file.read", 5, "JSON text"),
        ("input", 5, "JSON text"),
        ("process.started", {"foo": 1}, "has returncode, stdout, stderr"),
        ("process.started", {"code": 1, "returncode": 2}, "give one of them"),
        ("process.started", {"returncode": "x"}, "whole number"),
        ("block.started", 1, "carries an answer"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_in_a_sentence(
    recorded: Trace, tmp_path: Path, name: str, result: Any, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        fork(recorded, answer_at(recorded, name), result=result, out=tmp_path / "f.jsonl")
    assert not (tmp_path / "f.jsonl").exists()


def test_the_command_takes_the_answer_of_a_clock(coda: RunCoda, recorded: Trace, tmp_path: Path) -> None:
    at = str(answer_at(recorded, "time.time"))
    done = coda("fork", recorded.path, "--at", at, "--result", "5.0", "-o", tmp_path / "f.jsonl", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["outcome"] == "ok"
