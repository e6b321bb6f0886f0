"""Generated programs show the same plain and recorded; how often each kind of statement ran is reported."""

from __future__ import annotations

import ast
import random
import re
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.runtime.instrument_run import BASE, PLAIN, Seen, run
from tests.unit.runtime.instrument_truth import check, tell

AT_LEAST = 50
# Statements that speak to the compiler only and never run.
SILENT = {"global", "nonlocal"}
KINDS = {
    kind.__name__.lower()
    for kind in ast.stmt.__subclasses__()
    if kind.__module__ in ("ast", "_ast") and kind.__name__ != "TypeAlias"
}

PRELUDE = """\
class Box:
    count = 0
    def __setattr__(self, name, value):
        print("set", name, type(value).__name__)
        object.__setattr__(self, name, value)
    def __enter__(self): return self
    def __exit__(self, kind, *rest): print("exit", kind); return kind is KeyError
    async def __aenter__(self): return 1
    async def __aexit__(self, kind, *rest): return kind is KeyError
class Steps:
    def __init__(self): self.n = 0
    def __aiter__(self): return self
    async def __anext__(self):
        self.n += 1
        if self.n > 2: raise StopAsyncIteration
        return self.n
def drive(coroutine):
    try:
        while True: coroutine.send(None)
    except StopIteration as end: return end.value
def drain(value): return list(value) if type(value) is GENERATOR else value is None
GENERATOR = type(i for i in "")
box, a, b, c, d = Box(), 1, "text", [3, 4, 5], {"k": 6}
"""

FORMS = [
    "LEFT", "LEFT", "LEFT", "(LEFT + 1)", "(LEFT == RIGHT)", "(1 < 2)", "(LEFT if RIGHT else 0)", "[LEFT, 1]",
    "(LEFT and RIGHT)", "(NAME := LEFT)", "(NAME[0])", "{'k': LEFT}", "[i for i in (1, 2) if LEFT]",
    "(lambda x: x)(LEFT)", "f'{NAME!s:>3}'", "print(LEFT)", "(\n    LEFT,\n    RIGHT)[0]",
    "{NAME for x in [1]}",
]  # fmt: skip
LEAVES = ["0", "1", "2", "'s'", "None", "[1, 2]", "3.5", "box.count", "a", "b", "c", "d", "e"]
PATTERNS = [
    "[a, *b]",
    "{'k': c, **d}",
    "int(e)",
    "str() | None",
    "[1, 2 as b]",
    "Box(count=c)",
    "_ if a",
]
SIMPLE = [
    "NAME = VALUE", "NAME = box.NAME = VALUE", "NAME, *a = [VALUE, 1]", "NAME += 1", "c[0] = VALUE",
    "NAME[0] = VALUE",
    "box.NAME = VALUE", "box.count += 1", "e: int = VALUE", "e: str", "VALUE", "print(VALUE)", "pass",
    "assert VALUE != 5", "raise KeyError(VALUE)", "e = 1; del e", "del NAME", "import os.path as NAME",
    "from os import sep", "from os import sep", "pass", "assert VALUE != 5", "import os.path as NAME",
    "raise ExceptionGroup('g', [KeyError(1), ValueError(VALUE)])",
]  # fmt: skip


class Where(NamedTuple):
    """What may stand at a place in a program."""

    depth: int
    function: str = ""
    loop: bool = False

    def inner(self) -> Where:
        return self._replace(depth=self.depth - 1)


class Programs:
    """Writes programs; equal seeds give equal programs."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def program(self) -> str:
        """A few guarded pieces, so that one exception does not end it all, and one that may end it."""
        pieces = []
        for _ in range(self.random.randint(1, 4)):
            body = self.block(Where(self.random.randint(1, 3)))
            pieces += ["try:", *body, "except Exception as error: print(repr(error))"]
        pieces += ["if True:", *self.block(Where(2))]
        return PRELUDE + "\n".join(pieces) + "\n"

    def name(self) -> str:
        return self.random.choice("abcde")

    def maybe(self, *lines: str) -> list[str]:
        return list(lines) if self.random.random() < 0.4 else []

    def expression(self, depth: int = 2) -> str:
        """An expression whose value stays small."""
        if depth == 0:
            return self.random.choice(LEAVES)
        form = self.random.choice(FORMS).replace("NAME", self.name())
        return form.replace("LEFT", self.expression(depth - 1)).replace("RIGHT", self.expression(depth - 1))

    def block(self, where: Where, most: int = 3) -> list[str]:
        lines: list[str] = []
        for _ in range(self.random.randint(1, most)):
            lines += self.statement(where)
        return ["    " + line.replace("\n", "\n    ") for line in lines]

    def statement(self, where: Where) -> list[str]:
        """One statement with all that is in it, as lines."""
        makers = [self.simple, self.branch, self.loop] * 2
        makers += [self.attempt, self.context, self.choice]
        makers += [self.function, self.coroutine, self.coroutine, self.klass]
        return self.simple(where) if where.depth <= 0 else self.random.choice(makers)(where)

    def simple(self, where: Where) -> list[str]:
        forms = list(SIMPLE)
        leaving = ["break", "break", "continue", "if VALUE: break", "if VALUE: continue"]
        forms += leaving * 5 if where.loop else []
        forms += ["return VALUE", "if VALUE: return"] if where.function else []
        forms += ["e = await Box().__aenter__()"] * 3 if where.function == "async" else []
        form = self.random.choice(forms).replace("NAME", self.name())
        return [form.replace("VALUE", self.expression())]

    def branch(self, where: Where) -> list[str]:
        lines = [f"if {self.expression()}:", *self.block(where.inner())]
        lines += self.maybe(f"elif {self.expression()}:", *self.block(where.inner()))
        return lines + self.maybe("else:", *self.block(where.inner()))

    def loop(self, where: Where) -> list[str]:
        inside = where.inner()._replace(loop=True)
        kind = self.random.choice(["for", "while", *["async"] * 6][: 8 if where.function == "async" else 2])
        if kind == "while":
            lines = [f"w{where.depth} = 0", f"while w{where.depth} < 2:", f"    w{where.depth} += 1"]
        elif kind == "async":
            lines = [f"async for {self.name()} in Steps():"]
        else:
            target = self.random.choice(["a", "b, c", "d, *e", "box.count"])
            lines = [f"for {target} in [(1, 2), (3, 4)]:"]
        return [*lines, *self.block(inside), *self.maybe("else:", *self.block(where.inner()))]

    def attempt(self, where: Where) -> list[str]:
        star = self.random.choice(["", "*", "*"])
        # A handler of except* may not leave by break, continue or return.
        inside = Where(where.depth - 1) if star else where.inner()
        name = self.random.choice(["", " as e", " as a"])
        lines = ["try:", *self.block(where.inner())]
        lines += [f"except{star} (KeyError, TypeError){name}:", *self.block(inside)]
        lines += self.maybe(f"except{star} Exception{name}:", *self.block(inside))
        lines += self.maybe("else:", *self.block(where.inner()))
        return lines + self.maybe("finally:", *self.block(where.inner()))

    def context(self, where: Where) -> list[str]:
        word = self.random.choice(["with", *(["async with"] * 6 if where.function == "async" else [])])
        target = self.random.choice(["", " as a", " as box.count, Box() as b", ", \\\n     Box() as c"])
        return [f"{word} Box(){target}:", *self.block(where.inner())]

    def choice(self, where: Where) -> list[str]:
        lines = [f"match {self.expression()}:"]
        for pattern in self.random.sample(PATTERNS, 3):
            lines += [f"    case {pattern}:", *("    " + line for line in self.block(where.inner()))]
        return lines

    def function(self, where: Where) -> list[str]:
        name = self.name()
        body = self.block(Where(where.depth - 1, "def"))
        if self.random.random() < 0.3:
            inner = ["        nonlocal z", "        z = [z]", *("    " + line for line in body)]
            body = ["    z = x", "    def inner():", *inner, "    inner()", "    return z"]
        elif self.random.random() < 0.3:
            body = [f"    global {'a, d'}", *body]
        body += self.maybe("    yield 1")
        head = [*self.maybe("@(lambda f: f)"), f"def {name}(x, *b, c=2, **e):", *self.maybe("    'doc'")]
        return [*head, *body, f"print(drain({name}(1, 2, z=3)))"]

    def coroutine(self, where: Where) -> list[str]:
        name = self.name()
        inside = Where(where.depth - 1, "async")
        first = self.random.choice([self.context, self.loop])(inside)
        body = [*("    " + line.replace("\n", "\n    ") for line in first), *self.block(inside)]
        return [f"async def {name}(x, b=[1]):", *body, f"print(drive({name}(1)) is None)"]

    def klass(self, where: Where) -> list[str]:
        name, base = self.name(), self.random.choice(["", "(Box)", "(dict)"])
        method = ["    def m(self):", "        self.__x = self", "        return __class__.__name__"]
        return [f"class {name}{base}:", *self.block(where.inner()._replace(function="", loop=False)), *method,
                f"print({name}().m())"]  # fmt: skip


SEEDS = st.integers(0, 1 << 64)


def compiles(program: str) -> bool:
    try:
        compile(program, "program", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


@pytest.mark.slow
def test_generated_programs_show_the_same() -> None:
    ran: Counter[str] = Counter()
    tried: Counter[bool] = Counter()
    told: Counter[bool] = Counter()

    @settings(max_examples=160, suppress_health_check=list(HealthCheck))
    @given(SEEDS, st.sampled_from([("lines", 1), ("values", 1), ("values", 2), ("values", 1000)]))
    def show_the_same(seed: int, how: tuple[str, int]) -> None:
        program = Programs(seed).program()
        tried[compiles(program)] += 1
        if not compiles(program):
            return
        recorded = run(program, how[0], limit=how[1])
        assert _no_addresses(recorded.seen) == _no_addresses(run(program, PLAIN).seen), program
        if how == ("values", 1000):
            known, unknown = check(tell(program))
            told[True] += known
            told[False] += unknown
        statements = recorded.unit.table.statements
        ran.update(statements[i - BASE].kind for i in recorded.ids if i - BASE < len(statements))
        ran.update(kind for node in ast.walk(ast.parse(program)) if (kind := _kind(node)) in SILENT)

    show_the_same()
    print(f"{tried[True]} programs, {tried[False]} that are not Python; statements by kind: {dict(ran)}")
    assert {kind: ran[kind] for kind in KINDS if ran[kind] < AT_LEAST} == {}
    assert tried[True] > tried[False] * 3
    print(f"frames: {told[True]} statements and values told, {told[False]} not known")
    assert told[False] == 0


def _no_addresses(seen: Seen) -> Seen:
    parts = (seen.output, seen.error or "", seen.traceback)
    output, error, text = (re.sub(" at 0x[0-9a-f]+", "", part) for part in parts)
    return seen._replace(output=output, error=error, traceback=text)


def _kind(node: ast.AST) -> str:
    return type(node).__name__.lower()
