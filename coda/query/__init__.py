"""Questions about traces: who touched what, where, and why a value is what it is."""

from __future__ import annotations

from coda.query.parse import parse
from coda.query.tree import Query, Why

__all__ = ["Query", "Why", "parse"]
