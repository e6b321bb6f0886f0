"""What a run printed, however the recorder cut it into events.

Guarantee: consecutive pieces of a stream with no statement between them are one step with one text, and
what came over the descriptors themselves, whose place is not known, is no step: it is compared as text.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from coda.forking.strands import Strand, digest

OUTPUT_LIMIT_CHARS = 4_000_000


class _Open(NamedTuple):
    """The step that the next piece may belong to."""

    strand: Strand
    place: int
    pieces: list[str]


class Printed:
    """The texts of one run's streams, and its output as steps in strands."""

    def __init__(self) -> None:
        self.ordered: dict[str, list[str]] = {}
        """By stream: what was written in its place among the statements."""
        self.loose: dict[str, list[str]] = {}
        """By stream: what children and C code wrote."""
        self._chars: Counter[str] = Counter()
        self._open: _Open | None = None

    def keep(self, stream: str, text: Any, *, loose: bool = False) -> None:
        """Keeps text that was printed, up to a limit."""
        shown = _shown(text)
        if self._chars[stream] < OUTPUT_LIMIT_CHARS:
            (self.loose if loose else self.ordered).setdefault(stream, []).append(shown)
        self._chars[stream] += len(shown)

    def add(self, strand: Strand, seq: int, token: int, text: Any) -> None:
        """Appends a piece to a strand: as a step of its own, or to the step that it goes on with."""
        found = self._open
        end = len(strand.tokens) - 1
        if found is not None and (found.strand, found.place, strand.last) == (strand, end, token):
            found.pieces.append(_shown(text))
            strand.widen()
            return
        self.close()
        strand.add(seq, token, 0)
        self._open = _Open(strand, len(strand.tokens) - 1, [_shown(text)])

    def close(self) -> None:
        """Nothing more comes to the step that is open."""
        if self._open is not None:
            strand, place, pieces = self._open
            strand.values[place] = digest("".join(pieces))
            self._open = None


def _shown(text: Any) -> str:
    return text if isinstance(text, str) else str(text)
