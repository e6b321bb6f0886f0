"""The answer to `why`: links from a value back to where it came from.

Guarantee: each link is a statement or an event of the log, by number. `recorded` says that the log shows
this statement binding, reading or receiving it, on the path that ran; `inferred` that the link follows
from names alone where other readings are possible (a method that may change its object, a closure, an
ambiguous frame, an argument that could not be told from its neighbours).
"""

from __future__ import annotations

from typing import Any

import msgspec

from coda.log import render


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the chain; its children stand behind it, one level deeper."""

    depth: int
    kind: str
    """`line`: a statement; `effect`: what a call or the world answered; `model`: the reply that wrote it."""
    seq: int
    """Event number; of a statement that ran several times, its last time that counts."""
    block: int | None = None
    file: str | None = None
    line: int | None = None
    function: str | None = None
    source: str | None = None
    name: str | None = None
    """The name whose value passed."""
    value: Any = None
    """What was bound, in the value envelope; null when it was not captured."""
    captured: bool = False
    certainty: str = "recorded"
    times: int = 1
    """How often the statement took part."""
    what: str = ""

    @property
    def value_text(self) -> str | None:
        """The value as short text, None when it was not captured."""
        return render(self.value, width=60) if self.captured else None


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """Where one value came from."""

    run: str
    trace: str
    name: str
    position: str
    links: tuple[Link, ...] = ()
    """In reading order: each link before what it came from. Empty when nothing stores the name."""
    incomplete: tuple[str, ...] = ()
    """Why there may be more than the links show."""

    def to_json(self) -> dict[str, Any]:
        """Gives the chain as data, without `schema`."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data
