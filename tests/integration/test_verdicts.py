"""What a verdict says of a replay that left its log: where, both sides, and what is the likely reason."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from coda.cli.answers import Problem
from coda.cli.replay import paced
from coda.errors import UsageError
from coda.log import Import, open_trace
from coda.replay import replay
from tests.conftest import RunCoda
from tests.support.doctoring import Row, doctored
from tests.support.programs import dedent, record

pytestmark = pytest.mark.slow

PROGRAM = dedent(
    """
    import click, json
    text = open("../beside.txt").read()
    def count(word):
        found = len(word)
        return found
    total = count(text)
    print(total)
    """
)
Change = Callable[[list[Row]], None]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that imports a library and reads a file beside its workspace."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "beside.txt").write_text("four")
    return record(PROGRAM, folder)


def other_value(rows: list[Row]) -> None:
    """The log has another value than the program can have."""
    row = next(row for row in rows if row["type"] == "lines" and 4 in row["vals"])
    row["vals"][row["vals"].index(4)] = 5


def other_library(**fields: str) -> Change:
    """The log has another library too."""

    def change(rows: list[Row]) -> None:
        other_value(rows)
        next(row for row in rows if row.get("module") == "click").update(fields)

    return change


def told(trace: Path) -> Problem:
    """The problem of a replay, as it is printed."""
    problem = Problem.of(replay(trace))
    assert problem is not None
    return problem


def test_libraries_are_recorded_with_their_versions(recorded: Path) -> None:
    records = [event.record for event in open_trace(recorded).events(types={"import"})]
    found = {record.module: record.version for record in records if isinstance(record, Import)}
    assert found == {"click": importlib.metadata.version("click"), "json": None}


def test_place_and_both_sides_are_named(recorded: Path, tmp_path: Path, coda: RunCoda) -> None:
    trace = doctored(recorded, tmp_path / "changed.jsonl", other_value)
    problem = told(trace)
    assert (problem.line, problem.function, problem.source) == (7, "", "print(total)")
    assert problem.expected == "a value 5 bound before it"
    assert problem.found == "4"
    assert problem.reason is not None
    assert problem.reason.startswith("what decided it is not in the log: a clock or chance of C code")
    ran = coda("replay", trace)
    assert ran.status == 3
    assert ran.out.splitlines()[1].endswith("prog.py:7: print(total)")
    assert ran.out.splitlines()[2].startswith("  likely      what decided it")


def test_another_version_of_a_library_is_the_likely_reason(recorded: Path, tmp_path: Path) -> None:
    trace = doctored(recorded, tmp_path / "changed.jsonl", other_library(version="0.1"))
    assert (told(trace).reason or "").startswith("another click than recorded: ")


def test_a_library_that_is_missing_is_an_error_in_one_sentence(
    recorded: Path, tmp_path: Path, coda: RunCoda
) -> None:
    change = other_library(module="no_such_library", version="2.0")
    trace = doctored(recorded, tmp_path / "changed.jsonl", change)
    with pytest.raises(UsageError, match=r"needs no_such_library 2\.0, which is not installed here"):
        replay(trace)
    ran = coda("replay", trace, "--json")
    assert ran.status == 2
    assert json.loads(ran.out)["error"]["module"] == "no_such_library"


def test_a_file_that_is_gone_is_the_likely_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temp"))  # of files in there a replay has copies
    beside = tmp_path / "beside.txt"
    beside.write_text("four")
    trace = record(PROGRAM, tmp_path)
    beside.unlink()
    assert told(trace).reason == f"{beside}, which the program read, is not there any more"


def test_a_mark_of_the_recording_is_the_likely_reason(tmp_path: Path) -> None:
    source = """
        import os
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        """
    problem = told(record(dedent(source), tmp_path))
    assert (problem.kind, problem.source) == ("MissingEffect", "pid = os.fork()")
    assert problem.reason == f"the recording says so at event {(problem.seq or 0) + 1}"


def test_the_run_is_shown_as_far_as_it_was_replayed(recorded: Path, tmp_path: Path, coda: RunCoda) -> None:
    total = len(list(open_trace(recorded).events(types={"line"})))
    ran = coda("replay", recorded, "--type", "line", "--speed", "1e6")
    assert ran.status == 0
    assert len([row for row in ran.out.splitlines() if row[:1] == " " and ":" not in row[:8]]) > total
    ran = coda("replay", recorded, "--to", "1:4", "--json", "--type", "line")
    *events, verdict = map(json.loads, ran.out.splitlines())
    assert [event["line"] for event in events] == [1, 2, 3, 6]
    assert (verdict["schema"], verdict["to"], verdict["faithful"]) == ("coda.replay/1", "1:4", True)
    assert verdict["compared"]["lines"] == 4
    assert verdict["uncompared"] == ["values bound after the last effect before 1:4"]
    changed = doctored(recorded, tmp_path / "changed.jsonl", other_value)
    *events, verdict = map(json.loads, coda("replay", changed, "--show", "--json").out.splitlines())
    assert [event["seq"] for event in events] == list(range(verdict["diverged"]["seq"]))


def test_a_position_that_is_not_there_is_refused(recorded: Path, coda: RunCoda) -> None:
    ran = coda("replay", recorded, "--to", "99999")
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1


def test_events_come_in_their_own_time(recorded: Path) -> None:
    events = list(open_trace(recorded).events())
    now = 5.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    assert list(paced(events, 2, clock=lambda: now, sleep=sleep)) == events
    assert sum(slept) == pytest.approx((events[-1].t - events[0].t) / 2e9)
    slept.clear()
    assert list(paced(events, None, clock=lambda: now, sleep=sleep)) == events
    assert slept == []


def other_end(fields: Row) -> Change:
    """The log has another end of the run."""

    def change(rows: list[Row]) -> None:
        next(row for row in rows if row["type"] == "run.finished").update(fields)

    return change


def test_how_the_program_ended_is_compared_too(tmp_path: Path) -> None:
    source = 'import subprocess, sys\nsubprocess.run(["true"])\nsys.exit(2)\n'
    trace = record(source, tmp_path, status=2)
    assert replay(trace).faithful
    for fields in ({"code": 0}, {"code": 0, "outcome": "ok"}, {"outcome": "ok"}):
        found = replay(doctored(trace, tmp_path / "changed.jsonl", other_end(dict(fields)))).diverged
        assert found is not None
        assert "the replay ended error with exit status 2" in found.message

    def unused_answer(rows: list[Row]) -> None:
        next(row for row in rows if row["type"] == "process.finished")["code"] = 1

    assert replay(doctored(trace, tmp_path / "unused.jsonl", unused_answer)).faithful
