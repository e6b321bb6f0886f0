"""The answer that a user gives to a recorded question, in place of the recorded one.

Guarantee: it is checked against the question before anything runs, and has the form that the program would
have got; where another answer could not be given truthfully, one sentence says so. The wrong alternative, to
take any JSON, lets the program die of a value that no such question can have.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from coda.errors import UsageError
from coda.log import (
    FileRead,
    Position,
    ProcessFinished,
    ProcessStarted,
    Trace,
    TraceEvent,
    from_envelope,
    to_envelope,
)
from coda.runtime import FACTS

UNSET: Any = object()
_CALLS = ("tool.called", "process.started")
_RETURNS = ("tool.returned", "process.finished")
_INPUT_BYTES = 1 << 16
_MOST_BYTES = 1 << 26
_ENTRIES_OF_STAT = 10
_PROCESS = ("returncode", "stdout", "stderr")


class Changed(NamedTuple):
    """What is to be answered instead, and where the worker must stand for it."""

    position: Position
    call: Any = UNSET
    """To a call: any value, in the envelope; to a process: its code, stdout and stderr."""
    content: bytes | None = None
    """Of the file that is read."""
    given: tuple[int, Any] | None = None
    """To an observation: its code in the stream, and the value that the stream has for it."""


def changed_answer(trace: Trace, position: Position, result: Any) -> Changed:
    """Gives what a fork is to answer at a position.

    Args:
        trace: the parent.
        position: a call, the return of one, or an observation.
        result: as the user gave it.

    Raises:
        UsageError: there is no question there, or it cannot have that answer.
    """
    if position.seq >= trace.count():
        raise UsageError(f"position {position} is the end of the run, not a call and not an observation")
    event = trace.event(position.seq)
    if event.type in _RETURNS and event.cause is not None:
        event = trace.event(event.cause)
    if event.type in _CALLS:
        is_process = isinstance(event.record, ProcessStarted)
        return Changed(
            position if event.seq == position.seq else Position(event.seq),
            call=_of_process(trace, event, result)
            if is_process
            else to_envelope(result, max_bytes=_MOST_BYTES),
        )
    if isinstance(event.record, FileRead):
        return Changed(position, content=_content(trace, event.record, event.seq, result))
    if event.type == "effect" and event.id is not None:
        if event.name == "env":
            return Changed(_before_variable(trace, event), given=(event.id, _variable(event, result)))
        return Changed(position, given=(event.id, _observation(trace, event, result)))
    raise UsageError(
        f"event {position.seq} is {event.type}, not a call and not an observation: --result needs the number "
        "of an event that carries an answer"
    )


def _of_process(trace: Trace, event: TraceEvent, result: Any) -> dict[str, Any]:
    """All that a process gives; what the user leaves out stays as it was recorded."""
    fields = dict(result) if isinstance(result, dict) and "$" not in result else {"stdout": result}
    code = fields.pop("code", UNSET)
    if code is not UNSET and "returncode" in fields:
        raise UsageError("--result has both code and returncode, which are the same: give one of them")
    fields = fields if code is UNSET else {"returncode": code, **fields}
    unknown = [str(name) for name in fields if name not in _PROCESS]
    if unknown:
        raise UsageError(f"a process has no {unknown[0]}: its result has {', '.join(_PROCESS)}")
    if type(fields.get("returncode", 0)) is not int:
        raise UsageError("the returncode of a process is a whole number")
    before = next(
        (
            placed.record
            for placed in trace.records(own=False, types={"process.finished"})
            if isinstance(placed.record, ProcessFinished) and placed.record.cause == event.seq
        ),
        ProcessFinished(),
    )
    return {
        "code": fields.get("returncode", before.code or 0),
        "stdout": _stream("stdout", fields, before.stdout, trace),
        "stderr": _stream("stderr", fields, before.stderr, trace),
    }


def _stream(name: str, fields: dict[str, Any], before: Any, trace: Trace) -> Any:
    """What a process wrote: text where the program got text, bytes where it got bytes."""
    if name not in fields:
        return before
    value = _plain(fields[name])
    if isinstance(value, str) and isinstance(before, dict) and before.get("$") == "bytes":
        value = value.encode(trace.started.encoding)
    return to_envelope(value, max_bytes=_MOST_BYTES)


def _content(trace: Trace, read: FileRead, seq: int, result: Any) -> bytes:
    if read.via != "open" or read.error is not None or (read.resolved or read.path).startswith("/"):
        what = "failed" if read.error is not None else f"is by {read.via}, of {read.resolved or read.path}"
        raise UsageError(f"the read at event {seq} {what}: only files of the workspace can be given content")
    found = _plain(result)
    if isinstance(found, str):
        return found.encode(trace.started.encoding)
    if isinstance(found, bytes):
        return found
    raise UsageError('the content of a file is a JSON text, or bytes as {"$": "bytes", "v": BASE64}')


def _observation(trace: Trace, event: TraceEvent, result: Any) -> Any:
    name = str(event.name)
    if name == "time.sleep":
        raise UsageError(f"event {event.seq} is a sleep, which has no answer")
    if name.startswith("time."):
        if not isinstance(result, int | float) or isinstance(result, bool):
            raise UsageError(f"{name} answers with a number")
        return int(result) if name.endswith("_ns") else float(result)
    if name == "input":
        found = _plain(result)
        data = found.encode(trace.started.encoding) if isinstance(found, str) else found
        if not isinstance(data, bytes) or len(data) > _INPUT_BYTES:
            raise UsageError(f"input is a JSON text (or bytes) of at most {_INPUT_BYTES} bytes")
        return to_envelope(data, max_bytes=1 << 30)
    return _fact(event, result)


def _fact(event: TraceEvent, result: Any) -> list[Any]:
    """As it stands in the log: the name of the question and its answer; or the answer alone."""
    name, before = event.value if isinstance(event.value, list | tuple) else (event.name, None)
    if name not in FACTS:
        raise UsageError(f"the answer to {name} at event {event.seq} tells of an act: it cannot be another")
    result = _unnamed(name, result)
    if isinstance(result, dict) and isinstance(result.get("errno"), int):
        return [name, {"errno": result["errno"]}]
    if name in ("stat", "lstat", "fstat"):
        numbers = result.get("stat") if isinstance(result, dict) else None
        if not isinstance(numbers, list) or len(numbers) < _ENTRIES_OF_STAT:
            raise UsageError(
                f'the answer to {name} is as in the log: {{"stat": [ten numbers], "more": {{...}}}} '
                'or {"errno": N}'
            )
        more = before.get("more", {}) if isinstance(before, dict) else {}
        return [name, {"stat": numbers, "more": result.get("more", more)}]
    return [name, to_envelope(_plain(result))]


def _variable(event: TraceEvent, result: Any) -> list[Any]:
    name = event.value[0]
    result = _unnamed(name, result)
    if not isinstance(event.value[1], str):
        raise UsageError(f"event {event.seq} found {name} not set: a fork cannot start with it")
    if not isinstance(result, str):
        raise UsageError(f"the environment variable {name} is a JSON text")
    return [name, result]


def _unnamed(name: str, result: Any) -> Any:
    """The answer alone, where it was given as it stands in the log: behind the name of its question."""
    match result:
        case [given, answer] if given == name:
            return answer
    return result


def _before_variable(trace: Trace, event: TraceEvent) -> Position:
    """The statement that reads it: a variable is set before, for no worker can stand still at the read."""
    name, start = event.value[0], max(0, event.seq - 64)
    earlier = trace.events(0, event.seq, types={"effect"})
    if any(each.name == "env" and each.value[0] == name for each in earlier):
        raise UsageError(f"event {event.seq} is not the first read of {name}: the program had changed it")
    before = list(trace.events(start, event.seq))
    while before and before[-1].type == "effect" and before[-1].name == "env":
        before.pop()
    if not before or before[-1].type != "line":
        raise UsageError(
            f"the statement of event {event.seq} did something else before it read {name}: "
            "its answer cannot be changed alone"
        )
    return Position(before[-1].seq)


def _plain(result: Any) -> Any:
    """A value of JSON, where it has the form of an envelope what that holds."""
    if isinstance(result, dict) and "$" in result:
        try:
            return from_envelope(result)
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"--result is no value of the log's form: {error}") from error
    return result
