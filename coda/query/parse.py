"""Text to tree: the quick parser first, the grammar for everything else.

Guarantee: `parse` gives a tree or raises `QuerySyntax` with a column. A plain `verb pattern` never
imports the parser generator.
"""

from __future__ import annotations

from coda.query.quick import parse_quick
from coda.query.tree import Query, Why


def parse(text: str) -> Query | Why:
    """Gives the tree of a query.

    Raises:
        QuerySyntax: it does not parse; `column` is 1-based and `expected` says what could stand there.
    """
    quick = parse_quick(text)
    if quick is not None:
        return quick
    # Imported here and not above: lark costs more start-up than a whole scan; it is no cycle.
    from coda.query.grammar import parse_full

    return parse_full(text)
