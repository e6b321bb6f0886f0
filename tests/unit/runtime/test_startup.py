"""How an interpreter was started, and what of it a log may say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coda.runtime.startup import Startup, environment_for, folders_of, startup_here
from tests.support.programs import ROOT

PROGRAM = (
    "import json, sys; sys.path.append(sys.argv[1]); from coda.runtime.startup import *; "
    "print(json.dumps([startup_here(), environment_for(startup_here(), hash_seed=3)]))"
)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), []),
        (("-BO", "-W", "error", "-Xdev", "-X", "utf8=1"), ["-B", "-O", "-Werror", "-Xdev", "-Xutf8=1"]),
        (("-bbWonce",), ["-b", "-b", "-Wonce"]),
        (("--check-hash-based-pycs", "never", "-s"), ["--check-hash-based-pycs", "never", "-s"]),
        (("-E", "-q"), ["-q"]),
        (("-I",), ["-s", "-P"]),
    ],
)
def test_options_are_those_of_the_command_line(words: tuple[str, ...], options: list[str]) -> None:
    env = {
        "PYTHONOPTIMIZE": "1",
        "PYTHONSTARTUP": "x",
        "PYTHONPATH": "a::/b",
        "LC_ALL": "C.UTF-8",
        "PATH": "/x",
    }
    command = [sys.executable, *words, "-c", PROGRAM, str(ROOT), "-x"]
    printed = subprocess.run(command, env=env, cwd="/tmp", stdout=subprocess.PIPE, check=True).stdout
    (found, variables), environment = json.loads(printed)
    assert found == options
    if "-E" in words or "-I" in words:
        assert variables == {"LC_ALL": "C.UTF-8"}
        assert environment == {"LC_ALL": "C.UTF-8", "PATH": "/x", "PYTHONHASHSEED": "3"}
    else:
        assert variables == {"PYTHONOPTIMIZE": "1", "PYTHONPATH": "/tmp/a:/tmp:/b", "LC_ALL": "C.UTF-8"}
        del env["PYTHONSTARTUP"]
        assert environment == {**env, "PYTHONHASHSEED": "3"}


def test_a_log_does_not_say_where_code_is_found() -> None:
    harmless = ("-O", "-b", "-u", "-Werror", "-Wignore::ResourceWarning", "-Xdev", "-Xutf8=0")
    harmful = (
        "-cprint()",
        "-c",
        "-",
        "prog.py",
        "-i",
        "-x",
        "--help",
        "-Xpycache_prefix=/x",
        "-Xpresite=x",
        "-I",
    )
    named = "-Werror::pickle.PickleError"
    variables = {
        "PYTHONOPTIMIZE": "1",
        "PYTHONPATH": "/a:/b",
        "PYTHONWARNINGS": "error,error::test.__main__.X",
        "PYTHONHOME": "/x",
        "PYTHONPYCACHEPREFIX": "/x",
        "LD_PRELOAD": "/x",
        "LC_ALL": "C",
    }
    startup = Startup((*harmless, named, *harmful), variables)
    kept = {"PYTHONOPTIMIZE": "1", "PYTHONPATH": "/a:/b", "PYTHONWARNINGS": "error", "LC_ALL": "C"}
    left_out = [named, *harmful, "PYTHONWARNINGS=error,error::test.__main__.X"]
    assert startup.restricted(trusted=False) == (Startup(harmless, kept), left_out)
    assert startup.search == ["/a", "/b"]
    kept["PYTHONWARNINGS"] = variables["PYTHONWARNINGS"]
    assert startup.restricted(trusted=True) == (Startup((*harmless, named), kept), list(harmful))


def test_the_search_path_of_another_is_not_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "own")
    monkeypatch.setenv("PYTHONUTF8", "1")
    env = environment_for(Startup((), {"PYTHONPATH": "/theirs", "LANG": "C"}), hash_seed=0)
    assert (env["PYTHONPATH"], env["LANG"], "PYTHONUTF8" in env) == ("own", "C", False)
    assert folders_of(os.environ) == [str(Path("own").absolute())]
    assert startup_here().variables["PYTHONUTF8"] == "1"
