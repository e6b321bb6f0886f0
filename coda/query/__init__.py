"""Questions about traces: who touched what, where, and why a value is what it is."""

from __future__ import annotations

from coda.query.chain import Chain, Link
from coda.query.execute import Group, Result, query
from coda.query.hits import Hit
from coda.query.lineage import why
from coda.query.parse import parse
from coda.query.tree import VERBS, Query, Why

__all__ = ["VERBS", "Chain", "Group", "Hit", "Link", "Query", "Result", "Why", "parse", "query", "why"]
