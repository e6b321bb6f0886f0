"""What the tabs on the right show for a position, as lines of text.

Guarantee: each line says where it comes from: a value is "recorded" (from the log) or "replayed" (from
running the code again), never a mixture, and a recorded value that may be out of date is marked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from coda.log import (
    CtxDeleted,
    CtxMutated,
    CtxSet,
    Event,
    LlmRequested,
    LlmResponded,
    ProcessFinished,
    ProcessStarted,
    ToolCalled,
    ToolReturned,
    Unknown,
    UserMessage,
)  # fmt: skip
from coda.viewer.ledger import Printed, Snapshot
from coda.viewer.moments import Moment, fields
from coda.viewer.source import highlight
from coda.viewer.text import Line, Span, capped, clean, clean_lines, cut, duration, shown

_LONG = 20_000
"""Characters of one text in a tab; the rest is counted."""
VALUE_CELLS = 2000
"""Cells of one value in a tab; the widget wraps them."""


_LIST_CELLS = 300
"""Cells of one value in the list of variables, where others must be seen too."""


class Variable(NamedTuple):
    """A name and its value as text."""

    name: str
    function: str
    text: str
    kind: str = ""
    """Type name, when it is known."""
    mark: str = ""
    """Why the value is not exactly the present one: "older", "shortened"."""


class Variables(NamedTuple):
    """All that the Variables tab shows."""

    source: str
    """`recorded` or `replayed`."""
    function: str
    """Function at the position, "" at module level."""
    locals: tuple[Variable, ...]
    globals: tuple[Variable, ...]
    note: str = ""
    """What is missing, in words."""


def recorded(snapshot: Snapshot, function: str) -> Variables:
    """The variables that the log alone tells of, last bound first."""
    here: list[Variable] = []
    module: list[Variable] = []
    for known in reversed(snapshot.names):
        if known.function not in ("", function) or known.name.endswith("[]"):
            continue
        text = shown(known.value, width=VALUE_CELLS, under=known.name)
        item = Variable(known.name, known.function, text, _type_name(known.value), known.doubt)
        (here if known.function else module).append(item)
    note = "" if snapshot.complete else "values were not recorded for every line"
    return Variables("recorded", function, tuple(here), tuple(module), note)


def by_recency(variables: Variables, snapshot: Snapshot | None) -> Variables:
    """Orders variables as `recorded` does: last bound first; what the log does not tell of comes after."""
    known = reversed(snapshot.names) if snapshot is not None else ()
    place = {(item.function, item.name): number for number, item in enumerate(known)}

    def ordered(items: tuple[Variable, ...]) -> tuple[Variable, ...]:
        # A namespace lists its names in the order in which they first came.
        newest_first = items[::-1]
        return tuple(sorted(newest_first, key=lambda v: place.get((v.function, v.name), len(place))))

    return variables._replace(locals=ordered(variables.locals), globals=ordered(variables.globals))


_PLAIN = frozenset({"int", "str", "float", "bool", "list", "dict", "tuple", "set", "bytes", "NoneType"})
"""Types that the text of a value shows by itself."""
_DEFINITIONS = frozenset({"module", "function", "type", "builtin_function_or_method", "method", "ABCMeta"})


def _type_name(value: Any) -> str:
    """Type of what is not a plain value, "" for the rest, which shows by its text."""
    if isinstance(value, dict) and value.get("$") in ("opaque", "summary"):
        return str(value.get("t", "")).rpartition(".")[2]
    return ""


def changed(before: Variables | None, now: Variables) -> frozenset[tuple[str, str]]:
    """The (function, name) pairs whose text differs from what was shown before; none the first time."""
    if before is None:
        return frozenset()
    old = {(item.function, item.name): item.text for item in (*before.locals, *before.globals)}
    return frozenset(
        (item.function, item.name)
        for item in (*now.locals, *now.globals)
        if old.get((item.function, item.name)) != item.text
    )


def variable_lines(variables: Variables, marked: frozenset[tuple[str, str]], status: Line) -> list[Line]:
    """The Variables tab."""
    lines: list[Line] = [
        (Span(variables.source, "ok" if variables.source == "replayed" else "warn"), *status)
    ]
    if variables.note:
        lines.append((Span(variables.note, "faint"),))
    if variables.locals or variables.function:
        lines += [(), (Span(f"in {clean(variables.function)}", "title"),)]
        lines += _variables(variables.locals, marked, variables.source)
    lines += [(), (Span("module", "title"),)]
    lines += _variables(variables.globals, marked, variables.source)
    return lines


def _variables(items: Sequence[Variable], marked: frozenset[tuple[str, str]], source: str) -> list[Line]:
    plain = [item for item in items if item.kind not in _DEFINITIONS]
    defined = [item for item in items if item.kind in _DEFINITIONS]
    if not items:
        nothing = "nothing bound yet" if source == "replayed" else "no values in the log"
        return [(Span(f"  {nothing}", "faint"),)]
    width = min(16, max((len(item.name) for item in plain), default=0))
    lines: list[Line] = []
    for item in plain:
        new = (item.function, item.name) in marked
        line = [
            Span("● " if new else "  ", "changed"),
            Span(f"{clean(item.name):<{width}} ", "changed" if new else "name"),
            Span(cut(item.text, _LIST_CELLS), "faint" if item.mark else "value"),
        ]
        if item.kind and item.kind not in _PLAIN and item.kind not in item.text:
            line.append(Span(f"  {item.kind}", "faint"))
        if item.mark:
            line.append(Span(f"  {item.mark}", "warn"))
        lines.append(tuple(line))
    if defined:
        lines.append(
            (Span("  defined ", "faint"), Span(", ".join(clean(item.name) for item in defined), "muted"))
        )
    return lines


# --- ctx and output --------------------------------------------------------------------------------


def ctx_lines(changes: Iterable[Event | Unknown], at: int) -> list[Line]:
    """The ctx tab: what the agent noted so far, last change first, from the ctx events before `at`."""
    values: dict[str, Event] = {}
    for change in changes:
        if isinstance(change, (CtxSet, CtxMutated)):
            values.pop(change.name, None)
            values[change.name] = change
        elif isinstance(change, CtxDeleted):
            values.pop(change.name, None)
    if not values:
        return [(Span("ctx is empty here", "faint"),)]
    lines: list[Line] = []
    for name, change in reversed(values.items()):
        value = change.value if isinstance(change, (CtxSet, CtxMutated)) else None
        new = change.seq == at - 1
        lines.append(
            (
                Span("● " if new else "  ", "changed"),
                Span(f"ctx.{clean(name)}", "ctx"),
                Span(" = ", "faint"),
                Span(shown(value, width=VALUE_CELLS, under=name), "value"),
                Span(f"  event {change.seq}", "faint"),
            )
        )
        expr = change.expr if isinstance(change, CtxSet) else None
        if expr and len(expr) > 12 and "(" in expr:
            lines.append((Span("    from "), Span(cut(clean(expr), 200), "faint")))
    return lines


def output_lines(printed: Sequence[Printed]) -> list[Line]:
    """The Output tab: what was printed before the position; stderr in a tone of its own."""
    if not printed:
        return [(Span("nothing printed yet", "faint"),)]
    lines: list[Line] = []
    row: list[Span] = []
    for item in printed:
        tone = "warn" if item.stream == "stderr" else "text"
        text = item.value if isinstance(item.value, str) else shown(item.value, width=VALUE_CELLS)
        for number, piece in enumerate(clean_lines(capped(text, _LONG))):
            if number:
                lines.append(tuple(row))
                row = []
            if piece:
                row.append(Span(piece, tone))
    if row:
        lines.append(tuple(row))
    return lines


# --- calls -----------------------------------------------------------------------------------------


def call_lines(called: Moment | None, returned: Moment | None, took_ns: int) -> list[Line]:
    """The Call tab: the call at or around the position, its arguments and its answer."""
    if called is None:
        return [(Span("no call at this position", "faint"),)]
    record = called.record
    lines: list[Line] = []
    if isinstance(record, ToolCalled):
        lines.append((Span(clean(record.name), "call"), Span(f"  event {called.seq}", "faint")))
        lines += [_argument(str(i), value) for i, value in enumerate(record.args)]
        lines += [_argument(name, value) for name, value in record.kwargs.items()]
    elif isinstance(record, ProcessStarted):
        lines.append((Span("$ ", "faint"), Span(clean(" ".join(record.argv)), "call")))
        lines.append((Span(f"{record.via}  event {called.seq}", "faint"),))
    else:
        lines += event_lines(called)
    where = getattr(record, "line", None)
    if where is not None:
        function = getattr(record, "function", None)
        text = f"line {where} of {clean(str(getattr(record, 'file', '')))}"
        lines.append((Span(text + (f", in {clean(function)}" if function else ""), "faint"),))
    lines += [(), *_answered(returned, took_ns)]
    return lines


def _argument(name: str, value: Any) -> Line:
    return (Span(f"  {clean(name)} ", "name"), Span(shown(value, width=VALUE_CELLS, under=name), "value"))


def _answered(returned: Moment | None, took_ns: int) -> list[Line]:
    if returned is None:
        return [(Span("no answer was recorded", "warn"),)]
    record = returned.record
    took = Span(f"  after {duration(took_ns)}", "faint")
    if isinstance(record, ToolReturned):
        if not record.ok:
            return [(Span("raised", "error"), took), *_raised(record.error)]
        mark = Span("  assumed", "warn") if record.assumed else Span("")
        return [(Span("returned", "ok"), took, mark), *_value(record.value)]
    if isinstance(record, ProcessFinished):
        if record.error:
            return [(Span("raised", "error"), took), *_raised(record.error)]
        lines: list[Line] = [(Span(f"exit {record.code}", "error" if record.code else "ok"), took)]
        for name, text in (("stdout", record.stdout), ("stderr", record.stderr)):
            if text:
                lines += [(Span(name, "title"),), *_value(text)]
        return lines
    return [(Span(clean(returned.type), "muted"), took), *event_lines(returned)]


def _value(value: Any) -> list[Line]:
    if isinstance(value, str):
        return [(Span("  "), Span(line, "value")) for line in clean_lines(capped(value, _LONG))]
    return [(Span("  "), Span(shown(value, width=VALUE_CELLS * 4), "value"))]


def _raised(error: Mapping[str, Any] | None) -> list[Line]:
    error = error or {}
    return [
        (
            Span(f"  {clean(str(error.get('type', 'error')))}: ", "error"),
            Span(clean(str(error.get("message", "")))),
        )
    ]


# --- conversation and raw event --------------------------------------------------------------------


def talk_lines(records: Iterable[Event | Unknown]) -> list[Line]:
    """The Conversation tab: what the user, the model and coda said before the position."""
    lines: list[Line] = []
    # What was shown when it was said comes again as a message of the next request; once each.
    said: Counter[tuple[str, str]] = Counter()
    for record in records:
        if isinstance(record, UserMessage):
            said["user", record.text] += 1
            lines += _said("user", record.text)
        elif isinstance(record, LlmRequested):
            if record.system:
                lines += _said("system", record.system)
            for message in record.messages:
                role, text = str(message.get("role", "?")), _content(message.get("content"))
                if said[role, text] > 0:
                    said[role, text] -= 1
                else:
                    lines += _said(role, text)
        elif isinstance(record, LlmResponded):
            said["assistant", record.text] += 1
            tokens = f"{record.input_tokens:,} in, {record.output_tokens:,} out"
            lines += _said("assistant", record.text, tokens if record.output_tokens else "")
    return lines or [(Span("nobody has spoken yet", "faint"),)]


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            str(part.get("text", part)) if isinstance(part, dict) else str(part) for part in content
        )
    return str(content)


def _said(role: str, text: str, note: str = "") -> list[Line]:
    tone = {"user": "accent", "assistant": "talk"}.get(role, "muted")
    lines: list[Line] = [
        (Span("▎", tone), Span(clean(role), tone), Span(f"  {note}" if note else "", "faint"))
    ]
    code: list[str] | None = None
    for line in clean_lines(capped(text, _LONG)):
        if line.lstrip().startswith("```"):
            if code is not None:
                lines += [(Span("  "), *row) for row in highlight("\n".join(code))]
                code = None
            else:
                code = []
        elif code is not None:
            code.append(line)
        else:
            lines.append((Span(line, "text"),))
    if code:
        lines += [(Span("  "), *row) for row in highlight("\n".join(code))]
    return [*lines, ()]


def event_lines(moment: Moment) -> list[Line]:
    """The Event tab: the event as JSON."""
    text = msgspec.json.format(msgspec.json.encode(fields(moment)), indent=2).decode()
    return [_json(line) for line in clean_lines(capped(text, 5 * _LONG))]


def _json(line: str) -> Line:
    stripped = line.lstrip()
    lead = Span(line[: len(line) - len(stripped)])
    if stripped.startswith('"') and '": ' in stripped:
        name, _, rest = stripped.partition('": ')
        return (lead, Span(name[1:], "name"), Span(": ", "faint"), Span(rest, _json_tone(rest)))
    return (lead, Span(stripped, _json_tone(stripped)))


def _json_tone(text: str) -> str:
    if text.startswith('"'):
        return "string"
    return "number" if text[:1].isdigit() or text[:1] == "-" else "operator"
