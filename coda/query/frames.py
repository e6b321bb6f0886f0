"""The recorded path with its calls: which frame each statement ran in, and who called it.

Guarantee: frames are inferred from the path by rules that hold for straight code, functions, methods,
recursion and exceptions: a function's first statement opens a frame, a statement of a function further
down closes those above it, a captured value belongs to the innermost frame that is at its statement.
Where the path allows two readings (a recursive frame that ended without a word, a generator that was
resumed) the frame is marked `guessed`, and what is concluded from it is inferred, not recorded.
"""

from __future__ import annotations

import bisect
import re
from array import array
from collections import Counter
from typing import Any, NamedTuple

from coda.log import MARKS, BlockFinished, Elided, Lines, Position, Trace, UnitInfo, entry_values
from coda.query.walk import LOOPS, Batch, Walk

DEFINITIONS = frozenset({"functiondef", "asyncfunctiondef", "classdef", "import", "importfrom"})
_CALL_ON = re.compile(r"\s*(?:await\s+)?([^\W\d]\w*)\s*(?:\.|\[).*\(", re.DOTALL)
_YIELD = re.compile(r"\byield\b")
MAIN = "__main__"


class Static(NamedTuple):
    """What the table says of a statement, made ready for the walk."""

    key: tuple[int, int]
    """Unit and function."""
    opens: bool
    """Whether it is the first statement of a function's body."""
    kind: str
    stores: tuple[tuple[str, str], ...]
    """(base name, target) of each store."""
    loads: tuple[str, ...]
    gives: bool
    """Whether it hands a value to the caller: `return` or `yield`."""
    changes: str | None
    """Name of the object on which a method is called for its effect: `rows.append(x)`."""


class Frame:
    """One activation of a function, class body or module."""

    __slots__ = (
        "args",
        "caller",
        "current",
        "function",
        "gave",
        "guessed",
        "heads",
        "key",
        "kind",
        "number",
        "unit",
    )

    def __init__(self, number: int, key: tuple[int, int], function: str, unit: UnitInfo, caller: int) -> None:
        self.number = number
        self.key = key
        self.function = function
        self.unit = unit
        self.caller = caller
        """Entry that was running when this frame was opened; -1 for none."""
        self.current = -1
        self.kind = ""
        self.gave = -1
        """Last entry that handed a value out."""
        self.guessed = False
        self.args: dict[str, Any] = {}
        self.heads: dict[int, int] = {}

    @property
    def module(self) -> str:
        """Key of the namespace of its globals: one for all blocks, one for each module."""
        return MAIN if self.unit.block is not None else self.unit.file


class Frames:
    """The path of a run up to a position, one entry for each statement that began.

    Args:
        trace: the open trace.
        position: where to stop; entries from there on do not exist.
    """

    def __init__(self, trace: Trace, position: Position) -> None:
        self.trace = trace
        self.walk = Walk(trace)
        self.position = position
        self.ids = array("q")
        self.seqs = array("q")
        self.frame_of = array("q")
        self.next_in_frame = array("q")
        self.frames: list[Frame] = []
        self.children: dict[int, list[int]] = {}
        self.stores: dict[tuple[int | str, str], list[int]] = {}
        self.values: dict[tuple[int, str], list[tuple[int, Any]]] = {}
        self.blocks: list[tuple[int, int]] = []
        self.elided = 0
        started = trace.started
        self.limit = started.value_limit if started.level == "values" else 0
        self.counts: dict[tuple[int, int], int] = {}
        self._stack: list[Frame] = []
        self._suspended: dict[tuple[int, int], Frame] = {}
        self._statics: dict[int, Static] = {}
        self._bound: dict[int, tuple[int, str, bool]] = {}
        self._captures: dict[tuple[int, str], int] = {}
        self._args: list[tuple[str, Any]] = []
        self._steps = position.steps
        self.here: Frame | None = None
        """The frame in which the position stands."""
        self._run()

    # --- the walk -------------------------------------------------------------------------------

    def _run(self) -> None:
        for batch in self.walk.batches():
            while self.walk.new_units:
                self._learn(self.walk.new_units.pop(0))
            record = batch.record
            if record.seq > self.position.seq and not self._steps:
                break
            if isinstance(record, Lines):
                self._block(batch.block)
                if self._lines(batch, record):
                    return
            elif isinstance(record, Elided):
                self.elided += record.n
            elif isinstance(record, BlockFinished):
                del self._stack[1:]
        self.here = self._stack[-1] if self._stack else None

    def _block(self, block: int | None) -> None:
        if block is not None and (not self.blocks or self.blocks[-1][1] != block):
            self.blocks.append((len(self.ids), block))

    def _lines(self, batch: Batch, record: Lines) -> bool:
        """Takes in one batch; True when the position is reached within it."""
        kinds, values = self.walk.bindings, entry_values(record)
        seq = record.seq
        for id in record.ids:
            if id >= 0 and kinds[id]:
                self._bind(id, next(values), seq, batch.block or 0)
                continue
            is_line = id >= 0
            if seq >= self.position.seq and (is_line or not self._steps):
                if self._steps == 0:
                    # The statement at the position tells in which frame one stands, no more.
                    self.here = self._place(id) if is_line else self._stack[-1] if self._stack else None
                    return True
                self._steps -= 1
            if is_line:
                self._enter(id, seq)
            else:
                next(values)
            seq += 1
        return False

    def _learn(self, unit: UnitInfo) -> None:
        table = unit.table
        left = Counter(table.bindings)
        for place, binding in enumerate(table.bindings):
            if (
                binding.name in MARKS
            ):  # of `Table.bodies`, which tells frames exactly; here they are worked out
                continue
            row = table.statements[binding.statement]
            left[binding] -= 1
            # Arguments are numbered before what the first statement of the body binds itself.
            stored = binding.name in row.stores and row.kind != "delete"
            argument = not stored or left[binding] > 0
            id, statement = unit.statements_end + place, table.base + binding.statement
            self._bound[id] = (statement, binding.name, argument)
            if not argument:
                self._captures[statement, binding.name] = id

    def static(self, id: int) -> Static:
        """Gives what the table says of a statement; remembered."""
        known = self._statics.get(id)
        if known is not None:
            return known
        unit = self.walk.unit(id)
        table, place = unit.table, id - unit.table.base
        row = table.statements[place]
        source = unit.text(row.line, row.end_line) if row.kind in ("expr", "assign") else ""
        called = _CALL_ON.match(source) if row.kind == "expr" else None
        made = Static(
            key=(table.base, row.function),
            opens=_opens(unit, place),
            kind=row.kind,
            stores=tuple((re.split(r"[.\[(]", target, maxsplit=1)[0], target) for target in row.stores),
            loads=row.loads,
            gives=row.kind == "return" or _YIELD.search(source) is not None,
            changes=called[1] if called is not None and called[1] in row.loads else None,
        )
        self._statics[id] = made
        return made

    def _place(self, id: int) -> Frame:
        """Gives the frame that a statement runs in, opening and closing frames as the path says."""
        static = self.static(id)
        stack = self._stack
        unit = self.walk.unit(id)
        if static.key[1] == 0 and unit.block is not None:
            if not stack or stack[0].key != static.key:
                stack[:] = [self._open(static, unit, -1)]
            del stack[1:]
            return stack[0]
        if static.opens:
            sure = self._close_finished(unit.table.functions[static.key[1]])
            frame = self._open(static, unit, stack[-1].current if stack else -1)
            frame.guessed = not sure or any(below.key == static.key and below.guessed for below in stack)
            frame.args.update(self._args)
            self._args.clear()
            stack.append(frame)
            return frame
        return self._back_to(static, unit)

    def _back_to(self, static: Static, unit: UnitInfo) -> Frame:
        """Finds the frame that goes on with a statement which is not the first of its function."""
        stack = self._stack
        same = [place for place in range(len(stack) - 1, -1, -1) if stack[place].key == static.key]
        if not same:
            frame = self._suspended.get(static.key)
            if frame is None:
                frame = self._open(static, unit, stack[-1].current if stack else -1)
                frame.guessed = static.key[1] != 0
            else:
                frame.guessed = True
            stack.append(frame)
            return frame
        place = same[0]
        if place == len(stack) - 1 and stack[place].kind in ("return", "raise") and len(same) > 1:
            place = same[1]
        elif len(same) > 1 and place == len(stack) - 1:
            # The same function is active further down: it may have come back without a `return`.
            stack[place].guessed = True
        self._close_above(place)
        return stack[place]

    def _close_finished(self, function: str) -> bool:
        """Closes frames that ended in silence before a function was called from further below.

        `[make(a), make(b)]`: the second call does not come from the last statement of the first. What a
        statement calls by another name cannot be told from that for certain.
        """
        owner, _, name = function.rpartition(".")
        made = name in ("__init__", "__new__")
        if not made and name.startswith("__"):
            return True  # called by an operator, which does not name it
        top = self._stack[-1] if self._stack else None
        if made and top is not None and "__init__" in self._text(top) and top.current not in self.children:
            return True  # `super().__init__()`, which has not called anything so far
        # A class may be called by the name of one derived from it, but not without a call.
        names = (
            [rf"\b{re.escape(owner.rpartition('.')[2])}\b", r"\("] if made else [rf"\b{re.escape(name)}\b"]
        )
        for pattern in names:
            calls = re.compile(pattern)
            for place in range(len(self._stack) - 1, -1, -1):
                if calls.search(self._text(self._stack[place])):
                    above = self._stack[place + 1 :]
                    self._close_above(place)
                    return not any("(" in self._text(each) for each in above)
        return True

    def _text(self, frame: Frame) -> str:
        """Gives the text of a frame's current statement; of a compound one, its first line."""
        row = self.walk.statement(self.ids[frame.current]) if frame.current >= 0 else None
        if row is None:
            return ""
        return row.source.partition("\n")[0] if self._statics[row.id].kind in _COMPOUND else row.source

    def _close_above(self, place: int) -> None:
        for frame in self._stack[place + 1 :]:
            if frame.kind != "return":
                self._suspended[frame.key] = frame
        del self._stack[place + 1 :]

    def _open(self, static: Static, unit: UnitInfo, caller: int) -> Frame:
        function = unit.table.functions[static.key[1]]
        frame = Frame(len(self.frames), static.key, function, unit, caller)
        self.frames.append(frame)
        if caller >= 0:
            self.children.setdefault(caller, []).append(frame.number)
        return frame

    def _enter(self, id: int, seq: int) -> None:
        frame = self._place(id)
        static = self._statics[id]
        entry = len(self.ids)
        self.ids.append(id)
        self.seqs.append(seq)
        self.frame_of.append(frame.number)
        self.next_in_frame.append(-1)
        if frame.current >= 0:
            self.next_in_frame[frame.current] = entry
        frame.current, frame.kind = entry, static.kind
        if static.gives:
            frame.gave = entry
        if static.kind in _COMPOUND:
            frame.heads[id] = entry
        for base, target in static.stores:
            self._store(frame, target, entry)
            if target != base:
                self._store(frame, within(base), entry)
        if static.changes is not None:
            self._store(frame, within(static.changes), entry)

    def _store(self, frame: Frame, name: str, entry: int) -> None:
        scope: int | str = frame.module if frame.key[1] == 0 else frame.number
        self.stores.setdefault((scope, name), []).append(entry)
        if isinstance(scope, int):
            # Found again when the function declares the name global or nonlocal.
            self.stores.setdefault((f"{frame.module}\0{frame.function}", name), []).append(entry)

    def _bind(self, id: int, value: Any, known: int, block: int) -> None:
        """Gives a captured value to the statement, in the innermost frame that is at it."""
        if id not in self._bound:
            return  # the mark of a frame
        statement, name, argument = self._bound[id]
        self.counts[block, id] = self.counts.get((block, id), 0) + 1
        if argument:
            self._args.append((name, value))
            return
        for place in range(len(self._stack) - 1, -1, -1):
            frame = self._stack[place]
            entry = frame.current if frame.current >= 0 and self.ids[frame.current] == statement else -1
            entry = frame.heads.get(statement, entry)
            if entry >= 0:
                self._close_above(place)
                self.values.setdefault((entry, name), []).append((known, value))
                return

    def is_argument(self, binding: int) -> bool:
        """Tells whether a binding captures an argument of a function."""
        return binding in self._bound and self._bound[binding][2]

    # --- questions ------------------------------------------------------------------------------

    def block_of(self, entry: int) -> int | None:
        """Gives the number of the block that was executing."""
        place = bisect.bisect_right(self.blocks, (entry, 1 << 60)) - 1
        return self.blocks[place][1] if place >= 0 else None

    def is_active(self, entry: int, frame: Frame) -> bool:
        """Tells whether a statement was still running, as a caller, while a frame was."""
        caller = frame.caller
        while caller >= entry:
            if caller == entry:
                return True
            caller = self.frames[self.frame_of[caller]].caller
        return False

    def value_of(self, entry: int, name: str, before: int) -> tuple[str, Any] | None:
        """Gives (name, value) as a statement had bound it before another entry; None when not captured.

        A loop binds in every turn: past the captured ones, the last that was kept is not the one in force.
        """
        seq = self.seqs[before] if before < len(self.seqs) else self.position.seq
        kept = self.values.get((entry, name), [])
        place = bisect.bisect_right(kept, seq, key=_known) - 1
        if place < 0:
            return None
        loops = self.static(self.ids[entry]).kind in LOOPS or len(kept) > 1
        if loops and place == len(kept) - 1 and self.full(entry, name):
            return None
        return name, kept[place][1]

    def full(self, entry: int, name: str) -> bool:
        """Tells whether so many values of a statement were kept that there may have been more."""
        id = self._captures.get((self.ids[entry], name), -1)
        return self.counts.get((self.block_of(entry) or 0, id), 0) >= self.limit

    def raised(self, entry: int, name: str) -> bool:
        """Tells whether a statement certainly never stored a name: its value would have been captured."""
        if not self.limit or (entry, name) in self.values:
            return False
        id = self._captures.get((self.ids[entry], name))
        return id is not None and self.counts.get((self.block_of(entry) or 0, id), 0) < self.limit


_COMPOUND = frozenset({"for", "asyncfor", "while", "with", "asyncwith", "try", "trystar", "match"})


def within(name: str) -> str:
    """Gives the key of the statements that changed what a name stands for, without binding the name."""
    return f"{name}\0"


def _known(kept: tuple[int, Any]) -> int:
    return kept[0]


def _opens(unit: UnitInfo, place: int) -> bool:
    """Tells whether a statement is the first in the body of the def or class that stands before it."""
    rows, functions = unit.table.statements, unit.table.functions
    if place == 0 or rows[place - 1].kind not in ("functiondef", "asyncfunctiondef", "classdef"):
        return False
    if rows[place].function == rows[place - 1].function:
        return False
    stores = rows[place - 1].stores
    return bool(stores) and functions[rows[place].function].rpartition(".")[2] in stores
