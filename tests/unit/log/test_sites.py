"""The statement table: rows, kinds, functions, stores, loads and bindings of each construct."""

from __future__ import annotations

import ast
import sys
import textwrap

import pytest

from coda.log import Statement, analyse, first_line_of, is_silent


def rows(source: str) -> list[tuple[int, str, str, str, str]]:
    """Line, kind, function, stores and loads of each statement."""
    table = analyse(ast.parse(textwrap.dedent(source)), base=7).table
    return [
        (s.line, s.kind, table.functions[s.function], " ".join(s.stores), " ".join(s.loads))
        for s in table.statements
    ]


def bindings(source: str) -> list[tuple[int, str]]:
    """Line of the statement and name of each binding."""
    table = analyse(ast.parse(textwrap.dedent(source)), base=7).table
    return [(table.statements[b.statement].line, b.name) for b in table.bindings]


def test_statements_come_in_source_order_with_their_functions() -> None:
    program = '''
        """Doc."""
        from __future__ import annotations
        import os
        class C:
            "doc"
            x = 1
            def m(self):
                global g
                def inner(): return 1
                class D: y = 2
                def g(): pass
            async def a(self): pass
        if os:
            pass
        elif C:
            pass
        else:
            z = 1
        '''
    assert rows(program) == [
        (4, "import", "", "os", ""),
        (5, "classdef", "", "C", ""),
        (7, "assign", "C", "x", ""),
        (8, "functiondef", "C", "m", ""),
        (10, "functiondef", "C.m", "inner", ""),
        (10, "return", "C.m.<locals>.inner", "", ""),
        (11, "classdef", "C.m", "D", ""),
        (11, "assign", "C.m.<locals>.D", "y", ""),
        (12, "functiondef", "C.m", "g", ""),
        (12, "pass", "g", "", ""),
        (13, "asyncfunctiondef", "C", "a", ""),
        (13, "pass", "C.a", "", ""),
        (14, "if", "", "", "os"),
        (15, "pass", "", "", ""),
        (16, "if", "", "", "C"),
        (17, "pass", "", "", ""),
        (19, "assign", "", "z", ""),
    ]


def test_functions_are_the_qualified_names_that_the_compiler_gives() -> None:
    program = textwrap.dedent("""
        def f():
            def g():
                class C:
                    def m(self): return lambda: 0
            class D:
                class E:
                    def n(self): pass
        """)

    def names(code: object) -> set[str]:
        inner = [c for c in getattr(code, "co_consts", ()) if hasattr(c, "co_qualname")]
        return {c.co_qualname for c in inner if c.co_name != "<lambda>"}.union(*map(names, inner))

    table = analyse(ast.parse(program), base=0).table
    assert set(table.functions) == {"", *names(compile(program, "p", "exec"))}


@pytest.mark.parametrize(
    ("source", "stores", "loads"),
    [
        ("x = y", "x", "y"),
        ("x = y = z + y", "x y", "z y"),
        ("(a, *b), [c.d, e[f]] = g", "a b c.d e[]", "c e f g"),
        ("self.rows[i].total = v", "self.rows[].total", "self i v"),
        ("load(k).rows[0] = v", "load().rows[]", "load k v"),
        ("(a or b).c = v", "().c", "a b v"),
        ("x += y", "x", "x y"),
        ("x.y += z", "x.y", "x z"),
        ("x[i] -= 1", "x[]", "x i"),
        ("x: int = y", "x", "y int"),
        ("x: int", "", "int"),
        ("del a, b.c, d[e]", "a b.c d[]", "b d e"),
        ("import a.b, c as d, e.f as g", "a d g", ""),
        ("from a import b, c as d", "b d", ""),
        ("from a import *", "*", ""),
        ("for i, (j, k) in enumerate(xs): body", "i j k", "enumerate xs"),
        ("for x.y in z: body", "x.y", "x z"),
        ("while a < b: body", "", "a b"),
        ("with a(b) as (c, d), e as f.g: body", "c d f.g", "a b e f"),
        ("with a, b: body", "", "a b"),
        ("try: body\nexcept (A, B) as e: x\nexcept C: y", "e", "A B C"),
        ("try: body\nexcept* A as e: x", "e", "A"),
        ("try: body\nfinally: x", "", ""),
        ("def f(a: T, b=c, *d, e=g, **h) -> R: body", "f", "T c g R"),
        ("@deco(q)\ndef f(): body", "f", "deco q"),
        ("@deco\nclass C(B, metaclass=M): body", "C", "deco B M"),
        ("x = [i + j for i in a for j in i if k]", "x", "a k"),
        ("x = [x for x in x]", "x", "x"),
        ("x = {k: v for k, v in items}", "x", "items"),
        ("x = lambda a, *b, c=d: a + b + e", "x", "d e"),
        ("f((y := g(x)), [z := i for i in y])", "y z", "f g x y"),
        ("f = lambda: (inner := outer) + inner", "f", "outer"),
        ("print(f'{a!r:>{b}} {c.d}')", "", "print a b c"),
        ("return_ = await_.x[y:z]", "return_", "await_ y z"),
        ("assert a, b", "", "a b"),
        ("raise a(b) from c", "", "a b c"),
        ("a if b else c", "", "a b c"),
        ("a < b < c is not d", "", "a b c d"),
        ("{**a, b: c}", "", "a b c"),
        ("match a.b:\n case C.D: x\n case E(f, g=[h, *i]) as n if o: y", "f h i n", "a C E o"),
        ("match a:\n case {'k': b, **c}: y", "b c", "a"),
        ("match a:\n case [x, _] | (_, x): y", "x", "a"),
    ],
)  # fmt: skip
def test_stores_and_loads(source: str, stores: str, loads: str) -> None:
    _, _, _, found_stores, found_loads = next(row for row in rows(source))
    assert (found_stores, sorted(found_loads.split())) == (stores, sorted(loads.split()))


def test_loads_come_in_source_order() -> None:
    assert rows("x = [b(a) for a in c] + d[e] if f else g")[0][4] == "b c d e f g"


@pytest.mark.parametrize("way", ["from __future__ import annotations\n", ""])
def test_lazy_annotations_read_nothing(way: str) -> None:
    tree = ast.parse(f"{way}def f(a: T) -> R: pass\nx: U = 1\n")
    table = analyse(tree, base=0, future_annotations=not way).table
    assert [row.loads for row in table.statements] == [(), (), ()]


def test_annotations_of_locals_read_nothing() -> None:
    assert rows("def f():\n    x: T = y")[1][4] == "y"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = y = z.w = 1", [(1, "z.w"), (1, "x"), (1, "y")]),
        ("a, b[0], *c = x", [(1, "a"), (1, "c")]),
        ("x += 1", [(1, "x")]),
        ("x.y += 1", []),
        ("del x", []),
        ("from a import *", []),
        ("import a.b, c as d", [(1, "a"), (1, "d")]),
        ("def f(a, /, b, *c, d, **e):\n 'doc'\n global g\n pass", [(4, n) for n in "abcde"] + [(1, "f")]),
        ("def f(a): 'doc'", [(1, "f")]),
        ("for i in x: pass", [(1, "i")]),
        ("for x.y in z: pass", []),
        ("with a as b, c as (d, e): pass", [(1, "b"), (1, "d"), (1, "e")]),
        ("try: pass\nexcept A as e: pass", [(1, "e")]),
        ("match x:\n case [a, *b]: pass\n case {'k': c, **d}: pass", [(1, n) for n in "abcd"]),
        ("class C:\n    x = 1\n    y: int = 2\n    z += 1\n    def f(self): pass\n    for i in z: pass",
         [(2, "x"), (3, "y"), (5, "self"), (1, "C")]),
        ("if (x := f()) and (y := x): pass", [(1, "x"), (1, "y")]),
        ("lambda: (x := 1)", []),
        ("def f(super): super = 1; other = 2", [(1, "other"), (1, "f")]),
    ],
)  # fmt: skip
def test_bindings(source: str, expected: list[tuple[int, str]]) -> None:
    assert sorted(bindings(source)) == sorted(expected)


def test_ids_follow_one_another() -> None:
    table = analyse(ast.parse("x = 1\ny = 2\n"), base=100).table
    assert (table.base, len(table.statements), len(table.bindings), table.end) == (100, 2, 2, 104)
    assert table.statements[1] == Statement(2, 2, "assign", 0, ("y",), ())


def test_later_cells_have_no_docstring() -> None:
    tree = ast.parse("'text'\nx = 1\n")
    assert [len(analyse(tree, base=0, docstring=d).table.statements) for d in (True, False)] == [1, 2]


def test_a_decorated_statement_begins_at_its_decorator() -> None:
    tree = ast.parse("@a\n@b\ndef f():\n    pass\n")
    assert first_line_of(tree.body[0]) == 1
    statement = analyse(tree, base=0).table.statements[0]
    assert (statement.line, statement.end_line) == (1, 4)


def test_only_compiler_statements_are_silent() -> None:
    tree = ast.parse("from __future__ import division\nfrom . import x\nimport __future__\n")
    assert [is_silent(node) for node in tree.body] == [True, False, False]


def test_deep_programs_need_no_stack() -> None:
    chain = "if x == 0: pass\n" + "".join(f"elif x == {i}: pass\n" for i in range(500))
    assert len(rows(chain)) == 1002
    assert rows("x = " + "a +" * 900 + "a")[0][4] == "a"


def test_the_table_depends_on_the_source_alone() -> None:
    with open(ast.__file__, encoding="utf-8") as file:
        source = file.read()
    first, second = (analyse(ast.parse(source), base=3).table for _ in range(2))
    assert first == second


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 695 is 3.12's")
def test_type_parameters() -> None:
    assert rows("type A[T: B] = list[T]")[0][1:] == ("typealias", "", "A", "list")
    assert rows("def f[T: int, *U](x: T, *y: *U) -> V: pass")[0][3:] == ("f", "V")
    assert rows("class C[T](B[T]): pass")[0][3:] == ("C", "B")
    assert bindings("type A = int") == [(1, "A")]
