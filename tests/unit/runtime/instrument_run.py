"""Runs a program plain and instrumented, and tells all that its user could see of either run."""

from __future__ import annotations

import contextlib
import io
import linecache
import sys
import traceback
import warnings
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from coda.log import MARKS
from coda.runtime.instrument import CodeUnit, FrameNumbers, compile_unit
from coda.runtime.instrument_hooks import Buffer, Values

BASE = 1000
FILENAME = "<program>"
PLAIN = "plain"


class Seen(NamedTuple):
    """What a run showed."""

    values: dict[str, str]
    output: str
    error: str | None
    traceback: str
    warned: tuple[str, ...]
    traced: tuple[tuple[str, int, str], ...]


class Recorded(NamedTuple):
    """What a run showed, and what was recorded of it."""

    seen: Seen
    unit: CodeUnit
    ids: list[int]
    vals: list[Any]

    @property
    def lines(self) -> list[int]:
        """Lines of the statements that ran."""
        rows = self.unit.table.statements
        return [rows[i - BASE].line for i in self.ids if i - BASE < len(rows)]

    @property
    def bound(self) -> list[tuple[str, Any]]:
        """Names and values that were captured, in order; marks of frames are left out."""
        table = self.unit.table
        first = BASE + len(table.statements)
        names = [table.bindings[i - first].name for i in self.ids if i >= first]
        return [pair for pair in zip(names, self.vals, strict=True) if pair[0] not in MARKS]


def compiled(source: str, level: str, *, limit: int = 10_000, **more: Any) -> tuple[CodeUnit, Buffer, Values]:
    lines, values = Buffer(), Values()
    unit = compile_unit(
        source,
        filename=FILENAME,
        base=BASE,
        level=level,
        lines=lines,
        values=values,
        value_limit=limit,
        frames=FrameNumbers(),
        **more,
    )
    return unit, lines, values


def run(source: str, level: str = PLAIN, *, limit: int = 10_000, trace: bool = False) -> Recorded:
    """Runs a program as the module `program`, at a record level or `plain`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if level == PLAIN:
            code = _as_replaced(compile(source, FILENAME, "exec", dont_inherit=True))
            unit, lines, values = compiled("", "effects")
        else:
            unit, lines, values = compiled(source, level, limit=limit)
            code = unit.code
            assert unit.note is None
        seen = _execute(code, source, trace=trace)
        said = tuple(f"{w.category.__name__}: {w.message} line {w.lineno}" for w in caught)
    return Recorded(seen._replace(warned=said), unit, list(lines), list(values))


def _as_replaced(code: CodeType) -> CodeType:
    """A copy of code, as the instrumenter makes one.

    CPython 3.12 forgets in every copy which names belong to inlined comprehensions alone, where those are in
    dead code; `f_locals` of its frame, which a traceback looks at for suggestions, then takes them away.
    """
    consts = tuple(_as_replaced(const) if type(const) is CodeType else const for const in code.co_consts)
    return code.replace(co_consts=consts)


def _execute(code: CodeType, source: str, *, trace: bool) -> Seen:
    module = ModuleType("program")
    before = set(module.__dict__)
    linecache.cache[FILENAME] = (len(source), None, source.splitlines(keepends=True), FILENAME)
    sys.modules["program"] = module
    events: list[tuple[str, int, str]] = []

    def tracer(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code.co_filename != FILENAME:
            return None
        events.append((event, frame.f_lineno, frame.f_code.co_qualname))
        return tracer

    output = io.StringIO()
    error, text = None, ""
    with contextlib.redirect_stdout(output):
        previous = sys.gettrace()
        try:
            if trace:
                sys.settrace(tracer)
            exec(code, module.__dict__)
        except BaseException as caught:
            sys.settrace(previous)
            error = f"{type(caught).__qualname__}{caught.args!r}"
            tb = caught.__traceback__
            text = "".join(traceback.format_exception(type(caught), caught, tb.tb_next if tb else None))
        finally:
            sys.settrace(previous)
            sys.modules.pop("program", None)
    before |= {"__builtins__", "__warningregistry__"}
    shown = {name: _shown(value) for name, value in module.__dict__.items() if name not in before}
    return Seen(shown, output.getvalue(), error, text, (), tuple(events))


def _shown(value: object) -> str:
    if getattr(value, "__module__", "program") != "program":
        return f"{type(value).__name__} from elsewhere"
    if isinstance(value, FunctionType):
        code = value.__code__
        facts = (code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags, code.co_firstlineno)
        return f"function {value.__qualname__} {value.__doc__!r} {value.__annotations__} {facts}"
    if isinstance(value, type):
        names = {k: type(v).__name__ for k, v in value.__dict__.items()}
        return (
            f"class {value.__qualname__} {value.__doc__!r} {names} {getattr(value, '__annotations__', None)}"
        )
    text = repr(value)
    return type(value).__name__ if " at 0x" in text else text
