"""A pane of lines, wrapped to its width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from coda.viewer.text import Line, plain, wrap
from coda.viewer.widgets.lines import LineView


class TextPane(LineView, can_focus=True, inherit_bindings=False):
    """One tab on the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", show=False),
        Binding("down", "scroll_down", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
        Binding("home", "scroll_home", show=False),
        Binding("end", "scroll_end", show=False),
    ]

    def __init__(self, *, id: str | None = None, follow: bool = False, indent: int = 4) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Line] = ()
        self._wrapped: list[Line] = []
        self._follow = follow
        self._indent = indent

    @property
    def text(self) -> str:
        """All that the pane holds, without tones."""
        return "\n".join(plain(line) for line in self._lines)

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Replaces the lines; keeps the scroll place, or the end when the pane follows its end."""
        self._lines = lines
        self._flow()

    def _flow(self) -> None:
        width = max(10, self.size.width - 2)
        self._wrapped = [row for line in self._lines for row in wrap(line, width, indent=self._indent)]
        self.resize_to(len(self._wrapped))
        if self._follow:
            self.scroll_to(y=max(0, len(self._wrapped) - self.size.height), animate=False, force=True)

    def on_resize(self, event: events.Resize) -> None:
        """Wraps anew."""
        self._flow()

    def line_at(self, row: int, width: int) -> Line | None:
        """One wrapped row."""
        return self._wrapped[row] if row < len(self._wrapped) else None
