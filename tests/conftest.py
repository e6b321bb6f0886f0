"""What every test has: a clean environment, printed seeds, and the real `coda` command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
from hypothesis import settings

# A failing example prints the blob that reproduces it; a slow machine is no failure. In CI the examples are
# those of every other run, so that a change is judged by what it changed; at a desk they are new each time.
settings.register_profile("coda", print_blob=True, deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("coda")

ROOT = Path(__file__).resolve().parent.parent

# A shell that starts something in the background lets it and its children ignore Ctrl-C; what is tested
# with Ctrl-C would then wait for ever.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# Variables that change what coda does or prints; a developer's own must not decide a test.
_OURS = ("CODA_", "OTEL_", "_CODA_")
_LOOKS = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONHASHSEED", "PYTHONWARNINGS", "TRACEPARENT")


class Ran(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class RunCoda(Protocol):
    """Runs `coda` with arguments as a process of its own."""

    def __call__(
        self,
        *args: str | Path,
        cwd: Path | None = None,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Ran: ...


@pytest.fixture(autouse=True, scope="session")
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Gives the tests settings and a state of their own; a developer's are neither read nor changed."""
    base = tmp_path_factory.mktemp("xdg")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            patch.setenv(name, str(base / name.lower()))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes out of the environment what would change a test's outcome."""
    for name in list(os.environ):
        if name.startswith(_OURS) or name in _LOOKS:
            monkeypatch.delenv(name)


@pytest.fixture
def coda(tmp_path: Path) -> RunCoda:
    """The real command, in a process of its own, by default in the test's own folder."""

    def run(
        *args: str | Path, cwd: Path | None = None, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "coda", *map(str, args)],
            cwd=tmp_path if cwd is None else cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
