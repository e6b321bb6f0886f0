"""The screens of the viewer: they compose widgets and wire them together."""

from __future__ import annotations

from coda.viewer.screens.difference import DifferenceScreen
from coda.viewer.screens.help import HelpScreen
from coda.viewer.screens.timeline import TimelineScreen

__all__ = ["DifferenceScreen", "HelpScreen", "TimelineScreen"]
