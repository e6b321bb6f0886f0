"""Real recordings compared: programs and an agent's blocks, run by the worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coda.forking import diff
from coda.log import open_trace
from coda.runtime import Sandbox
from tests.conftest import RunCoda

pytestmark = pytest.mark.slow

PROGRAM = """\
import json
import random


class Counter:
    def __init__(self):
        self.total = 0

    def add(self, number):
        if number % 3:
            self.total += number
        return self.total


counter = Counter()
draws = [random.random() for _ in range(3)]
for number in range(20):
    counter.add(number)
with open("result.json", "w") as file:
    json.dump({"total": counter.total}, file)
print(counter.total, counter, {"set", "of", "words"})
"""


def execute(coda: RunCoda, folder: Path, name: str, program: str) -> Path:
    (folder / "program.py").write_text(program, encoding="utf-8")
    done = coda("exec", "-o", folder / f"{name}.jsonl", "--quiet", "program.py", cwd=folder)
    assert done.status == 0, done.err
    return folder / f"{name}.jsonl"


def test_two_recordings_of_a_program_are_equal_but_for_what_was_drawn(coda: RunCoda, tmp_path: Path) -> None:
    a, b = (execute(coda, tmp_path, name, PROGRAM) for name in ("a", "b"))
    found = diff(open_trace(a), open_trace(b))
    assert (found.counts.a_only, found.counts.b_only, found.counts.calls) == (0, 0, 0)
    assert [change.name for change in found.variables] in ([], ["draws"])  # the seed is another one each time
    assert found.output == {}
    assert found.files == ()


def test_a_damaged_log_is_not_called_equal(coda: RunCoda, tmp_path: Path) -> None:
    a = execute(coda, tmp_path, "a", "x = 1\nprint(x)\n")
    data = a.read_bytes()
    (tmp_path / "b.jsonl").write_bytes(data.replace(b'"wall":"2', b'"wall":"3', 1))
    done = coda("diff", a, tmp_path / "b.jsonl")
    assert (done.status, done.out) == (2, "")
    assert "b.jsonl is damaged or was changed" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_statement_more_at_the_top_moves_nothing_else(coda: RunCoda, tmp_path: Path) -> None:
    plain = PROGRAM.replace("draws = [random.random() for _ in range(3)]\n", "")
    a = execute(coda, tmp_path, "a", plain)
    b = execute(coda, tmp_path, "b", "note = 'new'\n" + plain)
    done = coda("diff", a, b, "--json")
    assert done.status == 1
    found = json.loads(done.out)
    assert (found["counts"]["a_only"], found["counts"]["b_only"]) == (0, 1)
    assert found["hunks"][0]["b"]["source"] == "note = 'new'"
    assert [change["name"] for change in found["variables"]] == ["note"]
    assert found["counts"]["other_values"] == 0


def test_blocks_with_primitives_ctx_and_a_failure(tmp_path: Path) -> None:
    def run(name: str, limit: int) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.txt").write_text("3\n8\n12\n5\n", encoding="utf-8")
        path = tmp_path / f"{name}.jsonl"
        with Sandbox(root=tmp_path / name, trace=path) as sandbox:
            sandbox.execute(f"limit = {limit}\nnumbers = [int(n) for n in read('data.txt').split()]\n")
            sandbox.execute("numbers[99]\n")
            sandbox.execute(
                "kept = []\nfor n in numbers:\n    if n > limit:\n        kept.append(n)\n"
                "ctx.kept = len(kept)\nwrite('kept.txt', str(kept))\n"
            )
        return path

    assert diff(open_trace(run("one", 4)), open_trace(run("two", 4))).equal
    found = diff(open_trace(tmp_path / "one.jsonl"), open_trace(run("three", 6)))
    assert [(change.name, change.a, change.b) for change in found.ctx] == [("kept", "3", "2")]
    assert [(call.kind, call.name) for call in found.calls] == [("arguments", "write")]
    assert [(file.path, file.kind) for file in found.files] == [("kept.txt", "changed")]
    assert found.files[0].text[-2:] == ("-[8, 12, 5]", "+[8, 12]")
    assert (found.counts.a_only_lines, found.counts.b_only_lines) == (2, 1)  # limit itself, one append less
