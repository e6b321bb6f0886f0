"""`why` of objects that go by several names: who changed one counts, not who has an equal one."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from coda.log import Header, RunFinished, TraceWriter, open_trace
from coda.query import why
from tests.unit.query.recorder import record
from tests.unit.query.test_why import link_of, shown, sources

RULE = """
rows = [1, 2, 3]
decoy = [1, 2, 3]
a = rows
b = a
c = b
def make(target):
    def inner(item):
        target.append(item)
    return inner
def other(target, item):
    target.append(item)
add = make(c)
n = 7
m = 8
other(decoy, m)
add(n)
out = rows
"""


@pytest.mark.parametrize("level", ["values", "lines"])
def test_three_aliases_a_closure_and_a_function(tmp_path: Path, level: str) -> None:
    trace = record(tmp_path / "t.jsonl", RULE, level=level)
    chain = why(trace, "rows")
    assert shown(chain)[0] == (0, "target.append(item)")
    assert link_of(chain, "target.append(item)").certainty == "recorded"
    assert {"add(n)", "n = 7", "add = make(c)", "c = b", "b = a", "a = rows", "rows = [1, 2, 3]"} <= set(
        sources(chain)
    )
    found = " ".join(sources(chain) + sources(why(trace, "out")))
    assert "decoy" not in found
    assert "m = 8" not in found
    assert sources(why(trace, "decoy"))[0] == "target.append(item)"
    assert "add(n)" not in sources(why(trace, "decoy"))
    assert chain.incomplete == ()


CASES = {
    "an argument": (
        """
        def fill(d, k, v):
            d[k] = v
        data = {}
        same = data
        decoy = {}
        fill(decoy, "a", 5)
        fill(same, "a", 5)
        """,
        "data",
        ['d[k] = v', 'fill(same, "a", 5)', "same = data", "data = {}"],
    ),
    "a part": (
        "rows = []\nitem = {}\ndecoy = {}\nrows.append(item)\ndecoy['n'] = 2\nitem['n'] = 2\n",
        "rows",
        ["item['n'] = 2", "rows.append(item)", "item = {}", "rows = []"],
    ),
    "each part": (
        """
        rows = [{"n": i} for i in range(3)]
        decoys = [{"n": i} for i in range(3)]
        for d in decoys:
            d["n"] += 10
        for r in rows:
            r["n"] += 10
        """,
        "rows",
        ['r["n"] += 10', "for r in rows:", 'rows = [{"n": i} for i in range(3)]'],
    ),
    "an attribute": (
        "class C: pass\nconf = C()\nalias = conf\nalias.limit = 3\nconf.other = 4\n",
        "conf.limit",
        ["alias.limit = 3", "alias = conf", "conf = C()"],
    ),
    "a method that gives itself": (
        """
        class Box:
            def __init__(self):
                self.items = []
            def add(self, item):
                self.items.append(item)
                return self
        box = Box()
        decoy = Box()
        decoy.add(0)
        box.add(1).add(2)
        got = box.items
        """,
        "got",
        ["got = box.items", "self.items.append(item)", "box.add(1).add(2)", "self.items = []", "box = Box()"],
    ),
    "several objects made in one statement": (
        """
        class Base:
            def __init__(self):
                self.items = []
        class Sub(Base):
            def __init__(self, size):
                super().__init__()
                print(size)
            def add(self, item):
                self.items.append(item)
        one, two, three = Sub(1), Base(), Sub(2)
        one.add(5)
        three.add(6)
        """,
        "one.items",
        ["self.items.append(item)", "one.add(5)", "self.items = []", "super().__init__()",
         "one, two, three = Sub(1), Base(), Sub(2)"],
    ),
    "a default": (
        "def f(v, acc=[]):\n    acc.append(v)\n    return acc\nfirst = 1\nf(first)\nb = f(2)\n",
        "b",
        ["b = f(2)", "return acc", "acc.append(v)", "f(first)", "first = 1"],
    ),
    "a lambda": (
        "rows = []\ndecoy = []\nf = lambda v: rows.append(v)\ng = lambda v: decoy.append(v)\nf(1)\ng(1)\n",
        "rows",
        ["f(1)", "f = lambda v: rows.append(v)", "rows = []"],
    ),
    "a copy is another": (
        "a = [1]\nb = a[:]\nb.append(2)\nc = list(a)\nc.append(3)\nd = a + []\nd.append(4)\n",
        "a",
        ["a = [1]"],
    ),
    "an operator in place": (
        "a = [1]\nb = a\nb += [2]\nk = 1\nj = k\nj += 1\n",
        "a",
        ["b += [2]", "b = a", "a = [1]"],
    ),
    "a number is not changed": ("k = 1\nj = k\nj += 1\n", "k", ["k = 1"]),
    "a global that a call stores again": (
        "def f():\n    global x\n    x = 5\n    return 7\nx = f()\n",
        "x",
        ["x = f()", "return 7"],
    ),
    "recursion": (
        """
        tree = {"kids": []}
        def grow(node, depth):
            if depth == 0:
                return
            kid = {"kids": []}
            node["kids"].append(kid)
            grow(kid, depth - 1)
        grow(tree, 2)
        """,
        "tree",
        ['node["kids"].append(kid)', "grow(kid, depth - 1)", 'kid = {"kids": []}', "grow(tree, 2)",
         'tree = {"kids": []}'],
    ),
    "the library": (
        """
        import heapq, random
        rows = [3, 1]
        decoy = [3, 1]
        random.shuffle(decoy)
        heapq.heapify(rows)
        n = len(rows)
        print(rows)
        ordered = sorted(rows)
        """,
        "rows",
        ["heapq.heapify(rows)", "rows = [3, 1]"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_object_is_followed_and_no_equal_one(tmp_path: Path, case: str) -> None:
    source, name, expected = CASES[case]
    chain = why(record(tmp_path / "t.jsonl", textwrap.dedent(source)), name)
    found = sources(chain)
    assert set(found) == set(expected), found
    assert found[0] == expected[0]
    assert chain.incomplete == ()


def test_code_that_is_not_followed_is_inferred(tmp_path: Path) -> None:
    source = "import logging\nrows = [1]\nother = [1]\nlogging.info('%s', rows)\nlogging.info('%s', other)\n"
    chain = why(record(tmp_path / "t.jsonl", source), "rows")
    assert shown(chain) == [(0, "logging.info('%s', rows)"), (1, "rows = [1]")]
    assert [link.certainty for link in chain.links] == ["inferred", "recorded"]


def test_a_statement_that_raised_is_not_sure(tmp_path: Path) -> None:
    source = "rows = []\ntry:\n    rows.append(1 / 0)\nexcept ZeroDivisionError:\n    pass\nrows.append(2)\n"
    chain = why(record(tmp_path / "t.jsonl", source), "rows")
    assert link_of(chain, "rows.append(1 / 0)").certainty == "inferred"
    assert link_of(chain, "rows.append(2)").certainty == "recorded"


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    chain = why(record(tmp_path / "t.jsonl", "x = []\nexec('x.append(1)')\n"), "x")
    assert chain.incomplete == (
        "incomplete: `exec` was called, and what it binds or changes is not followed",
    )


def test_source_that_this_python_cannot_read_is_said(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "x = []\ny = x\ny.append(1)\n")
    lines = trace.path.read_bytes().replace(b"y.append(1)\\n", b"y.append(1)\\n??").splitlines()
    header = Header(run="old")
    with TraceWriter(tmp_path / "old.jsonl", header, clock=lambda: 0) as writer:
        for line in lines[1:]:
            if not line.startswith((b'{"type":"seal"', b'{"type":"run.finished"')):
                writer.append_encoded(line)
        writer.append(RunFinished(outcome="ok"))
    chain = why(open_trace(tmp_path / "old.jsonl"), "y")
    assert sources(chain) == ["y.append(1)", "y = x", "x = []"]
    assert "this Python reads it otherwise" in chain.incomplete[0]
