"""The real application at a fixed size, driven by keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from coda.log import open_trace
from coda.query import query
from coda.viewer import Floors, Session, ViewerApp
from coda.viewer.screens import TimelineScreen
from coda.viewer.text import plain
from coda.viewer.widgets import Prompt, SourcePane, TextPane, TimelineTree


def _refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("this test does not fork")


class Viewer:
    """A running viewer, and what it shows."""

    def __init__(self, pilot: Pilot[None]) -> None:
        self.pilot = pilot

    @property
    def screen(self) -> TimelineScreen:
        screen = self.pilot.app.screen
        assert isinstance(screen, TimelineScreen)
        return screen

    async def settle(self) -> None:
        """Waits until nothing is under way that would change the screen."""
        for _ in range(2000):
            await self.pilot.pause()
            screen = self.pilot.app.screen
            if not isinstance(screen, TimelineScreen) or not screen.busy:
                break
        else:
            raise AssertionError("the viewer does not come to rest")
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
        await self.settle()

    async def type(self, text: str) -> None:
        await self.pilot.press(*("space" if character == " " else character for character in text))

    @property
    def seq(self) -> int:
        return self.screen.seq

    def rows(self) -> list[str]:
        """The visible rows of the tree."""
        tree = self.screen.query_one("#tree", TimelineTree)
        top, height = tree.scroll_offset.y, tree.size.height
        lines = [tree.line_at(row, tree.size.width) for row in range(top, top + height)]
        return [plain(line).rstrip() for line in lines if line is not None]

    def cursor(self) -> str:
        """The row that the cursor is on."""
        tree = self.screen.query_one("#tree", TimelineTree)
        line = tree.line_at(tree.cursor, tree.size.width)
        return plain(line).strip() if line is not None else ""

    def tab(self, name: str) -> str:
        return self.screen.query_one(f"#{name}", TextPane).text

    def source(self) -> SourcePane:
        return self.screen.query_one("#source", SourcePane)

    def status(self) -> str:
        return self.screen.query_one("#prompt", Prompt).status


Open = Callable[..., AbstractAsyncContextManager[Viewer]]


@asynccontextmanager
async def running(
    path: Path,
    *,
    size: tuple[int, int] = (120, 36),
    state_at: Callable[..., Any] | None = None,
    fork: Callable[..., Any] = _refuse,
    settle: bool = True,
) -> AsyncIterator[Viewer]:
    app = ViewerApp(Session(open_trace(path)), Floors(state_at, fork, query))
    async with app.run_test(size=size) as pilot:
        viewer = Viewer(pilot)
        await pilot.pause()
        if settle:
            await viewer.settle()
        yield viewer


@pytest.fixture
def view() -> Open:
    return running
