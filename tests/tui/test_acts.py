"""Replay and forks from the viewer, on a run that was really recorded; and the command in a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coda.errors import ForkError
from coda.forking import fork
from coda.log import Trace
from coda.replay import state_at
from coda.viewer.screens import DifferenceScreen
from coda.viewer.widgets import TextPane
from tests.conftest import ROOT, RunCoda
from tests.tui.conftest import Open, Viewer

pytestmark = pytest.mark.slow

PROGRAM = """\
threshold = 3
names = ["ada", "grace"]
counts = {}


def rate(name):
    size = len(name)
    return "high" if size > threshold else "low"


for name in names:
    counts[name] = rate(name)
print(counts)
"""


@pytest.fixture
def recorded(tmp_path: Path, coda: RunCoda, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rating.py").write_text(PROGRAM)
    done = coda("exec", "-o", "trace.jsonl", "rating.py")
    assert done.status == 0, done.err
    return tmp_path / "trace.jsonl"


async def go_to_text(viewer: Viewer, text: str) -> None:
    await viewer.press("slash")
    await viewer.type(text)
    await viewer.press("enter")


async def test_a_rest_completes_the_values_by_replay(recorded: Path, view: Open) -> None:
    async with view(recorded, state_at=state_at) as viewer:
        await go_to_text(viewer, "print(counts)")
        text = viewer.tab("variables")
        assert text.startswith("replayed"), text
        assert "{'ada': 'low', 'grace': 'high'}" in text


async def test_where_no_code_stands_still_it_is_said_what_is_shown(
    tmp_path: Path, coda: RunCoda, view: Open
) -> None:
    (tmp_path / "p.py").write_text("import colorsys, this\n")
    coda("exec", "-o", "trace.jsonl", "p.py")
    async with view(tmp_path / "trace.jsonl", state_at=state_at) as viewer:
        await viewer.press("slash")
        await viewer.type("import this")
        await viewer.press("enter")
        text = " ".join(viewer.tab("variables").split())
        assert f"nothing stands still before event {viewer.seq}" in text, text


async def test_locals_of_a_function_are_replayed(recorded: Path, view: Open) -> None:
    async with view(recorded, state_at=state_at) as viewer:
        await go_to_text(viewer, 'return "high"')
        text = viewer.tab("variables")
        assert "in rate" in text
        assert "size 3" in " ".join(text.split())


async def test_a_fork_ends_in_the_difference_and_opens(recorded: Path, view: Open) -> None:
    async with view(recorded, fork=fork) as viewer:
        await go_to_text(viewer, "counts = {}")
        await viewer.press("f")
        await viewer.type("threshold = 9")
        await viewer.pilot.press("enter")
        for _ in range(3000):
            await viewer.pilot.pause()
            if isinstance(viewer.pilot.app.screen, DifferenceScreen):
                break
        screen = viewer.pilot.app.screen
        assert isinstance(screen, DifferenceScreen)
        await viewer.pilot.pause()
        assert screen.forked.error == ""
        text = screen.query_one("#difference", TextPane).text
        assert "'grace': 'low'" in text
        await viewer.pilot.press("o")
        await viewer.pilot.pause()
        await viewer.settle()
        assert viewer.screen.session.trace.path == screen.forked.path
        assert "forked at" in viewer.cursor()
        await viewer.press("escape")
        assert viewer.screen.session.trace.path == recorded


async def test_escape_ends_a_fork_that_is_being_made(recorded: Path, view: Open) -> None:
    ended = threading.Event()

    def fork_for_ever(_trace: Trace, _position: str, *, cancelled: Callable[[], bool], **_: Any) -> Any:
        while not cancelled():
            ended.wait(0.001)
        ended.set()
        raise ForkError("it was cancelled")

    async with view(recorded, fork=fork_for_ever) as viewer:
        await viewer.press("f")
        await viewer.type("threshold = 9")
        await viewer.pilot.press("enter")
        assert "Esc cancels" in viewer.status()
        await viewer.pilot.press("escape")
        assert viewer.status() == "the fork was cancelled"
        assert ended.wait(10)


async def test_a_wrong_change_is_told(recorded: Path, view: Open) -> None:
    async with view(recorded, fork=fork) as viewer:
        await viewer.press("f")
        await viewer.type("threshold")
        await viewer.press("enter")
        assert "name = expression" in viewer.status()


def test_the_command_runs_in_a_terminal(recorded: Path) -> None:
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "coda", "view", "--no-replay", str(recorded)],
        stdin=side, stdout=side, stderr=side, close_fds=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(side)
    read_until(main, b"print(counts)", b"Timeline", b"rating.py")
    os.write(main, b"q")
    read_until(main, b"\x1b[?1049l")  # the terminal is given back as it was
    assert process.wait(timeout=20) == 0
    os.close(main)


def test_it_ends_when_its_terminal_is_gone(recorded: Path) -> None:
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-m", "coda", "view", str(recorded)],
        stdin=side, stdout=side, stderr=side, close_fds=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(side)
    read_until(main, b"Timeline", b"rating.py")
    os.close(main)  # and no signal tells it
    assert process.wait(timeout=20) in (0, 129)


def read_until(descriptor: int, *wanted: bytes) -> None:
    seen = b""
    while not all(text in seen for text in wanted):
        ready, _, _ = select.select([descriptor], [], [], 30)
        assert ready, f"{wanted!r} did not come; the screen holds {seen[-2000:]!r}"
        seen += os.read(descriptor, 65536)


def test_without_a_terminal_it_says_what_to_do(recorded: Path, coda: RunCoda) -> None:
    done = coda("view", str(recorded))
    assert done.status == 2
    assert "coda log" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_without_a_run_it_says_how_to_record_one(tmp_path: Path, coda: RunCoda) -> None:
    done = coda("view", cwd=tmp_path)
    assert done.status == 2
    assert "coda exec" in done.err
