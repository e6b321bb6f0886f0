"""What tells frames apart: marks in the stream where one ends, is suspended, or goes on.

Guarantee: a frame of a function begins with its first statement, so its beginning costs nothing. Its end
is marked whatever the way out, by a `finally` that tracebacks do not show. A generator or coroutine is
marked where it is suspended, and where it goes on, with a number of its own: no name is added to the
program for that, the number is found by the address of the frame, which lives as long as its code runs.
"""

from __future__ import annotations

import ast
import ctypes
import typing
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final, SupportsIndex

from coda.runtime.instrument_hooks import Buffer

_Where = dict[str, Any]
NOWHERE: Final[_Where] = {"lineno": -1, "col_offset": -1, "end_lineno": -1, "end_col_offset": -1}
"""A position that is none: trace functions see no line there, tracebacks never end there."""


_Prototype: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p)


class FrameAddress(_Prototype):  # type: ignore[misc]
    """Gives the address of the calling frame.

    `sys._getframe` does the same, but raises an audit event each time, which costs more than all else
    here together.
    """

    _flags_ = _Prototype._flags_
    _restype_ = _Prototype._restype_
    _argtypes_ = _Prototype._argtypes_
    __hash__ = object.__hash__  # a constant of a code object is hashed

    def __eq__(self, other: object) -> bool:
        return self is other

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Pickles as something harmless that can be called the same way."""
        return partial, (int,)


class FrameNumbers:
    """Numbers of generators and coroutines that run or are suspended, by the address of their frame."""

    __slots__ = ("address", "given", "take")

    def __init__(self) -> None:
        self.given: dict[int, int] = {}
        self.take: Callable[[], int] = count(1).__next__
        self.address = FrameAddress(("PyEval_GetFrame", ctypes.pythonapi))


class Resume:
    """Marks that the frame at an address runs now; gives the value back that it went on with."""

    __slots__ = ("given", "id", "lines", "take", "values")

    def __init__(self, id: int, numbers: FrameNumbers, lines: Buffer, values: Buffer) -> None:
        self.id = id
        self.given = numbers.given
        self.take = numbers.take
        self.lines = lines
        self.values = values

    def __call__(self, frame: int, value: Any) -> Any:
        """Appends the number and the mark."""
        number = self.given.get(frame)
        if number is None:
            number = self.given[frame] = self.take()
        self.values.append(number)
        self.lines.append(self.id)
        return value

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Pickles as something harmless that can be called the same way."""
        return partial, (typing.cast,)


class Leave:
    """Marks that the frame at an address has ended."""

    __slots__ = ("given", "id", "lines", "values")

    def __init__(self, id: int, numbers: FrameNumbers, lines: Buffer, values: Buffer) -> None:
        self.id = id
        self.given = numbers.given
        self.lines = lines
        self.values = values

    def __call__(self, frame: int) -> None:
        """Appends the number and the mark, and forgets the frame."""
        self.values.append(self.given.pop(frame, 0))
        self.lines.append(self.id)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Pickles as something harmless that can be called the same way."""
        return partial, (id,)


class Marks:
    """Writes the marks of one piece of code.

    Args:
        hold: gives the placeholder of an object.
        lines: placeholder of the buffer of ids.
        values: placeholder of the buffer of values.
        exit: id of its exit mark.
    """

    def __init__(self, hold: Callable[[object], int], *, lines: int, values: int, exit: int) -> None:
        self._lines = lines
        self._values = values
        self._exit = exit

    def around(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Gives the body of a frame with what marks its end, whatever the way out."""
        return [guarded(body, self._two(self._exit, NOWHERE))]

    def _two(self, number: int, where: _Where) -> list[ast.stmt]:
        return [ast.Expr(value=call, **where) for call in self._appends(number, where)]

    def _appends(self, number: int, where: _Where) -> tuple[ast.expr, ast.expr]:
        """The two calls that put a mark without a number into the stream; the value comes first."""

        def append(holder: int, value: int) -> ast.expr:
            function = ast.Attribute(
                value=ast.Constant(value=holder, **where), attr="append", ctx=ast.Load(), **where
            )
            return ast.Call(func=function, args=[ast.Constant(value=value, **where)], keywords=[], **where)

        return append(self._values, 0), append(self._lines, number)


class SuspendingMarks(Marks):
    """Writes the marks of one piece of code that can be suspended.

    Args:
        numbers: where frames find their numbers.
        streams: the buffers themselves.
        suspend: id of the mark.
        resume: id of the mark.
    """

    def __init__(
        self,
        hold: Callable[[object], int],
        *,
        lines: int,
        values: int,
        exit: int,
        suspend: int,
        resume: int,
        numbers: FrameNumbers,
        streams: tuple[Buffer, Buffer],
    ) -> None:
        super().__init__(hold, lines=lines, values=values, exit=exit)
        self._suspend = suspend
        self._address = hold(numbers.address)
        self._resume = hold(Resume(resume, numbers, *streams))
        self._leave = hold(Leave(exit, numbers, *streams))

    def around(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Gives the body of a frame, which tells its number first."""
        leave = self._call(self._leave, [self._frame(NOWHERE)], NOWHERE)
        return [guarded([self.resumed(), *body], [ast.Expr(value=leave, **NOWHERE)])]

    def resumed(self) -> ast.stmt:
        """Gives the statement that marks that the frame runs."""
        nothing = ast.Constant(value=None, **NOWHERE)
        return ast.Expr(value=self._running(nothing, NOWHERE), **NOWHERE)

    def suspended(self) -> list[ast.stmt]:
        """Gives the statements that mark that the frame may be suspended from here on."""
        return self._two(self._suspend, NOWHERE)

    def expression(self, node: ast.expr) -> ast.expr:
        """Gives a yield, an await or an asynchronous comprehension with its marks."""
        where = _start_of(node)
        if isinstance(node, ast.Yield | ast.YieldFrom | ast.Await):
            node.value = self.before(node.value or ast.Constant(value=None, **where))
            return self._running(node, where)
        items = [*self._appends(self._suspend, where), node]
        return self._running(_item(items, 2, where), where)

    def before(self, value: ast.expr, *, resumed: bool = False) -> ast.expr:
        """Gives a value that marks, when it is there, that the frame may be suspended from here on."""
        where = _start_of(value)
        first = [self._running(ast.Constant(value=None, **where), where)] if resumed else []
        return _item([*first, value, *self._appends(self._suspend, where)], len(first), where)

    def _running(self, value: ast.expr, where: _Where) -> ast.expr:
        return self._call(self._resume, [self._frame(where), value], where)

    def _frame(self, where: _Where) -> ast.expr:
        return self._call(self._address, [], where)

    @staticmethod
    def _call(function: int, arguments: list[ast.expr], where: _Where) -> ast.expr:
        return ast.Call(func=ast.Constant(value=function, **where), args=arguments, keywords=[], **where)


def guarded(body: list[ast.stmt], final: list[ast.stmt]) -> ast.stmt:
    """Gives statements that others follow whatever happens."""
    return ast.Try(body=body, handlers=[], orelse=[], finalbody=final, **NOWHERE)


def _item(items: list[ast.expr], index: int, where: _Where) -> ast.expr:
    """Evaluates several things in order and gives one of them."""
    return ast.Subscript(
        value=ast.Tuple(elts=items, ctx=ast.Load(), **where),
        slice=ast.Constant(value=index, **where),
        ctx=ast.Load(),
        **where,
    )


def _start_of(node: Any) -> _Where:
    """The first column of an expression, on one line only."""
    end = node.end_col_offset if node.end_lineno == node.lineno else node.col_offset + 1
    return {
        "lineno": node.lineno,
        "col_offset": node.col_offset,
        "end_lineno": node.lineno,
        "end_col_offset": end,
    }
