"""What a fork became: the difference to the run that it left."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from coda.viewer.engine import Forked
from coda.viewer.text import Line, Span, clean
from coda.viewer.widgets import TextPane


def difference_lines(forked: Forked) -> list[Line]:
    """The page as lines."""
    if forked.error:
        return [(Span("The fork could not be made.", "error"),), (), (Span(forked.error, "text"),)]
    lines: list[Line] = [
        (Span("outcome  ", "muted"), Span(clean(forked.outcome), "ok" if forked.outcome == "ok" else "warn")),
        (Span("trace    ", "muted"), Span(clean(str(forked.path)), "text")),
    ]
    if forked.frontier:
        lines.append((Span("stopped  ", "muted"), Span(clean(forked.frontier), "warn")))
    if forked.assumed:
        answers = f"{forked.assumed} recorded answers were used that may no longer hold"
        lines.append((Span("assumed  ", "muted"), Span(answers, "warn")))
    lines.append(())
    lines += [_summary(line) for line in forked.summary] or [(Span("no difference", "ok"),)]
    return lines


def _summary(line: str) -> Line:
    text = clean(line)
    mark = text.lstrip()[:1]
    tone = {"+": "ok", "-": "error", "~": "warn", "!": "error"}.get(mark, "text")
    return (Span(text, tone),)


class DifferenceScreen(ModalScreen[Path | None]):
    """Shows the summary; `o` opens the fork, Esc goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Back"),
        Binding("o,enter", "open", "Open the fork"),
    ]

    def __init__(self, forked: Forked) -> None:
        super().__init__()
        self.forked = forked

    def compose(self) -> ComposeResult:
        """A box with the page."""
        with Vertical(classes="box"):
            title = f"Forked at {self.forked.position}: {clean(self.forked.change)}"
            yield Static(title, classes="box-title", markup=False)
            yield TextPane(id="difference", indent=2)
            hint = "Esc back" if self.forked.path is None else "o open the fork   Esc back"
            yield Static(hint, classes="box-hint", markup=False)

    def on_mount(self) -> None:
        """Fills the page."""
        pane = self.query_one("#difference", TextPane)
        pane.show_lines(difference_lines(self.forked))
        pane.focus()

    def action_open(self) -> None:
        """Leaves towards the fork."""
        self.dismiss(self.forked.path)
