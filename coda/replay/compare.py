"""Equality of what was recorded and what a replay does, up to what no replay can reproduce.

Object addresses differ between processes, so texts are compared modulo a one-to-one renaming of
addresses, the same over the whole replay. Everything else must be equal, also in type: 1 and True
and 1.0 are three values.
"""

from __future__ import annotations

import re
from typing import Any

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,16}")


class Matcher:
    """Compares values; remembers which address stands for which."""

    def __init__(self) -> None:
        self._there: dict[str, str] = {}
        self._back: dict[str, str] = {}
        self.renamed = 0

    def same(self, recorded: Any, replayed: Any) -> bool:
        """Tells whether two envelopes (or texts) are the same value."""
        kind = type(recorded)
        # The two sides come from JSON and from msgpack: sequences may be list or tuple.
        sequences = isinstance(recorded, (list, tuple)) and isinstance(replayed, (list, tuple))
        if kind is not type(replayed) and not sequences:
            return False
        if kind is str:
            return recorded == replayed or self._same_text(recorded, replayed)
        if kind is dict:
            if recorded.keys() != replayed.keys():
                return False
            return all(self.same(value, replayed[key]) for key, value in recorded.items())
        if isinstance(recorded, (list, tuple)):
            if len(recorded) != len(replayed):
                return False
            return all(map(self.same, recorded, replayed))
        if kind is float and recorded != recorded:
            return bool(replayed != replayed)
        return bool(recorded == replayed)

    def _same_text(self, recorded: str, replayed: str) -> bool:
        if _ADDRESS.sub("0x", recorded) != _ADDRESS.sub("0x", replayed):
            return False
        pairs = list(zip(_ADDRESS.findall(recorded), _ADDRESS.findall(replayed), strict=True))
        for there, here in pairs:
            if self._there.get(there, here) != here or self._back.get(here, there) != there:
                # An address may be used again for another object: only the pairing of the moment counts.
                self._back.pop(self._there.pop(there, ""), None)
                self._there.pop(self._back.pop(here, ""), None)
            self._there[there] = here
            self._back[here] = there
            self.renamed += 1
        first = dict(pairs)
        return all(first[there] == here for there, here in pairs) and len(set(first.values())) == len(first)
