"""A reader of traces written from docs/log-format.md alone, as somebody in another language would write it.

It imports nothing of coda; even the defaults of fields are taken from the page's tables. Where it cannot be
written from the page, the page is to be mended. It is for tests: whole files in memory, no seeking.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "log-format.md"
Record = dict[str, Any]


class Damaged(Exception):
    """The file is not what the page says."""


# --- the tables of fields ----------------------------------------------------------------------


class Field(NamedTuple):
    """One row of a table of the page."""

    name: str
    default: str


def field_tables() -> dict[str, list[Field]]:
    """The fields of each type of record, and of its parts, as the page lists them."""
    tables: dict[str, list[Field]] = {}
    _, _, text = PAGE.read_text().partition("<!-- fields -->")
    for section in text.split("\n### ")[1:]:
        title = section.partition("\n")[0].strip("`")
        rows = re.findall(r"^\| `(\w+)` \| (?:\\\||[^|])+ \| ((?:\\\||[^|])+) \|", section, re.MULTILINE)
        tables[title.partition(" (")[0]] = [Field(*row) for row in rows]
    return tables


FIELDS: Final = field_tables()
EVERYWHERE: Final = ("seq", "type", "t", "run", "block", "turn", "file", "line", "function", "frame", "cause")


def with_defaults(data: Any, kind: str) -> Record:
    """A record, or a part of one, with the fields that were left out; parts can be arrays."""
    fields = FIELDS.get(kind, [])
    if isinstance(data, list):
        data = dict(zip((field.name for field in fields), data, strict=False))
    whole: Record = dict(data)
    for field in fields:
        if field.name not in whole:
            if field.default == "never":
                raise Damaged(f"{kind} without {field.name}")
            whole[field.name] = json.loads(field.default.strip("`"))
    return whole


# --- files ---------------------------------------------------------------------------------------


class File(NamedTuple):
    """The records of one file."""

    path: pathlib.Path
    header: Record
    records: list[Record]
    torn: int
    """Bytes of an incomplete last line."""


def read_file(path: pathlib.Path) -> File:
    """Reads one file; numbers follow one another, seals match."""
    data = path.read_bytes()
    offset = 0
    records: list[Record] = []
    expected: int | None = None
    while (end := data.find(b"\n", offset) + 1) > 0:
        record = json.loads(data[offset:end])
        if record["type"] == "seal":
            if (record["offset"], record["events"]) != (offset, expected):
                raise Damaged(f"the seal at byte {offset} is of another place")
            if hashlib.sha256(data[:offset]).hexdigest() != record["sha256"]:
                raise Damaged(f"bytes before the seal at {offset} have changed")
        elif record["type"] == "header":
            if offset or record["format"] != "coda" or record["version"] != 1:
                raise Damaged("not a header of version 1")
            parent = record["parent"]
            expected = parent["seq"] if parent is not None else 0
        elif "seq" in record:
            if record["seq"] != expected:
                raise Damaged(f"event {record['seq']} at byte {offset}, expected {expected}")
            expected += record.get("n", 1)
        records.append(record)
        offset = end
    if not records or records[0]["type"] != "header":
        raise Damaged("no header")
    return File(path, with_defaults(records[0], "header"), records[1:], len(data) - offset)


# --- code ----------------------------------------------------------------------------------------


class Unit:
    """A block, or a module of the workspace, with its table."""

    def __init__(self, table: Record, file: str, source: str, first_line: int) -> None:
        table = with_defaults(table, "table")
        for key, kind in (("statements", "statement"), ("bindings", "binding"), ("bodies", "body")):
            table[key] = [with_defaults(row, kind) for row in table[key]]
        self.table = table
        self.file = file
        self.lines = re.split("\r\n|\r|\n", source)
        self.first_line = first_line
        self.base: int = table["base"]
        self.bindings_from: int = self.base + len(table["statements"])
        self.end: int = self.bindings_from + len(table["bindings"])
        self.body_of: list[Record | None] = [None] * len(table["statements"])
        self.marks: dict[int, tuple[str, Record]] = {}
        for body in table["bodies"]:
            first = table["statements"][body["first"]]
            body["place"] = file, table["functions"][first["function"]]
            for index in range(body["first"], body["stop"]):
                self.body_of[index] = body if body["exit"] >= 0 else None
            for word in ("exit", "suspend", "resume"):
                if body[word] >= 0:
                    self.marks[body[word]] = (word, body)

    def statement(self, index: int) -> Record:
        """A row of the table."""
        row: Record = self.table["statements"][index]
        return row

    def place(self, index: int) -> tuple[str, int, str]:
        """File, line and function of a statement."""
        row = self.statement(index)
        return self.file, row["line"], self.table["functions"][row["function"]]

    def source(self, line: int) -> str:
        """The text of a line, without indentation."""
        index = line - self.first_line
        return self.lines[index].strip() if 0 <= index < len(self.lines) else ""


# --- frames --------------------------------------------------------------------------------------


class Frame:
    """A frame on a stack; `number` is None when its beginning was not seen."""

    def __init__(self, unit: Unit, body: Record, number: int | None) -> None:
        self.unit = unit
        self.body = body
        self.number = number
        self.resumed_as: int | None = None
        self.starts: dict[int, int] = {}

    def runs(self, unit: Unit, body: Record | None) -> bool:
        """Whether it is a frame of a body."""
        return self.unit is unit and self.body is body


class Stacks:
    """The stacks of the threads. A None on a stack: what is below it is not known."""

    def __init__(self) -> None:
        self.stack: list[Frame | None] = [None]
        self.others: dict[int, list[Frame | None]] = {}
        self.thread = 0
        self.suspendable: dict[int, Frame] = {}
        self.mixed = False

    @property
    def top(self) -> Frame | None:
        """The frame that runs, where it is known."""
        return self.stack[-1] if self.stack else None

    def is_known(self) -> bool:
        return not self.stack or self.stack[-1] is not None

    def lose(self) -> None:
        self.stack = [None]

    def lose_all(self) -> None:
        self.others.clear()
        self.suspendable.clear()
        self.lose()

    def block(self, stack: list[Frame | None]) -> None:
        self.switch(0)
        self.stack = stack

    def switch(self, thread: int) -> None:
        if thread != self.thread:
            self.others[self.thread] = self.stack
            self.stack = self.others.pop(thread, [None])
            self.thread = thread

    def start(self, unit: Unit, index: int, seq: int) -> int | None:
        body = unit.body_of[index]
        if body is None or self.mixed:
            return None
        if index == body["first"]:
            self.stack.append(Frame(unit, body, seq))
        elif self.top is None or not self.top.runs(unit, body):
            if self.is_known():
                self.lose()
            return None
        frame = self.top
        assert frame is not None
        frame.starts[index] = seq
        return frame.number

    def bind(self, unit: Unit, index: int, seq: int) -> tuple[int | None, int | None]:
        statement = unit.table["bindings"][index]["statement"]
        body = unit.body_of[statement]
        if body is None or self.mixed or index in unit.table["loose"]:
            return None, None
        if index in body["arguments"]:
            return seq, seq
        top = self.top
        if top is None or not top.runs(unit, body) or top.number is None:
            return None, None
        return top.number, top.starts.get(statement)

    def mark(self, unit: Unit, word: str, body: Record, value: int) -> None:
        if self.mixed:
            return
        on_top = self.top is not None and self.top.runs(unit, body)
        if word == "resume":
            self.resume(unit, body, value)
        elif word == "suspend":
            if on_top:
                self.stack.pop()
        elif body["kind"] in ("module", "class", "function"):
            if on_top:
                self.stack.pop()
            elif self.is_known():
                self.lose()
        else:
            frame = self.suspendable.pop(value, None)
            if frame is not None and frame in self.stack:
                if self.top is frame:
                    self.stack.pop()
                else:
                    self.lose()

    def resume(self, unit: Unit, body: Record, value: int) -> None:
        frame = self.suspendable.get(value)
        if frame is None:
            top = self.top
            new = top is not None and top.runs(unit, body) and top.resumed_as is None
            frame = top if new and top is not None else Frame(unit, body, None)
            frame.resumed_as = value
            self.suspendable[value] = frame
        if frame is not self.top:
            if frame in self.stack:
                self.lose()
            self.stack.append(frame)


# --- events --------------------------------------------------------------------------------------


class Reader:
    """One pass over a run."""

    def __init__(self, path: pathlib.Path) -> None:
        self.files = [read_file(path)]
        while (parent := self.files[0].header["parent"]) is not None:
            self.files.insert(0, read_file(self.files[0].path.parent / parent["path"]))
        self.units: dict[int, Unit] = {}
        self.stacks = Stacks()
        self.codes: dict[int, list[str]] = {}
        self.run = ""
        self.block: int | None = None
        self.turn: int | None = None
        self.last: tuple[Unit, int] | None = None
        self.t = 0
        self.bound: list[Record] = []

    def blob(self, digest: str) -> bytes:
        """A content by its name, from the run's own blobs or those of its ancestors."""
        for file in self.files:
            path = file.path.with_suffix(".blobs") / digest[:2] / digest[2:]
            if path.exists():
                data = path.read_bytes()
                assert hashlib.sha256(data).hexdigest() == digest
                return data
        raise Damaged(f"blob {digest} is missing")

    def events(self) -> Iterator[Record]:
        """All events of the run, the prefix from its parents; an act that failed has its error."""
        held: Record | None = None
        for event in self.told():
            if held is not None:
                failed = event["type"] == "file.failed" and event["cause"] == held["seq"]
                yield held | {"error": event["error"]} if failed else held
            held = event
        if held is not None:
            yield held

    def told(self) -> Iterator[Record]:
        """The events as they stand."""
        for file, child in zip(self.files, [*self.files[1:], None], strict=True):
            stop = None if child is None else child.header["parent"]["seq"]
            self.run = file.header["run"]
            self.codes = {int(code): name for code, name in file.header["codes"].items()}
            for record in file.records:
                if "seq" not in record:
                    continue
                if stop is not None and record["seq"] >= stop + (record["type"] == "lines"):
                    break
                yield from self.take(record, stop)

    def take(self, record: Record, stop: int | None) -> Iterator[Record]:
        """The events of one record that come before `stop`."""
        record = with_defaults(record, record["type"])
        match record["type"]:
            case "lines":
                yield from self.lines(record, stop)
                self.t = record["t"]
                return
            case "turn.started":
                self.turn = record["turn"]
            case "block.started":
                self.block = record["block"]
                if record["turn"] is not None:
                    self.turn = record["turn"]
                self.last = None
                self.stacks.block([])
            case "elided":
                self.stacks.lose_all()
            case "thread.started" if ["thread.switched", "thread"] in self.codes.values():
                self.stacks.others[record["thread"]] = []
            case "thread.started":
                self.mix()
            case "limit.hit" if record["what"] == "threads":
                self.mix()
        if record["type"] in ("block.started", "import") and record["table"] is not None:
            self.add_unit(record)
        yield self.event(record)
        if record["type"] == "block.finished":
            self.block = None
            self.last = None
            self.stacks.block([None])
        elif record["type"] == "turn.finished":
            self.turn = None
        self.t = record["t"]

    def mix(self) -> None:
        self.stacks.mixed = True
        self.stacks.lose_all()

    def add_unit(self, record: Record) -> None:
        table = record["table"]
        if record["type"] == "block.started":
            unit = Unit(table, record["file"], record["source"], record["first_line"])
        else:
            source = self.blob(record["digest"]).decode() if record["digest"] else ""
            unit = Unit(table, record["path"] or record["module"], source, 1)
        self.units[unit.base] = unit

    def unit_of(self, id: int) -> Unit:
        for unit in self.units.values():
            if unit.base <= id < unit.end:
                return unit
        raise Damaged(f"no table covers {id}")

    def event(self, record: Record) -> Record:
        """The event of a record that holds one: the common keys, then its own fields."""
        data: Record = dict.fromkeys(EVERYWHERE)
        data |= {key: record[key] for key in ("seq", "type", "t")}
        data |= {"run": self.run, "block": self.block, "turn": self.turn}
        for key in ("block", "turn"):
            if record.get(key) is not None:
                data[key] = record[key]
        if "function" in (field.name for field in FIELDS.get(record["type"], ())):
            data |= {key: record[key] for key in ("file", "line", "function")}
            if record["line"] is None and self.last is not None:
                file, line, function = self.last[0].place(self.last[1])
                if record["file"] in (None, file):
                    data |= {"file": file, "line": line, "function": function}
        data["cause"] = record.get("cause")
        data["frame"] = self.frame_at(data["file"], data["function"])
        data |= {key: value for key, value in record.items() if key not in data}
        return self.with_bound(data)

    def frame_at(self, file: str | None, function: str | None) -> int | None:
        """The frame on top, when it is one of the place's function."""
        top = self.stacks.top
        return top.number if top is not None and top.body["place"] == (file, function) else None

    def with_bound(self, data: Record) -> Record:
        if self.bound:
            data["bound"], self.bound = self.bound, []
        return data

    def lines(self, record: Record, stop: int | None) -> Iterator[Record]:
        """The events of a batch."""
        seq, values = record["seq"], iter(record["vals"])
        before = min(self.t, record["t"])
        for id in record["ids"]:
            unit = self.unit_of(id) if id >= 0 else None
            if unit is not None and id >= unit.bindings_from:
                self.binding(unit, id - unit.bindings_from, next(values), seq)
                continue
            if stop is not None and seq >= stop:
                return
            step = (record["t"] - before) * (seq - record["seq"] + 1) / record["n"]
            data: Record = dict.fromkeys(EVERYWHERE)
            data |= {"seq": seq, "t": before + int(step), "run": self.run, "turn": self.turn}
            data["block"] = self.block if record["block"] is None else record["block"]
            if unit is not None:
                self.last = unit, id - unit.base
                self.place(data)
                data["type"] = "line"
                data["frame"] = self.stacks.start(unit, id - unit.base, seq)
                data |= {"id": id, "source": unit.source(data["line"])}
            else:
                data["type"], name = self.codes[id]
                value = next(values)
                if data["type"] == "thread.switched":
                    self.stacks.switch(value)
                self.place(data)
                data["frame"] = self.frame_at(data["file"], data["function"])
                output = data["type"] == "output"
                data |= {"stream": name, "text": value} if output else {"name": name, "value": value}
            yield self.with_bound(data)
            seq += 1
        if next(values, self) is not self or seq != record["seq"] + record["n"]:
            raise Damaged(f"the batch of event {record['seq']} contradicts itself")

    def place(self, data: Record) -> None:
        if self.last is not None:
            unit, index = self.last
            data["file"], data["line"], data["function"] = unit.place(index)

    def binding(self, unit: Unit, index: int, value: Any, seq: int) -> None:
        if index in unit.marks:
            self.stacks.mark(unit, *unit.marks[index], value)
            return
        frame, at = self.stacks.bind(unit, index, seq)
        name = unit.table["bindings"][index]["name"]
        if name not in ("<exit>", "<suspend>", "<resume>"):
            self.bound.append({"name": name, "value": value, "frame": frame, "at": at})
