"""`coda exec` is `python`: same output, same status, same files, for programs of every kind; and each is
whole to `coda check` and goes the same way again when it is replayed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from coda.log import check_trace, open_trace
from coda.replay import replay
from tests.conftest import RunCoda
from tests.support.corpus import BY_NAME, PROGRAMS
from tests.support.elsewhere import elsewhere
from tests.support.page_comparison import assert_told_alike
from tests.support.programs import ROOT, Pair, Program, dedent, output_of, plain_text, run_both

pytestmark = pytest.mark.slow

# A few of each kind: the levels share everything but the hooks.
LEVELLED = [
    "files_text", "generators", "recursion", "asyncio_gather", "environment", "processes", "threads",
    "print_forms", "chained", "atexit", "workspace_modules",
]  # fmt: skip

MARKS: dict[str, set[str]] = {}
"""What the recordings say they cannot hold, for each program that has a mark: none has."""


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


def test_a_reader_written_from_the_formats_page_tells_the_same(ran: tuple[Program, Pair]) -> None:
    assert_told_alike(ran[1].trace)


def test_its_replay_is_faithful_elsewhere(ran: tuple[Program, Pair], tmp_path: Path) -> None:
    program, pair = ran
    trace = open_trace(pair.trace)
    shutil.rmtree(pair.trace.parent / "work")
    with elsewhere(tmp_path / "away"):
        verdict = replay(trace)
    assert verdict.diverged is None, verdict.diverged
    assert verdict.faithful
    assert {note.split(":")[0] for note in verdict.notes} == MARKS.get(program.name, set())
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


INTERRUPTED = dedent(
    """
    print("ready", flush=True)
    try:
        while True:
            pass
    except KeyboardInterrupt:
        print("stopping")
        raise
    """
)


def test_ctrl_c_is_the_programs(tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text(INTERRUPTED)
    command = [sys.executable, "-m", "coda", "exec", "--quiet", "-o", "t.jsonl", "prog.py"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.stdout.read() == "stopping\n"
        errors = process.stderr.read()
        assert process.wait(30) == 130
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "coda" not in errors.replace(str(ROOT), "")
    report = check_trace(tmp_path / "t.jsonl")
    assert (report.damage, report.finished) == ((), True)
    assert output_of(tmp_path / "t.jsonl") == "ready\nstopping\n"


def test_codas_own_options_and_refusals(tmp_path: Path, coda: RunCoda) -> None:
    (tmp_path / "prog.py").write_text("import sys\nprint(sys.argv[1:])\n")
    before = coda("exec", "-o", "a.jsonl", "prog.py", "x", "--", "-o", "y")
    assert (before.status, before.out) == (0, "['x', '-o', 'y']\n")
    after = coda("exec", "prog.py", "x", "-o", "b.jsonl", "--quiet")
    assert (after.status, after.out, after.err) == (0, "['x']\n", "")
    assert (tmp_path / "b.jsonl").exists()
    assert not coda("exec", "prog.py", "-o", "b.jsonl", "--force", "--record", "effects").status
    assert open_trace(tmp_path / "b.jsonl").started.level == "effects"
    again = coda("exec", "-o", "a.jsonl", "prog.py")
    assert (again.status, again.out) == (2, "")
    assert "--force" in again.err
    missing = coda("exec", "-o", "c.jsonl", "nowhere.py")
    assert (missing.status, missing.out) == (2, "")
    assert "nowhere.py" in missing.err
    with zipfile.ZipFile(tmp_path / "no_main.zip", "w") as archive:
        archive.writestr("other.py", "")
    no_main = coda("exec", "-o", "c.jsonl", "no_main.zip")
    assert (no_main.status, no_main.err) == (
        2, "coda: cannot run no_main.zip: it is a zip file without a __main__.py\n",
    )  # fmt: skip
    assert "Traceback" not in missing.err + again.err
    assert not (tmp_path / "c.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (("-o", "t", "prog.py", "--help"), ["--help"]),
        (("prog.py", "-h", "-m", "x", "-o", "t"), ["-h", "-m", "x"]),
        (("-o", "t", "prog.py", "-o", "mine", "--output=mine"), ["-o", "mine", "--output=mine"]),
        (("prog.py", "a", "--output=t", "--quiet"), ["a"]),
        (("prog.py", "-x", "--", "-o", "t"), ["-x", "-o", "t"]),
        (("-o", "t", "--", "prog.py", "--", "--quiet"), ["--quiet"]),
        (("-o", "t", "-m", "prog", "--help", "-m"), ["--help", "-m"]),
        (("-m", "prog", "--sort", "x", "-o", "t", "--record=lines"), ["--sort", "x"]),
    ],
)
def test_what_follows_the_program_is_the_programs(
    tmp_path: Path, coda: RunCoda, words: tuple[str, ...], args: list[str]
) -> None:
    (tmp_path / "prog.py").write_text("import sys\nprint(sys.argv[1:])\n")
    ran = coda("exec", *words)
    assert (ran.status, ran.out) == (0, f"{args}\n")
    assert ("options of coda stand" in ran.err) == any(word.startswith("--output") for word in args)
    assert (tmp_path / "t").exists() == ("t" not in args)


def test_options_that_were_perhaps_meant_for_coda_are_said(tmp_path: Path, coda: RunCoda) -> None:
    (tmp_path / "prog.py").write_text("import sys\nprint(sys.argv[1:])\n")
    ran = coda("exec", "prog.py", "--timeout", "5", "-o", "t")
    assert ran.out == "['--timeout', '5']\n"
    said = "coda: --timeout is prog.py's; options of coda stand before the program, or behind -o TRACE\n"
    assert ran.err.startswith(said)
    assert coda("exec", "--quiet", "prog.py", "--timeout", "5", "-o", "u").err == ""


def test_without_a_name_the_trace_goes_to_the_run_directory(tmp_path: Path, coda: RunCoda) -> None:
    (tmp_path / "prog.py").write_text("print('x')\n")
    ran = coda("exec", "prog.py")
    assert (ran.status, ran.out) == (0, "x\n")
    (trace,) = (tmp_path / ".coda" / "runs").glob("*/trace.jsonl")
    assert trace.parent.name in ran.err
    assert trace.stat().st_mode & 0o777 == 0o600
    assert replay(trace).faithful
