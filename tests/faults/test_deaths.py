"""Programs that take their worker along: what they did is in the log, and the end is told as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

import coda
from coda.log import check_trace, open_trace
from coda.runtime import Sandbox, engine
from tests.conftest import RunCoda

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]

# Finds the worker's own descriptors, which are hidden from `os`, and reaches them past it.
FIND = """
import os, fcntl
mine = [fd for fd in range(3, 5000) if os.path.exists(f"/proc/self/fd/{fd}")
        and os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:")]
pipes = [fd for fd in mine if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY]
"""
SAY = FIND + "for fd in pipes:\n    os.write(fd, b'%s')\nact(2)"


class Death(NamedTuple):
    """A program, the outcome of its block, its status under `coda exec`, and words that are said."""

    code: str
    outcome: str
    status: int
    words: str = ""
    out: str = "before\n"


DEATHS = {
    "_exit": Death("os._exit(7)", "exited", 7),
    "exec": Death(
        "os.execv('/bin/sh', ['sh', '-c', 'echo after; exit 4'])", "exited", 4, out="before\nafter\n"
    ),
    "exec of something slow": Death(
        "os.execv('/bin/sh', ['sh', '-c', 'sleep 1.2; echo after'])", "exited", 0, out="before\nafter\n"
    ),
    "SIGKILL": Death("os.kill(os.getpid(), 9)", "killed", 137, "SIGKILL"),
    "SIGSEGV": Death("import ctypes\nact(1)\nctypes.string_at(0)", "killed", 139, "SIGSEGV"),
    "abort": Death("os.abort()", "killed", 134, "SIGABRT"),
    "no handler": Death("signal.raise_signal(signal.SIGUSR1)", "killed", 138, "SIGUSR1"),
    "garbage": Death(SAY % r"\xff\xff\xff\xff", "killed", 125, "more than is allowed"),
    "a message of a kind that is none": Death(SAY % r"\0\0\0\5hello", "killed", 125, "is not one"),
    "a message without end": Death(SAY % r"\x3f\0\0\0", "killed", 125, "nothing more"),
    "a closed connection": Death(
        FIND + "for fd in mine:\n    open(fd, 'wb', buffering=0).close()\nact(2)", "killed", 137
    ),
}


@pytest.mark.parametrize("name", DEATHS)
def test_a_block_that_takes_the_worker_along(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_SILENT_SECONDS", 0.02)
    death = DEATHS[name]
    acts: list[int] = []

    @coda.tool
    def act(n: int) -> None:
        """Takes a note."""
        acts.append(n)

    (tmp_path / "ws").mkdir()
    path = tmp_path / "t.jsonl"
    code = "import os, signal, time\nkept = 1\nact(0)\nprint('before')\n" + dedent(death.code)
    with Sandbox(root=tmp_path / "ws", trace=path, tools=[act], limits=None) as sandbox:
        result = sandbox.execute(code)
        after = sandbox.execute("act(3)")
    assert (result.outcome, result.stdout) == (death.outcome, death.out), result
    said = result.error.message if result.error is not None else ""
    assert death.words in said
    assert after.outcome == "ok", after.error
    assert acts == [0, *([1] if name == "SIGSEGV" else []), 3]
    report = check_trace(path)
    assert (report.damage, report.finished, report.torn_bytes) == ((), True, 0)
    trace = open_trace(path)
    assert trace.finished is not None
    assert trace.finished.dropped == 0
    with pytest.raises(ProcessLookupError):
        os.kill(sandbox.engine.pid, 0)


@pytest.mark.parametrize("name", ["_exit", "exec", "SIGKILL", "garbage"])
def test_a_program_that_takes_the_worker_along(name: str, tmp_path: Path, coda: RunCoda) -> None:
    death = DEATHS[name]
    code = "import os, signal, time\nprint('before')\n" + dedent(death.code).replace(
        "act(1)", "open('x', 'w')"
    )
    (tmp_path / "p.py").write_text(code)
    ran = coda("exec", "-o", "t.jsonl", "p.py")
    assert (ran.status, ran.out) == (death.status, death.out), ran.err
    assert death.words in ran.err
    assert "Traceback" not in ran.err
    report = check_trace(tmp_path / "t.jsonl")
    assert (report.damage, report.finished) == ((), True)


def test_ctrl_c_at_a_prompt_is_the_programs(tmp_path: Path) -> None:
    code = "try:\n    input('? ')\nexcept KeyboardInterrupt:\n    print('caught')\n"
    (tmp_path / "p.py").write_text("print('asked', flush=True)\n" + code)
    with subprocess.Popen(
        [sys.executable, "-m", "coda", "exec", "-o", "t.jsonl", "p.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "asked\n"
        trace = open_trace(tmp_path / "t.jsonl")
        for event in trace.follow(poll_s=0.01):
            if event.type == "line" and event.line == 3:
                break  # it waits, or is about to
        os.killpg(host.pid, signal.SIGINT)
        assert host.stdout.read() in ("caught\n", "? caught\n")
        host.wait(20)
    assert check_trace(tmp_path / "t.jsonl").damage == ()
