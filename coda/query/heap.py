"""Objects on a recorded path, without their values: which holds which, and which statement changed which.

Guarantee: an object has one number however many names it has, so a change through any of them is a change
of all; two objects that are merely equal are two. Where the path leaves several readings an object is a
set of numbers, and a change of it is *uncertain*. Questions are about a moment: what was put into an
object later, or changed later, has no part in the answer.

Moments are numbers of entries of the path: what happened at moment `t` was over when entry `t` began.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import NamedTuple

Objects = frozenset[int]
"""The objects that a name may stand for; empty for what nothing can change."""
NOTHING: Objects = frozenset()
MANY = 1000
"""More parts of one object than this are not followed, which is said."""
FAR = 4096
"""So many objects are looked at from one; what lies behind them is said to be left out."""
ANY_ITEM, ANY = "[]", "~"


class Change(NamedTuple):
    """A statement that changed an object."""

    moment: int
    """When it was over."""
    entry: int
    key: str | None
    """`.name`, `[key]`, `[]` for some item; None for the object as a whole."""
    certain: bool
    via: tuple[int | str, str] | None
    """Scope and name of the variable that led to the object."""


class _Slot:
    """What one part of an object was, over time."""

    __slots__ = ("current", "history")

    def __init__(self) -> None:
        self.current: Objects = NOTHING
        self.history: list[tuple[int, Objects, bool]] = []

    def put(self, now: int, value: Objects, *, strong: bool) -> None:
        if strong:
            if value != self.current:
                self.history.append((now, value, True))
                self.current = value
        elif not value <= self.current:
            self.history.append((now, value - self.current, False))
            self.current |= value

    def at(self, moment: int) -> Objects:
        found = NOTHING
        for time, value, strong in reversed(self.history):
            if time <= moment:
                found |= value
                if strong:
                    break
        return found


class Heap:
    """The objects of one path."""

    def __init__(self) -> None:
        self.types: list[str] = []
        """Type name of each object; empty when it is not known."""
        self.open: list[bool] = []
        """Whether it may hold what the path did not show being put in: made by code that is not followed."""
        self.many: set[int] = set()
        """Numbers that stand for several objects."""
        self.cut = False
        """Whether something was too large to be followed whole."""
        self._slots: dict[int, dict[str, _Slot]] = {}
        self._changes: dict[Objects, list[Change]] = {}
        self._changed: dict[int, list[Objects]] = {}
        self._groups: dict[Objects, frozenset[Objects]] = {}

    def new(self, type: str = "", *, open: bool = False) -> int:
        """Makes an object."""
        self.types.append(type)
        self.open.append(open)
        return len(self.types) - 1

    # --- parts ----------------------------------------------------------------------------------

    def put(self, objects: Objects, key: str, value: Objects, now: int, *, strong: bool = False) -> None:
        """Makes objects the part of others under a key; `strong` when nothing else is there any more."""
        strong = strong and len(objects) == 1 and not objects & self.many
        for number in objects if value or strong else ():
            slot = self._slots.setdefault(number, {}).setdefault(key, _Slot())
            if not strong and len(slot.current) + len(value) > MANY:
                value = frozenset(sorted(value)[: max(MANY - len(slot.current), 0)])
                self.cut = True
            slot.put(now, value, strong=strong)

    def part(self, objects: Objects, key: str) -> Objects:
        """Gives what objects hold under a key now; of an open one something that is made for it."""
        found: set[int] = set()
        for number in objects:
            slots = self._slots.setdefault(number, {})
            exact = slots.get(key)
            for other, slot in slots.items():
                if matches(other, key):
                    found |= slot.current
            if exact is None and self.open[number]:
                child = self.new(open=True)
                if key == ANY_ITEM or number in self.many:
                    self.many.add(child)
                slots[key] = slot = _Slot()
                slot.put(0, frozenset({child}), strong=False)
                found.add(child)
        return frozenset(found)

    def held(self, number: int, key: str) -> Objects:
        """Gives what was put into an object under exactly this key."""
        slot = self._slots.get(number, {}).get(key)
        return slot.current if slot is not None else NOTHING

    def parts(self, objects: Objects) -> Objects:
        """Gives what objects hold as items, whichever."""
        return self.part(objects, ANY_ITEM)

    def hand_down(self, objects: Objects, to: Objects, now: int) -> None:
        """Lets objects have what others hold, too: the members of a base class."""
        for number in objects:
            for key, slot in list(self._slots.get(number, {}).items()):
                self.put(to, key, slot.current, now)

    def part_at(self, objects: Objects, key: str, moment: int) -> Objects:
        """Gives what objects held under a key at a moment."""
        found: set[int] = set()
        for number in objects:
            for other, slot in self._slots.get(number, {}).items():
                if matches(other, key):
                    found |= slot.at(moment)
        return frozenset(found)

    def reach(self, objects: Iterable[int], moment: int | None = None) -> set[int]:
        """Gives objects with all that they hold, and that these hold; now, or as it was at a moment."""
        found = set(objects)
        stack = list(found)
        while stack:
            for slot in self._slots.get(stack.pop(), {}).values():
                new = (slot.current if moment is None else slot.at(moment)) - found
                found |= new
                stack += new
            if len(found) > FAR:
                self.cut = True
                break
        return found

    # --- changes --------------------------------------------------------------------------------

    def change(
        self, objects: Objects, entry: int, now: int, *, key: str | None, certain: bool,
        via: tuple[int | str, str] | None,
    ) -> None:  # fmt: skip
        """Notes that a statement changed one of these objects."""
        if not objects:
            return
        certain = certain and len(objects) == 1 and not objects & self.many
        known = self._changes.get(objects)
        if known is None:
            known = self._changes[objects] = []
            self._groups.clear()
            for number in objects:
                self._changed.setdefault(number, []).append(objects)
        known.append(Change(now, entry, key, certain, via))

    def last_changes(self, objects: Objects, key: str | None, since: int, until: int) -> list[Change]:
        """Gives the last changes of objects in a stretch of time, under a key when one is given.

        Of objects that were changed together one; of each object its last is among them.
        """
        found: list[Change] = []
        for group in self._groups_of(objects):
            changes = self._changes[group]
            place = bisect.bisect_right(changes, until, key=_moment)
            while place and changes[place - 1].moment > since:
                place -= 1
                change = changes[place]
                if key is None or change.key is None or matches(change.key, key):
                    found.append(change)
                    break
        return found

    def _groups_of(self, objects: Objects) -> frozenset[Objects]:
        """Gives the sets of objects that were changed together and have one of these."""
        known = self._groups.get(objects)
        if known is None:
            found = (group for number in objects for group in self._changed.get(number, ()))
            known = self._groups[objects] = frozenset(found)
        return known

    def changes(self, objects: Iterable[int], since: int, until: int) -> list[Change]:
        """Gives all changes of objects in a stretch of time."""
        found: list[Change] = []
        for group in self._groups_of(frozenset(objects)):
            changes = self._changes[group]
            start = bisect.bisect_right(changes, since, key=_moment)
            found += changes[start : bisect.bisect_right(changes, until, key=_moment)]
        return found


def matches(one: str, other: str) -> bool:
    """Tells whether two keys may mean the same part; by `vars(x)` an attribute is an item."""
    if one in (other, ANY, ANY_ITEM) or other in (ANY, ANY_ITEM):
        return True
    return one[0] != other[0] and one.strip(".[]'") == other.strip(".[]'")


def _moment(change: Change) -> int:
    return change.moment
