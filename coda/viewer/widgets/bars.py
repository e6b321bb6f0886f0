"""One-line bars: the title, the heads of panes, and the strip of tabs."""

from __future__ import annotations

from rich.segment import Segment
from textual import events
from textual.strip import Strip

from coda.viewer.messages import TabAsked
from coda.viewer.text import Line, Span, fit
from coda.viewer.widgets.lines import LineView


class Bar(LineView, can_focus=False, inherit_bindings=False):
    """A line with a left and a right part."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.left: Line = ()
        self.right: Line = ()

    def show(self, left: Line, right: Line = ()) -> None:
        """Replaces the line."""
        self.left, self.right = left, right
        self.refresh()

    def line_at(self, row: int, width: int) -> Line | None:
        """The one line."""
        right = (Span("  "), *self.right, Span(" ")) if self.right else ()
        return fit((Span(" "), *self.left), right, width) if row == 0 else None


_SHORT = {"Variables": "Vars", "Conversation": "Talk", "Output": "Out"}


class TabStrip(LineView, can_focus=False, inherit_bindings=False):
    """Names of tabs with their number keys; a click chooses one."""

    def __init__(self, names: tuple[tuple[str, str], ...], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._names = names
        self.active = names[0][0]

    def choose(self, tab: str) -> None:
        """Marks a tab as the active one."""
        self.active = tab
        self.refresh()

    def _pieces(self, width: int) -> list[tuple[str, str]]:
        full = [(tab, f" {number} {name} ") for number, (tab, name) in enumerate(self._names, 1)]
        named = [(tab, f" {name} ") for tab, name in self._names]
        short = [(tab, f" {_SHORT.get(name, name)} ") for tab, name in self._names]
        close = [(tab, f" {_SHORT.get(name, name)}") for tab, name in self._names]
        widths = [(sum(len(text) for _, text in pieces), pieces) for pieces in (full, named, short, close)]
        return next((pieces for size, pieces in widths if size <= width), close)

    def render_line(self, y: int) -> Strip:
        """Draws the strip."""
        width = self.size.width
        base = self.rich_style
        muted = base + self.get_component_rich_style("tone-muted", partial=True)
        active = base + self.get_component_rich_style("tone-title", partial=True)
        band = self.get_component_rich_style("row-current", partial=True)
        segments = [
            Segment(text, active + band if tab == self.active else muted) for tab, text in self._pieces(width)
        ]
        return Strip(segments).crop_extend(0, width, base)

    def on_click(self, event: events.Click) -> None:
        """Chooses the tab under the mouse."""
        x = 0
        for tab, text in self._pieces(self.size.width):
            if x <= event.x < x + len(text):
                self.post_message(TabAsked(tab))
                return
            x += len(text)
