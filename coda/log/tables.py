"""The compact statement table of a code unit: which statements it has, and what they bind.

Guarantee: whoever reads a trace needs no parser of Python; the numbers in a `lines` record mean rows of
these tables. `coda.log.sites` makes them.
"""

from __future__ import annotations

from typing import Final

import msgspec

_MAX_BASE: Final = 1 << 62

MARKS = ("<exit>", "<suspend>", "<resume>")
"""Names of bindings that are marks of a frame: they take a value like every binding, and bind nothing."""


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """One row of a statement table; its id is `Table.base` plus its index."""

    line: int
    """First line, in the file of the unit, from 1."""
    end_line: int
    """Last line."""
    kind: str
    """Name of the syntax node in lower case: assign, augassign, expr, if, for, return, functiondef ..."""
    function: int
    """Index into `Table.functions`: the function whose body holds the statement."""
    stores: tuple[str, ...] = ()
    """Names and dotted targets that it binds or changes, e.g. x, obj.total, rows[]."""
    loads: tuple[str, ...] = ()
    """Names that it reads, each once, in source order."""


class Binding(msgspec.Struct, frozen=True, array_like=True):
    """A store of one statement whose value is captured; its id follows the statements' ids."""

    statement: int
    """Index of the statement in the table."""
    name: str
    """What was bound: a name, a dotted target, or an argument of the function (statement = its first).
    `<exit>`, `<suspend>` and `<resume>` bind nothing: they are the marks of a frame (`Body`)."""


class Body(msgspec.Struct, frozen=True, array_like=True):
    """A piece of code that runs in a frame of its own: a module, the body of a function or class."""

    first: int
    """Index of the statement with which it begins: each start of it is the beginning of a frame."""
    stop: int
    """Index after its last statement. Bodies inside it lie in between and have rows of their own."""
    kind: str
    """`module`, `class`, `function`, `generator`, `coroutine` or `async generator`."""
    exit: int
    """Index of the binding that marks the end of a frame; -1: frames of this body are not marked."""
    suspend: int = -1
    """Index of the binding that marks that a frame may be suspended; -1 where none can be."""
    resume: int = -1
    """Index of the binding that marks that a frame runs, by its number; -1 where none can be suspended."""
    arguments: tuple[int, ...] = ()
    """Indexes of the bindings that are the function's arguments: their values precede its first statement."""


class Table(msgspec.Struct, frozen=True, omit_defaults=True):
    """The compact statement table of one code unit. Ids are unique in a run."""

    base: int
    """Id of the first statement."""
    functions: tuple[str, ...] = ("",)
    """Function paths; the first is the module level."""
    statements: tuple[Statement, ...] = ()
    """In source order; their ids follow `base`."""
    bindings: tuple[Binding, ...] = ()
    """Their ids follow the statements'."""
    bodies: tuple[Body, ...] = ()
    """What has frames, in source order; empty when frames are not marked."""
    loose: tuple[int, ...] = ()
    """Indexes of bindings that may happen while another frame runs: a walrus in a generator expression."""

    def __post_init__(self) -> None:
        """Rows name only what is in the table: it may come from a worker or a trace that lies."""
        if not 0 <= self.base <= _MAX_BASE:
            raise ValueError(f"a statement table cannot begin at {self.base}")
        functions, rows = len(self.functions), len(self.statements)
        for statement in self.statements:
            if not 0 <= statement.function < functions:
                raise ValueError(f"a statement names function {statement.function} of {functions}")
        for binding in self.bindings:
            if not 0 <= binding.statement < rows:
                raise ValueError(f"a binding names statement {binding.statement} of {rows}")
        bindings = range(-1, len(self.bindings))
        for body in self.bodies:
            if not 0 <= body.first < body.stop <= rows:
                raise ValueError(f"a body holds statements {body.first} to {body.stop} of {rows}")
            if any(row not in bindings for row in (body.exit, body.suspend, body.resume, *body.arguments)):
                raise ValueError(f"a body names a binding that is none of {len(self.bindings)}")

    @property
    def end(self) -> int:
        """First id after this table's."""
        return self.base + len(self.statements) + len(self.bindings)
