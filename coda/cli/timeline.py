"""The timeline of `coda log` for people: one row an event, indented by turn, block and call.

Guarantee: rows come as events come, and what is kept meanwhile does not grow with the trace: the last line
(its values become known with the event after it), the calls that are open, and the text of each statement.
How deep a line is in calls is told by its frame. Where frames are not marked, the path tells it: the first
statement of a function opens a call, a statement of a function further out closes those within; a call of the
same function that ended without a `return` shows late there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from coda.cli.render import Printer, Styled
from coda.log import Stored, TraceEvent, UnitInfo, describe, render

_STYLES: Final = {
    "exception": "red", "limit.hit": "yellow", "tool": "cyan", "ctx": "magenta", "file": "green",
    "process": "green", "net": "green", "llm": "blue", "run": "bold", "turn": "bold", "block": "bold",
    "fork": "bold", "effect": "dim", "gc": "dim",
}  # fmt: skip
_EDGES: Final = frozenset({"turn.started", "turn.finished", "block.started", "block.finished"})
_VALUE_WIDTH: Final = 60
_DEEPEST: Final = 12
"""Calls within calls that are still indented; a deep recursion must not leave the screen."""
_DEFINES: Final = frozenset({"functiondef", "asyncfunctiondef", "classdef", "import", "importfrom"})
_DEFINED: Final = frozenset({"function", "type", "module"})


class _Text(NamedTuple):
    """What is the same in every row of a statement."""

    shown: str
    """Source, function, and file when it is not the block or program itself."""
    source: str
    inside: str
    file: str
    function: tuple[int, int]
    """Base of the unit's table, and number of the function in it."""
    opens: bool
    """Whether it is the first of its function."""
    returns: bool
    calls: bool
    """Whether it may call something before it is over."""


class _Path:
    """How deep the calls are, as the path tells it."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self._last: _Text | None = None

    def clear(self) -> None:
        """A block begins or ends."""
        self.calls.clear()
        self._last = None

    def follow(self, text: _Text) -> None:
        """Brings the open calls up to the statement that runs now."""
        calls, last = self.calls, self._last
        if last is not None and last.returns and calls and (not text.opens or not last.calls):
            calls.pop()  # it returned: what runs now is its caller's, or another call of that
        self._last = text
        if text.opens:
            calls.append(text.function)
            return
        if text.function[1] != 0 and text.function not in calls:
            calls.append(text.function)  # resumed: a generator, or the trace is entered in its middle
        while calls and calls[-1] != text.function:
            calls.pop()

    def depth_of(self, function: tuple[int, int]) -> int:
        """How many calls a statement of a function is in."""
        for depth in range(len(self.calls), 0, -1):
            if self.calls[depth - 1] == function:
                return depth
        return 0 if function[1] == 0 else len(self.calls)


class Timeline:
    """Prints events in the order in which it is given them.

    Args:
        printer: where to.
        tools: calls of tools that are open before the first event.
    """

    def __init__(self, printer: Printer, *, tools: int = 0) -> None:
        self._printer = printer
        self._tools = tools
        self._held: tuple[TraceEvent, str] | None = None
        self._path = _Path()
        self._frames: list[int | None] = []
        """The frames that are open, as far as their lines were seen; its place is a frame's depth."""
        self._texts: dict[int, _Text] = {}
        self._units: dict[int, UnitInfo] = {}

    def show(self, event: TraceEvent) -> None:
        """Takes an event in, and prints what is complete."""
        held, self._held = self._held, None
        now, given, later = _sorted(event, held[0] if held is not None else None) if event.stored else _NONE
        if held is not None:
            self._put(held[1], now)
        if event.type != "line":
            self._late(event, later)
            self._event(event)
            return
        text = self._text(event)
        if event.depth is None:
            self._path.follow(text)
        self._late(event, later)
        self._enter(event)
        margin = self._printer.paint(_margin(event, event.line), "dim")
        self._held = event, margin + self._indent(event, self._depth(event)) + self._row(text, given)

    def flush(self) -> None:
        """Prints the line that waits for its values: nothing more may come for a while."""
        held, self._held = self._held, None
        if held is not None:
            self._put(held[1], ())
        self._printer.stream.flush()

    def _event(self, event: TraceEvent) -> None:
        kind = event.type
        if kind in ("block.started", "block.finished"):
            self._path.clear()
            self._frames.clear()
        if kind == "tool.returned":
            self._tools = max(self._tools - 1, 0)
        style = _STYLES.get(kind, _STYLES.get(kind.partition(".")[0], ""))
        margin = _margin(event, None) + self._indent(event, self._depth(event))
        self._printer.line(
            Styled(margin, "dim"), Styled(kind, style) if style else kind, "  ", describe(event)
        )
        if kind == "tool.called":
            self._tools += 1

    def _enter(self, event: TraceEvent) -> None:
        """Notes the frame of a line at its depth; those deeper have ended, or are suspended."""
        depth, frames = event.depth, self._frames
        if depth is None or (len(frames) == depth + 1 and frames[depth] == event.frame):
            return
        del frames[depth:]
        frames += [None] * (depth - len(frames))
        frames.append(event.frame)

    def _depth(self, event: TraceEvent) -> int:
        """How many calls an event is in."""
        depth = event.depth
        return depth if depth is not None else 0 if event.type in _EDGES else len(self._path.calls)

    def _put(self, row: str, stored: Sequence[Stored]) -> None:
        bound = f"   {self._bound(stored)}" if stored else ""
        self._printer.stream.write(f"{row}{bound}\n")

    def _bound(self, stored: Sequence[Stored]) -> str:
        values = "  ".join(f"{item.name} = {render(item.value, width=_VALUE_WIDTH)}" for item in stored)
        return self._printer.text(Styled(f"# {values}", "cyan"))

    def _late(self, event: TraceEvent, later: Sequence[Stored]) -> None:
        """Values that became known after other statements had run: one row for each that bound them."""
        rows: dict[tuple[int, int], list[Stored]] = {}
        for item in later:
            statement = event.statement_of(item)
            unit = event.units.find(item.id) if event.units is not None else None
            if statement is None or unit is None:
                rows.setdefault((0, self._depth(event)), []).append(item)
            elif not _is_plain_definition(item, statement.kind):
                function = unit.table.statements[statement.id - unit.table.base].function
                depth = self._depth_of(item.frame, event, (unit.table.base, function))
                rows.setdefault((statement.line, depth), []).append(item)
        for (line, depth), items in rows.items():
            where = self._printer.paint(f"{line or '':>24}", "dim")
            self._put(f"{where}  {self._indent(event, depth)}{self._bound(items)}", ())

    def _depth_of(self, frame: int | None, event: TraceEvent, function: tuple[int, int]) -> int:
        """How many calls a value was bound in that became known by an event."""
        if frame is not None and event.depth is not None:
            if frame == event.frame:
                return event.depth
            for depth in range(len(self._frames) - 1, -1, -1):
                if self._frames[depth] == frame:
                    return depth
            return event.depth  # it was suspended, ran for a while, and no line of it was seen
        return self._path.depth_of(function)

    def _indent(self, event: TraceEvent, calls: int) -> str:
        calls += self._tools
        depth = (event.turn is not None) + (event.block is not None) + min(calls, _DEEPEST)
        return "  " * (depth - (event.type in _EDGES))

    def _row(self, text: _Text, given: Sequence[Stored]) -> str:
        """Source, function and, where its frame begins, the arguments that it was given."""
        if not given:
            return text.shown
        arguments = ", ".join(f"{item.name} = {render(item.value, width=_VALUE_WIDTH)}" for item in given)
        return text.source + self._printer.text(
            Styled(text.inside, "dim"), Styled(f"({arguments})", "cyan"), Styled(text.file, "dim")
        )

    def _text(self, event: TraceEvent) -> _Text:
        """What a statement's rows have in common; made when it is met for the first time."""
        assert event.id is not None
        unit = event.unit
        text = self._texts.get(event.id)
        if text is not None and unit is self._units.get(event.id):
            return text
        row, file = None, ""
        if unit is not None:
            row = unit.table.statements[event.id - unit.table.base]
            self._units[event.id] = unit
            if unit.block is None:  # a module of the workspace, not the block or program itself
                file = f"  ({os.path.basename(unit.file)})"
        paint = self._printer.text
        source = paint(event.source or f"({event.file})")
        inside = f"  in {event.function}" if event.function else ""
        text = _Text(
            source + paint(Styled(inside + file, "dim")),
            source,
            inside,
            file,
            (unit.table.base, row.function) if unit is not None and row is not None else (-1, 0),
            opens=unit is not None and row is not None and _opens(unit, event.id),
            returns=row is not None and row.kind == "return",
            calls="(" in event.source,
        )
        self._texts[event.id] = text
        return text


class _Sorted(NamedTuple):
    """Values that became known by an event: of the line before, of the frame that begins, and others."""

    now: Sequence[Stored] = ()
    given: Sequence[Stored] = ()
    later: Sequence[Stored] = ()


_NONE: Final = _Sorted()


def _sorted(event: TraceEvent, line: TraceEvent | None) -> _Sorted:
    """Sorts what became known by an event; `line` is the event before, when it is one of a line."""
    now: list[Stored] = []
    given: list[Stored] = []
    later: list[Stored] = []
    for item in event.stored:
        if line is not None and _by(line, item, event):
            now.append(item)
        elif item.at == event.seq and event.type == "line":
            given.append(item)
        else:
            later.append(item)
    return _Sorted(now, given, later)


def _margin(event: TraceEvent, line: int | None) -> str:
    return f"{event.seq:>7} {event.t / 1e9:>10.6f} {'' if line is None else line:>5}  "


def _opens(unit: UnitInfo, id: int) -> bool:
    """Whether a statement is the first of a function, which runs once for each call."""
    rows = unit.table.statements
    at = id - unit.table.base
    return (
        rows[at].function != 0
        and (at == 0 or rows[at - 1].function != rows[at].function)
        and not any(row.function == rows[at].function for row in rows[:at])
    )


def _by(line: TraceEvent, item: Stored, event: TraceEvent) -> bool:
    """Whether a value was bound by a line: by its number where frames tell, else by its statement."""
    if item.at is not None:
        return item.at == line.seq
    statement = event.statement_of(item)
    return statement is not None and (statement.file, statement.line) == (line.file, line.line)


def _is_plain_definition(item: Stored, kind: str) -> bool:
    """Whether a value says no more than the statement that bound it: `import os` bound a module."""
    value = item.value
    return kind in _DEFINES and isinstance(value, dict) and value.get("t") in _DEFINED
