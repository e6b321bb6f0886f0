"""The base of every widget that draws lines with tones: only what is visible is asked for and drawn.

Guarantee: drawing costs the height of the widget, however many lines it could show.
"""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from coda.viewer.text import TONES, Line


class LineView(ScrollView):
    """Draws the lines that `line_at` gives. Subclasses say how many there are with `resize_to`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"tone-{tone}" for tone in TONES} | {
        "row-current",
        "row-blurred",
    }

    def resize_to(self, rows: int, width: int = 0) -> None:
        """Says how many rows there are; a width of 0 means that rows fit what there is."""
        size = Size(width, rows)
        if size != self.virtual_size:
            self.virtual_size = size
        self.refresh()

    def line_at(self, row: int, width: int) -> Line | None:
        """The line of a row, None past the last."""
        raise NotImplementedError

    def row_style(self, row: int) -> str | None:
        """Component class that lies below a row, if any."""
        return None

    def render_line(self, y: int) -> Strip:
        """Draws one visible line."""
        scroll_x, scroll_y = self.scroll_offset
        width = self.scrollable_content_region.width
        base = self.rich_style
        row = scroll_y + y
        below = self.row_style(row)
        if below is not None:
            base += self.get_component_rich_style(below, partial=True)
        line = self.line_at(row, width)
        if line is None:
            return Strip.blank(width, base)
        segments = [Segment(span.text, base + self._tone(span.tone)) for span in line]
        return Strip(segments).crop_extend(scroll_x, scroll_x + width, base)

    def _tone(self, tone: str) -> Style:
        return self.get_component_rich_style(f"tone-{tone}", partial=True)

    def bring_to_view(self, row: int, *, margin: int = 0) -> None:
        """Scrolls as little as needed, so that the row and some around it are visible."""
        height = max(1, self.scrollable_content_region.height)
        margin = min(margin, (height - 1) // 2)
        top = self.scroll_offset.y
        if row < top + margin:
            top = row - margin
        elif row >= top + height - margin:
            top = row - height + 1 + margin
        top = max(0, top)
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True)
