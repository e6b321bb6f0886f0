"""The one table of exit statuses, and how trouble is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from coda import __version__
from coda.cli.main import VERBS, main
from coda.cli.options import json_option
from coda.errors import CodaError, Diverged, LogError, QuerySyntax, UsageError
from tests.conftest import RunCoda

Verb = Callable[[str, Callable[[], int | None]], None]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Verb:
    """Puts a real click command in the place of a verb's module, as the loader would find it."""

    def put(name: str, body: Callable[[], int | None]) -> None:
        @click.command()
        @json_option
        @click.option("--count", type=int)
        @click.argument("words", nargs=-1)
        def command(as_json: bool, count: int | None, words: tuple[str, ...]) -> int | None:
            return body()

        module = types.ModuleType(f"coda.cli.{name}")
        vars(module)["command"] = command
        monkeypatch.setitem(sys.modules, f"coda.cli.{name}", module)

    return put


def fail(error: BaseException) -> Callable[[], int | None]:
    def body() -> int | None:
        raise error

    return body


@pytest.mark.parametrize(("result", "status"), [(None, 0), (0, 0), (1, 1), (7, 7)])
def test_a_verb_returns_its_status(verb: Verb, result: int | None, status: int) -> None:
    verb("check", lambda: result)
    assert main(["check"]) == status


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [
        ("check", UsageError("no such file"), 2),
        ("check", LogError("damaged"), 2),
        ("replay", Diverged("differs at 4", seq=4), 3),
        ("fork", Diverged("differs at 4", seq=4), 3),
        ("query", QuerySyntax("column 3: a verb is expected", column=3), 2),
        ("exec", LogError("disk full"), 125),
        ("run", LogError("disk full"), 125),
        ("exec", UsageError("no such file"), 2),
        ("check", ZeroDivisionError("1/0"), 2),
        ("exec", ZeroDivisionError("1/0"), 125),
        ("view", KeyboardInterrupt(), 130),
        ("view", click.Abort(), 130),
        ("check", click.exceptions.Exit(4), 4),
        ("check", click.UsageError("bad"), 2),
        ("check", BrokenPipeError(), 141),
        ("check", PermissionError(13, "Permission denied", "trace.jsonl"), 2),
        ("exec", OSError(28, "No space left on device"), 125),
    ],
)
def test_each_end_has_its_status(
    verb: Verb, name: str, error: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    verb(name, fail(error))
    assert main([name]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    if isinstance(error, CodaError):
        assert err == f"coda: {error.message}\n"


def test_with_json_trouble_is_one_object_with_its_facts(
    verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    verb("replay", fail(Diverged("differs at 4", seq=4, expected={"a": [1]}, found=Path("x"), kind="k")))
    assert main(["replay", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema": "coda.error/1",
        "error": {
            "kind": "Diverged",
            "message": "differs at 4",
            "seq": 4,
            "expected": {"a": [1]},
            "found": "x",
        },
    }
    assert list(json.loads(out)) == ["schema", "error"]
    assert err == ""


@pytest.mark.parametrize(
    ("argv", "as_json"),
    [
        (["check", "--json", "--count", "x"], True),
        (["check", "--count", "x", "--json"], True),
        (["check", "--nonsense", "--json"], True),
        (["check", "--nonsense"], False),
        (["check", "--nonsense", "--", "--json"], False),
        (["exec", "--nonsense", "program.py", "--json"], False),
        (["exec", "--json", "--nonsense", "program.py"], True),
        (["run", "a task", "--nonsense", "--json"], True),
        (["frk", "--json"], True),
    ],
)
def test_json_is_honoured_also_when_the_line_does_not_parse(
    verb: Verb, argv: list[str], as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    verb("check", lambda: 0)
    verb("exec", lambda: 0)
    assert main(argv) == 2
    out, err = capsys.readouterr()
    if as_json:
        assert json.loads(out)["error"]["kind"] == "UsageError"
        assert err == ""
    else:
        assert out == ""
        assert err.startswith("coda: ")


def test_a_defect_is_one_line_and_a_traceback_when_asked(
    verb: Verb, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    verb("check", fail(KeyError("nope")))
    assert main(["check"]) == 2
    assert capsys.readouterr().err == (
        "coda: a defect of coda: KeyError: 'nope'; please report it; CODA_DEBUG=1 shows where\n"
    )
    monkeypatch.setenv("CODA_DEBUG", "1")
    assert main(["check"]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("coda: a defect of coda: KeyError")


def test_messages_are_masked_and_safe_for_a_terminal(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    key = "sk-" + "a1B2" * 12
    verb("check", fail(UsageError(f"no file \x1b]0;evil\x07 at {key}")))
    main(["check"])
    err = capsys.readouterr().err
    assert key not in err
    assert "\x1b" not in err
    assert "\x07" not in err


@pytest.mark.parametrize(("typed", "meant"), [("frk", "fork"), ("reply", "replay"), ("quary", "query")])
def test_an_unknown_verb_suggests_near_ones(typed: str, meant: str, coda: RunCoda) -> None:
    ran = coda(typed, "trace.jsonl")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"coda: there is no command '{typed}'; did you mean")
    assert meant in ran.err


def test_an_unknown_verb_like_no_other_points_to_the_list(coda: RunCoda) -> None:
    ran = coda("zzzzzz")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "coda: there is no command 'zzzzzz'; `coda --help` lists the commands.\n"


def test_help_lists_every_verb_and_version_prints_it(coda: RunCoda) -> None:
    ran = coda("--help")
    assert (ran.status, ran.err) == (0, "")
    for name, line in VERBS.items():
        assert f"  {name}" in ran.out
        assert line in ran.out
    assert coda("-h") == ran
    assert coda("--version") == (0, f"coda {__version__}\n", "")


def test_without_a_verb_the_help_is_shown_as_trouble(coda: RunCoda) -> None:
    ran = coda()
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("Usage: coda [OPTIONS] COMMAND")


def test_an_unknown_option_names_the_help(coda: RunCoda) -> None:
    ran = coda("--nonsense")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("coda: No such option")


def test_a_reader_that_goes_away_is_no_noise(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "coda", "--help"], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_what_the_system_refuses_is_no_defect(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    verb("check", fail(PermissionError(13, "Permission denied", "trace.jsonl")))
    assert main(["check"]) == 2
    assert capsys.readouterr().err == "coda: the system refused: Permission denied: trace.jsonl\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_full_disk_is_said_once() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "coda", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "coda: the system refused: No space left on device\n")


def test_a_closed_stdout_is_no_trouble() -> None:
    code = "import os, sys; os.close(1); me = sys.executable; os.execv(me, [me, '-m', 'coda', '--version'])"
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_is_one_word_and_130() -> None:
    code = (
        "import sys, types, click, os, signal\n"
        "@click.command()\n"
        "def command():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    while True: pass\n"
        "module = types.ModuleType('coda.cli.view'); module.command = command\n"
        "sys.modules['coda.cli.view'] = module\n"
        "from coda.cli.main import main\n"
        "sys.exit(main(['view']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "coda: interrupted\n")


def test_the_shell_can_complete(coda: RunCoda) -> None:
    ran = coda(env={"_CODA_COMPLETE": "bash_source"})
    assert ran.status == 0
    assert "COMP_WORDS" in ran.out
    names = coda(env={"_CODA_COMPLETE": "bash_complete", "COMP_WORDS": "coda re", "COMP_CWORD": "1"})
    assert names.out.split() == ["plain,replay"]
