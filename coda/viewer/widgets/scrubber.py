"""One line for the whole run: where the effects lie, where the errors are, where we are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import log2
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from coda.viewer.messages import Moved
from coda.viewer.timeline import Timeline

_BARS = "▁▂▃▄▅▆▇"


class Scrubber(Widget):
    """The bar at the bottom; a click or drag moves the position."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "scrub-past", "scrub-future", "scrub-error", "scrub-hit", "scrub-here", "scrub-count",
    }  # fmt: skip

    def __init__(self, timeline: Timeline, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._timeline = timeline
        self._hits: Sequence[int] = ()
        self._cells: list[tuple[int, int]] = []
        self._drawn = (-1, -1)
        self.seq = 0

    def show_position(self, seq: int) -> None:
        """Moves the mark."""
        self.seq = seq
        self.refresh()

    def show_hits(self, hits: Sequence[int]) -> None:
        """Marks what a search found: sorted event numbers."""
        self._hits = hits
        self.refresh()

    def _width(self) -> int:
        return max(1, self.size.width - len(self._label()) - 1)

    def _label(self) -> str:
        return f" {self.seq:,} / {self._timeline.count:,}"

    def render_line(self, y: int) -> Strip:
        """Draws the bar."""
        width = self._width()
        count = max(1, self._timeline.count)
        if self._drawn != (width, count):
            self._cells = self._timeline.density(width)
            self._drawn = (width, count)
        here = min(width - 1, self.seq * width // count)
        # A lone effect is a low bar, also where the run is short and each has a column of its own.
        top = max(8, max((marks for marks, _ in self._cells), default=0))
        segments = [self._cell(column, width, here, top) for column in range(width)]
        label = self.get_component_rich_style("scrub-count")
        segments.append(Segment(self._label() + " ", label))
        return Strip(segments).adjust_cell_length(self.size.width, label)

    def _cell(self, column: int, width: int, here: int, top: int) -> Segment:
        marks, errors = self._cells[column]
        level = 0 if not marks else 1 + int(5 * log2(1 + marks) / log2(1 + top))
        bar = _BARS[min(level, len(_BARS) - 1)]
        if column == here:
            return Segment("┃", self.get_component_rich_style("scrub-here"))
        if errors:
            return Segment("✗" if level < 2 else bar, self.get_component_rich_style("scrub-error"))
        if self._found(column, width):
            return Segment(bar, self.get_component_rich_style("scrub-hit"))
        return Segment(bar, self.get_component_rich_style("scrub-past" if column < here else "scrub-future"))

    def _found(self, column: int, width: int) -> bool:
        count = self._timeline.count
        low, high = column * count // width, max(1, (column + 1) * count // width)
        return bisect_left(self._hits, high) > bisect_left(self._hits, low)

    def _seek(self, x: int) -> None:
        width = self._width()
        column = min(max(0, x), width - 1)
        self.post_message(Moved(column * self._timeline.count // max(1, width - 1)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begins to drag."""
        self.capture_mouse()
        self._seek(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drags the position along."""
        if self.app.mouse_captured is self:
            self._seek(event.x)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Ends the drag."""
        self.release_mouse()
