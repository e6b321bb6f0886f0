"""How a block ended, and a program's end as the interpreter would make it.

Guarantee: nothing here raises, whatever agent code left behind: an exception whose `__str__` exits, whose
class lies about itself, whose traceback is a property that fails; an `excepthook`, a stream or an exit
function that fails. A recorder that asked such an object nicely would end with the program.
"""

from __future__ import annotations

import atexit
import runpy
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any

from coda.runtime.worker.names import describe_exception
from coda.runtime.worker.units import OWN_FOLDER

_TRACEBACK_CHARS = 20_000
# The slots of the type itself: properties of the agent's classes cannot come between.
_traceback = BaseException.__dict__["__traceback__"]
_cause = BaseException.__dict__["__cause__"]
_context = BaseException.__dict__["__context__"]
_code = SystemExit.__dict__["code"]
_display = sys.__excepthook__  # in C: asks nothing of what agent code may have replaced but the stream
Owns = Callable[[FrameType], bool]
# What runs a module or a folder stands in its traceback, in a plain run as well.
RUNPY = runpy.run_path.__code__.co_filename


def outcome_of(error: BaseException) -> tuple[str, int | None]:
    """`exited` with a status, `interrupted` or `error`, by the exception that left agent code."""
    kind = type(error)
    if issubclass(kind, SystemExit):
        return "exited", _status_of(_code.__get__(error))
    if issubclass(kind, KeyboardInterrupt):
        return "interrupted", None
    return "error", None


def _status_of(code: Any) -> int:
    """The status with which the interpreter exits: of what is no C long it makes -1."""
    if code is None:
        return 0
    if not issubclass(type(code), int):
        return 1
    number = int.__int__(code)
    return (number if -(1 << 63) <= number < 1 << 63 else -1) & 0xFF


def agents_part(error: BaseException, owns: Owns) -> TracebackType | None:
    """Takes coda's own frames out of an exception, and of those it came from; gives its traceback."""
    tb = _traceback.__get__(error)
    while tb is not None and not (owns(tb.tb_frame) or tb.tb_frame.f_code.co_filename == RUNPY):
        tb = tb.tb_next
    _traceback.__set__(error, tb)
    _hide_ourselves(error)
    agents: TracebackType | None = _traceback.__get__(error)
    return agents


def describe(error: BaseException, tb: TracebackType | None) -> dict[str, Any]:
    """What the host is told of an exception."""
    described = describe_exception(error)
    try:
        text = "".join(traceback.format_exception(type(error), error, tb))
    except BaseException:  # noqa: BLE001  it asks the exception, and agent code may have broken what it uses
        text = plain_traceback(described, tb)
    described["traceback"] = text[-_TRACEBACK_CHARS:]
    return described


def plain_traceback(described: dict[str, Any], tb: TracebackType | None) -> str:
    """Places and the exception's name: all that can be had without asking anybody."""
    rows = ["Traceback (most recent call last):\n"]
    while tb is not None:
        code = tb.tb_frame.f_code
        rows.append(f'  File "{code.co_filename}", line {tb.tb_lineno}, in {code.co_name}\n')
        tb = tb.tb_next
    message = described["message"]
    rows.append(f"{described['type']}: {message}\n" if message else f"{described['type']}\n")
    return "".join(rows)


def print_exception(error: BaseException, tb: TracebackType | None) -> int | None:
    """Hands an exception to `sys.excepthook`, and says what the interpreter says when that fails.

    Returns:
        The status with which the program exits, when the hook ended it.
    """
    hook = getattr(sys, "excepthook", None)
    try:
        hook(type(error), error, tb)  # type: ignore[misc]  # None, or anything: it fails like a hook that fails
    except SystemExit as exit_by_hook:
        print_exit(exit_by_hook)
        return outcome_of(exit_by_hook)[1]
    except BaseException as problem:  # noqa: BLE001  agent code's hook may raise anything
        _hide_ourselves(problem)
        own = _traceback.__get__(problem)
        if hook is None:
            _say("sys.excepthook is missing\n")
        else:
            _say("Error in sys.excepthook:\n")
            _show(problem, own)
            _say("\nOriginal exception was:\n")
        _show(error, tb)
    return None


def _show(error: BaseException, tb: TracebackType | None) -> None:
    try:
        _display(type(error), error, tb)
    except BaseException:  # noqa: BLE001  nowhere to print to
        return


def _say(text: str) -> None:
    try:
        sys.stderr.write(text)
    except BaseException:  # noqa: BLE001  agent code may have put anything there
        return


def print_exit(error: BaseException) -> None:
    """Prints what a program gave to `sys.exit` when that is no status."""
    code = _code.__get__(error)
    if code is not None and not issubclass(type(code), int):
        try:
            text = str(code)
        except BaseException:  # noqa: BLE001  the agent's own __str__ may raise anything
            text = ""
        _say(f"{text}\n")


def flush_streams() -> None:
    """Flushes what agent code has as its standard streams."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except BaseException:  # noqa: BLE001  agent code may have put anything there, or closed it
            continue


def end_program(pristine: AbstractContextManager[object]) -> None:
    """Joins the threads that are no daemons and runs the exit functions, as the interpreter does.

    Args:
        pristine: context in which the builtins are those of the start: a plain program that has deleted some
            may not have `threading`, which needs them.
    """
    try:
        with pristine:
            threading._shutdown()  # type: ignore[attr-defined]
    except BaseException as error:  # noqa: BLE001  Ctrl-C while it waits: said, and the end goes on
        _say(f"Exception ignored in: <module 'threading' from {threading.__file__!r}>\n")
        _show(error, _traceback.__get__(error))
    try:
        atexit._run_exitfuncs()
    except BaseException as error:  # noqa: BLE001  an exit function that exits
        _show(error, None)


def _hide_ourselves(error: BaseException | None) -> None:
    """Takes coda's own frames out of an exception's traceback and out of those it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        first = tb = _traceback.__get__(error)
        while tb is not None:
            after = tb.tb_next
            while after is not None and after.tb_frame.f_code.co_filename.startswith(OWN_FOLDER):
                after = after.tb_next
            tb.tb_next = after
            tb = after
        if first is not None and first.tb_frame.f_code.co_filename.startswith(OWN_FOLDER):
            _traceback.__set__(error, first.tb_next)
        cause = _cause.__get__(error)
        error = cause if cause is not None else _context.__get__(error)
