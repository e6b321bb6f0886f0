"""`state_at` against an independent oracle: a plain `sys.settrace` tracer, in a plain python.

The oracle keeps, before each line that runs, the locals of the innermost frame, the globals and the
functions on the stack. A line event of coda is one start of a statement; the tracer also reports the
later visits of loop and `with` headers and the clauses of `try`, which have no event: those are passed over.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from coda.errors import UsageError
from coda.log import Trace, Units, open_trace
from coda.replay import State, state_at
from tests.conftest import RunCoda
from tests.support.doctoring import Row, doctored
from tests.support.programs import dedent, line_of, lines_at, plain_text, record

pytestmark = pytest.mark.slow

ORACLE = """
import io, json, sys
path = "prog.py"
seen, out, real = [], io.StringIO(), sys.stdout
sys.stdout = out
def shown(values):
    return {k: repr(v) for k, v in values.items() if not (k.startswith("__") and k.endswith("__"))}
def trace(frame, event, arg):
    code = frame.f_code
    if code.co_filename != path or (code.co_name[0] == "<" and code.co_name != "<module>"):
        return None
    if event == "line":
        stack, each = [], frame
        while each is not None and each.f_code.co_filename == path:
            name = each.f_code.co_qualname
            stack.append("" if name == "<module>" else name)
            each = each.f_back
        module = code.co_name == "<module>"
        seen.append([stack, frame.f_lineno, {} if module else shown(frame.f_locals),
                     shown(frame.f_globals), out.getvalue()])
    return trace
import types
main = types.ModuleType("__main__")
main.__file__ = path
sys.modules["__main__"] = main
code = compile(open(path).read(), path, "exec")
sys.settrace(trace)
exec(code, main.__dict__)
sys.settrace(None)
json.dump(seen, real)
"""
HEADERS = ("for ", "while ", "with ", "except", "async ", "class ", "def ", "@")

PROGRAMS = {
    "loops": """
        total, seen = 0, []
        for i in range(3):
            total += i
            if i == 1:
                continue
            seen.append(total)
        while total > 1:
            total -= 1
        else:
            seen = tuple(seen)
        squares = {n: n * n for n in seen}
        del i
        print(squares)
        a, (b, *c) = 1, "xyz"
        print(a, b, c)
        """,
    "recursion": """
        depth = 0
        def fact(n):
            global depth
            depth += 1
            if n <= 1:
                return 1
            smaller = fact(n - 1)
            depth -= 1
            return n * smaller
        result = fact(3)
        print(result)
        """,
    "generators": """
        def countdown(n):
            while n:
                got = yield n
                n -= 1
                if got:
                    n = got
            return "end"
        def outer():
            end = yield from countdown(2)
            yield end
        g = outer()
        first = next(g)
        second = g.send(2)
        rest = [*g]
        total = sum(x for x in countdown(2))
        print(first, second, rest, total)
        """,
    "classes": """
        class Account:
            rate = 2
            rates = [k * 2 for k in (rate, 4)]
            def __init__(self, start):
                self.amount = start
            def __repr__(self):
                return f"Account({self.__dict__})"
            @property
            def worth(self):
                factor = self.rate
                return self.amount * factor
            def add(self, *more, **named):
                for each in more:
                    self.amount += each
                return self
        account = Account(5)
        account.add(1, 2, note="x")
        worth = account.worth
        print(worth)
        """,
    "closures": """
        def make(step):
            count = 10
            def inner(times=2):
                nonlocal count
                for _ in range(times):
                    count += step
                return count
            count += 1
            return inner
        up = make(3)
        one = up()
        many = [up(k) for k in (1, 2)]
        twice = (lambda x: x * 2)(one)
        print(one, many, twice)
        """,
    "exceptions": """
        log = []
        def risky(n):
            try:
                log.append(n)
                value = 10 // n
            except ZeroDivisionError as error:
                text = str(error)
                return text
            else:
                value += 1
            finally:
                log.append("done")
            return value
        a = risky(5)
        b = risky(0)
        try:
            raise KeyError("k") from ValueError("v")
        except (KeyError, TypeError) as caught:
            name = type(caught).__name__
        print(a, b, name, log)
        """,
}


class Seen(NamedTuple):
    """What the oracle saw before a line."""

    stack: list[str]
    line: int
    locals: dict[str, str]
    globals: dict[str, str]
    output: str


def oracle(source: str, folder: Path) -> list[Seen]:
    """Runs a program under the tracer."""
    folder.mkdir(exist_ok=True)
    (folder / "prog.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-c", ORACLE], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return [Seen(*row) for row in json.loads(done.stdout)]


def before_statements(trace: Trace, seen: list[Seen], source: str) -> Iterator[tuple[int, Seen]]:
    """Pairs each line event's number with what the oracle saw before that statement."""
    lines = source.splitlines()
    rest = iter(seen)
    for event in trace.events(types={"line"}):
        for each in rest:
            if (each.stack[0], each.line) == (event.function, event.line):
                yield event.seq, each
                break
            text = lines[each.line - 1].strip()
            # Since PEP 709 a comprehension's turns are line events of the function for the oracle.
            is_inlined = sys.version_info >= (3, 12) and " for " in text
            assert is_inlined or text.startswith(HEADERS), f"no line event for line {each.line}: {text}"
        else:
            pytest.fail(f"event {event.seq} (line {event.line}) never ran in plain python")


def reprs(shown: Any) -> dict[str, str]:
    """Names and texts, without addresses; a class body's own dunder names left out."""
    return {
        name: plain_text(getattr(value, "repr", value))
        for name, value in shown.items()
        if not name.startswith("__")
    }


def real_frames(state: State) -> list[str]:
    """Functions on the stack, innermost first; comprehensions are not functions to a reader."""
    return [frame.function for frame in state.frames if not frame.function.endswith("comp>")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_state_at_every_line_is_what_a_tracer_saw(name: str, tmp_path: Path) -> None:
    source = dedent(PROGRAMS[name])
    seen = oracle(source, tmp_path / "oracle")
    trace = open_trace(record(source, tmp_path))
    pairs = list(before_statements(trace, seen, source))
    assert len(pairs) > 15
    for seq, expected in pairs:
        state = state_at(trace, seq)
        assert (state.seq, state.line) == (seq, expected.line)
        assert real_frames(state) == [each for each in expected.stack if not each.endswith("comp>")]
        assert reprs(state.frames[0].locals) == reprs(expected.locals), f"event {seq}"
        assert reprs(state.globals) == reprs(expected.globals), f"event {seq}"
        assert state.output == expected.output


SMALL = dedent(
    """
    import time
    base = 3
    def f(n):
        half = n // 2
        if half:
            return f(half) + 1
        return 0
    start = time.time()
    got = f(base * 3)
    for k in range(2):
        got += k
    print(got)
    after = got
    """
)


@pytest.fixture(scope="module", params=["effects", "lines", "values"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """One program at each level."""
    return open_trace(record(SMALL, tmp_path_factory.mktemp("small"), level=request.param))


@pytest.mark.parametrize("step", [0, 4, 5, 8, 10, 13, 15, 17])
def test_block_and_step_name_the_same_place_at_every_level(small: Trace, step: int, tmp_path: Path) -> None:
    expected = oracle(SMALL, tmp_path)
    header = line_of(SMALL, "for k in")
    starts: list[Seen] = []
    for each in expected:  # a loop header starts once, though the tracer passes it three times
        if each.line != header or all(other.line != header for other in starts):
            starts.append(each)
    state = state_at(small, f"1:{step}")
    assert state.block == 1
    assert state.line == starts[step].line
    assert reprs(state.frames[0].locals) == reprs(starts[step].locals)
    wanted = {name: text for name, text in starts[step].globals.items() if name != "start"}
    assert {name: text for name, text in reprs(state.globals).items() if name != "start"} == reprs(wanted)


def test_statements_after_an_effect_have_positions_too(tmp_path: Path) -> None:
    trace = open_trace(record(SMALL, tmp_path, level="effects"))
    block = next(trace.events(types={"block.started"})).seq
    assert [state_at(trace, f"{block}+{k}").line for k in (1, 3, 5)] == [1, 3, 9]


def test_expressions_are_evaluated_where_the_run_stands(small: Trace) -> None:
    deep = state_at(small, "1:9", exprs=["n", "half + base", "[n * x for x in (1, 2)]", "nowhere", "1 / 0"])
    values = reprs(deep.exprs)
    assert (values["n"], values["half + base"], values["[n * x for x in (1, 2)]"]) == ("4", "5", "[4, 8]")
    assert values["nowhere"] == "NameError: name 'nowhere' is not defined"
    assert values["1 / 0"] == "ZeroDivisionError: division by zero"


def test_the_ends_of_a_run_have_a_state(small: Trace) -> None:
    count = small.count()
    first, last = state_at(small, 0), state_at(small, count)
    assert (first.globals, first.frames) == ({}, ())
    assert reprs(last.globals)["after"] == "4"
    assert last.output == "4\n"
    with pytest.raises(UsageError, match=f"0 to {count}"):
        state_at(small, count + 1)
    with pytest.raises(UsageError, match="block 1"):
        state_at(small, "1:400")
    with pytest.raises(UsageError, match="is not a position"):
        state_at(small, "first")


def without_values(rows: list[Row], units: Units) -> None:
    """Takes out every recorded value, and says so in the header of the run."""
    for row in rows:
        if row["type"] == "run.started":
            row["level"] = "lines"
        if row["type"] != "lines":
            continue
        values, kept, left = iter(row.get("vals", [])), [], []
        for ident in row["ids"]:
            if ident < 0:
                kept.append(ident)
                left.append(next(values))
            elif units.is_statement(ident):
                kept.append(ident)
            else:
                next(values)
        row["ids"], row["vals"] = kept, left


@pytest.mark.parametrize("name", ["recursion", "closures", "exceptions"])
def test_no_state_comes_from_recorded_values(name: str, tmp_path: Path) -> None:
    path = record(dedent(PROGRAMS[name]), tmp_path)
    trace = open_trace(path)
    units = Units(trace.units())
    bare = open_trace(doctored(path, tmp_path / "bare.jsonl", lambda rows: without_values(rows, units)))
    assert '"vals":[1' not in bare.path.read_text()
    for event in [*trace.events(types={"line"})][3::6]:
        whole, stripped = state_at(trace, event.seq), state_at(bare, event.seq)
        texts = [
            plain_text(msgspec.structs.replace(state, notes=()).to_json().decode())
            for state in (stripped, whole)
        ]
        assert texts[0] == texts[1]


def test_the_command_shows_source_frames_and_values(tmp_path: Path, coda: RunCoda) -> None:
    path = record(SMALL, tmp_path)
    seq = lines_at(path, line_of(SMALL, "return 0"))[0].seq
    shown = coda("state", path, "--at", str(seq), "--expr", "n * 100")
    assert shown.status == 0, shown.err
    assert f"position {seq}: block 1, line {line_of(SMALL, 'return 0')} in f()" in shown.out
    assert "> return 0" in shown.out
    assert "n * 100 = 100" in shown.out
    assert shown.out.count("f()  line") == 4
    data = json.loads(coda("state", path, "--at", f"{seq}", "--json").out)
    assert data["schema"] == "coda.state/1"
    assert [frame["locals"]["n"]["repr"] for frame in data["frames"][:-1]] == ["1", "2", "4", "9"]
    beyond = coda("state", path, "--at", "99999")
    assert (beyond.status, beyond.out) == (2, "")
    assert "99999" in beyond.err
    assert "Traceback" not in beyond.err


def test_a_hostile_object_cannot_hold_the_state_up(tmp_path: Path) -> None:
    source = dedent(
        """
        class Slow:
            def __repr__(self):
                while True:
                    pass
        class Broken:
            def __repr__(self):
                raise SystemExit
        class Loud:
            def __repr__(self):
                print("side effect")
                return "loud"
        slow, broken, loud, big = Slow(), Broken(), Loud(), ["x" * 100] * 100_000
        end = 1
        """
    )
    trace = open_trace(record(source, tmp_path))
    seq = lines_at(trace, line_of(source, "end = 1"))[0].seq
    state = state_at(trace, seq)
    assert (state.globals["slow"].exact, state.globals["broken"].exact) == (False, False)
    assert state.globals["big"].truncated or not state.globals["big"].exact
    assert len(state.globals["big"].repr) <= 2000
    assert state.globals["loud"].repr == "loud"
    assert state.output == ""
