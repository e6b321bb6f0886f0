"""One event of a run as readers see it, and its JSON form.

Guarantee: the JSON begins with the same eleven keys for every type (seq, type, t, run, block, turn,
file, line, function, frame, cause; null when absent), then the fields of the type; fields that this
version does not know are kept. Secret shapes are masked unless the caller says otherwise.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from coda.errors import LogError
from coda.log.display import mask_data
from coda.log.events import Lines, Output, Unknown
from coda.log.records import Event
from coda.log.units import StatementInfo, UnitInfo, Units, unit_covering

_COMMON: Final = ("seq", "type", "t", "run", "block", "turn", "file", "line", "function", "frame", "cause")
_HIDDEN: Final = frozenset({*_COMMON, "ids", "vals"})


class Stored(NamedTuple):
    """A value that a statement is known to have bound: id of the binding, name, value envelope."""

    id: int
    name: str
    value: Any
    frame: int | None = None
    """The frame in which it was bound; None where the marks do not tell."""
    at: int | None = None
    """The line event that bound it, exactly; None where the marks do not tell."""


class TraceEvent(msgspec.Struct, frozen=True, eq=False):
    """One event.

    `file`, `line` and `function` of a line come from its table; those of other events from the record,
    or else from the last statement before it. The `t` of an unbatched line is interpolated.
    """

    seq: int
    type: str
    t: int
    run: str
    block: int | None
    turn: int | None
    file: str | None
    line: int | None
    function: str | None
    cause: int | None
    record: Event | Unknown
    """The typed record; for an unbatched line or stream code, the whole `Lines`."""
    id: int | None
    """Statement id, or stream code, of an unbatched event."""
    name: str | None
    """Of effects, outputs, tools and ctx: what it is about."""
    value: Any
    """Envelope of the value that the event carries."""
    stored: tuple[Stored, ...] = ()
    """Bindings that became known after the event before and by this one."""
    n: int = 1
    """How many events it stands for: 1, or what an `elided` record covers."""
    unit: UnitInfo | None = None
    raw: bytes | None = None
    """The line in the file; None for an unbatched event."""
    units: Units | None = None
    frame: int | None = None
    """The frame that ran, by the number of the event with which it began.

    Of a line event: that of its statement. Of another: that of the statement it is at, when that still
    runs. None where the marks do not tell, and in a pass that was asked for events without lines.
    """
    depth: int | None = None
    """How many calls deep the code was, 0 at module level; where frames were lost, counted from there.

    None where the marks do not tell.
    """

    @property
    def bound(self) -> tuple[tuple[str, Any], ...]:
        """Names and value envelopes that became known by this event.

        They were bound by statements that began before it; `stored` says by which.
        """
        return tuple((item.name, item.value) for item in self.stored)

    @property
    def source(self) -> str:
        """Text of the line of code that the event is at, without indentation; "" when not known."""
        if self.line is None:
            return ""
        unit = self.unit
        if unit is None and self.units is not None:
            unit = unit_covering(self.units, self.file, self.line, self.block)
        return unit.text(self.line).strip() if unit is not None else ""

    def statement_of(self, stored: Stored) -> StatementInfo | None:
        """Gives the statement that bound a value."""
        unit = self.units.find(stored.id) if self.units is not None else None
        return unit.statement(stored.id) if unit is not None else None

    @property
    def fields(self) -> dict[str, Any]:
        """The event as plain data, keys in the order of the JSON form; nothing is masked."""
        data: dict[str, Any] = {name: getattr(self, name) for name in _COMMON}
        record = self.record
        if isinstance(record, Unknown):
            _keep_unknown(data, record.raw)
        elif isinstance(record, Lines):
            if self.type == "line":
                data["id"] = self.id
                data["source"] = self.source
            elif self.type == "output":
                data.update(stream=self.name, text=self.value)
            else:
                data.update(name=self.name, value=self.value)
        else:
            for name in record.__struct_fields__:
                if name not in _HIDDEN:
                    data[name] = msgspec.to_builtins(getattr(record, name))
            if self.raw is not None:
                _keep_unknown(data, self.raw)
        if self.stored:
            data["bound"] = [
                {"name": item.name, "value": item.value, "frame": item.frame, "at": item.at}
                for item in self.stored
            ]
        return data

    def to_json(self, *, mask: bool = True) -> bytes:
        """Gives the event as one JSON object, without a newline.

        Args:
            mask: replace what looks like a secret.
        """
        data = self.fields
        return msgspec.json.encode(mask_data(data) if mask else data)


def _keep_unknown(data: dict[str, Any], raw: bytes) -> None:
    """Adds the fields of a record that its struct does not have."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LogError(f"damaged trace: the record of event {data['seq']} is not JSON ({error})") from error
    for name, value in found.items():
        if name not in data and name not in _HIDDEN:
            data[name] = value


def is_output(event: TraceEvent) -> bool:
    """Tells events that carry output text, batched or not."""
    return event.type == "output" or isinstance(event.record, Output)
