"""The tree of a run, drawn row by row from the timeline: a million events cost what is on the screen."""

from __future__ import annotations

from typing import ClassVar, Protocol

from textual import events
from textual.binding import Binding, BindingType

from coda.viewer.messages import FoldAsked, Moved
from coda.viewer.rows import Row
from coda.viewer.text import Line, Span, fit
from coda.viewer.widgets.lines import LineView


class Rows(Protocol):
    """What the tree draws."""

    def rows(self) -> int:
        """How many rows there are now."""

    def row(self, index: int) -> Row:
        """One of them."""

    def row_of(self, seq: int) -> int:
        """The row of an event, or of the fold that hides it."""

    def seq_of(self, row: int) -> int:
        """The event of a row."""


class TimelineTree(LineView, can_focus=True, inherit_bindings=False):
    """Left pane: turns, blocks, calls and lines; its cursor is the position."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Row up", show=False),
        Binding("down", "move(1)", "Row down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "edge(0)", "First event", show=False),
        Binding("end", "edge(1)", "End of run", show=False),
        Binding("enter,space", "fold", "Fold", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Rows | None = None
        self._hits: frozenset[int] = frozenset()
        self.seq = 0
        self.cursor = 0

    def show_rows(self, rows: Rows, seq: int) -> None:
        """Draws the rows as they are now, with the cursor on an event."""
        self._rows = rows
        self.seq = seq
        self.cursor = rows.row_of(seq)
        self.resize_to(rows.rows())
        self.bring_to_view(self.cursor, margin=2)

    def show_hits(self, hits: frozenset[int]) -> None:
        """Marks the rows that a search found."""
        self._hits = hits
        self.refresh()

    def line_at(self, row: int, width: int) -> Line | None:
        """One row, cut to the width."""
        if self._rows is None or row >= self._rows.rows():
            return None
        shown = self._rows.row(row)
        fold = {None: " ", True: "▸", False: "▾"}[shown.fold]
        lead = "  " * shown.depth
        hit = shown.seq in self._hits
        left: Line = (
            # Not by colour alone: the cursor and the hits are seen without colours too.
            Span("◂" if hit else "▎" if row == self.cursor else " ", "hits"),
            Span(lead, "faint"),
            Span(fold + " ", "muted"),
            Span(shown.icon.text + " ", shown.icon.tone),
            *shown.label,
        )
        right = (Span(" "), *shown.right, Span(" ")) if shown.right else ()
        return fit(left, right, width)

    def row_style(self, row: int) -> str | None:
        """The cursor's row stands out, more so with the focus."""
        if row != self.cursor:
            return None
        return "row-current" if self.has_focus else "row-blurred"

    def on_focus(self) -> None:
        """The cursor looks different with the focus."""
        self.refresh()

    def on_blur(self) -> None:
        """And without."""
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; a click on the cursor folds."""
        if self._rows is None:
            return
        row = self.scroll_offset.y + event.get_content_offset_capture(self).y
        if row >= self._rows.rows():
            return
        seq = self._rows.seq_of(row)
        self.post_message(FoldAsked(seq) if row == self.cursor else Moved(seq))

    def action_move(self, by: int) -> None:
        """Moves the cursor by rows."""
        if self._rows is not None:
            row = min(max(0, self.cursor + by), self._rows.rows() - 1)
            self.post_message(Moved(self._rows.seq_of(row)))

    def action_page(self, by: int) -> None:
        """Moves the cursor by what is visible."""
        self.action_move(by * max(1, self.scrollable_content_region.height - 2))

    def action_edge(self, end: int) -> None:
        """Moves to the first row, or behind the last event."""
        if self._rows is not None:
            self.post_message(Moved(self._rows.seq_of(self._rows.rows() - 1 if end else 0)))

    def action_fold(self) -> None:
        """Folds or unfolds the row."""
        self.post_message(FoldAsked(self.seq))
