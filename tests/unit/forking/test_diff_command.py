"""`coda diff` as a user runs it: status 0, 1 and 2, text and JSON, secrets masked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coda.cli.main import main
from tests.unit.forking.recorded import record

SECRET = "ghp_" + "a1B2c3D4e5" * 4


@pytest.fixture
def runs(tmp_path: Path) -> tuple[str, str]:
    for name, limit in (("a", 3), ("b", 5)):
        record(
            tmp_path / f"{name}.jsonl",
            f"limit = {limit}\nctx.limit = limit\nprint('{SECRET}', limit)\n",
            run=name,
        )
    return str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")


def test_equal_runs_give_zero(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", runs[0], runs[0]]) == 0
    assert capsys.readouterr().out == "no difference\n"


def test_runs_that_differ_give_one_and_a_sentence(
    runs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", *runs]) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == (
        "differs from event 2 (block 1, line 1: limit = 3): "
        "1 other line; ctx.limit 3 -> 5; limit 3 -> 5; outcome ok -> ok"
    )
    assert all(line.startswith("  ") for line in rest)


def test_secrets_are_masked_unless_asked(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    for options, shown in (([], False), (["--show-secrets"], True)):
        for form in ([], ["--json"]):
            main(["diff", *runs, *options, *form])
            assert (SECRET in capsys.readouterr().out) is shown


def test_json_is_one_object_with_its_schema_first(
    runs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", *runs, "--json"]) == 1
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert next(iter(data)) == "schema"
    assert data["schema"] == "coda.diff/1"
    assert [(change["name"], change["a"], change["b"]) for change in data["ctx"]] == [("limit", "3", "5")]


def test_a_missing_trace_is_trouble(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", runs[0], runs[0] + ".not"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("coda: ")
    assert ".not" in captured.err


def test_a_damaged_trace_is_trouble(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(runs[1])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b'{"type":"lines",nonsense\n', *lines[2:]]))
    assert main(["diff", *runs]) == 2
    assert str(path) in capsys.readouterr().err
