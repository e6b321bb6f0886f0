"""Tools that do not end: the block that called them ends all the same, and its replay too."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from coda import Sandbox, tool
from coda.log import LimitHit, ToolReturned, check_trace, open_trace
from coda.replay import replay

pytestmark = pytest.mark.slow

CAUGHT = """
before = [1]
try:
    hang(before)
except BaseException as error:
    print(type(error).__name__, error)
    raise
finally:
    before.append(2)
"""


class Hanging:
    """A tool that waits until it is let go."""

    def __init__(self) -> None:
        self.free, self.over = threading.Event(), threading.Event()
        self.sandbox: Any = None

    def hang(self, what: list[int]) -> str:
        if self.sandbox is not None:
            self.sandbox.interrupt("enough")
        self.free.wait(60)
        self.over.set()
        return "late"

    async def hang_async(self, what: list[int]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.over.set()


@contextmanager
def boxed(tmp_path: Path, hanging: Hanging, **options: Any) -> Iterator[Sandbox]:
    tools = [tool(name="hang")(options.pop("fn", hanging.hang)), add]
    try:
        with Sandbox(root=tmp_path, trace=tmp_path / "t.jsonl", tools=tools, **options) as sandbox:
            yield sandbox
    finally:
        hanging.free.set()


def add(a: int, b: int) -> int:
    return a + b


@pytest.mark.parametrize("level", ["effects", "values"])
def test_a_block_ends_at_its_limit_though_a_tool_hangs(level: str, tmp_path: Path) -> None:
    hanging = Hanging()
    with boxed(tmp_path, hanging, timeout_s=0.5, level=level) as sandbox:
        result = sandbox.execute(CAUGHT)
        assert (result.outcome, result.state, result.code) == ("interrupted", "kept", 124)
        assert result.stdout == "KeyboardInterrupt stopped after the time limit of 0.5 s\n"
        assert result.error is not None
        assert result.error.kind == "KeyboardInterrupt"
        assert sandbox.execute("print(before, add(1, 2))").stdout == "[1, 2] 3\n"
        hanging.free.set()
        assert hanging.over.wait(30)
    trace = open_trace(tmp_path / "t.jsonl")
    assert check_trace(trace.path).consistent
    marks = [e.record for e in trace.events(types={"limit.hit"})]
    assert [(m.what, m.detail) for m in marks if isinstance(m, LimitHit)] == [
        ("wall", "block 1 ran longer than 0.5 s"),
        ("tool", "hang() had not ended when its block was stopped: what it still does is not recorded"),
    ]
    returned = [e.record for e in trace.events(types={"tool.returned"})]
    assert [(r.ok, r.is_broken_off) for r in returned if isinstance(r, ToolReturned)] == [
        (False, True),
        (True, False),
    ]
    verdict = replay(trace)
    assert verdict.diverged is None, verdict.diverged


def test_a_block_that_goes_on_after_a_broken_off_call_is_interrupted_all_the_same(tmp_path: Path) -> None:
    hanging = Hanging()
    with boxed(tmp_path, hanging, timeout_s=0.4) as sandbox:
        result = sandbox.execute("try:\n    hang([])\nexcept KeyboardInterrupt:\n    print('went on')")
        assert (result.outcome, result.state, result.stdout) == ("interrupted", "kept", "went on\n")
    assert replay(tmp_path / "t.jsonl").diverged is None


def test_a_block_that_calls_again_is_killed(tmp_path: Path) -> None:
    hanging = Hanging()
    with boxed(tmp_path, hanging, timeout_s=0.4) as sandbox:
        sandbox.execute("kept = 5")
        code = "while True:\n    try:\n        hang([])\n    except BaseException:\n        pass"
        result = sandbox.execute(code)
        assert (result.outcome, result.state) == ("killed", "rolled_back")
        assert sandbox.execute("print(kept, add(2, 2))").stdout == "5 4\n"
    trace = open_trace(tmp_path / "t.jsonl")
    assert check_trace(trace.path).consistent
    marks = [event.record.what for event in trace.events(types={"limit.hit"})]  # type: ignore[union-attr]
    assert marks == ["wall", "tool", "tool"]


def test_an_interrupt_reaches_a_block_whose_tool_hangs(tmp_path: Path) -> None:
    hanging = Hanging()
    with boxed(tmp_path, hanging) as sandbox:
        hanging.sandbox = sandbox
        result = sandbox.execute(CAUGHT)
        assert (result.outcome, result.state) == ("interrupted", "kept")
        assert result.stdout == "KeyboardInterrupt enough\n"
        assert sandbox.execute("print(before)").stdout == "[1, 2]\n"
    assert replay(tmp_path / "t.jsonl").diverged is None


def test_a_coroutine_and_a_shell_command_are_ended(tmp_path: Path) -> None:
    hanging = Hanging()
    with boxed(tmp_path, hanging, fn=hanging.hang_async, timeout_s=0.5) as sandbox:
        assert sandbox.execute("hang([])").outcome == "interrupted"
        assert hanging.over.wait(30)
        began = time.monotonic()
        result = sandbox.execute("bash('touch made; sleep 100 & sleep 100', timeout_s=90)")
        assert (result.outcome, result.state) == ("interrupted", "kept")
        assert time.monotonic() - began < 60
        assert sandbox.execute("print(ls())").stdout == "['made']\n"
    trace = open_trace(tmp_path / "t.jsonl")
    marks = [event.record.what for event in trace.events(types={"limit.hit"})]  # type: ignore[union-attr]
    assert marks == ["wall", "wall"]
    wrote = [event.record.path for event in trace.events(types={"file.wrote"})]  # type: ignore[union-attr]
    assert wrote == ["made"]
    assert replay(trace).diverged is None


def test_closing_does_not_wait_for_a_coroutine_that_holds_the_loop(tmp_path: Path) -> None:
    hanging = Hanging()

    async def stuck(what: list[int]) -> str:
        return hanging.hang(what)

    with boxed(tmp_path, hanging, fn=stuck, timeout_s=0.4) as sandbox:
        assert sandbox.execute("hang([])").outcome == "interrupted"
        sandbox.close()
        assert not hanging.over.is_set()
    assert check_trace(tmp_path / "t.jsonl").consistent


def test_tools_share_a_thread_and_see_the_callers_context(tmp_path: Path) -> None:
    spot: ContextVar[str] = ContextVar("spot", default="nowhere")

    @tool
    def where() -> list[Any]:
        return [spot.get(), threading.get_ident()]

    with Sandbox(root=tmp_path, trace=tmp_path / "t.jsonl", tools=[where]) as sandbox:
        spot.set("here")
        result = sandbox.execute("first, second = where(), where()\nprint(first[0], first == second)")
    assert result.stdout == "here True\n"
