"""Finders of what is one event each: `ctx connect output error effect env`.

Guarantee: one hit for each event; what is matched is the name that a person would use (an exception
by its own or a base class's name, output by any of its lines).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coda.log import (
    CtxDeleted,
    CtxMutated,
    CtxSet,
    ExceptionRaised,
    NetConnected,
    ProcessFinished,
    ToolReturned,
    TraceEvent,
)
from coda.query.compare import plain
from coda.query.globs import Matcher
from coda.query.hits import Hit
from coda.query.scan import Scan, shown

ENV = "env"
GROUPS: dict[str, tuple[str, ...]] = {
    "clock": ("time.", "datetime."),
    "random": ("random", "os.urandom", "uuid", "secrets"),
    "env": ("env",),
    "input": ("input",),
    "host": ("host",),
}
"""Names by which several effects can be asked for at once."""


def _within(scan: Scan) -> Iterator[TraceEvent]:
    for event in scan.events(scan.first):
        if scan.past(event.seq):
            return
        yield event


def find_ctx(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each change of the agent's memory."""
    match = scan.text_test()
    for event in _within(scan):
        record = event.record
        if not isinstance(record, CtxSet | CtxDeleted | CtxMutated) or not match(record.name):
            continue
        op = event.type.partition(".")[2]
        value = None if isinstance(record, CtxDeleted) else record.value
        text = (
            f"del ctx.{record.name}"
            if isinstance(record, CtxDeleted)
            else f"ctx.{record.name} = {shown(value)}"
        )
        yield scan.hit(event, text, op, op=op, value=value)


def find_connects(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each connection that was about to be made."""
    match = scan.text_test()
    for event in _within(scan):
        if isinstance(event.record, NetConnected) and match(event.record.address):
            yield scan.hit(event, event.record.address)


def find_outputs(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each piece of output of which the whole, or one line, is matched."""
    match = scan.text_test()
    for event in _within(scan):
        stream, data = (event.fields.get("stream"), event.fields.get("text"))
        if event.name is not None:  # an entry of a batch
            stream, data = event.name, event.value
        text = plain(data)
        if not isinstance(text, str):
            continue
        line = _matching_line(text, match)
        if line is not None:
            yield scan.hit(event, line, str(stream), stream=stream, text=text)


def _matching_line(text: str, match: Matcher) -> str | None:
    """Gives the first line that is matched, or the first of all when only the whole text is."""
    lines = text.splitlines() or [""]
    found = next((line for line in lines if match(line)), None)
    return lines[0] if found is None and match(text) else found


def find_errors(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each exception that left a block, and each call that failed."""
    match = scan.text_test()
    for event in _within(scan):
        found = _failure(event)
        if found is None:
            continue
        kind, message, mro = found
        names = {kind, *mro}
        names |= {name.rpartition(".")[2] for name in names}
        if any(match(name) for name in names):
            yield scan.hit(
                event, f"{kind}: {message}", _origin(event), kind=kind, message=message, mro=list(mro)
            )


def _failure(event: TraceEvent) -> tuple[str, str, tuple[str, ...]] | None:
    record = event.record
    if isinstance(record, ExceptionRaised):
        return record.kind, record.message, record.mro
    if isinstance(record, ToolReturned | ProcessFinished) and record.error is not None:
        error: dict[str, Any] = record.error
        mro = error.get("mro") or ()
        return str(error.get("type", "")), str(error.get("message", "")), tuple(str(name) for name in mro)
    return None


def _origin(event: TraceEvent) -> str:
    if isinstance(event.record, ToolReturned):
        return f"from {event.record.name}"
    return "from a process" if isinstance(event.record, ProcessFinished) else "left the block"


def find_effects(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each observation: clock, input, host facts; `clock` stands for all clocks."""
    match = scan.text_test()
    wanted = GROUPS.get(scan.query.pattern.text, ()) if scan.query.pattern else ()
    for event in _within(scan):
        name, value = _effect(event)
        if match(name) or any(name.startswith(prefix) for prefix in wanted):
            group = next((group for group, starts in GROUPS.items() if name.startswith(starts)), None)
            yield scan.hit(event, f"{name} = {shown(value)}", name=name, value=value, group=group)


def _effect(event: TraceEvent) -> tuple[str, Any]:
    if event.name is not None:
        return event.name, event.value
    return str(event.fields.get("name", "")), event.fields.get("value")


def find_env(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each environment variable that was read (once for each value)."""
    match = scan.text_test()
    for event in _within(scan):
        name, value = _effect(event)
        if name != ENV or not isinstance(value, list | tuple) or len(value) != 2:
            continue
        variable = plain(value[0])
        if isinstance(variable, str) and match(variable):
            text = f"{variable}={shown(value[1])}" if value[1] is not None else f"{variable} (not set)"
            yield scan.hit(event, text, name=variable, value=value[1])
