"""The bottom line: what is going on, or a question with an answer being typed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Label

from coda.viewer.messages import Dismissed, Submitted

_QUESTIONS = {
    "search": ("/", "a query: read *.env   tool where ok = false   or any text"),
    "jump": ("go to", "event number, N+K, block:step, or % of the run"),
    "fork": ("fork with", "name = expression   (empty: run on unchanged)"),
}


class Prompt(Horizontal):
    """Status text that turns into an input line."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back", show=False)]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.mode: str | None = None
        self.status = ""

    def compose(self) -> ComposeResult:
        """A label and an input; the input hides while there is no question."""
        yield Label("", id="status", markup=False)
        entry = Input(id="entry", compact=True)
        entry.display = False
        yield entry

    def say(self, text: str, *, failed: bool = False) -> None:
        """Shows a status, unless something is being typed."""
        self.status = text
        label = self.query_one("#status", Label)
        label.set_class(failed, "-failed")
        if self.mode is None:
            label.update(text)

    def ask(self, mode: str, text: str = "") -> None:
        """Begins a question: `search`, `jump` or `fork`."""
        question, hint = _QUESTIONS[mode]
        self.mode = mode
        label, entry = self.query_one("#status", Label), self.query_one("#entry", Input)
        label.remove_class("-failed")
        label.update(f" {question} ")
        entry.placeholder = hint
        entry.value = text
        entry.cursor_position = len(text)
        entry.display = True
        # At once, not after the next refresh: keys that are typed fast belong to the answer.
        self.screen.set_focus(entry)
        self.add_class("-asking")

    def _end(self) -> None:
        self.mode = None
        self.remove_class("-asking")
        entry = self.query_one("#entry", Input)
        entry.display = False
        self.query_one("#status", Label).update(self.status)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hands the answer on."""
        event.stop()
        mode = self.mode
        self._end()
        if mode is not None:
            self.post_message(Submitted(mode, event.value.strip()))

    def action_leave(self) -> None:
        """Leaves without an answer."""
        self._end()
        self.post_message(Dismissed())
