"""The compact statement table of a code unit: which statements it has, and what they bind.

Guarantee: whoever reads a trace needs no parser of Python; the numbers in a `lines` record mean rows of
these tables. `coda.log.sites` makes them.
"""

from __future__ import annotations

import msgspec


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

    @property
    def end(self) -> int:
        """First id after this table's."""
        return self.base + len(self.statements) + len(self.bindings)
