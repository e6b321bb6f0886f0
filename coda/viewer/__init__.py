"""The timeline of a run in the terminal."""

from __future__ import annotations

from coda.viewer.app import ViewerApp, run_viewer
from coda.viewer.engine import Floors
from coda.viewer.session import Session

__all__ = ["Floors", "Session", "ViewerApp", "run_viewer"]
