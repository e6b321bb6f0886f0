"""Finders of calls: `tool`, `run`, `llm`.

Guarantee: one hit for each call, in the order in which the calls began, carrying its answer when the
log holds one, so `where result...` and `where duration > 5s` are about the same row as `args`. A call
whose worker died has no answer and is still a hit.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile
from typing import Any, NamedTuple

import msgspec

from coda.log import (
    LlmRequested,
    LlmResponded,
    ProcessFinished,
    ProcessStarted,
    SandboxStarted,
    ToolCalled,
    ToolDeclared,
    ToolReturned,
    TraceEvent,
    TurnFinished,
)
from coda.query.compare import plain
from coda.query.hits import Hit
from coda.query.order import Pending
from coda.query.scan import Scan, seconds_text, shown

SHELL = "bash"
"""The primitive that runs commands."""
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
_NESTED_SHELLS = 4
"""How deep `sh -c "sh -c ..."` is looked into."""
_ASSIGNMENT = re.compile(r"[^\W\d]\w*=")


def find_tools(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each call of a tool or primitive."""
    match = scan.text_test()
    pending: Pending[Hit] = Pending()
    declared: dict[str, ToolDeclared] = {}
    for event in scan.events():
        record = event.record
        if isinstance(record, ToolDeclared):
            declared[record.name] = record
        elif isinstance(record, ToolCalled):
            if event.seq >= scan.first and not scan.past(event.seq) and match(record.name):
                tool = declared.get(record.name)
                args = named_args(record, tool.signature if tool else "")
                hit = scan.hit(event, call_text(record), origin=tool.origin if tool else None)
                pending.open(event.seq, msgspec.structs.replace(hit, fields=hit.fields | {"args": args}))
        elif isinstance(record, ToolReturned):
            _settle(pending, event, _answer(record))
        elif isinstance(record, SandboxStarted):
            pending.give_up()  # the worker that asked is gone
        yield from pending.take()
        if scan.past(event.seq) and not pending:
            return
    pending.give_up()
    yield from pending.take()


def _settle(pending: Pending[Hit], event: TraceEvent, answer: dict[str, Any]) -> None:
    """Completes the call that an answer belongs to."""
    call = pending.peek(event.cause)
    if call is None:
        return
    duration = event.t - call.t if event.t is not None and call.t is not None else None
    took = f", {seconds_text(duration)}" if duration is not None else ""
    error = answer.get("error")
    end = f"raised {error.get('type')}" if isinstance(error, dict) else answer.pop("end", "")
    fields = call.fields | answer | {"duration": duration}
    pending.settle(event.cause, msgspec.structs.replace(call, detail=f"{end}{took}", fields=fields))


def _answer(record: ToolReturned) -> dict[str, Any]:
    return {
        "result": record.value,
        "value": record.value,
        "ok": record.ok,
        "error": record.error,
        "assumed": record.assumed,
        "returned": record.seq,
        "end": f"-> {shown(record.value, 40)}",
    }


def named_args(record: ToolCalled, signature: str) -> dict[str, Any]:
    """Gives the arguments by name: positional ones by the declared signature, and by number too."""
    names = _parameters(signature)
    args: dict[str, Any] = {}
    for place, value in enumerate(record.args):
        args[str(place)] = value
        if place < len(names):
            args[names[place]] = value
    return args | dict(record.kwargs)


def _parameters(signature: str) -> list[str]:
    """Gives the names of the positional parameters of a signature as text."""
    try:
        tree = ast.parse(f"def f{signature.partition('->')[0]}: pass").body[0]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    if not isinstance(tree, ast.FunctionDef):
        return []
    return [argument.arg for argument in [*tree.args.posonlyargs, *tree.args.args]]


def call_text(record: ToolCalled) -> str:
    """Gives a call as it would be written."""
    args = [shown(value, 40) for value in record.args]
    args += [f"{name}={shown(value, 40)}" for name, value in record.kwargs.items()]
    return f"{record.name}({', '.join(args)})"


def find_runs(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each command: a child process, or a call of the shell primitive."""
    pending: Pending[Hit] = Pending()
    shells: set[int] = set()
    for event in scan.events():
        record = event.record
        inside = event.seq >= scan.first and not scan.past(event.seq)
        if isinstance(record, ToolCalled) and record.name == SHELL:
            # What the primitive itself starts belongs to this hit.
            shells.add(event.seq)
            cmd = _command(record)
            if inside and _matches(scan, cmd, shell=True, words=()):
                pending.open(event.seq, scan.hit(event, cmd, cmd=cmd, program=_program(cmd), via=SHELL))
        elif isinstance(record, ProcessStarted) and event.cause not in shells:
            cmd = " ".join(record.argv)
            if inside and _matches(scan, cmd, shell=record.shell, words=record.argv):
                pending.open(event.seq, scan.hit(event, cmd, cmd=cmd, program=_program(cmd), via=record.via))
        elif isinstance(record, ProcessFinished):
            _settle(pending, event, _process_end(record))
        elif isinstance(record, ToolReturned) and event.cause in shells:
            _settle(pending, event, _shell_end(record))
        elif isinstance(record, SandboxStarted):
            pending.give_up()
        yield from pending.take()
        if scan.past(event.seq) and not pending:
            return
    pending.give_up()
    yield from pending.take()


def _command(record: ToolCalled) -> str:
    values = [*record.args, *(record.kwargs.get(name) for name in ("cmd", "command"))]
    return next((value for value in values if isinstance(value, str)), "")


def _matches(scan: Scan, cmd: str, *, shell: bool, words: tuple[str, ...]) -> bool:
    """Tells whether a command is meant: as a whole, by program name, or as a part of a shell line."""
    if scan.query.pattern is None:
        return True
    match = scan.text_test()
    named = " " not in scan.query.pattern.text
    for part in _parts(cmd, shell=shell, words=words):
        last = part.program.rpartition("/")[2]
        texts = {part.text, f"{last} {part.rest}".rstrip(), *((last, part.program) if named else ())}
        if any(map(match, texts)):
            return True
    return False


class _Part(NamedTuple):
    """One simple command: its text, and the same as program and the rest."""

    text: str
    program: str
    rest: str


def _parts(cmd: str, *, shell: bool, words: tuple[str, ...]) -> Iterator[_Part]:
    """Gives a command as a whole, then the commands of the shell lines in it, of `sh -c` lines too."""
    line = cmd if shell else _script(words)
    program, _, rest = cmd.partition(" ")
    if words and not shell:
        program, rest = words[0], " ".join(words[1:])
    yield _Part(cmd, program, rest)
    lines = [line] if line is not None else []
    for _ in range(_NESTED_SHELLS):
        inner: list[str] = []
        for text in lines:
            for simple in commands_of(text):
                given = list(dropwhile(_ASSIGNMENT.match, simple))
                if given:
                    yield _Part(" ".join(simple), given[0], " ".join(given[1:]))
                script = _script(tuple(given))
                if script is not None:
                    inner.append(script)
        lines = inner


def _script(words: tuple[str, ...]) -> str | None:
    """Gives the line that a shell is told to run by `-c`, None when the command is no such one."""
    names = [word.rpartition("/")[2] for word in words]
    if names and names[0] == "env":
        names, words = names[1:], words[1:]
    if not names or names[0] not in _SHELLS:
        return None
    for place, word in enumerate(words[1:-1], 1):
        if not word.startswith("-"):
            return None
        if not word.startswith("--") and "c" in word:
            return words[place + 1]
    return None


def commands_of(line: str) -> list[list[str]]:
    """Gives the simple commands of a shell line as words: what stands between `;`, `&&`, `|`, line ends."""
    lexer = shlex.shlex(line.replace("\n", " ; "), posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    parts: list[list[str]] = [[]]
    try:
        for word in lexer:
            if word and set(word) <= set(";&|()"):
                parts.append([])
            else:
                parts[-1].append(word)
    except ValueError:
        return [line.split()]  # quotes that do not close: the shell would refuse it too
    return [part for part in parts if part]


def _program(cmd: str) -> str:
    return cmd.split(maxsplit=1)[0].rpartition("/")[2] if cmd.strip() else ""


def _process_end(record: ProcessFinished) -> dict[str, Any]:
    return {
        "code": record.code,
        "stdout": record.stdout,
        "stderr": record.stderr,
        "error": record.error,
        "finished": record.seq,
        "end": f"exit {record.code}" if record.code is not None else "",
    }


def _shell_end(record: ToolReturned) -> dict[str, Any]:
    value = plain(record.value)
    kept = value if isinstance(value, dict) else {}
    code = kept.get("returncode")
    return {
        "code": code,
        "stdout": kept.get("stdout"),
        "stderr": kept.get("stderr"),
        "error": record.error,
        "finished": record.seq,
        "end": f"exit {code}" if code is not None else "",
    }


def find_llm(scan: Scan) -> Iterator[Hit]:
    """Gives one hit for each request to a model, with its reply; the pattern is the model's name."""
    match = scan.text_test()
    pending: Pending[Hit] = Pending()
    newest = -1
    for event in scan.events():
        record = event.record
        inside = event.seq >= scan.first and not scan.past(event.seq)
        if isinstance(record, LlmRequested):
            if inside and match(record.model):
                newest = event.seq
                pending.open(newest, scan.hit(event, record.model, f"{record.count} messages"))
        elif isinstance(record, LlmResponded):
            key = event.cause if event.cause is not None else newest
            call = pending.peek(key)
            if call is not None:
                pending.settle(key, _reply(call, event, record))
            elif inside and event.cause is None and match(record.model):
                pending.put(scan.hit(event, record.model, _tokens(record)))
        elif isinstance(record, TurnFinished):
            pending.give_up()
        yield from pending.take()
        if scan.past(event.seq) and not pending:
            return
    pending.give_up()
    yield from pending.take()


def _reply(call: Hit, event: TraceEvent, record: LlmResponded) -> Hit:
    duration = event.t - call.t if event.t is not None and call.t is not None else None
    answer = {name: value for name, value in event.fields.items() if name not in call.lookup()}
    fields = call.fields | answer | {"duration": duration, "responded": event.seq}
    return msgspec.structs.replace(call, detail=_tokens(record), fields=fields)


def _tokens(record: LlmResponded) -> str:
    tokens = f"{record.input_tokens} in, {record.output_tokens} out"
    return f"{tokens}, {record.finish_reason}: {shown(record.text, 40)}"
