"""`why`: the chain holds what the value came from, and not what merely looks like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.errors import UsageError
from coda.log import (
    Elided,
    FileRead,
    LlmResponded,
    ThreadStarted,
    ToolCalled,
    ToolReturned,
    Trace,
    TurnStarted,
)
from coda.query import Chain, Link, why
from tests.unit.query.recorder import Recorder, record


def shown(chain: Chain) -> list[tuple[int, str | None]]:
    """Gives depth and text of each link."""
    return [(link.depth, link.source if link.kind == "line" else link.what) for link in chain.links]


def sources(chain: Chain) -> list[str]:
    """Gives the lines of a chain, each once, in order."""
    return list(dict.fromkeys(str(link.source) for link in chain.links if link.kind == "line"))


def link_of(chain: Chain, source: str) -> Link:
    """Gives the first link with this source text."""
    return next(link for link in chain.links if link.source == source)


def position_of(trace: Trace, source: str, times: int = 1) -> str:
    """Gives the event number of the n-th time that a line began."""
    found = [event.seq for event in trace.events(types={"line"}) if event.source == source]
    return str(found[times - 1])


def test_straight_code(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "a = 2\nb = 3\ndecoy = 5\nc = a + b\n", "d = c * 10\n")
    chain = why(trace, "d")
    assert shown(chain) == [(0, "d = c * 10"), (1, "c = a + b"), (2, "b = 3"), (2, "a = 2")]
    assert [link.value for link in chain.links] == [50, 5, 3, 2]
    assert {link.certainty for link in chain.links} == {"recorded"}
    assert [link.block for link in chain.links] == [2, 1, 1, 1]
    assert chain.incomplete == ()


def test_position_counts(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "x = 1\ny = x\nx = 2\nz = x\n")
    assert sources(why(trace, "x", position_of(trace, "x = 2"))) == ["x = 1"]
    assert sources(why(trace, "x", position_of(trace, "z = x"))) == ["x = 2"]
    assert sources(why(trace, "y")) == ["y = x", "x = 1"]
    assert why(trace, "x", "1:0").links == ()
    assert sources(why(trace, "x", f"{position_of(trace, 'x = 1')}+1")) == ["x = 1"]


def test_a_branch_not_taken_and_a_store_that_raised_have_no_part(tmp_path: Path) -> None:
    source = """
    a = 1
    if a > 5:
        x = a
    else:
        x = 7
    try:
        x = 1 / 0
    except ZeroDivisionError:
        pass
    y = x
    """
    trace = record(tmp_path / "t.jsonl", source)
    assert sources(why(trace, "y")) == ["y = x", "x = 7"]


def test_loops_fold_to_one_link(tmp_path: Path) -> None:
    trace = record(
        tmp_path / "t.jsonl", "total = 0\nstep = 2\nfor n in range(50):\n    total += n * step\nend = total\n"
    )
    chain = why(trace, "end")
    assert sources(chain) == [
        "end = total",
        "total += n * step",
        "for n in range(50):",
        "step = 2",
        "total = 0",
    ]
    assert link_of(chain, "total += n * step").times == 50
    assert link_of(chain, "total += n * step").value == 2450
    assert link_of(chain, "for n in range(50):").times == 1


def test_a_loop_variable_shows_the_value_of_that_turn_or_none(tmp_path: Path) -> None:
    source = "for n in range(6):\n    if n == 2:\n        x = n\nlast = n\n"
    trace = record(tmp_path / "all.jsonl", source)
    assert link_of(why(trace, "x"), "for n in range(6):").value == 2
    assert link_of(why(trace, "last"), "for n in range(6):").value == 5
    trace = record(tmp_path / "some.jsonl", source, value_limit=4)
    assert link_of(why(trace, "x"), "for n in range(6):").value == 2
    assert not link_of(why(trace, "last"), "for n in range(6):").captured


def test_calls_arguments_and_returns(tmp_path: Path) -> None:
    source = """
    def price(name, qty, *, extra=0):
        base = len(name)
        return base * qty
    word = "abc"
    other = "unused"
    count = 4
    cost = price(word, count, extra=len(other))
    """
    chain = why(record(tmp_path / "t.jsonl", source), "cost")
    assert shown(chain)[:2] == [(0, "cost = price(word, count, extra=len(other))"), (1, "return base * qty")]
    arguments = {link.name: link.value for link in chain.links if link.name in ("name", "qty", "extra")}
    assert arguments == {"name": "abc", "qty": 4}
    assert {"base = len(name)", 'word = "abc"', "count = 4"} <= set(sources(chain))
    assert {link.certainty for link in chain.links} == {"recorded"}


def test_inside_a_function_an_argument_leads_to_the_call(tmp_path: Path) -> None:
    source = """
    def f(n, m):
        y = n + 1
        return y
    a = 5
    b = 6
    f(a, b)
    """
    trace = record(tmp_path / "t.jsonl", source)
    chain = why(trace, "y", position_of(trace, "return y"))
    assert shown(chain) == [(0, "y = n + 1"), (1, "f(a, b)"), (2, "a = 5")]
    assert sources(why(trace, "m", position_of(trace, "return y"))) == ["f(a, b)", "b = 6"]


def test_a_local_is_not_the_global_of_its_name(tmp_path: Path) -> None:
    source = """
    x = "global"
    def f():
        x = "local"
        return 1
    def g():
        global x
        x = "changed"
    f()
    before = x
    g()
    after = x
    """
    trace = record(tmp_path / "t.jsonl", source)
    assert sources(why(trace, "before")) == ["before = x", 'x = "global"']
    assert sources(why(trace, "after")) == ["after = x", 'x = "changed"']


def test_recursion_says_where_it_is_not_sure(tmp_path: Path) -> None:
    source = """
    def fact(n):
        if n < 2:
            return 1
        return n * fact(n - 1)
    k = 4
    f = fact(k)
    """
    chain = why(record(tmp_path / "t.jsonl", source), "f")
    assert {"f = fact(k)", "return n * fact(n - 1)", "return 1", "k = 4"} == set(sources(chain))
    assert link_of(chain, "return n * fact(n - 1)").times == 3


def test_methods_and_attributes(tmp_path: Path) -> None:
    source = """
    class Cart:
        def __init__(self, start):
            self.total = start
        def add(self, price):
            self.total = self.total + price
    first = 1
    cart = Cart(first)
    cost = 9
    cart.add(cost)
    cart.note = "x"
    """
    trace = record(tmp_path / "t.jsonl", source)
    assert sources(why(trace, "cart.note")) == ['cart.note = "x"']
    found = why(trace, "cart")
    assert {"cart.add(cost)", "cost = 9", "cart = Cart(first)", "first = 1"} <= set(sources(found))
    assert {link.certainty for link in found.links} == {"recorded"}


def test_mutations_by_method_and_item(tmp_path: Path) -> None:
    source = """
    rows = []
    others = []
    for n in range(3):
        rows.append(n)
        others.append(n)
    table = {}
    table["a"] = len(rows)
    done = table
    """
    chain = why(record(tmp_path / "t.jsonl", source), "done")
    assert {'table["a"] = len(rows)', "table = {}", "rows.append(n)", "rows = []"} <= set(sources(chain))
    assert "others.append(n)" not in sources(chain)
    assert link_of(chain, "rows.append(n)").certainty == "recorded"
    assert link_of(chain, "rows.append(n)").times == 3


def test_closures(tmp_path: Path) -> None:
    source = """
    def outer(base):
        scale = base + 1
        def inner(x):
            return x * scale
        return inner(3)
    seed = 10
    result = outer(seed)
    """
    chain = why(record(tmp_path / "t.jsonl", source), "result")
    assert {"return x * scale", "scale = base + 1", "seed = 10"} <= set(sources(chain))
    assert link_of(chain, "scale = base + 1").certainty == "inferred"


def test_nonlocal_stores_belong_to_the_outer_function(tmp_path: Path) -> None:
    source = """
    def counter(start):
        count = start
        def bump(by):
            nonlocal count
            count = count + by
        bump(2)
        bump(3)
        return count
    first = 7
    end = counter(first)
    """
    chain = why(record(tmp_path / "t.jsonl", source), "end")
    assert {"return count", "count = count + by", "count = start", "first = 7", "bump(3)"} <= set(
        sources(chain)
    )
    assert link_of(chain, "count = count + by").times == 2
    assert link_of(chain, "count = count + by").certainty == "inferred"


def test_an_attribute_that_was_called_for(tmp_path: Path) -> None:
    source = """
    class Box: pass
    def ask():
        return 5
    box = Box()
    box.n = ask()
    got = box.n
    """
    trace = record(tmp_path / "t.jsonl", source)
    assert sources(why(trace, "box.n")) == ["box.n = ask()", "return 5"]
    assert sources(why(trace, "got")) == ["got = box.n", "box.n = ask()", "return 5"]


def test_of_an_object_that_is_handed_on_only_the_attribute_counts(tmp_path: Path) -> None:
    source = """
    class Cart:
        def __init__(self):
            self.total = 0
            self.note = ""
        def add(self, price):
            self.total += price
            self.note = "added"
    cart = Cart()
    cart.add(3)
    cart.add(4)
    end = cart.total
    """
    chain = why(record(tmp_path / "t.jsonl", source), "end")
    assert sources(chain)[:2] == ["end = cart.total", "self.total += price"]
    assert {"cart.add(3)", "cart.add(4)", "self.total = 0", "cart = Cart()"} <= set(sources(chain))
    assert not any("note" in line for line in sources(chain))
    assert link_of(chain, "self.total += price").times == 2


def test_an_exception_leaves_the_callee(tmp_path: Path) -> None:
    source = """
    def f(n):
        y = n
        raise ValueError(y)
    y = 1
    try:
        y = f(5)
    except ValueError:
        z = y
    """
    assert sources(why(record(tmp_path / "t.jsonl", source), "z")) == ["z = y", "y = 1"]


def test_effects_and_the_models_reply(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "t.jsonl", turn=1)
    recorder.writer.append(TurnStarted(turn=1))
    recorder.writer.append(LlmResponded(text="```python ...```"))

    def fetch(key: str) -> int:
        place = {"file": "<block 1>", "line": 1, "function": ""}
        call = recorder.emit(ToolCalled(name="fetch", args=(key,), **place))  # type: ignore[arg-type]
        recorder.emit(FileRead(path="db.txt", size=3, cause=call))
        recorder.emit(ToolReturned(name="fetch", value=41, cause=call))
        return 41

    recorder.namespace["fetch"] = fetch
    recorder.block("a = fetch('k')\nb = fetch('other')\nc = a + 1\n")
    chain = why(recorder.close(), "c")
    assert shown(chain) == [
        (0, "c = a + 1"),
        (1, "a = fetch('k')"),
        (2, "fetch -> 41"),
        (2, "file db.txt (3 bytes)"),
        (1, "the model's reply: '```python ...```'"),
    ]


def test_ctx_is_followed_by_member(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "t.jsonl")
    recorder.namespace["ctx"] = type("Memory", (), {})()
    recorder.block("a = 1\nctx.first = a\nctx.second = 2\n")
    recorder.block("got = ctx.first\n")
    trace = recorder.close()
    assert sources(why(trace, "got")) == ["got = ctx.first", "ctx.first = a", "a = 1"]
    assert sources(why(trace, "ctx.second")) == ["ctx.second = 2"]


def test_generators(tmp_path: Path) -> None:
    source = """
    def numbers(start):
        n = start
        while n < start + 3:
            yield n
            n += 1
    first = 7
    total = 0
    for value in numbers(first):
        total += value
    """
    chain = why(record(tmp_path / "t.jsonl", source), "total")
    assert {"total += value", "for value in numbers(first):", "yield n", "first = 7"} <= set(sources(chain))


def test_what_keeps_it_incomplete_is_said(tmp_path: Path) -> None:
    chain = why(record(tmp_path / "e.jsonl", "x = 1\n", level="effects"), "x")
    assert chain.links == ()
    assert "level effects" in chain.incomplete[0]
    recorder = Recorder(tmp_path / "t.jsonl", level="lines")
    recorder.emit(ThreadStarted(name="t"))

    def elide() -> None:
        recorder.writer.append(Elided(n=5, block=1))

    recorder.block("x = 1\n", prepare=elide)
    chain = why(recorder.close(), "x")
    assert sources(chain) == ["x = 1"]
    assert [sentence.split(":")[0] for sentence in chain.incomplete] == ["incomplete", "incomplete"]
    assert "5 lines" in chain.incomplete[0]
    assert "threads" in chain.incomplete[1]


def test_level_lines_shows_no_values(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "a = 2\nb = a\n", level="lines")
    chain = why(trace, "b")
    assert sources(chain) == ["b = a", "a = 2"]
    assert [(link.captured, link.value_text) for link in chain.links] == [(False, None), (False, None)]


def test_nothing_and_nonsense(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "a = 2\n")
    assert why(trace, "missing").links == ()
    with pytest.raises(UsageError, match="not a variable"):
        why(trace, "a + b")
    with pytest.raises(UsageError, match="beyond the end"):
        why(trace, "a", "999")


@pytest.mark.slow
def test_a_long_loop_is_traced_in_linear_time(tmp_path: Path) -> None:
    source = "a = 0\nfor n in range(40_000):\n    b = a + 1\n    a = b\n"
    chain = why(record(tmp_path / "t.jsonl", source), "a")
    assert link_of(chain, "b = a + 1").times == 40_000
    assert sources(chain) == ["a = b", "b = a + 1", "a = 0"]
