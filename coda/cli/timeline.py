"""The timeline of `coda log` for people: one row an event, indented by turn, block and call.

Guarantee: rows come as events come, and what is kept meanwhile does not grow with the trace: the last line
(its values become known with the event after it), the calls that are open, and the text of each statement.
How deep a function is called is told by the path: its first statement opens a call, a statement of a function
further out closes those within. A call of the same function that ended without a `return` shows late.
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


class _Text(NamedTuple):
    """What is the same in every row of a statement."""

    shown: str
    function: tuple[int, int]
    """Base of the unit's table, and number of the function in it."""
    opens: bool
    """Whether it is the first of its function."""
    returns: bool
    calls: bool
    """Whether it may call something before it is over."""


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
        self._calls: list[_Text] = []
        self._last: _Text | None = None
        self._texts: dict[int, _Text] = {}
        self._units: dict[int, UnitInfo] = {}

    def show(self, event: TraceEvent) -> None:
        """Takes an event in, and prints what is complete."""
        held, line = self._held, event.type == "line"
        later = event.stored
        if held is not None:
            now = tuple(item for item in event.stored if _by(held[0], item, event))
            later = tuple(item for item in event.stored if item not in now) if now else later
            self._put(held[1], now)
            self._held = None
        if line:
            text = self._text(event)
            self._follow(text)
        if later:
            self._late(event, later)
        if line:
            margin = self._printer.paint(_margin(event, event.line), "dim")
            self._held = event, margin + self._indent(event, len(self._calls) + self._tools) + text.shown
        else:
            self._event(event)

    def flush(self) -> None:
        """Prints the line that waits for its values: nothing more may come for a while."""
        held, self._held = self._held, None
        if held is not None:
            self._put(held[1], ())
        self._printer.stream.flush()

    def _event(self, event: TraceEvent) -> None:
        kind = event.type
        if kind in ("block.started", "block.finished"):
            self._calls.clear()
            self._last = None
        if kind == "tool.returned":
            self._tools = max(self._tools - 1, 0)
        style = _STYLES.get(kind, _STYLES.get(kind.partition(".")[0], ""))
        margin = _margin(event, None) + self._indent(event, len(self._calls) + self._tools)
        self._printer.line(
            Styled(margin, "dim"), Styled(kind, style) if style else kind, "  ", describe(event)
        )
        if kind == "tool.called":
            self._tools += 1

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
                rows.setdefault((0, len(self._calls)), []).append(item)
                continue
            at = self._depth(
                (unit.table.base, unit.table.statements[statement.id - unit.table.base].function)
            )
            rows.setdefault((statement.line, at), []).append(item)
        for (line, depth), items in rows.items():
            where = self._printer.paint(f"{line or '':>24}", "dim")
            self._put(f"{where}  {self._indent(event, depth)}{self._bound(items)}", ())

    def _depth(self, function: tuple[int, int]) -> int:
        """How many calls a statement of a function is in, as the path goes now."""
        for depth in range(len(self._calls), 0, -1):
            if self._calls[depth - 1].function == function:
                return depth
        return 0 if function[1] == 0 else len(self._calls)

    def _indent(self, event: TraceEvent, calls: int) -> str:
        depth = (event.turn is not None) + (event.block is not None) + min(calls, _DEEPEST)
        return "  " * (depth - (event.type in _EDGES))

    def _text(self, event: TraceEvent) -> _Text:
        """What a statement's rows have in common; made when it is met for the first time."""
        assert event.id is not None
        unit = event.unit
        text = self._texts.get(event.id)
        if text is not None and unit is self._units.get(event.id):
            return text
        paint = self._printer.text
        source = paint(event.source or f"({event.file})")
        inside = f"  in {event.function}" if event.function else ""
        row = None
        if unit is not None:
            row = unit.table.statements[event.id - unit.table.base]
            self._units[event.id] = unit
            if unit.block is None:  # a module of the workspace, not the block or program itself
                inside += f"  ({os.path.basename(unit.file)})"
        shown = source + paint(Styled(inside, "dim"))
        text = _Text(
            shown,
            (unit.table.base, row.function) if unit is not None and row is not None else (-1, 0),
            opens=unit is not None and row is not None and _opens(unit, event.id),
            returns=row is not None and row.kind == "return",
            calls="(" in event.source,
        )
        self._texts[event.id] = text
        return text

    def _follow(self, text: _Text) -> None:
        """Brings the open calls up to the statement that runs now."""
        calls, last = self._calls, self._last
        if last is not None and last.returns and calls and (not text.opens or not last.calls):
            calls.pop()  # it returned: what runs now is its caller's, or another call of that
        self._last = text
        if text.opens:
            calls.append(text)
            return
        if text.function[1] != 0 and all(call.function != text.function for call in calls):
            calls.append(text)  # resumed: a generator, or the trace is entered in its middle
        while calls and calls[-1].function != text.function:
            calls.pop()


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
    """Whether the statement that bound a value is the one that began last (else only by name)."""
    statement = event.statement_of(item)
    return statement is not None and (statement.file, statement.line) == (line.file, line.line)
