"""What `compile_unit` promises beside equal behaviour: table, positions, flags, notes, ids, values."""

from __future__ import annotations

import ast
import bisect
import contextlib
import inspect
import pickle
import sys
import textwrap
import traceback
import types
import warnings
from typing import Any

import pytest

from coda.log import MARKS
from coda.runtime.instrument import LEVELS, MAX_VALUE_STATEMENTS, compile_unit
from coda.runtime.instrument_hooks import Buffer, Values
from tests.unit.runtime.instrument_programs import PROGRAMS
from tests.unit.runtime.instrument_run import BASE, FILENAME, compiled, run


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_the_table_is_the_same_at_every_level(name: str) -> None:
    program = textwrap.dedent(PROGRAMS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables = [compiled(program, level)[0].table for level in LEVELS]
    assert tables[0] == tables[1] == tables[2]
    assert tables[0].base == BASE


def test_lines_are_one_for_each_start_of_a_statement() -> None:
    recorded = run(
        "for i in range(2):\n    if i: continue\n    x = (\n        i)\nelse:\n    y = 1\n", "lines"
    )
    assert recorded.lines == [1, 2, 3, 2, 2, 6]
    assert recorded.vals == []


def test_values_are_bound_in_order() -> None:
    recorded = run(
        """
def f(a, *b, c=2, **d):
    e = a
    return e
x = y, *z = [1, 2, 3]
f(1, c=[4])
for i, x in [(1, "a")]: pass
with open(__file__ if False else "/dev/null") as fh: fh.n = 5
try: {}["k"]
except KeyError as err: pass
if (w := i + 1): x += "b"
""",
        "values",
    )

    def shown(value: Any) -> Any:
        return (value["t"], value["n"], value["h"]) if isinstance(value, dict) else value

    assert [(name, shown(value)) for name, value in recorded.bound if name not in ("fh", "fh.n")] == [
        ("f", ("function", None, None)),
        ("x", ("list", 3, [1, 2, 3])),
        ("y", 1),
        ("z", ("list", 2, [2, 3])),
        ("a", 1),
        ("b", ("tuple", 0, [])),
        ("c", ("list", 1, [4])),
        ("d", ("dict", 0, [])),
        ("e", 1),
        ("i", 1),
        ("x", "a"),
        ("err", ("KeyError", None, None)),
        ("w", 2),
        ("x", "ab"),
    ]


def test_attribute_and_item_stores_keep_the_value_on_its_way() -> None:
    recorded = run(
        "class C: pass\nc = C()\nc.x = c.y = 1 + 1\nd = {}\nd['k'] = d[1] = c.x\nc.x += 1\n", "values"
    )
    assert [pair for pair in recorded.bound if "." in pair[0] or "[" in pair[0]] == [
        ("c.x", 2),
        ("c.y", 2),
        ("d[]", 2),
    ]


def test_each_site_keeps_its_first_values_until_it_is_refilled() -> None:
    unit, lines, values = compiled("for i in range(10):\n    x = i * 2\n    a, b = i, x\n", "values", limit=3)
    exec(unit.code, {})
    names = [unit.table.bindings[i - BASE - len(unit.table.statements)].name for i in lines if i >= BASE + 3]
    assert names == [*["i", "x", "a", "b"] * 3, "<exit>"]
    assert list(values) == [0, 0, 0, 0, 1, 2, 1, 2, 2, 4, 2, 4, 0]
    values.clear()
    unit.budget.refill(1)
    exec(unit.code, {})
    assert list(values) == [0, 0, 0, 0, 0]


def test_recursion_generators_and_exceptions_keep_ids_and_values_together() -> None:
    program = """
def fib(n):
    if n < 2: return n
    a = fib(n - 1)
    b = fib(n - 2)
    return a + b
def gen():
    for i in range(3):
        got = yield i
def bad(n):
    m = n
    x = 1 / m
    return x
r = fib(5)
g = list(gen())
try: bad(0)
except ZeroDivisionError: pass
"""
    recorded = run(program, "values")
    assert dict(recorded.bound)["r"] == 5
    assert ("m", 0) in recorded.bound
    assert "x" not in dict(recorded.bound)


# --- errors and warnings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    ["x = (", "def f(:\n pass", "x = 1\n  y = 2", "return 1", "nonlocal x", "f(x for x in y, 1)", "'\\N{no}'",
     "class C:\n  def f(self): x = 1; global x", "async def f(): yield from x", "await x",
     "from __future__ import no"],
)  # fmt: skip
@pytest.mark.parametrize("level", LEVELS)
def test_syntax_errors_are_pythons_own(source: str, level: str) -> None:
    with pytest.raises(SyntaxError) as plain:
        compile("\n" * 9 + source, FILENAME, "exec", dont_inherit=True)
    with pytest.raises(SyntaxError) as ours:
        compiled(source, level, first_line=10)
    assert ours.value.args == plain.value.args
    assert type(ours.value) is type(plain.value)


def test_a_null_byte_is_refused_as_python_does() -> None:
    with pytest.raises((ValueError, SyntaxError), match="null byte"):
        compiled("x = 1\0", "values")


def test_an_unknown_level_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="'everything' is none of effects, lines, values"):
        compiled("x = 1", "everything")


@pytest.mark.parametrize("level", LEVELS)
def test_warnings_are_said_once_and_ours_never(level: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled("x = 1\nx is 1\nassert (x, 1)\ny = '\\d'\nx = (z := 3)\n", level)
        filters = list(warnings.filters)
    assert sorted(w.lineno for w in caught) == [2, 3, 4]
    assert filters[0][0] == "always"


def test_warnings_already_shown_stay_shown() -> None:
    registry: dict[Any, Any] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            warnings.warn_explicit("once", UserWarning, "f", 1, registry=registry)
            compiled("x = 1\nx is 1\n", "values")
    assert [str(w.message) for w in caught if w.category is UserWarning] == ["once"]


# --- positions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_a_cell_keeps_the_lines_of_its_script(level: str) -> None:
    unit, _, _ = compiled("def f():\n    return 1 / 0\nf()\n", level, first_line=41)
    with pytest.raises(ZeroDivisionError) as caught:
        exec(unit.code, {})
    assert [frame.lineno for frame in traceback.extract_tb(caught.value.__traceback__)][1:] == [43, 42]
    assert [row.line for row in unit.table.statements] == [41, 42, 43]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("source", ["'text'\nx = 1\n", "'text'", "# c\n'a' 'b'\n"])
def test_a_text_at_the_head_of_a_later_cell_is_no_docstring(level: str, source: str) -> None:
    for docstring in (True, False):
        unit, lines, _ = compiled(source, level, first_line=5, docstring=docstring)
        namespace: dict[str, Any] = {}
        exec(unit.code, namespace)
        assert ("__doc__" in namespace and namespace["__doc__"] is not None) is docstring
        rows = unit.table.statements
        started = [number for number in lines if number < BASE + len(rows)]
        assert len(started) == (0 if level == "effects" else len(rows))
        assert len(rows) == source.count("=") + (not docstring)


@pytest.mark.parametrize("level", LEVELS)
def test_future_statements_hold_in_later_cells(level: str) -> None:
    first, _, _ = compiled("from __future__ import annotations\n", level)
    second, _, _ = compiled("def f(x: nowhere): pass\n", level, future_flags=first.flags)
    namespace: dict[str, Any] = {}
    exec(second.code, namespace)
    assert namespace["f"].__annotations__ == {"x": "nowhere"}
    assert second.flags == first.flags != 0
    assert compiled("x = 1", level)[0].flags == 0


@pytest.mark.parametrize("level", LEVELS)
def test_top_level_await_when_asked(level: str) -> None:
    async def three() -> int:
        return 3

    unit, _, _ = compiled("x = await three()\n", level, top_level_await=True)
    assert unit.code.co_flags & inspect.CO_COROUTINE
    namespace: dict[str, Any] = {"three": three}
    with pytest.raises(StopIteration):
        types.FunctionType(unit.code, namespace)().send(None)
    assert namespace["x"] == 3
    assert not compiled("x = 1", level, top_level_await=True)[0].code.co_flags & inspect.CO_COROUTINE


# --- triggers ------------------------------------------------------------------------------------


def test_a_trigger_is_called_in_place_of_the_buffer() -> None:
    class Trigger:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def append(self, number: int) -> None:
            self.seen.append((number, dict(namespace)))

    trigger = Trigger()
    namespace: dict[str, Any] = {"__builtins__": {}}
    unit, lines, _ = compiled("x = 1\ny = 2\n", "lines", triggers={BASE + 1: trigger})
    exec(unit.code, namespace)
    assert list(lines) == [BASE]
    assert trigger.seen == [(BASE + 1, {"__builtins__": {}, "x": 1})]


def test_a_buffer_whose_append_raises_stops_the_program_at_its_line() -> None:
    class Stop(BaseException):
        pass

    class Stopping(Buffer):
        __slots__ = ()

        def append(self, number: int, /) -> None:
            if number in marks:  # the mark of a frame is met on the way out, and is not the program's line
                return super().append(number)
            raise Stop(number)

    program = "try:\n    stop()\n    while True:\n        x = 1\nexcept Exception: pass\n"
    unit, lines, _ = compiled(program, "values")
    first = BASE + len(unit.table.statements)
    marks = {first + place for place, row in enumerate(unit.table.bindings) if row.name in MARKS}

    def stop() -> None:
        lines.__class__ = Stopping

    with pytest.raises(Stop) as caught:
        exec(unit.code, {"stop": stop})
    last = traceback.extract_tb(caught.value.__traceback__)[1]
    assert last.lineno == 3


# --- trees that are too much ---------------------------------------------------------------------


def _compiles(source: str) -> bool:
    try:
        compile(source, FILENAME, "exec")
    except (RecursionError, MemoryError):
        return False
    return True


def test_deep_expressions_are_instrumented() -> None:
    limit = sys.getrecursionlimit()
    # 3.12 has a limit of its own for trees as objects, which nobody can raise.
    terms = 1000 if sys.version_info[:2] == (3, 12) else 2000
    recorded = run("a = 1\nx = " + "a + " * terms + "a\n", "values")
    assert ("x", terms + 1) in recorded.bound
    assert sys.getrecursionlimit() == limit


def test_what_cannot_be_instrumented_runs_bare_with_a_note() -> None:
    def chain(depth: int) -> str:
        return "class C: pass\nC.a = C\nC.x = y = C" + ".a" * depth + "\n"

    # The deepest chain that this Python compiles: hooks make it a little deeper.
    depth = bisect.bisect_left(range(100_000), True, key=lambda n: not _compiles(chain(n)))
    noted = 0
    for less in (12, 9, 6, 3):
        with contextlib.suppress(RecursionError):  # the plain compilation itself, a frame or two deeper
            unit, lines, _ = compiled(chain(depth - less), "values")
            namespace: dict[str, Any] = {}
            exec(unit.code, namespace)
            assert namespace["y"] is namespace["C"].x is namespace["C"]
            assert bool(lines) == (unit.note is None)
            noted += unit.note is not None
            assert unit.note is None or unit.note.startswith("no lines: the source is too deep")
    assert noted == 4 or sys.version_info[:2] != (3, 12)


def test_compiling_deep_in_the_stack_works() -> None:
    def dive(n: int) -> list[str | None]:
        try:
            deeper = dive(n + 1)
        except RecursionError:
            return []
        try:
            unit, lines, _ = compiled("x = 1\n", "lines")
            exec(unit.code, {})
            return [*deeper, unit.note if not lines else None]
        except RecursionError:  # no room for the call itself
            return deeper

    limit = sys.getrecursionlimit()
    notes = dive(0)
    assert sys.getrecursionlimit() == limit
    assert len(notes) > 500
    assert [note for note in notes if note is not None and not note.startswith("no lines")] == []
    assert notes[-1] is None


@pytest.mark.slow
def test_huge_units_are_recorded_without_values() -> None:
    source = "x = 1\n" * (MAX_VALUE_STATEMENTS + 1)
    unit, lines, values = compiled(source, "values")
    exec(unit.code, {})
    assert unit.note == "no values: 20001 statements are more than 20000 in one unit"
    assert len(lines) == MAX_VALUE_STATEMENTS + 1
    assert not values
    assert len(unit.table.bindings) == MAX_VALUE_STATEMENTS + 1


# --- what code objects are used for --------------------------------------------------------------


def test_code_can_be_hashed_compared_and_sent_without_the_log() -> None:
    unit, lines, _ = compiled("def f(a):\n    b = [a]\n    f.x = b\n    return b\n", "values")
    namespace: dict[str, Any] = {}
    exec(unit.code, namespace)
    code = namespace["f"].__code__
    assert {code: 1}[code.replace()] == 1
    consts = pickle.loads(pickle.dumps([c for c in code.co_consts if not isinstance(c, types.CodeType)]))
    count = len(lines)
    elsewhere = types.FunctionType(code.replace(co_consts=tuple(consts)), namespace)
    assert elsewhere(1) == [1]
    assert (len(lines), namespace["f"].x) == (count, [1])


def test_compiling_leaves_no_name_behind() -> None:
    namespace: dict[str, Any] = {}
    unit = compile_unit(
        "x = 1\n", filename="f", base=0, level="values", lines=Buffer(), values=Values(), value_limit=1
    )
    exec(unit.code, namespace)
    assert set(namespace) == {"__builtins__", "x"}
    assert ast.parse("x = 1\n").body[0].lineno == 1
