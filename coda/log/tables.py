"""The compact statement table of a code unit: which statements it has, and what they bind.

Guarantee: whoever reads a trace needs no parser of Python; the numbers in a `lines` record mean rows of
these tables. `coda.log.sites` makes them.
"""

from __future__ import annotations

from typing import Final

import msgspec

_MAX_BASE: Final = 1 << 62


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """One row of a statement table; its id is `Table.base` plus its index."""

    line: int
    end_line: int
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
    """What was bound: a name, a dotted target, or an argument of the function (statement = its first)."""


class Table(msgspec.Struct, frozen=True, omit_defaults=True):
    """The compact statement table of one code unit. Ids are unique in a run."""

    base: int
    functions: tuple[str, ...] = ("",)
    """Function paths; the first is the module level."""
    statements: tuple[Statement, ...] = ()
    bindings: tuple[Binding, ...] = ()

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

    @property
    def end(self) -> int:
        """First id after this table's."""
        return self.base + len(self.statements) + len(self.bindings)
