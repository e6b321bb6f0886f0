"""What the marks tell of frames is what the interpreter knows: each statement and value in its own."""

from __future__ import annotations

import ast
import gc
import pickle
import sys
import textwrap

import pytest

from coda.log import analyse
from coda.runtime.instrument import FrameNumbers
from coda.runtime.instrument_frames import Leave, Resume
from coda.runtime.instrument_hooks import Buffer
from tests.unit.runtime.instrument_programs import PROGRAMS
from tests.unit.runtime.instrument_run import PLAIN, run
from tests.unit.runtime.instrument_truth import check, tell

HARD = {
    "recursion": """
        def fact(n):
            m = n
            if n == 0: return 1
            less = fact(n - 1)
            return less * m
        x = fact(4)
        """,
    "unwound": """
        def fall(n):
            a = n
            if n == 0: raise KeyError(n)
            try:
                deeper = fall(n - 1)
            finally:
                if n == 2: b = 1
            return deeper
        def caught(n):
            try: fall(n)
            except KeyError as e: found = e
            return found
        caught(3)
        x = [caught(n) for n in range(3)]
        """,
    "interleaved": """
        def count(n):
            for i in range(n):
                got = yield i
                last = got
            return n
        one, two = count(3), count(5)
        x = [next(one), next(two), next(one), two.send(7), next(two), one.send(2)]
        y = list(one), list(two)
        """,
    "walk": """
        def walk(tree):
            for part in tree:
                if isinstance(part, list):
                    got = yield from walk(part)
                else:
                    sent = yield part
            return len(tree)
        x = list(walk([1, [2, [3, []]], 4]))
        """,
    "thrown": """
        def stubborn(n):
            done = 0
            while done < 3:
                try:
                    x = yield n
                    done += 1
                except KeyError as e:
                    done += 1
                    k = e
                finally:
                    f = done
        a, b, c = stubborn(1), stubborn(2), stubborn(3)
        for g in (a, b, c): next(g)
        b.throw(KeyError(1)); a.throw(KeyError(2)); next(c); b.throw(KeyError(3)); next(a)
        def meddle(inner):
            yield 0
            inner.throw(KeyError(4))
            y = 1
            yield y
        m = meddle(stubborn(5))
        next(m)
        try: next(m)
        except KeyError: z = 1
        c.close(); del a, b
        """,
    "self_thrown": """
        def rec(n, others):
            try:
                yield n
                if others: others[0].throw(ValueError(n))
                p = 1
            except ValueError as e:
                q = e
                yield -n
            r = 2
        a = rec(1, ()); b = rec(2, (a,)); c = rec(3, (b,))
        for g in (a, b, c): next(g)
        x = [next(c, None), next(c, None), next(b, None), next(a, None)]
        """,
    "with_swallows": """
        class Swallow:
            def __enter__(self): return self
            def __exit__(self, kind, *rest):
                seen = kind
                return kind is KeyError
        def gen(n):
            with Swallow() as s:
                yield n
                a = 1
            b = 2
            yield b
        one, two = gen(1), gen(2)
        next(one); next(two)
        one.throw(KeyError()); two.throw(KeyError())
        """,
    "closed": """
        def gen(n):
            try:
                for i in range(n): yield i
            finally:
                over = n
        def first(n):
            for i in gen(n): return i
        x = [first(3), first(4)]
        g = gen(5); next(g); g.close()
        h = gen(6); next(h); del h
        never = gen(7); del never
        """,
    "tasks": """
        import asyncio
        class Lock:
            async def __aenter__(self):
                await asyncio.sleep(0); entered = 1
                return self
            async def __aexit__(self, kind, *rest):
                await asyncio.sleep(0); left = kind
                return kind is KeyError
        async def numbers(n):
            for i in range(n):
                await asyncio.sleep(0)
                yield i
        async def part(n):
            total = 0
            async with Lock() as a, Lock() as b:
                async for i in numbers(n):
                    if i == 1: continue
                    total += i
                    if i == 3: break
                else:
                    whole = True
                if n == 2: raise KeyError(n)
            squares = [i * i async for i in numbers(n)]
            both = [await asyncio.sleep(0, i) for i in range(2)]
            if n > 3: return await part(n - 2)
            try:
                await asyncio.wait_for(asyncio.sleep(10), 0)
            except asyncio.TimeoutError as e:
                late = e
            return total
        async def whole():
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(part(n)) for n in range(6)]
            results = [t.result() for t in tasks]
            return await asyncio.gather(*(part(n) for n in (2, 5)), return_exceptions=True)
        x = asyncio.run(whole())
        """,
    "cancelled": """
        import asyncio
        async def wait(n):
            try:
                async for i in forever(n):
                    step = i
            except asyncio.CancelledError:
                gone = n
                raise
            finally:
                await asyncio.sleep(0)
                cleaned = n
        async def forever(n):
            while True:
                await asyncio.sleep(0)
                yield n
        async def main():
            tasks = [asyncio.create_task(wait(n)) for n in range(3)]
            for _ in range(4): await asyncio.sleep(0)
            for t in tasks: t.cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)
        asyncio.run(main())
        """,
    "classes": """
        def make(n):
            class Made:
                size = n
                inner = make(n - 1) if n else None
                def method(self, k=(size := n)):
                    return k
            return Made
        x = make(2)().method()
        def raising(n):
            class Bad:
                a = n
                b = raising(n - 1) if n else 1 / 0
        try: raising(2)
        except ZeroDivisionError: y = 1
        """,
    "lazy": """
        def outer(n):
            lazy = (kept := i for i in range(n))
            other = outer(n - 1) if n else iter(())
            a = list(other)
            b = [now := j for j in lazy]
            return iter(b)
        x = list(outer(2))
        """,
    "dunder": """
        class Loud:
            def __init__(self, n): self.n = n
            def __del__(self): gone = self.n
            def __eq__(self, other): same = self.n; return True
        def f(n):
            a = Loud(n)
            b = a == Loud(n + 1)
            return f(n - 1) if n else b
        f(2)
        import gc
        def loop():
            me = Loud(9); me.me = me
        loop(); gc.collect()
        """,
}


@pytest.mark.parametrize("name", sorted(HARD))
@pytest.mark.parametrize("limit", [10_000, 1])
def test_each_statement_and_value_is_told_in_its_own_frame(name: str, limit: int) -> None:
    told = tell(textwrap.dedent(HARD[name]), limit=limit)
    known, unknown = check(told)
    assert known > 10
    # A walrus in a generator expression runs whenever the generator is asked.
    assert unknown == sum(one.name == "kept" for one in told)
    values = [one for one in told if one.name is not None and one.name != "kept"]
    assert all(one.at is not None for one in values)


@pytest.mark.parametrize("name", sorted(HARD))
def test_marks_change_nothing_that_a_program_sees(name: str) -> None:
    source = textwrap.dedent(HARD[name])
    plain, recorded = run(source).seen, run(source, "values").seen
    assert recorded == plain


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_ordinary_programs_are_told_rightly(name: str) -> None:
    known, unknown = check(tell(textwrap.dedent(PROGRAMS[name])))
    gc.collect()
    assert known or not unknown


def test_what_is_nested_too_deep_has_no_frames_and_runs() -> None:
    lines = ["def f():"]
    lines += ["    " * (depth + 1) + "for i in '1':" for depth in range(19)]
    lines += ["    " * 20 + "x = i", "    return x", "y = f()"]
    source = "\n".join(lines)
    recorded = run(source, "values")
    assert recorded.seen == run(source, PLAIN).seen
    [module, deep] = recorded.unit.table.bodies
    assert (deep.kind, deep.exit) == ("function", -1)
    assert module.exit >= 0
    assert {one.number for one in tell(source) if one.statement in range(deep.first, deep.stop)} == {None}


def test_a_generator_can_be_sent_elsewhere_without_its_marks() -> None:
    numbers = FrameNumbers()
    resume, leave = Resume(7, numbers, Buffer(), Buffer()), Leave(8, numbers, Buffer(), Buffer())
    here = [pickle.loads(pickle.dumps(each)) for each in (numbers.address, resume, leave)]
    address, resumed, left = here
    assert resumed(address(), "sent") == "sent"
    left(address())
    assert len({numbers.address, numbers.address, resume, leave}) == 3


KINDS = """
def plain(): return 1
def gen():
    yield 1
async def co():
    return 1
async def agen():
    yield 1
class C:
    x = 1
def empty(): "doc"
outer = lambda: (yield)
"""


def test_the_table_says_what_kind_each_body_is() -> None:
    tree = ast.parse(KINDS)
    table = analyse(tree, base=0, frames=True).table
    names = [table.functions[table.statements[body.first].function] for body in table.bodies]
    kinds = [body.kind for body in table.bodies]
    assert dict(zip(names, kinds, strict=True)) == {
        "": "module",
        "plain": "function",
        "gen": "generator",
        "co": "coroutine",
        "agen": "async generator",
        "C": "class",
    }
    assert [body.resume >= 0 for body in table.bodies] == [False, False, True, True, True, False]
    bare = analyse(tree, base=0).table
    assert bare.bodies == ()
    assert table.bindings[: len(bare.bindings)] == bare.bindings


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 695 is 3.12's")
def test_type_parameters_and_aliases_have_frames_too() -> None:
    source = "type A[T] = list[T]\ndef f[T](x: T) -> T:\n    y = x\n    return y\nclass C[T]:\n    z = f(1)\n"
    known, unknown = check(tell(source))
    assert known
    assert not unknown
