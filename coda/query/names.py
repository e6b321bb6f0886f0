"""Where a name that a frame sees got its value, at a moment of the recorded path.

Guarantee: Python's own scopes: the function's variable, one of a function around it, or a global one,
never a variable of the same name elsewhere. A statement that was still running, or that raised before it
stored, gave no value.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from coda.query.frames import MAIN, Frame, Frames, within
from coda.query.scopes import Declared, declared_in
from coda.query.shadow import Shadow


class Found(NamedTuple):
    """Where a name got its value: a statement, or the call that passed it as an argument."""

    entry: int
    argument: str | None
    frame: Frame | None
    certain: bool


@functools.lru_cache(maxsize=1024)
def base_of(name: str) -> str:
    """Gives the variable that a target such as `obj.total` begins with."""
    return re.split(r"[.\[]", name, maxsplit=1)[0]


class Names:
    """Looks names up on a path.

    Args:
        frames: the path with its frames.
        shadow: when its statements were over, and which of them only changed an object.
    """

    def __init__(self, frames: Frames, shadow: Shadow) -> None:
        self.frames = frames
        self.shadow = shadow
        self._declared: dict[int, Declared] = {}
        self._signatures: dict[tuple[int, int], tuple[str, ...]] = {}
        self._scopes: dict[tuple[str, str], list[str]] = {}

    def look_up(self, frame: Frame, name: str, before: int) -> Found | None:
        """Finds the last store of a name that a frame sees before an entry."""
        base = base_of(name)
        certain = not frame.guessed
        declared = self.declared(frame.key[0])
        certain = certain and declared.exact
        if frame.key[1] != 0 and not declared.is_global(frame.function, base):
            entry = None
            if not declared.is_nonlocal(frame.function, base):
                entry = self.last(frame.number, name, base, before, frame)
            within = self.written_within(frame, name, base, before)
            if within is not None and (entry is None or self.over(within) > self.over(entry)):
                return Found(within, None, None, False)
            if entry is not None:
                return Found(entry, None, None, certain)
            if base in frame.args or base in self.parameters(frame):
                return Found(frame.caller, base, frame, certain) if frame.caller >= 0 else None
            outer = self.enclosing(frame)
            if outer is not None:
                found = self.look_up(outer, name, before)
                if found is not None and (
                    self.is_local(found, outer) or declared.is_nonlocal(frame.function, base)
                ):
                    return found._replace(certain=False)
        return self.in_module(frame, name, base, before)

    def written_within(self, frame: Frame, name: str, base: str, before: int) -> int | None:
        """Finds the last store by a function inside this one that declares the name nonlocal."""
        inside = f"{frame.function}.<locals>."
        found = [
            self.last(f"{frame.module}\0{path}", name, base, before, frame)
            for path, names in self.declared(frame.key[0]).nonlocals.items()
            if base in names and path.startswith(inside)
        ]
        return max((entry for entry in found if entry is not None), key=self.over, default=None)

    def in_module(self, frame: Frame, name: str, base: str, before: int) -> Found | None:
        """Finds the last store in the globals, by module code or by a function that declares the name."""
        scopes = self._scopes.get((frame.module, base))
        if scopes is None:
            scopes = self._scopes[frame.module, base] = [frame.module, *self._declaring(frame.module, base)]
        entries = [self.last(scope, name, base, before, frame) for scope in scopes]
        known = [entry for entry in entries if entry is not None]
        return Found(max(known, key=self.over), None, None, not frame.guessed) if known else None

    def _declaring(self, module: str, base: str) -> Iterator[str]:
        """Gives the scopes of the functions of a module that declare a name global."""
        for unit in self.frames.walk.units:
            if module == (MAIN if unit.block is not None else unit.file):
                declared = self.declared(unit.table.base)
                for path in unit.table.functions[1:]:
                    if declared.is_global(path, base):
                        yield f"{module}\0{path}"

    def last(self, scope: int | str, name: str, base: str, before: int, frame: Frame) -> int | None:
        """Gives the entry that stored a name last, or its whole object, and was over by then."""
        best: int | None = None
        # A store into an object is a change of it, which counts by whatever name it was made.
        for key in {name, base, within(base)} if self.shadow.unread else {base}:
            entries = self.frames.stores.get((scope, key), ())
            place = bisect.bisect_left(entries, before)
            while place:
                place -= 1
                entry = entries[place]
                if not self.counts_for(entry, key, name, before):
                    continue
                # What called it may have stored the name later, when it came back.
                caller = self.frames.frames[self.frames.frame_of[entry]].caller
                while caller >= 0:
                    at = bisect.bisect_left(entries, caller)
                    stored = at < len(entries) and entries[at] == caller
                    if stored and self.counts_for(caller, key, name, before):
                        entry = caller
                    caller = self.frames.frames[self.frames.frame_of[caller]].caller
                best = entry if best is None or self.over(entry) > self.over(best) else best
                break
        return best

    def over(self, entry: int) -> int:
        """Gives when a statement was over."""
        return self.shadow.ended[entry]

    def counts_for(self, entry: int, key: str, name: str, before: int) -> bool:
        """Whether an entry really bound the name: it was over, it did not raise, it was its target."""
        if self.over(entry) > before:
            return False
        static = self.frames.static(self.frames.ids[entry])
        targets = {target for _, target in static.stores}
        if key != name and static.changes is None and key not in targets:
            return False  # another attribute of the same object
        return not self.frames.raised(entry, key)

    def is_local(self, found: Found, frame: Frame) -> bool:
        """Tells whether a name was found in a frame itself, not in its globals."""
        return found.argument is not None or self.frames.frame_of[found.entry] == frame.number

    def declared(self, base: int) -> Declared:
        """Gives what the functions of a unit declare; remembered."""
        known = self._declared.get(base)
        if known is None:
            known = self._declared[base] = declared_in(self.frames.walk.unit(base).source)
        return known

    def parameters(self, frame: Frame) -> tuple[str, ...]:
        """Gives the parameters of a frame's function, in order; remembered."""
        known = self._signatures.get(frame.key)
        if known is None:
            unit = self.frames.walk.unit(frame.key[0])
            rows, bindings = unit.table.statements, unit.table.bindings
            first = next((place for place, row in enumerate(rows) if row.function == frame.key[1]), None)
            known = self._signatures[frame.key] = tuple(
                binding.name
                for place, binding in enumerate(bindings)
                if binding.statement == first and self.frames.is_argument(unit.statements_end + place)
            )
        return known

    def enclosing(self, frame: Frame) -> Frame | None:
        """Gives the newest frame of the function that a closure was made in."""
        known = self.shadow.outer.get(frame.number)
        if known is not None:
            return known if known.key[1] != 0 else None
        outer = frame.function.rpartition(".<locals>.")[0]
        if not outer:
            return None
        for candidate in reversed(self.frames.frames[: frame.number]):
            if candidate.function == outer and candidate.key[0] == frame.key[0]:
                return candidate
        return None
