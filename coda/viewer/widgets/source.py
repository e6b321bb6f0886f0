"""The source pane: the unit that the position is in, with the line that is about to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType

from coda.viewer.source import Source, source_row
from coda.viewer.text import Line, Span, width_of
from coda.viewer.widgets.lines import LineView

_GUTTER = 12


class SourcePane(LineView, can_focus=True, inherit_bindings=False):
    """Centre pane."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", show=False),
        Binding("down", "scroll_down", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
        Binding("home", "scroll_home", show=False),
        Binding("end", "scroll_end", show=False),
        Binding("shift+left", "scroll_left", show=False),
        Binding("shift+right", "scroll_right", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.source: Source | None = None
        self.current: int | None = None
        self.hits: Mapping[int, int] | None = None
        self._values: Mapping[int, str] = {}
        self._failed = False

    def show_source(
        self,
        source: Source | None,
        *,
        current: int | None,
        failed: bool = False,
        hits: Mapping[int, int] | None = None,
        values: Mapping[int, str] | None = None,
    ) -> None:
        """Shows a unit with a current line; the arguments are those of `source_row`."""
        fresh = self.source is None or source is None or self.source.unit != source.unit
        self.source, self.current, self._failed = source, current, failed
        self.hits, self._values = hits, values or {}
        lines = source.lines if source is not None else ()
        width = max((width_of(line) for line in lines), default=0)
        self.resize_to(max(1, len(lines)), width + _GUTTER + (source.digits if source is not None else 0))
        if fresh:
            self.scroll_to(0, 0, animate=False, force=True)
        if source is not None and current is not None:
            self.bring_to_view(source.row_of(current), margin=4)

    def line_at(self, row: int, width: int) -> Line | None:
        """One row of the source."""
        source = self.source
        if source is None or not source.lines:
            text = "  no code at this position" if source is None else "  the source was not kept"
            return (Span(text, "faint"),) if row == 0 else None
        if row >= len(source.lines):
            return None
        return source_row(
            source,
            row,
            hits=self.hits,
            current=self.current,
            failed=self._failed,
            values=self._values,
            width=width,
        )

    def row_style(self, row: int) -> str | None:
        """The current line lies on a band."""
        if self.source is None or self.current is None:
            return None
        return "row-current" if row == self.source.row_of(self.current) else None
