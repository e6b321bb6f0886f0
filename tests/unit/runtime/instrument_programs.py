"""Programs that use all of the grammar, as people write it; each is run plain and recorded."""

# ruff: noqa: E501  the programs are their own layout

from __future__ import annotations

import sys

PROGRAMS: dict[str, str] = {
    "docstring": '"""Doc."""\nx = __doc__\n',
    "future": '"""Doc."""\nfrom __future__ import annotations\ndef f(x: nowhere) -> nothing: "d"; return x\ny = f(1)\n',
    "only_docstrings": 'def f(a, b=1): "only"\nclass C: "only"\nx = f(1), C.__doc__\n',
    "assignments": """
        a = b = [1, 2]
        (c, *d), [e] = (1, 2, 3), [4]
        f: int = 5
        g: str
        a[0], h = 7, 8
        a[1:] = [9]
        i = j, k = 1, 2
        b += [1]; c -= 1; a[0] *= 2
        x = 1 if a else 2; del c, d[0]
        """,
    "attributes": """
        class Box:
            def __init__(self): self.n = 0; self.log = []
            def __setattr__(self, name, value):
                print("set", name, value); object.__setattr__(self, name, value)
            def __getattr__(self, name):
                print("get", name); raise AttributeError(name)
            @property
            def loud(self): print("read"); return 1
            @loud.setter
            def loud(self, value): print("write", value)
        b = Box()
        b.loud = b.n = 3
        b.n += 1
        b.loud += 1
        class Items(dict):
            def __getitem__(self, key): print("item", key); return dict.__getitem__(self, key)
        rows = Items()
        rows["a"] = b.other = 4
        rows["a"] += 1
        b.x, rows["c"], y = 1, 2, 3
        """,
    "control": """
        out = []
        for i in range(5):
            if i == 0: continue
            elif i == 1: out.append("one")
            elif i == 2:
                out.append("two")
            else:
                if i == 4: break
        else:
            out.append("never")
        while True:
            i -= 1
            if i < 0: break
        while i < 3: i += 1
        else: out.append("else")
        """,
    "try": """
        def f(n):
            try:
                if n == 0: return "zero"
                if n == 1: raise ValueError(n)
                if n == 2: raise KeyError(n)
                [][n]
            except (ValueError, TypeError) as e:
                return repr(e)
            except KeyError:
                try: raise
                except LookupError as e: return e.__context__ is None
            except IndexError as e:
                raise RuntimeError from e
            else: return "else"
            finally: print("finally", n)
        x = [f(i) for i in range(3)]
        try: f(3)
        except RuntimeError as e: cause = repr(e.__cause__)
        try: e
        except NameError as n: gone = str(n)
        """,
    "except_star": """
        def f():
            try:
                raise ExceptionGroup("g", [ValueError(1), TypeError(2), ExceptionGroup("h", [KeyError(3)])])
            except* ValueError as e: print("v", e.exceptions)
            except* KeyError as e: print("k", e.exceptions)
        try: f()
        except ExceptionGroup as e: rest = repr(e)
        """,
    "with": """
        from contextlib import contextmanager, ExitStack
        @contextmanager
        def m(n):
            print("in", n)
            try: yield n, [n]
            except ValueError as e: print("swallowed", e)
            finally: print("out", n)
        with m(1) as (a, [b]), m(2) as c, \\
             m(3): raise ValueError("x")
        with (m(4) as d, m(5)): pass
        box = [0]
        with m(6) as box[0]: print(box)
        """,
    "match": """
        class P:
            __match_args__ = ("x", "y")
            def __init__(self, x, y): self.x, self.y = x, y
        def f(v):
            match v:
                case 0 | 1 as n: return "small", n
                case [a, b, *rest] if a: return a, b, rest
                case {"k": k, **rest}: return k, rest
                case P(x=0, y=y) | P(y, 0): return "P", y
                case P(x, y): return x, y
                case str() as s: return s
                case (1 | 2, z): return z
                case None: return None
                case _: return "other"
        x = [f(v) for v in (0, [1, 2, 3], [0, 5], {"k": 1, "l": 2}, P(0, 4), P(5, 0), P(1, 2), "s", None, 3.5)]
        match x, 1:
            case y, z: pass
        """,
    "walrus": """
        import io
        lines = io.StringIO("a\\nb\\n")
        while (line := lines.readline()): print(line)
        xs = [y := 1, y**2, (z := y + 1)]
        def f(n):
            if (m := n + 1) > 2 and (k := (j := m)): return m, k, j
            return [last := i for i in range(3) if (i2 := i)], last, i2
        x = f(1), f(5)
        g = lambda q: (w := q, w)
        v = g(3)
        class C:
            a = (b := 5) + 1
        print(f"{(u := 10):>5}", u)
        """,
    "comprehensions": """
        n = 3
        a = [i * n for i in range(n) if i for j in range(i)]
        b = {i: (i, n) for i in a}; c = {i for i in a}; d = list(i for i in a)
        e = [[k for k in range(m)] for m in range(3)]
        class C:
            xs = [1, 2]
            ys = [x for x in xs]
            try: zs = [x + xs[0] for x in range(1)]
            except NameError as err: zs = str(err)
        """,
    "functions": """
        def f(a, /, b, *args, c=3, d, **kw): return a, b, args, c, d, kw
        x = f(1, 2, 3, d=4, e=5), f.__defaults__, f.__kwdefaults__
        def deco(fn): print("deco", fn.__name__); return fn
        @deco
        @deco
        def g(n=[]): n.append(1); return n
        y = g(), g()
        def outer():
            n = 0
            def inner():
                nonlocal n
                n += 1
                return n
            return inner
        h = outer(); z = h(), h()
        def setg():
            "doc"
            global made
            made = 1
        setg()
        def rec(n): return 1 if n == 0 else n * rec(n - 1)
        fact = rec(20)
        """,
    "generators": """
        def gen():
            try:
                x = yield 1
                print("got", x)
                y = yield from sub()
                return y
            finally: print("closed")
        def sub():
            z = yield 2
            return z
        g = gen(); a = next(g), g.send("s")
        try: g.send("end")
        except StopIteration as e: b = e.value
        g2 = gen(); next(g2); g2.close()
        g3 = gen(); next(g3)
        try: g3.throw(ValueError("thrown"))
        except ValueError as e: c = str(e)
        def many():
            for i in range(3): v = yield i
        d = list(many())
        del g2
        """,
    "async": """
        import asyncio
        class A:
            async def __aenter__(self): print("enter"); return self
            async def __aexit__(self, *exc): print("exit", exc[0])
            def __aiter__(self): self.n = 0; return self
            async def __anext__(self):
                self.n += 1
                if self.n > 2: raise StopAsyncIteration
                await asyncio.sleep(0)
                return self.n
        async def agen():
            for i in range(3):
                got = yield i
        async def main(k):
            async with A() as a, A():
                async for x in a: print(x)
                else: print("else")
            r = [i async for i in agen()]
            return r, await asyncio.gather(*(leaf(i) for i in range(3)))
        async def leaf(i): await asyncio.sleep(0); return i * 2
        out = asyncio.run(main(1))
        """,
    "classes": """
        class Meta(type):
            def __prepare__(name, bases, **kw): print("prepare", kw); return {}
            def __new__(m, name, bases, ns, **kw): print([k for k in ns if not k.startswith("__firstl")]); return super().__new__(m, name, bases, ns)
            def __init__(cls, *a, **kw): pass
        class C(metaclass=Meta, flag=1):
            "doc"
            __private = 1
            x: int = 2
            def __init__(self, __arg=0): self.__hidden = __arg; self.y = __class__
            def get(self): return self.__private, self.__hidden, super().__repr__ is not None
            for i in range(2): pass
            class D: z = 1; __q = 2
            @staticmethod
            def s(): return __class__.__name__
            @property
            def p(self): return 1
            del i
        c = C(5); a = c.get(), C.s(), c.p, sorted(vars(c)), C.D._D__q
        """,
    "exotic_namespace": """
        class Auto(dict):
            def __missing__(self, key):
                if key.startswith("__"): raise KeyError(key)
                print("missing", key); self[key] = len(self); return self[key]
            def __setitem__(self, key, value): print("set", key); dict.__setitem__(self, key, value)
            def __getitem__(self, key): print("get", key); return dict.__getitem__(self, key)
        class M(type):
            @classmethod
            def __prepare__(m, name, bases): return Auto()
            def __new__(m, name, bases, ns): return type.__new__(m, name, bases, dict(ns))
        class E(metaclass=M):
            red
            green
            blue = red + 5
            if blue: append = green
            def f(self): return 1
            import os as system
            for q in (1,): w = q
            with open(system.devnull) as fh: pass
            (n := 4)
        out = sorted((k, v) for k, v in vars(E).items() if isinstance(v, int) and k[0] != "_")
        """,
    "super_name": """
        class B:
            def m(self, super): super = super; return super
            def n(self): return (lambda: super().__class__)
        x = B().m(3), B.m.__closure__, B().n()() is B
        def free(super): return super
        """,
    "shadowed": """
        type = summary = append = list = None
        def f(type, append): x = type; y: int = append; return x, y
        z = f([1], {"a": object})
        """,
    "strings": """
        name = "w"; w = 10
        a = f"{name!r:>{w}} {name=} {{}} {f'{w:03d}'}"
        b = "a" "b"; c = 1_000; d = 1e400; e = -1e400; g = 3j; h = ...
        """,
    "imports": """
        import os.path, sys as system
        from os import path as p, sep
        from collections import *
        try: import nowhere.at_all
        except ImportError as e: err = str(e)
        x = p.join("a", "b"), Counter("aab")
        def f():
            import json.decoder
            return json.decoder.__name__
        y = f()
        """,
    "assert_raise": "x = 3\nassert x == 3, 'fine'\nassert x == 4, (\n    f'not {x}'\n)\n",
    "zero_division": "def f(a):\n    b = a\n    return [\n        1,\n        b / (a - a),\n    ]\nx = 1; f(x + 1)\n",
    "attribute_error": "class C: pass\nc = C()\nc.x = c.y = 1\nc.z.w = c.q = c.a.b\n",
    "setter_raises": """
        class C:
            @property
            def x(self): return 1
        c = C()
        c.x = (1 +
               2)
        """,
    "walrus_raises": "def f(): raise ValueError(1)\nif (x := 1) and (y := f() + 2) > 3: pass\n",
    "multiline": """
        def g(*a, **k): return a, k
        x = g(
            1, *[
                2], k=3,
        )
        y = (
            x
            [0]
        )
        z = [
            i for i in
            range(3)
            if i
        ]
        g(1,
          z[10])
        """,
    "decorator_raises": "def bad(f): return None.x\n@bad\ndef f():\n    pass\n",
    "for_raises": "for a, b in [(1, 2), (3,)]:\n    print(a, b)\n",
    "with_raises": "import contextlib\nwith contextlib.nullcontext(1) as a, \\\n     contextlib.nullcontext(a.b) as c:\n    pass\n",
    "match_raises": "match 5:\n    case int(x) if x / 0: pass\n    case y: pass\n",
    "nested_raises": """
        def a(n):
            try: b(n)
            except ZeroDivisionError as e: raise KeyError("k") from e
        def b(n):
            x = n
            return x / 0
        a(1)
        """,
    "group_raises": "raise ExceptionGroup('g', [ValueError(1), ExceptionGroup('h', [TypeError(2)])])\n",
    "exit": "import sys\nx = 1\nsys.exit(3)\n",
    "recursion": "def f(n):\n    return f(n + 1)\ntry: f(0)\nexcept RecursionError as e: x = type(e)\n",
    "warnings": "x = 1\nif x is 1: pass\nassert (x, 'always')\nimport warnings\nwarnings.warn('mine')\ny = '\\d'\n",
    "annotations": """
        class C:
            a: int
            b: "str" = "x"
            (c): int = 1
        x: int = 5
        y: list[int]
        C.z: print("annotated") = 4
        def f():
            q: undefined_name = 1
            return q
        z = f(), C.__annotations__
        """,
    "del_and_cells": """
        def f(a):
            b = a
            def g(): return b
            del a
            try: a
            except UnboundLocalError as e: m = str(e)
            b = 2
            return g(), m
        x = f(1)
        def h():
            for i in range(2):
                def k(): return i
            del i
            try: k()
            except NameError as e: return str(e)
        y = h()
        """,
    "finalizers": """
        import weakref, gc
        class R:
            def __init__(self, n): self.n = n
            def __del__(self): print("del", self.n)
        a = R(1); a = R(2); print("two")
        def f():
            r = R(3); w = weakref.ref(r); rs = [R(4)]
            r = None; print("dropped", w())
            rs = ()
            print("end")
        f()
        for r in [R(5)]: pass
        del r, a
        print("last")
        """,
    "lambdas": "f = lambda x, *y, z=1: (x, y, z)\na = f(1, 2), (lambda: (yield))().__class__.__name__\n",
    "semicolons": "x = 1; y = 2; print(x, y); x += 1; z = x\nif x: a = 1; b = 2\n",
    "empty": "",
    "comment_only": "# nothing\n",
    "star_expr": "a = [1, 2]\nb = *a, 3\nc = [*a, *b]\nd = {**{'x': 1}}\nprint(*a)\nfor i in *a, 4: pass\ndef f(): return *a, 1\ne = f()\n",
    "introspection": """
        import inspect, dis
        def f(x):
            "doc"
            y = x
            return y
        a = inspect.signature(f), f.__code__.co_argcount, f.__code__.co_varnames
        b = inspect.getsource(f)
        d = {f.__code__: 1, f: 2}
        g = sys = [frame.function for frame in inspect.stack()][:1]
        def h(): return sorted(locals()), list(globals())[-1]
        i = h()
        """,
    "typing_things": """
        import dataclasses, enum, typing
        @dataclasses.dataclass(order=True)
        class P:
            x: int = 0
            y: list = dataclasses.field(default_factory=list)
        class Color(enum.Enum):
            RED = 1
            GREEN = enum.auto()
            def hi(self): return self.name
        class N(typing.NamedTuple):
            a: int
            b: str = "x"
        class F(enum.Flag):
            A = enum.auto(); B = enum.auto(); C = A | B
        p = P(1), N(1), list(Color), Color.RED.hi(), F.C
        class T(typing.TypedDict): k: int
        t = T.__annotations__
        """,
}  # fmt: skip

if sys.version_info >= (3, 12):
    PROGRAMS["pep695"] = """
        type Alias[T] = list[T] | None
        def f[T: int, *Ts, **P](x: T) -> T: y = x; return y
        class C[T]:
            a: T = 1
            def m[U](self, u: U) -> U: self.u = u; return u
        x = f(1), C().m(2), Alias.__value__, f.__type_params__, C.__type_params__
        async def g[T](x): return x
    """
    PROGRAMS["fstrings_312"] = "a = 'x'\nb = f'{f\"{a + 'y'}\"}' f'{\n1:>3}'\nc = f'{a!r:{\"^\"}{5}}'\n"
if sys.version_info >= (3, 13):
    PROGRAMS["type_defaults"] = "class C[T = int]: pass\nx = C.__type_params__[0].__default__\n"
