"""The application: themes, and the stack of opened runs.

Guarantee: one screen for each opened trace; leaving a screen stops its threads. Nothing of a trace is
executed in this process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.theme import Theme

from coda.errors import CodaError
from coda.log import open_trace
from coda.viewer.engine import Floors, sentence
from coda.viewer.hangup import end_with_terminal
from coda.viewer.screens import TimelineScreen
from coda.viewer.session import Session

DARK = Theme(
    name="coda-dark",
    primary="#7fa7d9",
    secondary="#8fb8a8",
    accent="#e3b566",
    warning="#d8a05c",
    error="#e27d7d",
    success="#8dbd8b",
    foreground="#d6dae1",
    background="#15171c",
    surface="#191c22",
    panel="#21252d",
    dark=True,
)
LIGHT = Theme(
    name="coda-light",
    primary="#2c5f9e",
    secondary="#2f6f62",
    accent="#96600c",
    warning="#99590f",
    error="#b3363d",
    success="#37743f",
    foreground="#2a2e35",
    background="#fbfaf7",
    surface="#f5f3ee",
    panel="#e9e5dd",
    dark=False,
)


class ViewerApp(App[None]):
    """The viewer."""

    TITLE = "coda"
    CSS_PATH = "viewer.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("t", "light_or_dark", "Light or dark", show=False),
    ]

    def __init__(self, session: Session, floors: Floors, *, light: bool = False) -> None:
        super().__init__()
        self._session = session
        self._floors = floors
        self._light = light

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours that are not in every theme: two greys between text and background."""
        if self.current_theme.dark:
            return {"tone-muted": "#949ba8", "tone-faint": "#686f7c", "tone-band": "#2c3340"}
        return {"tone-muted": "#666b74", "tone-faint": "#8d9096", "tone-band": "#dfe5ec"}

    def on_mount(self) -> None:
        """Opens the first run."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = LIGHT.name if self._light else DARK.name
        self.push_screen(TimelineScreen(self._session, self._floors, first=True))

    def open(self, path: Path) -> None:
        """Opens another run on top of this one."""
        try:
            session = Session(open_trace(path))
        except CodaError as error:
            self.notify(sentence(error), severity="error", markup=False)
            return
        self.push_screen(TimelineScreen(session, self._floors, at=session.trace.first_seq))

    def action_light_or_dark(self) -> None:
        """Changes between the two themes."""
        self.theme = DARK.name if self.theme == LIGHT.name else LIGHT.name


def run_viewer(path: str | Path, floors: Floors, *, light: bool = False) -> None:
    """Opens a trace in the terminal and returns when the user leaves.

    Args:
        path: a trace, a run's directory or a run id.
        floors: what replays, forks and answers queries.
        light: begin with the light theme.

    Raises:
        UsageError: there is no such trace.
        LogError: it is not a trace.
    """
    app = ViewerApp(Session(open_trace(path)), floors, light=light)
    end_with_terminal(sys.stdin.fileno(), lambda: app.call_from_thread(app.exit))
    app.run()
