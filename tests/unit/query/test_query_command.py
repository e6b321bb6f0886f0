"""`coda query`: what it prints, where, and with which status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coda.cli.main import main
from coda.log import FileRead
from tests.unit.query.recorder import Recorder, record, write

PROGRAM = "limit = 3\nfor n in range(4):\n    total = n * limit\n"


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> str:
    recorder = Recorder(tmp_path / "run1.jsonl")
    recorder.namespace["look"] = lambda path: recorder.emit(
        FileRead(path=path, size=5, file="<block 1>", line=4, function="")
    )
    recorder.block(PROGRAM + 'look("conf/" + "a.env")  # nobody reads secrets.env here\n')
    return str(recorder.close().path)


def test_a_match(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "read *.env", path]) == 0
    out, err = capsys.readouterr()
    source = 'look("conf/" + "a.env")  # nobody reads secrets.env here'
    assert out.split() == f"9 block 1 line 4 conf/a.env (open, 5 B) {source}".split()
    assert err == ""


def test_no_match(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "read secrets.env", path]) == 1
    assert capsys.readouterr() == ("", "coda: no event matches\n")


def test_json_rows(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "set total", path, "--json", "--limit", "2"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [next(iter(row.items())) for row in rows] == [("schema", "coda.query.hit/1")] * 2
    assert [(row["value"], row["line"], row["source"]) for row in rows] == [
        (0, 3, "total = n * limit"),
        (3, 3, "total = n * limit"),
    ]


def test_counts(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "line | count by line | first 2", path]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["4", "3"], ["1", "1"]]
    assert main(["query", "read nothing | count", path, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "schema": "coda.query.count/1", "field": None, "key": None, "count": 0,
    }  # fmt: skip


def test_just_the_lines(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "set limit | lines", path]) == 0
    assert capsys.readouterr().out == "limit = 3\n"


def test_a_caret_points_at_the_mistake(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "read *.env wher size > 3", path]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("coda: query, column 12: unexpected 'wher': expected at, where, | or the end")
    assert lines[1:] == ["  read *.env wher size > 3", "  " + " " * 11 + "^"]
    assert main(["query", "read where sice > 3", path]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "did you mean 'size'?" in lines[0]
    assert lines[2] == "  " + " " * 11 + "^"


def test_a_mistake_as_json(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "raed x", path, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["column"]) == ("QuerySyntax", 1)
    assert "\n" not in error["message"]


def test_incomplete_is_trouble_even_with_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = record(tmp_path / "t.jsonl", PROGRAM, value_limit=2)
    assert main(["query", "set total where value >= 0", str(trace.path)]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err == "coda: incomplete: 2 bindings not captured in run t, so not compared; a replay knows them\n"


def test_all_runs_of_the_run_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["query", "read *.env"]) == 2
    assert "there are no runs in" in capsys.readouterr().err
    for run in ("20260101T000000-aaaaaa", "20260102T000000-bbbbbb"):
        folder = tmp_path / ".coda" / "runs" / run
        folder.mkdir(parents=True)
        write(folder / "trace.jsonl", [FileRead(path=f"{run[-6:]}.env")])
    assert main(["query", "read *.env", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["path"] for row in rows] == ["aaaaaa.env", "bbbbbb.env"]
    assert main(["query", "read *.env"]) == 0
    assert all(line.startswith("trace  ") for line in capsys.readouterr().out.splitlines())


def test_at_takes_a_range(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "set total", path, "--at", "5..7"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["5", "6", "7"]


def test_secrets_are_masked_unless_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "sk-" + "a1B2" * 10
    trace = record(tmp_path / "t.jsonl", f'key = "{secret}"\n')
    for extra in ([], ["--json"]):
        main(["query", "set key", str(trace.path), *extra])
        assert secret not in capsys.readouterr().out
        main(["query", "why key", str(trace.path), *extra])
        assert secret not in capsys.readouterr().out
        main(["query", "set key", str(trace.path), "--show-secrets", *extra])
        assert secret in capsys.readouterr().out


def test_why_prints_an_indented_chain(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "why total", path]) == 0
    lines = [line.split(None, 5) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["total", "at", "12"]
    assert [line[5].split("  ")[0] for line in lines[1:]] == [
        "total = n * limit", "for n in range(4):", "limit = 3",
    ]  # fmt: skip


def test_why_as_json_and_its_position(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "why total at 6", path, "--json"]) == 0
    chain = json.loads(capsys.readouterr().out)
    assert (chain["schema"], chain["position"], chain["name"]) == ("coda.query.why/1", "6", "total")
    assert (chain["links"][0]["source"], chain["links"][0]["value"]) == ("total = n * limit", 3)
    assert main(["query", "why total", path, "--at", "1:0"]) == 1
    assert "stores 'total'" in capsys.readouterr().err
    assert main(["query", "why total at 3", path, "--at", "4"]) == 2
    assert main(["query", "why total", path, path]) == 2


def test_why_denies_nothing_that_it_could_not_see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = record(tmp_path / "t.jsonl", "c = 1\n", level="effects")
    assert main(["query", "why c", str(trace.path)]) == 2
    said = capsys.readouterr().err
    assert "level effects" in said
    assert "nothing before" not in said
