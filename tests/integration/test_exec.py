"""`coda exec` is `python`: same output, same status, same files, for programs of every kind; and each is
whole to `coda check` and goes the same way again when it is replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.log import check_trace, open_trace
from coda.replay import replay
from tests.support.corpus import BY_NAME, PROGRAMS
from tests.support.programs import Pair, Program, output_of, plain_text, run_both

pytestmark = pytest.mark.slow

# A few of each kind: the levels share everything but the hooks.
LEVELLED = [
    "files_text", "generators", "recursion", "asyncio_gather", "environment", "processes", "threads",
    "print_forms", "chained", "atexit", "workspace_modules",
]  # fmt: skip


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda program: program.name)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Pair]:
    """One program's plain and recorded run."""
    program: Program = request.param
    return program, run_both(program, tmp_path_factory.mktemp(program.name))


def test_a_recorded_program_does_what_python_does(ran: tuple[Program, Pair]) -> None:
    program, pair = ran
    assert pair.recorded == pair.plain
    assert pair.plain.status == program.status
    assert pair.left_recorded == pair.left_plain


def test_its_trace_is_whole_and_holds_the_output(ran: tuple[Program, Pair]) -> None:
    _, pair = ran
    report = check_trace(pair.trace)
    assert (report.damage, report.consistent, report.finished) == ((), True, True)
    assert report.unsealed_bytes == 0
    assert plain_text(output_of(pair.trace)) == pair.plain.out
    finished = open_trace(pair.trace).finished
    assert finished is not None
    assert finished.code == pair.recorded.status


def test_its_replay_is_faithful(ran: tuple[Program, Pair]) -> None:
    _, pair = ran
    trace = open_trace(pair.trace)
    verdict = replay(trace)
    assert verdict.diverged is None, verdict.diverged
    assert verdict.faithful
    assert verdict.lines == sum(1 for _ in trace.events(types={"line"}))
    assert verdict.isolation == "kernel"


@pytest.mark.parametrize("level", ["effects", "lines"])
@pytest.mark.parametrize("name", LEVELLED)
def test_the_other_levels_are_as_good(name: str, level: str, tmp_path: Path) -> None:
    pair = run_both(BY_NAME[name], tmp_path, level=level)
    assert pair.recorded == pair.plain
    assert check_trace(pair.trace).damage == ()
    trace = open_trace(pair.trace)
    assert (next(trace.events(types={"line"}), None) is None) == (level == "effects")
    verdict = replay(trace)
    assert verdict.diverged is None, verdict.diverged
