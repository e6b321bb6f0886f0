"""The keys, on one screen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from coda.viewer.text import Line, Span
from coda.viewer.widgets import TextPane

KEYS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Through time",
        (
            ("→  l  j", "one event forward"),
            ("←  h  k", "one event back"),
            ("]  [", "next block, previous block"),
            ("}  {", "next turn, previous turn"),
            ("e  E", "next error, previous error"),
            ("g", "go to an event, N+K, block:step or percentage"),
            ("Home  End", "first event, end of the run"),
        ),
    ),
    (
        "In the tree",
        (
            ("↑  ↓", "row up, row down"),
            ("Enter  Space", "fold or unfold"),
            ("-  +", "fold all blocks, unfold all blocks"),
        ),
    ),
    (
        "Looking",
        (
            ("1 … 6", "Variables, ctx, Output, Call, Conversation, Event"),
            ("Tab", "next pane; arrows then scroll it"),
            ("/", "search: a query, or any text"),
            ("n  N", "next hit, previous hit"),
            ("t", "light or dark"),
        ),
    ),
    (
        "Acting",
        (
            ("f", "fork here, with a name changed, and see the difference"),
            ("?", "this page"),
            ("Esc", "cancel a fork that is being made; back"),
            ("q", "quit"),
        ),
    ),
)


def help_lines() -> list[Line]:
    """The page as lines."""
    lines: list[Line] = []
    for title, keys in KEYS:
        lines.append((Span(title, "title"),))
        lines += [(Span(f"  {key:<14}", "accent"), Span(text, "text")) for key, text in keys]
        lines.append(())
    lines += [
        (Span("A position is the moment just before its event.", "muted"),),
        (Span("recorded", "warn"), Span(" values are read from the log; ", "muted"),
         Span("replayed", "ok"), Span(" ones by running the code again.", "muted")),
    ]  # fmt: skip
    return lines


class HelpScreen(ModalScreen[None]):
    """All keys; any of Esc, ?, q leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", "Back")]

    def compose(self) -> ComposeResult:
        """A box with the page."""
        with Vertical(classes="box"):
            yield Static("Keys", classes="box-title", markup=False)
            yield TextPane(id="help", indent=18)

    def on_mount(self) -> None:
        """Fills the page."""
        pane = self.query_one("#help", TextPane)
        pane.show_lines(help_lines())
        pane.focus()
