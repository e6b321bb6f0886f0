"""The benchmarks measure what they say: same input each time, honest peers, checked results."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from benchmarks import peer_settrace
from benchmarks.__main__ import names
from benchmarks.bench_programs import sources
from benchmarks.generate_data import large_trace, nothing, tight_loop
from benchmarks.harness import Figure, Pairs, Spread, WrongResult, in_turn, report, run_python, table
from benchmarks.sides import Program, cost
from coda.log import open_trace


def test_a_ratio_is_taken_pair_by_pair() -> None:
    assert Pairs([2.0, 40.0, 3.0], [1.0, 10.0, 1.0]).ratio() == Spread(2.0, 3.0, 4.0)


def test_sides_take_turns_in_going_first() -> None:
    calls: list[str] = []

    def side(name: str, value: float) -> float:
        calls.append(name)
        return value

    pairs = in_turn(2, lambda: side("a", 1.0), lambda: side("b", 2.0))
    assert pairs == Pairs([1.0, 1.0], [2.0, 2.0])
    assert calls == ["b", "a", "a", "b", "b", "a"]  # the first pair warms up and is thrown away


def test_a_target_is_met_or_missed_in_its_direction() -> None:
    spread = Spread(1, 2, 3)
    assert Figure("a", "x", 2.0, spread, 2.5).meets is True
    assert Figure("a", "x", 2.6, spread, 2.5).meets is False
    assert Figure("a", "x", 160.0, spread, 150.0, more_is_better=True).meets is True
    assert Figure("a", "x", 2.0, spread).meets is None


def test_the_table_and_the_report_hold_every_figure() -> None:
    figures = [Figure("fast", "x", 1.5, Spread(1, 1.5, 2), 1.8), Figure("slow", "s", 9, Spread(8, 9, 10), 2)]
    rows = table(figures).splitlines()
    assert [row.split()[0] for row in rows] == ["figure", "fast", "slow"]
    assert rows[1].endswith("met")
    assert rows[2].endswith("MISSED")
    data = json.loads(json.dumps(report(figures)))
    assert [(figure["name"], figure["meets"]) for figure in data["figures"]] == [
        ("fast", True),
        ("slow", False),
    ]
    assert data["machine"]["versions"]["msgspec"]


def test_data_is_the_same_each_time_and_of_the_size_asked_for(tmp_path: Path) -> None:
    one = large_trace(tmp_path / "one.jsonl", events=60_000)
    other = large_trace(tmp_path / "other.jsonl", events=60_000)
    assert one.read_bytes() == other.read_bytes()
    assert 50_000 < open_trace(one).count() < 70_000
    other = large_trace(tmp_path / "other2.jsonl", events=60_000, seed=2)
    assert one.read_bytes() != other.read_bytes()


def test_the_peer_logs_every_line_of_the_program_and_changes_nothing(tmp_path: Path) -> None:
    program, log = tmp_path / "loop.py", tmp_path / "log.jsonl"
    program.write_text(tight_loop(800), encoding="utf-8")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert peer_settrace.record(program, log) > 0
        exec(compile(program.read_text(encoding="utf-8"), "bare", "exec"), {})
    ours, bare = printed.getvalue().splitlines()
    assert ours == bare
    lines = [json.loads(row)["payload"]["line"] for row in log.read_text(encoding="utf-8").splitlines()]
    # Each of the hundred turns: header, half, score, the condition, one return, if, total, last.
    assert lines.count(10) == 100
    assert set(lines) <= set(range(1, 17))
    assert len(lines) >= 800


def test_the_empty_program_prints_what_the_checks_expect() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(nothing(), {})
    assert printed.getvalue() == "0 0 0\n"


def test_a_side_that_fails_is_no_figure() -> None:
    with pytest.raises(WrongResult, match="ended with 3"):
        run_python("-c", "raise SystemExit(3)")


def test_the_ten_programs_run_and_say_what_they_found(tmp_path: Path) -> None:
    found = sources(small=True)
    assert len(found) == 10
    for name, source in found.items():
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, name, "exec"), {"__name__": "__main__"})
        assert printed.getvalue().strip(), name


@pytest.mark.slow
def test_a_recorded_program_is_held_against_the_same_one_bare(tmp_path: Path) -> None:
    program = Program.of(tmp_path / "loop.py", tight_loop(8000))
    measured = cost(program, level="lines", repeats=1, folder=tmp_path)
    assert measured.last.lines > 7000
    assert measured.last.size_bytes > 8000
    assert len(measured.wall.a) == len(measured.wall.b) == len(measured.cpu.a) == len(measured.cpu.b) == 1
    with pytest.raises(WrongResult, match="printed"):
        cost(program._replace(printed="else"), level="lines", repeats=1, folder=tmp_path)


def test_every_benchmark_has_its_question_on_the_first_line_and_a_row_in_the_docs() -> None:
    root = Path(__file__).parents[3]
    described = (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name in names():
        text = (root / "benchmarks" / f"bench_{name}.py").read_text(encoding="utf-8")
        assert text.startswith('"""')
        assert "?" in text.splitlines()[0], name
        assert f"| `{name}` |" in described, name
