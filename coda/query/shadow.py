"""The recorded path gone once more, with objects in place of values: which names stood for the same one.

Guarantee: every statement of the path is carried out on a `Heap`, in its frame, when it was over, so that
a change is known by whatever name it was made; a name's objects can be asked for at any moment. What could
not be carried out exactly makes objects uncertain, and what could not be carried out at all is a sentence
in `gaps`. Cost: linear in the path.
"""

from __future__ import annotations

import ast
import bisect
import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from coda.query.evaluate import Evaluator
from coda.query.frames import MAIN, Frame, Frames
from coda.query.heap import NOTHING, Change, Heap, Objects
from coda.query.known import IMMUTABLE
from coda.query.pending import Pending
from coda.query.scopes import Declared, declared_in
from coda.query.trees import Definition, Unit, unit_trees
from coda.query.walk import LOOPS

NEVER = 1 << 62
MODULES: Mapping[str, str] = {"__main__": MAIN}
_ATOMS = frozenset(
    {
        "int", "float", "decimal", "timedelta", "str", "bytes", "datetime", "date", "time", "path", "uuid",
        "complex", "zoneinfo", "timezone",
    }
)  # fmt: skip


class Shadow:
    """Objects and names along a path.

    Args:
        frames: the path.
        pure: names that coda put into the namespace, and whose calls change no object: values cross.
        files: modules of which the code is on the path, and the scope of their names.
    """

    def __init__(
        self, frames: Frames, pure: frozenset[str] = frozenset(), files: Mapping[str, str] = MODULES
    ) -> None:
        self.frames = frames
        self.pure = pure
        self.files = files
        self.heap = Heap()
        self.gaps: Counter[str] = Counter()
        """What is not followed, and how often it was met."""
        self.now = 0
        self.ended = [NEVER] * len(frames.ids)
        """When each statement was over: the number of the entry that began then."""
        self.unread: set[int] = set()
        """Bases of units that have no trees."""
        self.first: dict[int, int] = {}
        """The first entry of each frame."""
        self.outer: dict[int, Frame] = {}
        """The frame of the function around that of a frame."""
        self.results: dict[int, Objects] = {}
        self.generators: dict[int, int] = {}
        self._units: dict[int, Unit | None] = {}
        self._declared: dict[int, Declared] = {}
        self._locals: dict[tuple[int, int], frozenset[str]] = {}
        self._names: dict[int | str, dict[str, Objects]] = {}
        self._history: dict[tuple[int | str, str], list[tuple[int, Objects]]] = {}
        self._pending: list[Pending] = []
        self._iterated: dict[tuple[int, int], Objects] = {}
        self._asked: dict[Objects, tuple[int, int]] = {}
        self._modules_in: dict[int | str, tuple[str, ...]] = {}
        self._evaluate = Evaluator(self)
        self._run()

    # --- the walk -------------------------------------------------------------------------------

    def _run(self) -> None:
        frames = self.frames
        for entry, id in enumerate(frames.ids):
            self.now = entry
            frame = frames.frames[frames.frame_of[entry]]
            first = frame.number not in self.first
            self._settle(frame, first, id)
            if first:
                self.first[frame.number] = entry
            unit = self.unit(frame.key[0])
            if unit is None:
                self._pending.append(Pending(entry, None, frame))
                continue
            if first:
                self._evaluate.open(frame, unit.opens.get(id), self._caller(frame))
            loop = unit.loops.get(id)
            if loop is not None and (frame.number, loop) in self._iterated:
                node = unit.statements[loop]
                assert isinstance(node, ast.For | ast.AsyncFor)
                turn = Pending(frame.heads.get(loop, entry), node, frame)
                self._evaluate.bind(node.target, self.heap.parts(self._iterated[frame.number, loop]), turn)
            self._pending.append(Pending(entry, unit.statements.get(id), frame))
        self._finish()

    def _settle(self, frame: Frame, first: bool, id: int) -> None:
        """Carries out what was over when a statement of a frame began."""
        stack = self._pending
        if first:
            place = next((i for i, pending in enumerate(stack) if pending.entry == frame.caller), -1)
            if frame.caller < 0:
                place = -1
            elif place < 0:
                return
            while len(stack) > place + 1:
                self._end(stack.pop(), id)
            return
        if not any(pending.frame is frame for pending in stack):
            return  # a generator that goes on
        while stack:
            pending = stack.pop()
            self._end(pending, id)
            if pending.frame is frame:
                break

    def _caller(self, frame: Frame) -> Pending | None:
        found = self._pending[-1] if self._pending else None
        return found if found is not None and found.entry == frame.caller else None

    def _finish(self) -> None:
        """At the position: what its frame had begun is over; what called it is not."""
        self.now = len(self.frames.ids)
        here = self.frames.here
        while self._pending:
            if here is not None and self._is_caller(self._pending[-1], here):
                break
            self._end(self._pending.pop(), -1)

    def _is_caller(self, pending: Pending, frame: Frame) -> bool:
        caller = frame.caller
        while caller >= 0:
            if caller == pending.entry:
                return True
            caller = self.frames.frames[self.frames.frame_of[caller]].caller
        return False

    def _end(self, pending: Pending, next_id: int) -> None:
        entry = pending.entry
        self.ended[entry] = self.now
        if pending.node is None:
            return
        unit = self.unit(pending.frame.key[0])
        pending.certain = unit is None or next_id not in unit.handlers
        self._evaluate.carry_out(pending)
        if isinstance(pending.node, ast.For | ast.AsyncFor):
            self._iterated[pending.frame.number, self.frames.ids[entry]] = pending.given
        elif isinstance(pending.node, ast.Return):
            known = self.results.get(pending.frame.number, NOTHING)
            self.results[pending.frame.number] = known | pending.given

    # --- what is known of code ------------------------------------------------------------------

    def unit(self, base: int) -> Unit | None:
        """Gives the trees of a unit; remembered."""
        if base not in self._units:
            info = self.frames.walk.unit(base)
            self._units[base] = found = unit_trees(info)
            if found is None:
                self.unread.add(base)
        return self._units[base]

    def declared(self, base: int) -> Declared:
        """Gives what the functions of a unit declare; remembered."""
        if base not in self._declared:
            self._declared[base] = declared_in(self.frames.walk.unit(base).source)
        return self._declared[base]

    def locals_of(self, frame: Frame) -> frozenset[str]:
        """Gives the names that are a frame's own."""
        known = self._locals.get(frame.key)
        if known is None:
            base, number = frame.key
            table = self.frames.walk.unit(base).table
            declared = self.declared(base)
            first = next((i for i, row in enumerate(table.statements) if row.function == number), -1)
            names = {name for row in table.statements if row.function == number for name in row.stores}
            names |= {binding.name for binding in table.bindings if binding.statement == first}
            definition = (self.unit(base) or _NO_UNIT).opens.get(base + first)
            names |= _parameters(definition)
            path = table.functions[number]
            known = self._locals[frame.key] = frozenset(
                name
                for name in names
                if name.isidentifier()
                and not declared.is_global(path, name)
                and not declared.is_nonlocal(path, name)
            )
        return known

    def scope_of(self, frame: Frame, name: str) -> int | str:
        """Gives where a name that a frame sees lives: a frame's number, or a module."""
        if frame.key[1] == 0:
            return frame.module
        if name in self.locals_of(frame):
            return frame.number
        if not self.declared(frame.key[0]).is_global(frame.function, name):
            seen = 0
            outer = self.outer.get(frame.number)
            while outer is not None and outer.key[1] != 0 and seen < 100:
                if name in self.locals_of(outer) and not self.is_class(outer):
                    return outer.number
                outer, seen = self.outer.get(outer.number), seen + 1
        return frame.module

    def is_class(self, frame: Frame) -> bool:
        """Tells whether a frame is that of a class body."""
        unit = self.unit(frame.key[0])
        base = frame.key[0]
        rows = self.frames.walk.unit(base).table.statements
        first = next((i for i, row in enumerate(rows) if row.function == frame.key[1]), -1)
        return unit is not None and isinstance(unit.opens.get(base + first), ast.ClassDef)

    # --- names ----------------------------------------------------------------------------------

    def get(self, scope: int | str, name: str) -> Objects | None:
        """Gives what a name stands for now; None when nothing was bound to it on the path."""
        return self._names.get(scope, {}).get(name)

    def set(self, scope: int | str, name: str, objects: Objects) -> None:
        """Lets a name stand for objects from now on."""
        names = self._names.setdefault(scope, {})
        if names.get(name) != objects:
            names[name] = objects
            self._history.setdefault((scope, name), []).append((self.now, objects))

    def inject(self, scope: int | str, name: str, objects: Objects) -> None:
        """Lets a name stand for objects from the beginning: something else than the path put it there."""
        self._names.setdefault(scope, {})[name] = objects
        self._history.setdefault((scope, name), []).insert(0, (0, objects))

    def names_in(self, scope: int | str) -> dict[str, Objects]:
        """Gives all names of a scope."""
        return self._names.get(scope, {})

    def objects_at(self, scope: int | str, name: str, moment: int) -> Objects:
        """Gives what a name stood for at a moment."""
        history = self._history.get((scope, name), [])
        place = bisect.bisect_right(history, moment, key=_moment)
        return history[place - 1][1] if place else NOTHING

    def changes_of(self, scope: int | str, name: str, since: int, until: int) -> list[Change]:
        """Gives the last changes of what a name, or a target such as `obj.total`, stood for; newest first.

        Args:
            scope: where the name lives.
            name: the name or target.
            since: moment after which they were made.
            until: moment by which they were over.
        """
        base, *path = _steps_of(name)
        objects = self.objects_at(scope, base, until)
        found: dict[int, Change] = {}
        for module in self._evaluate.modules_of(scope):
            for change in self.heap.last_changes(frozenset({module}), f".{base}", since, until):
                found.setdefault(change.entry, change)
        for part in path:
            key = part if part == "[]" else f".{part}"
            objects |= self.heap.part_at(objects, ".__class__", until)  # what a class holds its objects show
            for change in self.heap.last_changes(objects, key, since, until):
                found.setdefault(change.entry, change)
            inside = [self.files.get(path) for path in self._evaluate.module_paths(objects)]
            objects = self.heap.part_at(objects, key, until).union(
                *(self.objects_at(scope, part, until) for scope in inside if scope is not None)
            )
        for change in self.heap.last_changes(objects, None, since, until):
            found.setdefault(change.entry, change)
        for change in self._changes_of_parts(objects, since, until):
            found.setdefault(change.entry, change)
        return sorted(found.values(), reverse=True)

    def _changes_of_parts(self, objects: Objects, since: int, until: int) -> Iterable[Change]:
        """Gives all changes of what objects hold, but for those that were asked for before.

        Of the objects themselves the last one leads to the others; to those of their parts no name may.
        """
        first, last = self._asked.get(objects, (NEVER, -1))
        if first <= since and until <= last:
            return ()
        self._asked[objects] = min(first, since), max(last, until)
        return self.heap.changes(self.heap.reach(objects, until) - objects, since, until)

    def value_type(self, entry: int, name: str) -> str | None:
        """Gives the type of what a statement bound, "" for what nothing can change, None when not known."""
        kept = self.frames.values.get((entry, name))
        if not kept:
            return None
        loops = len(kept) > 1 or self.frames.static(self.frames.ids[entry]).kind in LOOPS
        if loops and self.frames.full(entry, name):
            return None  # a loop went on, and what it bound then was not kept
        types = {type_of(value) for _, value in kept}
        return types.pop() if len(types) == 1 else None

    def modules_in(self, scope: int | str) -> tuple[str, ...]:
        """Gives the modules of which the names live in a scope; remembered."""
        known = self._modules_in.get(scope)
        if known is None:
            known = self._modules_in[scope] = tuple(
                name for name, file in self.files.items() if file == scope
            )
        return known

    def gap(self, text: str) -> None:
        """Notes something that is not followed."""
        self.gaps[text] += 1


@functools.lru_cache(maxsize=1 << 10)
def _steps_of(name: str) -> tuple[str, ...]:
    """Gives the parts of a target: `obj`, `total`, `[]` of `obj.total[]`."""
    return tuple(re.findall(r"[^.\[\]]+|\[\]", name))


_NO_UNIT = Unit({}, {}, {}, frozenset(), {}, {})


def _parameters(definition: Definition | None) -> set[str]:
    if definition is None or isinstance(definition, ast.ClassDef):
        return set()
    args = definition.args
    found = {arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)}
    return found | {arg.arg for arg in (args.vararg, args.kwarg) if arg is not None}


def _moment(row: tuple[int, Objects]) -> int:
    return row[0]


def type_of(value: Any) -> str | None:
    """Gives the type name of a captured value; "" when nothing can change it."""
    if isinstance(value, list):
        return "list"
    if not isinstance(value, dict):
        return ""
    tag = value.get("$")
    if tag is None:
        return "dict"
    if tag in _ATOMS:
        return ""
    if tag in ("opaque", "summary"):
        name = str(value.get("t", "")) or None
        return "" if name in IMMUTABLE or name in _ATOMS else name
    return str(tag) if tag in ("dict", "set", "tuple", "frozenset", "bytearray") else None
