"""The types of events by name, as a user asks for them.

Guarantee: a name that no event has is refused, with the names that there are; it never selects nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from coda.errors import UsageError
from coda.log.events import TYPES
from coda.log.records import CODES

_KNOWN: Final = (frozenset(TYPES) - {"header", "seal", "lines"}) | {
    "line",
    *(kind for kind, _ in CODES.values()),
}


def event_types(given: Iterable[str]) -> frozenset[str]:
    """Gives the types that are asked for by their names or by that of their family (`file`).

    Raises:
        UsageError: there is no such type or family.
    """
    wanted: set[str] = set()
    for name in given:
        family = {kind for kind in _KNOWN if name in (kind, kind.partition(".")[0])}
        wanted |= family
        if not family:
            near = difflib.get_close_matches(name, _KNOWN, n=2)
            known = f"types are {', '.join(sorted(_KNOWN))}"
            hint = f"did you mean {' or '.join(near)}?" if near else known
            raise UsageError(f"there is no event type {name!r}; {hint}", type=name)
    return frozenset(wanted)
