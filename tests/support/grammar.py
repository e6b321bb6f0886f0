"""Writes programs that use all of Python's grammar, from a seed; equal seeds give equal programs.

What they do is harmless and short, and most of it is guarded: an exception ends a piece, not the program.
Forms that are newer than the running interpreter are left out.
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

NEW: Final = sys.version_info >= (3, 12)
NEWEST: Final = sys.version_info >= (3, 13)

PRELUDE: Final = """\
class Box:
    __match_args__ = ("count", "a")
    count = 0
    def __setattr__(self, name, value):
        print("set", name, type(value).__name__)
        object.__setattr__(self, name, value)
    def __delattr__(self, name):
        print("del", name)
        object.__delattr__(self, name)
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
class Pause:
    def __await__(self): return (yield "paused")
def drive(coroutine):
    try:
        while True: coroutine.send(None)
    except StopIteration as end: return end.value
GENERATOR = type(i for i in "")
def drain(value):
    if type(value) is not GENERATOR: return value is None
    told = []
    try:
        told.append(next(value))
        told.append(value.send(5))
        told.append(value.throw(KeyError(9)))
        told.extend(value)
    except (StopIteration, KeyError) as end: told.append(repr(end))
    return len(told)
def twice(function): print("wrapped", function.__name__); return function
box, a, b, c, d = Box(), 1, "text", [3, 4, 5], {"k": 6}
"""

FORMS: list[str] = [
    "LEFT", "LEFT", "LEFT", "(LEFT + 1)", "(LEFT == RIGHT)", "(1 < 2)", "(LEFT if RIGHT else 0)",
    "[LEFT, 1]", "(LEFT and RIGHT)", "(not LEFT or RIGHT)", "(NAME := LEFT)", "(NAME[0])", "c[::-1]",
    "c[:1]", "{'k': LEFT}", "(0 < (LEFT != RIGHT) <= 2 != 3)", "(LEFT is not None is not RIGHT)",
    "(1 in [LEFT] not in [RIGHT])", "[i for i in (1, 2) if LEFT]", "{NAME for x in [1]}",
    "{i: j for i in (1, 2) for j in (3, i) if LEFT}", "[[LEFT for j in (i, 1)] for i in (1, 2)]",
    "sum(1 for i in (1, 2) if LEFT)", "[NAME for i in (1, 2) if (NAME := LEFT)]",
    "tuple((NAME, i) for i in 'ab')", "[lambda: i for i in 'ab'][0]()", "(lambda x: x)(LEFT)",
    "(lambda x=LEFT, *, y=(NAME := RIGHT): (x, y))()", "(lambda x, /, *y: x)(LEFT)",
    "[(lambda i=i: i)() for i in (1, 2)]", "f'{NAME!s:>3}'", "f'{NAME!r:{\"<\"}{4}}' 'more'",
    "f'{NAME = }'", "print(LEFT)", "print(*[LEFT], sep='-', **{'end': '.'})",
    "(\n    LEFT,\n    RIGHT)[0]", "[*'ab', LEFT]", "(*[1], LEFT)", "{**{'k': LEFT}, 'm': RIGHT}",
    "{*(1, 2), 3}", "-~1", "(1j, 0x1_0, b'x')[1]", "__name__", "(... is LEFT)",
]  # fmt: skip
if NEW:  # PEP 701
    FORMS += ["f\"{f'{ LEFT }'!s:>{'4'}}\"", "f'{ LEFT # why\n}'", "f'{'\\n'.join([str(LEFT)])}{ RIGHT }'"]
ASYNC_FORMS: Final = [
    "[i async for i in Steps()]", "{i: LEFT async for i in Steps() if i}",
    "[await Box().__aenter__() for i in (1,)]", "[j async for j in (i async for i in Steps())]",
    "(await Pause())", "[await Pause(), LEFT]", "[i for i in [await Pause()] async for j in Steps()]",
]  # fmt: skip
LEAVES: Final = ["0", "1", "2", "'s'", "None", "[1, 2]", "3.5", "box.count", *"abcde"]
PATTERNS: Final = [
    "[a, *b]", "[1, _, *_]", "(a, b)", "[]", "[[a], *_]", "{'k': c, **d}", "{'k': 6}", "{}", "int(e)",
    "str() | None", "[1, 2 as b]", "Box(count=c)", "Box(0)", "Box(a, b)", "_ if a", "-1 | 1.5 | 1 + 2j",
    "'text' | 's' as a", "True | False", "(1 | 2) as b if (c := b)", "Box.count", "box.count",
    "(int() as a) if a > 1", "{'k': [a, {'m': b}]}", "b'x'",
]  # fmt: skip
LAST_PATTERNS: Final = ["_", "e", "(_)", "(a)"]
SIMPLE: list[str] = [
    "NAME = VALUE", "NAME = box.NAME = VALUE", "NAME, *a = [VALUE, 1]", "a, (b, *c) = 1, [2, VALUE]",
    "[a, box.b, c[0]] = VALUE, 1, 2", "NAME = *'ab', VALUE", "NAME += 1", "c[0] = VALUE",
    "NAME[0] = VALUE", "c[-1:] = [VALUE]", "c[0] += 1", "d['k'] = d['m'] = VALUE", "d['k'] -= 1",
    "box.NAME = VALUE", "box.count += 1", "c *= 1", "a //= 2", "e: int = VALUE", "e: str",
    "box.NAME: int = VALUE", "c[0]: int = VALUE", "(e): int = 1", "VALUE", "print(VALUE)", "pass", "...",
    "'text'", "assert VALUE != 5", "assert VALUE, print('failed')", "raise KeyError(VALUE)",
    "raise KeyError(VALUE) from ValueError(1)", "raise", "raise KeyError from None", "e = 1; del e",
    "del NAME", "del c[0]", "del d['k'], box.NAME", "del (a, [b])", "import os.path as NAME",
    "import os, sys as NAME", "from os import sep", "from os import (path as NAME, linesep)",
    "raise ExceptionGroup('g', [KeyError(1), ValueError(VALUE)])", "a = 1; b = 2; print(a, b)",
]  # fmt: skip
SIMPLE += [*["pass"] * 4, "assert VALUE != 5", *["import os.path as NAME", "from os import sep"] * 2]
if NEW:  # PEP 695
    SIMPLE += ["type NAME = list[nowhere] | None", "type NAME[T] = dict[str, T]; print(NAME.__value__)"] * 2
PARAMETERS: Final = [
    "x, *b, c=2, **e", "x, /, *b, c=2, **e", "x, /, y=VALUE, *, c: int = 2, z",
    "x: 'int', y=(NAME := 1), **e",
]  # fmt: skip
CALLED: Final = "(1, 2, z=3)"
TYPE_PARAMETERS: list[str] = ["", "[T]", "[T: int, *Ts, **P]", "[T: (int, str)]"] if NEW else [""]
TYPE_PARAMETERS += ["[T = int]", "[T: int = bool, *Ts = *tuple[int], **P = [int]]"] if NEWEST else []
TARGETS: Final = ["a", "b, c", "d, *e", "box.count", "(a, [*b])", "c[0]"]


CONTEXTS: Final = [
    "Box()", "Box() as a", "Box() as box.count, Box() as b", "Box(), \\\n     Box() as c",
    "(Box() as a, Box())", "(\n    Box() as (a),\n    Box() as [b, *c],\n)", "(Box())",
    "(Box() as c[0],)",
]  # fmt: skip
_RETURN: Final = re.compile(r"\breturn\b.*", re.DOTALL)


class Where(NamedTuple):
    """What may stand at a place in a program."""

    depth: int
    function: str = ""
    loop: bool = False

    def inner(self) -> Where:
        """Inside a compound statement there."""
        return self._replace(depth=self.depth - 1)


class Programs:
    """Writes programs from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.used: Counter[str] = Counter()
        """How often each form was written."""
        self._classes = 0

    def program(self) -> str:
        """A few guarded pieces, so that one exception does not end it all, and one that may end it."""
        pieces = []
        for _ in range(self.random.randint(1, 4)):
            body = self.block(Where(self.random.randint(1, 3)))
            pieces += ["try:", *body, "except Exception as error: print(repr(error))"]
        pieces += ["if True:", *self.block(Where(2))]
        head = self.pick(
            [
                "",
                "'doc'\n",
                "from __future__ import annotations\n",
                "'doc'\nfrom __future__ import annotations\n",
            ]
        )
        return head + PRELUDE + "\n".join(pieces) + "\n"

    def name(self) -> str:
        return self.random.choice("abcde")

    def pick(self, forms: Sequence[str]) -> str:
        """One of some forms, which is noted."""
        form: str = self.random.choice(forms)
        self.used[form] += 1
        return form

    def maybe(self, *lines: str) -> list[str]:
        return list(lines) if self.random.random() < 0.4 else []

    def expression(self, depth: int = 2, forms: Sequence[str] = FORMS) -> str:
        """An expression whose value stays small."""
        if depth == 0:
            leaf: str = self.random.choice(LEAVES)
            return leaf
        if self._classes:  # a comprehension in a class body may not hold a walrus
            forms = [form for form in forms if ":=" not in form]
        form = self.pick(forms).replace("NAME", self.name())
        for side in ("LEFT", "RIGHT"):
            if side in form:
                form = form.replace(side, self.expression(depth - 1))
        return form

    def block(self, where: Where, most: int = 3) -> list[str]:
        """Statements, indented."""
        lines: list[str] = []
        for _ in range(self.random.randint(1, most)):
            lines += self.statement(where)
        return ["    " + line.replace("\n", "\n    ") for line in lines]

    def statement(self, where: Where) -> list[str]:
        """One statement with all that is in it, as lines."""
        makers = [self.simple, self.simple, self.branch, self.loop, self.attempt, self.context, self.choice]
        makers += [self.function, self.coroutine, self.klass]
        return self.simple(where) if where.depth <= 0 else self.random.choice(makers)(where)

    def simple(self, where: Where) -> list[str]:
        forms = list(SIMPLE)
        forms += ["break", "continue", "if VALUE: break", "if VALUE: continue"] * 8 if where.loop else []
        forms += ["return VALUE", "if VALUE: return"] * 2 if where.function else []
        forms += ["NAME = yield VALUE", "yield from [1, VALUE]", "yield"] if where.function == "def" else []
        forms += ["e = await Box().__aenter__()", "NAME = AWAITED"] * 4 if where.function == "async" else []
        form = self.pick(forms).replace("NAME", self.name())
        if "AWAITED" in form:
            return [form.replace("AWAITED", self.expression(1, ASYNC_FORMS))]
        return [form.replace("VALUE", self.expression(self.random.choice([1, 2])))]

    def branch(self, where: Where) -> list[str]:
        lines = [f"if {self.expression()}:", *self.block(where.inner())]
        lines += self.maybe(f"elif {self.expression()}:", *self.block(where.inner()))
        return lines + self.maybe("else:", *self.block(where.inner()))

    def loop(self, where: Where) -> list[str]:
        inside = where.inner()._replace(loop=True)
        kind = self.random.choice(["for", "while", *["async"] * 4][: 6 if where.function == "async" else 2])
        if kind == "while":
            lines = [f"w{where.depth} = 0", f"while w{where.depth} < 2:", f"    w{where.depth} += 1"]
        elif kind == "async":
            lines = [f"async for {self.name()} in Steps():"]
        else:
            over = self.pick(["[(1, 2), (3, 4)]", "*'ab', (1, 2)", "zip('ab', [[1], c])"])
            lines = [f"for {self.pick(TARGETS)} in {over}:"]
        body = ["    break"] if self.random.random() < 0.25 else self.block(inside)
        return [*lines, *body, *self.maybe("else:", *self.block(where.inner()))]

    def attempt(self, where: Where) -> list[str]:
        star = self.random.choice(["", "*"])
        # A handler of except* may not leave by break, continue or return.
        inside = Where(where.depth - 1) if star else where.inner()
        name = self.random.choice(["", " as e", " as a"])
        lines = ["try:", *self.block(where.inner())]
        lines += [f"except{star} (KeyError, TypeError){name}:", *self.block(inside)]
        lines += self.maybe(f"except{star} Exception{name}:", *self.block(inside))
        lines += self.maybe("else:", *self.block(where.inner()))
        return lines + self.maybe("finally:", *self.block(where.inner()))

    def context(self, where: Where) -> list[str]:
        word = self.random.choice(["with", *(["async with"] * 4 if where.function == "async" else [])])
        items = self.pick(CONTEXTS)
        return [f"{word} {items}:", *self.block(where.inner())]

    def choice(self, where: Where) -> list[str]:
        subject = self.pick(["VALUE", "VALUE", "VALUE, a", "box", "*c, 1", "d"])
        lines = [f"match {subject.replace('VALUE', self.expression())}:"]
        patterns = [self.pick(PATTERNS) for _ in range(3)] + self.maybe(self.pick(LAST_PATTERNS))
        for pattern in patterns:
            lines += [f"    case {pattern}:", *("    " + line for line in self.block(where.inner()))]
        return lines

    def generics(self) -> str:
        return self.pick(TYPE_PARAMETERS)

    def function(self, where: Where) -> list[str]:
        name = self.name()
        body = self.block(Where(where.depth - 1, "def"))
        if self.random.random() < 0.3:
            inner = ["        nonlocal z", "        z = [z]", *("    " + line for line in body)]
            body = ["    z = x", "    def inner():", *inner, "    drain(inner())", "    return z"]
        elif self.random.random() < 0.3:
            body = [f"    global {'a, d'}", *body]
        body += self.maybe("    yield 1")
        head = [*self.maybe("@twice"), *self.maybe("@(lambda f: f)")]
        parameters = self.pick(PARAMETERS).replace("NAME", "a").replace("VALUE", self.expression(1))
        head += [f"def {name}{self.generics()}({parameters}) -> 'out':", *self.maybe("    'doc'")]
        call = CALLED if "*b" in parameters or "/, y" in parameters else "(1, z=3)"
        return [*head, *body, f"print(drain({name}{call}))"]

    def coroutine(self, where: Where) -> list[str]:
        name = self.name()
        inside = Where(where.depth - 1, "async")
        makers = self.random.sample([self.context, self.loop], self.random.choice([1, 2]))
        first = [line for make in makers for line in make(inside)]
        body = [*("    " + line.replace("\n", "\n    ") for line in first), *self.block(inside)]
        if self.random.random() < 0.3:
            gather = ["async def gather():", f"    return [i async for i in {name}(1)]"]
            ended = [*gather, "print(drive(gather()))"]
            body = [_RETURN.sub("pass", line) for line in body] + ["    yield 1", "    yield b"]
        else:
            ended = [f"print(drive({name}(1)) is None)"]
        return [f"async def {name}{self.generics()}(x, b=[1]):", *body, *ended]

    def klass(self, where: Where) -> list[str]:
        name, base = self.name(), self.pick(["", "(Box)", "(dict)", "(Box, metaclass=type)"])
        method = ["    def m(self, __q=1):", "        self.__x = __q", "        self.__x += 1"]
        method += ["        return __class__.__name__, [__q for _ in (1,)], self.__x"]
        self._classes += 1
        body = self.block(where.inner()._replace(function="", loop=False))
        self._classes -= 1
        body = [*self.maybe("    'doc'"), *self.maybe("    global a, d"), *body]
        body += self.maybe("    __p = [i for i in (1, 2)]", "    p = [__p, lambda: __p]")
        body += self.maybe("    @property", "    def q(self): return self.m()")
        return [*self.maybe("@twice"), f"class {name}{self.generics()}{base}:", *body, *method,
                f"print({name}().m())"]  # fmt: skip


def every_form() -> set[str]:
    """All forms of expressions, simple statements, patterns, parameters and targets."""
    return {
        *FORMS,
        *ASYNC_FORMS,
        *PATTERNS,
        *LAST_PATTERNS,
        *SIMPLE,
        *PARAMETERS,
        *TARGETS,
        *CONTEXTS,
        *TYPE_PARAMETERS,
    }
