"""Both sides' entries just as they came, for as long as they are the same ones.

Guarantee: what is passed here is equal entry for entry and value for value, types included, and nothing else
is: output that was cut elsewhere, an address that differs, one entry too many all end the lockstep, and
whoever asked compares from the last record that was passed whole. Wrong would be to take two streams for
equal because their digests or their lengths are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from coda.log import Lines

_UNPACKABLE = (TypeError, ValueError, OverflowError, RecursionError)
# Packed values differ where the values do, also in type: 1, True and 1.0 are three, 0.0 and -0.0 two.
_pack = msgspec.msgpack.Encoder().encode


class Lockstep:
    """What the log holds that the replay has not passed yet, and what the replay did beyond what it passed.

    Args:
        passed: told of each record that the replay has passed whole.
    """

    def __init__(self, passed: Callable[[Lines], None]) -> None:
        self.records: deque[Lines] = deque()
        self.ids: list[int] = []
        self.vals: list[Any] = []
        self._passed = passed
        self._matched = 0
        """Entries of the first record that were found equal."""
        self._expected = 0
        """Entries of all records."""

    @property
    def lead(self) -> int:
        """How many entries the replay has done that were not recorded so far."""
        return len(self.ids) - self._expected

    @property
    def is_level(self) -> bool:
        """Whether nothing is left on either side."""
        return not (self.records or self.ids or self.vals)

    def expect(self, record: Lines) -> None:
        """Adds what was recorded next."""
        if record.ids:
            self.records.append(record)
            self._expected += len(record.ids)

    def happened(self, ids: list[int], vals: list[Any]) -> None:
        """Adds what the replay did next."""
        self.ids += ids
        self.vals += vals

    def advance(self) -> bool:
        """Passes what is equal on both sides; False at the first difference."""
        while self.records:
            record = self.records[0]
            start, end = self._matched, min(len(record.ids), len(self.ids))
            if list(record.ids[start:end]) != self.ids[start:end]:
                return False
            self._matched = end
            if end < len(record.ids):
                return True
            count = len(record.vals)
            if not _are_same(record.vals, self.vals[:count]):
                return False
            self.records.popleft()
            self._matched = 0
            self._expected -= end
            del self.ids[:end]
            del self.vals[:count]
            self._passed(record)
        return True


def _are_same(recorded: Sequence[Any], replayed: Sequence[Any]) -> bool:
    try:
        return bool(_pack(recorded) == _pack(replayed))
    except _UNPACKABLE:
        return False  # who asked will find out
