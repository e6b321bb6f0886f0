"""The widgets of the viewer: each draws one thing and posts messages, none asks another."""

from __future__ import annotations

from coda.viewer.widgets.bars import Bar, TabStrip
from coda.viewer.widgets.prompt import Prompt
from coda.viewer.widgets.scrubber import Scrubber
from coda.viewer.widgets.source import SourcePane
from coda.viewer.widgets.text import TextPane
from coda.viewer.widgets.tree import TimelineTree

__all__ = ["Bar", "Prompt", "Scrubber", "SourcePane", "TabStrip", "TextPane", "TimelineTree"]
