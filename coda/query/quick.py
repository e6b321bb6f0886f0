"""The parser for the questions that are asked most, without a parser generator.

Guarantee: what it answers is what the grammar answers, tree for tree (a property test holds that);
anything that it is not sure of it leaves to the grammar by answering None. It exists because
importing a parser generator costs more than finding `read *.env` in a million events does.
"""

from __future__ import annotations

import re

from coda.query.tree import RESERVED, VERBS, Pattern, Query, Why

_WORD = r"""[^\s|"'()]+"""
_SHORT = re.compile(
    rf"""\s*(?P<verb>[a-z]+)(?:\s+(?:(?P<word>{_WORD})|"(?P<double>[^"\\]*)"|'(?P<single>[^'\\]*)'))?\s*"""
)
_WHY = re.compile(rf"\s*why\s+(?P<name>{_WORD})(?:\s+at\s+(?P<at>{_WORD}))?\s*")


def parse_quick(text: str) -> Query | Why | None:
    """Gives the tree of `VERB`, `VERB PATTERN` or `why NAME [at POSITION]`, or None for anything else."""
    why = _WHY.fullmatch(text)
    if why is not None:
        if why["name"] in RESERVED or why["at"] in RESERVED:
            return None
        return Why(why["name"], why.start("name") + 1, why["at"])
    found = _SHORT.fullmatch(text)
    if found is None or found["verb"] not in VERBS or found["word"] in RESERVED:
        return None
    if found["word"] is not None:
        return Query(found["verb"], Pattern(found["word"], found.start("word") + 1))
    for name in ("double", "single"):
        if found[name] is not None:
            return Query(found["verb"], Pattern(found[name], found.start(name), quoted=True))
    return Query(found["verb"])
