"""Functions of the user that agent code may call, and the way their values cross the boundary.

Guarantee: what a tool gets and gives is a value, never a reference: arguments are rebuilt from
the envelope that is in the log, results and errors leave as envelopes, and what is not a value is
refused with a sentence that names the argument. So a replay, which has only the log, shows agent code
the same things that the recorded call did.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import keyword
import os
import queue
import sys
import threading
import traceback
import types
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, overload

from coda.errors import UsageError
from coda.log import RecordValue, ToolDeclared, from_envelope, to_envelope
from coda.runtime.coroutines import AsyncRunner
from coda.runtime.places import FileAccess
from coda.runtime.signatures import signature_text

EFFECTS = ("pure", "read", "act")
_IMMUTABLE = frozenset((type(None), bool, int, float, complex, str, bytes))


@dataclasses.dataclass(frozen=True)
class Tool:
    """A function that agent code can call by name.

    Attributes:
        fn: the function; may be `async def`.
        name: what agent code calls it.
        signature: as in a `def`, e.g. `(query: str, limit: int = 10) -> list`.
        doc: its docstring.
        effect: `pure` (depends on its arguments alone), `read` (looks, changes nothing) or `act`.
        origin: `tool` (the user's) or `primitive` (coda's own).
        timeout_s: how long a call may take; None: as long as it takes.
    """

    fn: Callable[..., Any]
    name: str
    signature: str
    doc: str = ""
    effect: str = "act"
    origin: str = "tool"
    timeout_s: float | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function directly, as if it were not a tool."""
        return self.fn(*args, **kwargs)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that may be given by position; none when the function does not say."""
        try:
            parameters = inspect.signature(self.fn).parameters.values()
        except (TypeError, ValueError):
            return ()
        by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return tuple(parameter.name for parameter in parameters if parameter.kind in by_position)

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The annotations, evaluated at the first call; none when that fails."""
        return _hints(self.fn)

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.fn)

    def declaration(self) -> ToolDeclared:
        """Gives the event that declares it."""
        return ToolDeclared(
            name=self.name, signature=self.signature, doc=self.doc, effect=self.effect, origin=self.origin
        )

    @staticmethod
    def load(path: str | os.PathLike[str]) -> list[Tool]:
        """Gives the tools that a Python file makes with `@tool`, in order of definition.

        The file is imported into this process, with its folder on `sys.path`: it is trusted like any program.

        Raises:
            UsageError: it cannot be read, it fails, or it makes no tool.
        """
        module = _import_file(os.path.abspath(path), str(path))
        found = [value for value in vars(module).values() if isinstance(value, Tool)]
        if not found:
            raise UsageError(f"the file of tools {path} makes no tool: mark its functions with @coda.tool")
        return as_tools(dict.fromkeys(found))


@overload
def tool(fn: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *, effect: str = "act", name: str | None = None, timeout_s: float | None = None
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    effect: str = "act",
    name: str | None = None,
    timeout_s: float | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Makes a function a tool; plain (`@tool`) or with options (`@tool(effect="read")`).

    Args:
        fn: the function.
        effect: `pure`, `read` or `act`; a fork repeats a `pure` one and trusts recorded answers of a
            `read` one longer than those of an `act`.
        name: what agent code calls it; the function's own name when None.
        timeout_s: after so many seconds the call is a TimeoutError in agent code. A coroutine is cancelled;
            a plain function then runs on a thread, which cannot be stopped and goes on. None: no limit.

    Raises:
        ValueError: no such effect, the name is not one that code can call, or the limit is not above 0.
        TypeError: it is not a function.
    """
    if fn is not None:
        return make_tool(fn, effect=effect, name=name, timeout_s=timeout_s)
    return lambda function: make_tool(function, effect=effect, name=name, timeout_s=timeout_s)


def make_tool(
    fn: Callable[..., Any],
    *,
    effect: str = "act",
    name: str | None = None,
    origin: str = "tool",
    timeout_s: float | None = None,
) -> Tool:
    """Builds a `Tool` of a function (see `tool`)."""
    if not callable(fn):
        raise TypeError(f"a tool is a function; got {type(fn).__name__}")
    if effect not in EFFECTS:
        raise ValueError(f"a tool's effect is one of {', '.join(EFFECTS)}; got {effect!r}")
    name = name if name is not None else getattr(fn, "__name__", "")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is not a name that code can call; give one with @tool(name=...)")
    if timeout_s is not None and not timeout_s > 0:
        raise ValueError(f"a tool's time limit is above 0 seconds; got {timeout_s!r}")
    return Tool(fn, name, signature_text(fn), inspect.getdoc(fn) or "", effect, origin, timeout_s)


def as_tools(items: Iterable[Tool | Callable[..., Any]]) -> list[Tool]:
    """Gives tools for functions and tools alike.

    Raises:
        TypeError: an item is neither.
        ValueError: two have the same name.
    """
    tools: list[Tool] = []
    seen: set[str] = set()
    for item in items:
        made = item if isinstance(item, Tool) else make_tool(item)
        if made.name in seen:
            raise ValueError(f"two tools have the name {made.name!r}")
        seen.add(made.name)
        tools.append(made)
    return tools


def declare(tools: Iterable[Tool]) -> list[ToolDeclared]:
    """Gives the `tool.declared` events of tools, in order."""
    return [tool.declaration() for tool in tools]


def declared_data(tool: Tool) -> dict[str, Any]:
    """What the worker must know of a tool."""
    return {"name": tool.name, "signature": tool.signature, "doc": tool.doc}


def _import_file(full: str, shown: str) -> types.ModuleType:
    """Imports a file under a name of its own; UsageError that names the line when it fails."""
    name = "coda_tools_" + "".join(char if char.isalnum() else "_" for char in Path(full).stem)
    spec = importlib.util.spec_from_file_location(name, full)
    if not os.path.isfile(full) or spec is None or spec.loader is None:
        raise UsageError(f"the file of tools {shown} is not a Python file", path=shown)
    if (folder := os.path.dirname(full)) not in sys.path:
        sys.path.append(folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Dataclasses look their module up while they are made.
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == full), None)
        if isinstance(error, SyntaxError) and error.filename == full:
            line = error.lineno
        where = f", line {line}" if line is not None else ""
        message = f"the file of tools {shown}{where} fails: {type(error).__name__}: {error}"
        raise UsageError(message, path=shown, line=line) from error
    return module


# --- calls -------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """How a call ended, ready for `tool.returned`."""

    ok: bool
    value: Any = None
    """Envelope of the result."""
    error: dict[str, Any] | None = None
    """`{"type", "mro", "message", "args"}` of the exception."""
    changed: tuple[str, ...] = ()
    """Arguments that the tool changed in place; agent code does not see that."""
    files: tuple[FileAccess, ...] = ()
    """What a primitive that ran beside others did to files, to be written down with its result."""


def invoke(
    tool: Tool,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    runner: AsyncRunner | None = None,
) -> Outcome:
    """Calls a tool with arguments as they came over the boundary.

    Args:
        tool: what to call.
        args: envelopes of the positional arguments.
        kwargs: envelopes of the others.
        runner: runs coroutines; None makes a loop for this call alone.

    Returns:
        The outcome; an exception of the tool is data in it.

    Raises:
        KeyboardInterrupt: the user stopped the tool.
    """
    try:
        given, named = _arguments(tool, args, kwargs or {})
        mutable = _mutable(tool, given, named)
        result = _call(tool, given, named, runner)
        value = to_envelope(result)
        if (bad := _not_a_value(value)) is not None:
            raise TypeError(f"tool results are values; {tool.name}() returned {bad}")
    except KeyboardInterrupt:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary: a tool's exception is data
        return Outcome(False, error=error_data(error))
    except BaseException as error:  # noqa: BLE001 - SystemExit of a tool must not end the agent's interpreter
        kind = type(error).__name__
        return Outcome(False, error=error_data(RuntimeError(f"{tool.name}() raised {kind}: {error}")))
    changed = tuple(name for name, argument, data in mutable if to_envelope(argument) != data)
    return Outcome(True, value, changed=changed)


def _call(tool: Tool, given: list[Any], named: dict[str, Any], runner: AsyncRunner | None) -> Any:
    limit = tool.timeout_s
    if limit is None:
        result = tool.fn(*given, **named)
        return _wait(result, runner) if inspect.isawaitable(result) else result
    if tool.is_async:
        try:
            return _wait(tool.fn(*given, **named), runner, timeout_s=limit)
        except TimeoutError as error:
            if error.args:
                raise  # its own
            raise _too_slow(tool) from None
    ended: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put((True, tool.fn(*given, **named)))
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
            ended.put((False, error))

    threading.Thread(target=run, name=f"coda-{tool.name}", daemon=True).start()
    try:
        ok, result = ended.get(timeout=limit)
    except queue.Empty:
        raise _too_slow(tool) from None
    if not ok:
        raise result
    return _wait(result, runner) if inspect.isawaitable(result) else result


def _too_slow(tool: Tool) -> TimeoutError:
    return TimeoutError(f"{tool.name}() took longer than {tool.timeout_s:g} s")


def _wait(awaitable: Awaitable[Any], runner: AsyncRunner | None, *, timeout_s: float | None = None) -> Any:
    if runner is not None:
        return runner.run(awaitable, timeout_s=timeout_s)
    own = AsyncRunner()
    try:
        return own.run(awaitable, timeout_s=timeout_s)
    finally:
        own.close()


def error_data(error: BaseException) -> dict[str, Any]:
    """Gives an exception as data: the names of its classes, its message and its arguments."""
    names = [_qualified(kind) for kind in type(error).__mro__[:-1]]
    try:
        message = str(error)
    except Exception as second:  # noqa: BLE001 - the user's own __str__ may fail
        message = f"<no message: {type(second).__name__}>"
    # A lone surrogate (an odd file name) is in no JSON text.
    message = message.encode("utf-8", "backslashreplace").decode()
    args = [to_envelope(arg, max_bytes=64 << 10) for arg in _arguments_of(error)]
    # An argument that is no value would make the worker's exception a different one: leave it out.
    args = args if all(_not_a_value(arg) is None for arg in args) else [message]
    return {"type": names[0], "mro": names, "message": message, "args": args}


def _arguments_of(error: BaseException) -> tuple[Any, ...]:
    """Gives what the exception must be made of to be the same; an OSError's args leave its paths out."""
    if isinstance(error, OSError) and error.filename is not None and len(error.args) == 2:
        more = () if error.filename2 is None else (None, error.filename2)
        return (*error.args, error.filename, *more)
    return error.args


def _qualified(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _arguments(
    tool: Tool, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Rebuilds arguments from envelopes and fits records to the function's annotations."""
    hints = tool.hints
    given = [_argument(data, hints.get(name), name) for name, data in _positional(tool, args)]
    named = {name: _argument(data, hints.get(name), name) for name, data in kwargs.items()}
    return given, named


def _positional(tool: Tool, args: Sequence[Any]) -> list[tuple[str, Any]]:
    """Pairs positional arguments with the names of their parameters, or with their numbers."""
    parameters = list(tool.parameters)
    names = parameters + [str(index + 1) for index in range(len(parameters), len(args))]
    return list(zip(names, args, strict=False))


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn)
    except Exception:  # noqa: BLE001 - annotations are the user's code; without them nothing is fitted
        return {}


def _argument(data: Any, hint: Any, name: str) -> Any:
    if (bad := _not_a_value(data)) is not None:
        raise TypeError(f"tool arguments are values; got {bad} in argument {name!r}")
    return _fit(from_envelope(data), hint)


def _not_a_value(data: Any) -> str | None:
    """Gives the type of the first thing in an envelope that is not an exact value, else None."""
    pending = [data]
    while pending:
        item = pending.pop()
        if isinstance(item, list | tuple):
            pending.extend(item)
        elif isinstance(item, dict):
            tag = item.get("$")
            if tag in ("opaque", "summary"):
                size = " that is too large" if tag == "summary" else ""
                return f"{item.get('t', 'an object')}{size}"
            pending.extend(item.values())
    return None


def _fit(value: Any, hint: Any) -> Any:
    """Builds the annotated dataclass of a record or a dict with its fields; else gives the value back."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        for choice in typing.get_args(hint):
            if (fitted := _fit(value, choice)) is not value:
                return fitted
        return value
    if origin in (list, tuple, Sequence) and type(value) in (list, tuple) and typing.get_args(hint):
        item = typing.get_args(hint)[0]
        fitted_items = [_fit(one, item) for one in value]
        same = all(new is old for new, old in zip(fitted_items, value, strict=True))
        return value if same else type(value)(fitted_items)
    if not isinstance(hint, type):
        return value
    fields = value.fields if isinstance(value, RecordValue) else value
    if type(fields) is not dict:
        return value
    if callable(validate := getattr(hint, "model_validate", None)):
        return validate(fields)  # A pydantic model; what it refuses is an error of the call.
    if not dataclasses.is_dataclass(hint):
        return value
    known = {field.name for field in dataclasses.fields(hint) if field.init}
    if not set(fields) <= known:
        return value
    inner = _hints(hint)
    try:
        return hint(**{name: _fit(one, inner.get(name)) for name, one in fields.items()})
    except TypeError:
        return value  # A field without a default is missing: the function gets what was sent.


def _mutable(tool: Tool, given: list[Any], named: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Gives name, value and envelope of the arguments that a function can change in place."""
    rows = [*_positional(tool, given), *named.items()]
    return [(name, value, to_envelope(value)) for name, value in rows if type(value) not in _IMMUTABLE]
