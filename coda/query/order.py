"""Rows in the order in which things began, although some are only complete when they end.

Guarantee: what is taken out comes in the order in which it was put in, each when it and all before it
are settled, so a call shows its answer and the rows still stream. Nothing is held longer than the
oldest open entry.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _Slot(Generic[Item]):
    __slots__ = ("item", "key", "settled")

    def __init__(self, item: Item | None, key: Hashable, settled: bool) -> None:
        self.item, self.key, self.settled = item, key, settled


class Pending(Generic[Item]):
    """A queue whose entries may be settled out of order."""

    def __init__(self) -> None:
        self._slots: deque[_Slot[Item]] = deque()
        self._open: dict[Hashable, _Slot[Item]] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def put(self, item: Item) -> None:
        """Adds an entry that is complete."""
        self._slots.append(_Slot(item, None, True))

    def open(self, key: Hashable, item: Item) -> None:
        """Adds an entry that waits for `settle`; an older one of the same key is left as it is."""
        self._release(key)
        slot = _Slot(item, key, False)
        self._slots.append(slot)
        self._open[key] = slot

    def peek(self, key: Hashable) -> Item | None:
        """Gives the waiting entry of a key."""
        slot = self._open.get(key)
        return slot.item if slot is not None else None

    def settle(self, key: Hashable, item: Item | None) -> bool:
        """Completes the entry of a key (None takes it out of the rows); False when none waits."""
        slot = self._open.pop(key, None)
        if slot is None:
            return False
        slot.item, slot.settled = item, True
        return True

    def _release(self, key: Hashable) -> None:
        older = self._open.pop(key, None)
        if older is not None:
            older.settled = True

    def give_up(self) -> None:
        """Settles all that still wait, as they are: their end is not coming."""
        for slot in self._open.values():
            slot.settled = True
        self._open.clear()

    def take(self) -> Iterator[Item]:
        """Gives what is settled, from the oldest on, and forgets it."""
        while self._slots and self._slots[0].settled:
            item = self._slots.popleft().item
            if item is not None:
                yield item
