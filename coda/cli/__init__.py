"""The command `coda`: one module for each verb, imported when its verb is used (see `main.py`)."""

from __future__ import annotations

__all__: list[str] = []
