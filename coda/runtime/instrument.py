"""Source of agent code to code that tells which statements ran and what they bound.

Guarantee: the instrumented code does what the plain code does: same results, output, exceptions,
tracebacks to the caret. What the user's source has to say (SyntaxError, warnings) is said by a plain
compilation of the untouched source, which comes first. When the rewritten tree cannot be compiled, the
plain code is given with a note instead: a block without lines, never a failure of ours.

What it cannot hide: one entry more in `co_consts` and `append` in `co_names` (`inspect.getclosurevars`
lists it as unbound), code objects that `marshal` refuses, events of `append` for a C profile function,
and, while a site still captures values that are no scalars, one frame of depth. See
docs/instrumentation.md.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from types import CodeType, MappingProxyType
from typing import Final, NamedTuple

from coda.log import Table, analyse, has_docstring
from coda.runtime.instrument_compile import ANNOTATIONS, FUTURE_FLAGS, deep_stack, warnings_off, with_objects
from coda.runtime.instrument_frames import FrameNumbers
from coda.runtime.instrument_hooks import Budget, Buffer, Values, summary
from coda.runtime.instrument_rewrite import Hooks, rewrite

__all__ = ["LEVELS", "Budget", "Buffer", "CodeUnit", "FrameNumbers", "Values", "compile_unit", "summary"]

LEVELS: Final = ("effects", "lines", "values")
MAX_VALUE_STATEMENTS: Final = 20_000
"""Units with more statements than this are recorded without values."""
_NO_TRIGGERS: Final[Mapping[int, object]] = MappingProxyType({})


class CodeUnit(NamedTuple):
    """One compiled piece of agent code."""

    code: CodeType
    """May be a coroutine's (CO_COROUTINE) when top-level await was allowed."""
    table: Table
    """The same at every level; without rows when the source was too deep to be analysed."""
    budget: Budget
    """Its capture sites, to be refilled at each block's start."""
    note: str | None
    """Why there are fewer facts than the level promises, for people; None when there are not."""
    flags: int
    """The `__future__` flags in force at its end: `future_flags` of the next cell."""


def compile_unit(
    source: str,
    *,
    filename: str,
    base: int,
    level: str,
    lines: Buffer,
    values: Buffer,
    value_limit: int,
    first_line: int = 1,
    top_level_await: bool = False,
    future_flags: int = 0,
    triggers: Mapping[int, object] = _NO_TRIGGERS,
    docstring: bool = True,
    frames: FrameNumbers | None = None,
) -> CodeUnit:
    """Compiles a module, block or cell, with hooks as the record level wants them.

    Args:
        source: Python source, any size.
        filename: as in tracebacks.
        base: id of its first statement; the next unit's is `table.end`.
        level: one of LEVELS; `effects` writes no hooks at all, the table is made all the same.
        lines: where statements and bindings append their ids.
        values: where bindings append their values.
        value_limit: values captured at each site until it is refilled; 0 or less captures none.
        first_line: line of the file on which the source begins.
        top_level_await: whether `await` may stand outside of functions.
        future_flags: `flags` of the cell before this one.
        triggers: statement id to an object whose `append(id)` is called at that statement instead.
        docstring: whether a text at the very beginning sets `__doc__`; false for the later cells of a
            script, where it is a statement like any other.
        frames: where frames that can be suspended find their numbers; the same for all units of a run.
            Frames are marked at level `values` only, but the table has their rows at every level. None:
            it has none.

    Returns:
        Code, table, capture sites.

    Raises:
        SyntaxError: the source is not Python; exactly as `compile` says it.
        ValueError: the level is unknown, or the source holds what no source may (a null byte).

    Cost: about five times a plain compilation for `lines`, nine times for `values`.
    """
    if level not in LEVELS:
        raise ValueError(f"record level {level!r} is none of {', '.join(LEVELS)}")
    # Blank lines in front are cheap, and make every position right, in SyntaxErrors too.
    placed = "\n" * (first_line - 1) + source
    flags = future_flags & FUTURE_FLAGS | (ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if top_level_await else 0)
    plain: CodeType = compile(placed, filename, "exec", flags, dont_inherit=True)
    in_force = future_flags & FUTURE_FLAGS | plain.co_flags & FUTURE_FLAGS
    table = Table(base=base)
    try:
        with warnings_off(), deep_stack():
            tree: ast.Module = compile(placed, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
            lazy = bool(future_flags & ANNOTATIONS)
            framed = frames is not None
            sites = analyse(tree, base=base, future_annotations=lazy, docstring=docstring, frames=framed)
            if framed and len(sites.table.statements) > MAX_VALUE_STATEMENTS:
                sites = analyse(tree, base=base, future_annotations=lazy, docstring=docstring)
            table = sites.table
            if not docstring and has_docstring(tree.body):
                tree.body.insert(0, ast.copy_location(ast.Pass(), tree.body[0]))
                plain = compile(tree, filename, "exec", flags, dont_inherit=True)
            if level == "effects":
                return CodeUnit(plain, table, Budget(), None, in_force)
            limit, note = _value_limit(table, level, value_limit)
            hooks = Hooks(lines, values, limit, triggers, _placeholder(source), frames or FrameNumbers())
            objects, budget = rewrite(tree, sites, hooks)
            code: CodeType = compile(tree, filename, "exec", flags, dont_inherit=True)
            code = with_objects(code, hooks.first, objects)
    except (RecursionError, MemoryError, SyntaxError) as error:
        note = f"no lines: the source is too deep or too large to be instrumented ({type(error).__name__})"
        return CodeUnit(plain, table, Budget(), note, in_force)
    return CodeUnit(code, table, budget, note, in_force)


def _value_limit(table: Table, level: str, value_limit: int) -> tuple[int | None, str | None]:
    """How many values each site may capture, None for no sites at all; and why, if it is fewer."""
    if level != "values" or value_limit <= 0:
        return None, None
    count = len(table.statements)
    if count > MAX_VALUE_STATEMENTS:
        return None, f"no values: {count} statements are more than {MAX_VALUE_STATEMENTS} in one unit"
    return value_limit, None


def _placeholder(source: str) -> int:
    """A large integer that the source cannot contain, since it depends on all of it."""
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(b"\x01" + digest, "big") << 64
