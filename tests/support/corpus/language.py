"""Programs that use the language in all its parts, and the standard library."""

from __future__ import annotations

from tests.support.programs import program

LANGUAGE = [
    program(
        "classes",
        """
        from abc import ABC, abstractmethod
        class Shape(ABC):
            count = 0
            def __init_subclass__(cls, **kw):
                super().__init_subclass__(**kw)
                print("made", cls.__name__)
            @abstractmethod
            def area(self): ...
            @property
            def double(self):
                return self.area() * 2
            @classmethod
            def make(cls, *args):
                Shape.count += 1
                return cls(*args)
        class Square(Shape):
            __slots__ = ("side",)
            def __init__(self, side):
                self.side = side
            def area(self):
                return self.side ** 2
            def __eq__(self, other):
                return isinstance(other, Square) and self.side == other.side
            def __hash__(self):
                return hash(self.side)
        a, b = Square.make(2), Square.make(2)
        print(a == b, len({a, b}), a.double, Shape.count)
        try:
            Shape()
        except TypeError as error:
            print(error)
        class Meta(type):
            def __call__(cls, *args):
                instance = super().__call__(*args)
                instance.tag = "meta"
                return instance
        class Tagged(metaclass=Meta): pass
        print(Tagged().tag, object())
        """,
    ),
    program(
        "generators",
        """
        def fib(n):
            a, b = 0, 1
            for _ in range(n):
                got = yield a
                if got:
                    a, b = got, got + 1
                a, b = b, a + b
            return "done"
        def outer():
            result = yield from fib(4)
            print("inner gave", result)
            try:
                yield 99
            finally:
                print("closing")
        print(list(fib(8)))
        g = fib(3)
        print(next(g), g.send(10), next(g, "over"))
        o = outer()
        print([next(o) for _ in range(5)])
        o.close()
        e = fib(9)
        next(e)
        try:
            e.throw(ValueError("in"))
        except ValueError as error:
            print("out", error)
        """,
    ),
    program(
        "closures_decorators",
        """
        import functools
        def counter(start):
            n = start
            def step(by=1):
                nonlocal n
                n += by
                return n
            return step
        up = counter(10)
        print(up(), up(5), [f(3) for f in [lambda x, k=k: x * k for k in range(3)]])
        def logged(prefix):
            def wrap(f):
                @functools.wraps(f)
                def inner(*args, **kw):
                    print(prefix, f.__name__, args, kw)
                    return f(*args, **kw)
                return inner
            return wrap
        @logged(">")
        @functools.lru_cache(None)
        def square(x): return x * x
        print(square(4), square(4), square.__wrapped__.cache_info())
        print(up.__closure__[0].cell_contents, functools.reduce(lambda a, b: a + b, range(5)))
        """,
    ),
    program(
        "recursion",
        """
        def hanoi(n, a, b, c):
            return 0 if n == 0 else hanoi(n - 1, a, c, b) + 1 + hanoi(n - 1, c, b, a)
        def depth(n=0):
            try:
                return depth(n + 1)
            except RecursionError:
                return n
        print(hanoi(6, "a", "b", "c"), depth())
        def boom(n):
            return boom(n + 1)
        try:
            boom(0)
        except RecursionError as error:
            print("rec", error)
        """,
    ),
    program(
        "comprehensions",
        """
        rows = [{"k": k, "v": v} for k, v in zip("abc", range(3)) if v != 1]
        nested = [[x * y for x in range(3)] for y in range(3)]
        print(rows, nested, {r["k"]: r["v"] for r in rows}, {x % 2 for x in range(9)})
        gen = (x for x in range(10) if (half := x // 2) > 2)
        print(next(gen), half, sum(gen), [*range(3), *"ab"], {**{"a": 1}, "b": 2})
        print(any(x > 2 for x in range(5)), sorted("banana", key=lambda c: (c != "n", c)))
        first, *middle, last = range(6)
        print(first, middle, last, f"{last!r:>4}|{3.14159:.2f}|{'nested ' + f'{first}'}")
        """,
    ),
    program(
        "match",
        """
        import dataclasses
        @dataclasses.dataclass
        class Point:
            x: int
            y: int
        def kind(v):
            match v:
                case 0: return "zero"
                case int(n) if n < 0: return f"negative {n}"
                case [a, b, *rest]: return f"list {a} {b} {rest}"
                case {"type": "x", **more}: return f"mapping {more}"
                case Point(x=0, y=y): return f"on axis {y}"
                case Point(): return "point"
                case "a" | "b" as letter: return letter
                case _: return "other"
        for v in (0, -3, [1, 2, 3], {"type": "x", "z": 1}, Point(0, 2), Point(1, 1), "b", 1.5):
            print(kind(v))
        """,
    ),
    program(
        "asyncio_gather",
        """
        import asyncio
        async def work(n):
            await asyncio.sleep(0.002 * n)
            return n * 2
        async def produce(q):
            for i in range(3):
                await q.put(i)
            await q.put(None)
        async def main():
            print(await asyncio.gather(*(work(i) for i in range(4))))
            q = asyncio.Queue()
            task = asyncio.create_task(produce(q))
            while (item := await q.get()) is not None:
                print("got", item)
            await task
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 0.01)
            except asyncio.TimeoutError:
                print("timeout")
            async with asyncio.timeout(5):
                print(await work(1))
        asyncio.run(main())
        """,
    ),
    program(
        "async_generators",
        """
        import asyncio
        class Manager:
            async def __aenter__(self):
                print("in")
                return self
            async def __aexit__(self, *exc):
                print("out", exc[0])
                return True
        async def ticks(n):
            try:
                for i in range(n):
                    await asyncio.sleep(0)
                    yield i
            finally:
                print("done")
        async def main():
            async with Manager():
                print([i async for i in ticks(3)])
                raise ValueError("swallowed")
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(asyncio.sleep(0, i)) for i in range(3)]
            print([t.result() for t in tasks])
            task = asyncio.create_task(asyncio.sleep(60))
            await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled")
        asyncio.run(main())
        """,
    ),
    program(
        "dataclasses_enums",
        """
        from dataclasses import dataclass, field, asdict, replace
        from enum import Enum, Flag, auto
        from typing import NamedTuple
        from collections import defaultdict, Counter, OrderedDict, deque
        class Color(Enum):
            RED = auto()
            BLUE = auto()
        class Mode(Flag):
            R = 1
            W = 2
        class Pair(NamedTuple):
            a: int
            b: str = "x"
        @dataclass(order=True, frozen=True)
        class Item:
            name: str
            tags: list = field(default_factory=list, compare=False)
            color: Color = Color.RED
        a = Item("a", ["t"])
        print(a, asdict(a), replace(a, name="b") > a, Color(2), Mode.R | Mode.W, Pair(1)._replace(b="y"))
        counts = Counter("mississippi")
        groups = defaultdict(list)
        for word in "one two three four".split():
            groups[len(word)].append(word)
        print(counts.most_common(2), dict(groups), deque([1, 2, 3], 2), OrderedDict(a=1))
        """,
    ),
    program(
        "context_managers",
        """
        import contextlib, io
        @contextlib.contextmanager
        def tag(name):
            print(f"<{name}>")
            try:
                yield name.upper()
            finally:
                print(f"</{name}>")
        with tag("a") as a, tag("b") as b:
            print(a, b)
        with contextlib.suppress(KeyError), tag("c"):
            {}["missing"]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            print("captured")
        print(repr(out.getvalue()))
        with contextlib.ExitStack() as stack:
            for name in "xy":
                stack.enter_context(tag(name))
            stack.callback(print, "callback")
        for i in range(4):
            try:
                if i == 1: continue
                if i == 3: break
                print("i", i)
            finally:
                print("finally", i)
        else:
            print("never")
        """,
    ),
    program(
        "gc_del",
        """
        import gc, weakref
        class Node:
            def __init__(self, n):
                self.n = n
            def __del__(self):
                print("del", self.n)
        for i in range(3):
            node = Node(i)
            node.me = node
        ref = weakref.ref(node)
        del node
        gc.collect()
        print(ref())
        plain = Node("plain")
        del plain
        print("end")
        """,
    ),
]

STDLIB = [
    program(
        "stdlib_mix",
        """
        import collections, decimal, fractions, hashlib, itertools, math, operator, re, statistics, string
        import base64, bisect, copy, heapq, textwrap, types, urllib.parse, html, difflib, calendar, zlib
        print(decimal.Decimal("0.1") + 1, fractions.Fraction(1, 3), hashlib.sha256(b"x").hexdigest()[:8])
        print(list(itertools.groupby("aab"))[0][0], math.isclose(math.pi, 3.14159, abs_tol=1e-4))
        print(re.sub(r"(\\d+)", lambda m: str(int(m[1]) * 2), "a1b22"), statistics.mean([1, 2, 3]))
        print(base64.b64encode(b"hi"), bisect.bisect([1, 2, 4], 3), heapq.nsmallest(2, [3, 1, 2]))
        print(urllib.parse.urlsplit("http://a/b?c=d").query, html.escape("<a>"), zlib.crc32(b"abc"))
        print(list(difflib.unified_diff(["a"], ["b"], lineterm=""))[2:], calendar.isleap(2024))
        deep = copy.deepcopy({"a": [1, {"b": 2}]})
        deep["a"][1]["b"] = 3
        print(deep, string.Template("$x").substitute(x=1), types.SimpleNamespace(a=1))
        """,
    ),
    program(
        "exec_eval",
        """
        scope = {}
        exec("def f(x):\\n    return x + 1\\ny = f(1)", scope)
        print(scope["y"], eval("y * 2", scope), eval("[i for i in range(3)]"))
        code = compile("a = 5\\nb = a", "<made>", "exec")
        exec(code)
        print(a, b)
        try:
            exec("1 / 0")
        except ZeroDivisionError as error:
            print(error.__traceback__.tb_next.tb_frame.f_code.co_filename)
        print(sorted(set(dir()) & {"a", "b", "scope"}), locals() is globals())
        """,
    ),
    program(
        "numbers_text",
        """
        nan, inf = float("nan"), float("-inf")
        big = 2 ** 200
        print(nan, inf, big, -0.0, 1e300 * 1e10, 0.1 + 0.2, 10 ** 18, ~5, 7 // -2, -7 % 3, True + 1)
        values = [nan, inf, big, (1, 2), {3, 4}, b"\\x00", "\\ud83d", 1 + 2j, ..., None, range(3), slice(1)]
        for value in values:
            kept = value
            print(type(kept).__name__, ascii(kept))
        def f(a, /, b, *c, d=4, **e): return a, b, c, d, e
        print(f(1, 2, 3, d=5, z=6), f.__kwdefaults__)
        """,
    ),
    program(
        "del_global",
        """
        x = [1, 2, 3]
        y = x
        del x[0]
        y += [9]
        def f():
            global z
            z = len(y)
            del globals()["x"]
        f()
        try:
            x
        except NameError as error:
            print(error)
        print(y, z)
        a = b = c = 0
        a, b = b + 1, a
        i: int = 5
        i <<= 2
        print(a, b, c, i, __annotations__)
        """,
    ),
]
