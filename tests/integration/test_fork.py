"""A fork is what the program would have done: `--set` against programs edited by hand, recorded answers
against counted calls, and every refusal without a trace of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import coda
from coda.errors import ForkError, UsageError
from coda.forking import ForkResult, fork
from coda.log import ToolReturned, Trace, check_trace, open_trace
from coda.replay import replay, state_at
from coda.runtime import Sandbox
from tests.conftest import RunCoda
from tests.support.programs import dedent, line_of, lines_at, output_of, record, run_plain

pytestmark = pytest.mark.slow


class Edit(NamedTuple):
    """A change, made by a fork and made by hand."""

    source: str
    line: str
    """Text of the line before which the fork stands."""
    visit: int
    """Which visit of that line, from 0."""
    name: str
    expr: str
    by_hand: tuple[str, str]
    """A replacement in the source with the same effect."""


EDITS = {
    "module": Edit(
        """
        limit = 3
        values = list(range(limit))
        print(values)
        total = sum(v for v in values if v < limit)
        print("total", total, limit)
        """,
        "total = sum", 0, "limit", "limit - 1",
        ("total = sum", "limit = limit - 1; total = sum"),
    ),
    "function": Edit(
        """
        def price(amount, rate=2):
            base = amount * rate
            fee = base // 3
            return base + fee
        for amount in (3, 6, 9):
            print(amount, price(amount))
        """,
        "fee = base", 1, "base", "100 + amount",
        ("fee = base", "base = 106 if amount == 6 else base; fee = base"),
    ),
    "deep iteration": Edit(
        """
        state = 1
        for i in range(30_000):
            state = (state * 31 + i) % 1009
        print(state)
        """,
        "state = (state", 29_000, "state", "-1",
        ("state = (state", "state = -1 if i == 29000 else state; state = (state"),
    ),
    "loop variable": Edit(
        """
        seen = []
        for k in range(5):
            seen.append(k * 10)
        print(seen, k)
        """,
        "seen.append", 2, "k", "'two'",
        ("seen.append", "k = 'two' if k == 2 else k; seen.append"),
    ),
    "recursion": Edit(
        """
        def walk(n, path=()):
            here = path + (n,)
            if n == 0:
                return [here]
            return walk(n - 1, here) + [here]
        for each in walk(4):
            print(each)
        """,
        "if n == 0", 2, "here", "('cut',)",
        ("if n == 0", "here = ('cut',) if n == 2 else here\n    if n == 0"),
    ),
    "generator": Edit(
        """
        def running(values):
            total = 0
            for value in values:
                total += value
                yield total
        def doubled(values):
            for each in running(values):
                yield each * 2
        print(list(doubled(range(6))))
        """,
        "yield total", 3, "total", "1000",
        ("yield total", "total = 1000 if value == 3 else total\n        yield total"),
    ),
    "method": Edit(
        """
        class Account:
            fee = 1
            def __init__(self, start):
                self.amount = start
            def take(self, amount):
                cost = amount + self.fee
                self.amount -= cost
                return self
        account = Account(100)
        print(account.take(10).take(20).take(30).amount)
        """,
        "self.amount -= cost", 1, "cost", "cost * 2",
        ("self.amount -= cost", "cost = cost * 2 if amount == 20 else cost; self.amount -= cost"),
    ),
    "closure cell": Edit(
        """
        def counter():
            count = 0
            def step(by):
                nonlocal count
                count += by
                return count
            def peek():
                return count
            return step, peek
        step, peek = counter()
        print([step(n) for n in (1, 2, 3)], peek())
        """,
        "count += by", 1, "count", "50",
        ("count += by", "count = 50 if by == 2 else count; count += by"),
    ),
    "class body": Edit(
        """
        class Settings:
            size = 4
            area = size * size
            def show(self):
                return f"{self.size} {self.area}"
        print(Settings().show())
        """,
        "area = size", 0, "size", "5",
        ("area = size", "size = 5; area = size"),
    ),
    "exception": Edit(
        """
        def safe(a, b):
            try:
                result = a / b
            except ZeroDivisionError as error:
                result = str(error)
            return result
        print([safe(6, n) for n in (1, 2, 3)])
        """,
        "result = a / b", 1, "b", "0",
        ("result = a / b", "b = 0 if b == 2 else b; result = a / b"),
    ),
    "global in function": Edit(
        """
        rate = 2
        def cost(n):
            doubled = n * rate
            return doubled
        print(cost(1), cost(2), cost(3), rate)
        """,
        "doubled = n", 1, "rate", "10",
        ("    doubled = n", "    global rate; rate = 10 if n == 2 else rate\n    doubled = n"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_a_fork_equals_the_program_edited_by_hand(name: str, tmp_path: Path) -> None:
    edit = EDITS[name]
    source = dedent(edit.source)
    by_hand = source.replace(*edit.by_hand)
    assert by_hand != source
    trace = open_trace(record(source, tmp_path))
    place = lines_at(trace, line_of(source, edit.line))[edit.visit]
    made = fork(trace, place.seq, sets=[(edit.name, edit.expr)], out=tmp_path / "fork.jsonl")
    expected = run_plain(by_hand, tmp_path / "hand")
    assert expected.status == 0, expected.err
    assert output_of(made.path) == expected.out
    assert output_of(made.path) != output_of(trace)
    assert (made.outcome, made.frontier, made.assumed) == ("ok", None, 0)
    assert check_trace(made.path).damage == ()
    assert replay(made.path).diverged is None


@pytest.mark.parametrize("level", ["effects", "lines"])
def test_a_fork_at_a_step_of_a_block(level: str, tmp_path: Path) -> None:
    edit = EDITS["recursion"]
    source = dedent(edit.source)
    trace = open_trace(record(source, tmp_path, level=level))
    # def, for, then here / if for n = 4, 3, 2 (and the returns between them)
    made = fork(trace, "1:9", sets=[("here", "('cut',)")], out=tmp_path / "fork.jsonl")
    assert output_of(made.path) == run_plain(source.replace(*edit.by_hand), tmp_path / "hand").out
    assert replay(made.path).diverged is None


PLAIN = dedent(
    """
    import random, time
    start = time.time()
    total = 0
    for k in range(4):
        total += k
        print("total", total)
    print(random.random() < 1)
    end = "end"
    """
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """A program of one block."""
    return open_trace(record(PLAIN, tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_without_a_change_nothing_changes(plain: Trace, share: float, tmp_path: Path) -> None:
    asked = int(plain.count() * share)
    position = min(asked, plain.count() - 1)  # every run has an end of its own
    made = fork(plain, asked, out=tmp_path / "fork.jsonl")
    assert made.diff.equal
    assert made.changes == ()
    assert output_of(made.path) == output_of(plain)
    again = open_trace(made.path)
    # The prefix keeps its numbers, the fork's own event is the position, the rest follows.
    assert again.event(position).type == "fork.applied"
    assert again.count() == plain.count() + 1
    types = [event.type for event in plain.events()]
    assert [event.type for event in again.events()] == [*types[:position], "fork.applied", *types[position:]]
    assert replay(again).diverged is None


def test_state_in_a_fork_and_a_fork_of_a_fork(plain: Trace, tmp_path: Path) -> None:
    at = lines_at(plain, line_of(PLAIN, "total += k"))[1].seq
    first = fork(plain, at, sets=[("total", "100")], out=tmp_path / "first.jsonl")
    trace = open_trace(first.path)
    assert state_at(trace, at).globals["total"].repr == "0"
    assert state_at(trace, at + 1).globals["total"].repr == "100"
    last = lines_at(trace, line_of(PLAIN, "total += k"))[-1]
    assert state_at(trace, last.seq).globals["total"].repr == "103"
    assert state_at(trace, last.seq).output == "total 0\ntotal 101\ntotal 103\n"
    second = fork(trace, last.seq, sets=[("total", "-3")], out=tmp_path / "second.jsonl")
    assert output_of(second.path) == "total 0\ntotal 101\ntotal 103\ntotal 0\nTrue\n"
    assert open_trace(second.path).header.parent is not None
    assert open_trace(second.path).header.parent.run == trace.run  # type: ignore[union-attr]
    assert replay(second.path).diverged is None
    third = fork(second.path, last.seq + 3, sets=[("end", "1"), ("fresh", "total")], new=True,
                 out=tmp_path / "third.jsonl")  # fmt: skip
    assert third.outcome == "ok"
    assert state_at(third.path, open_trace(third.path).count()).globals["fresh"].repr == "0"


def test_two_sets_see_the_values_before_both(plain: Trace, tmp_path: Path) -> None:
    at = lines_at(plain, line_of(PLAIN, "total += k"))[2].seq
    made = fork(plain, at, sets=[("k", "total * 100"), ("total", "k")], out=tmp_path / "fork.jsonl")
    assert output_of(made.path).splitlines()[2] == "total 102"
    assert [(c["name"], c["before"], c["after"]) for c in made.changes] == [
        ("k", "2", "100"), ("total", "1", "2"),
    ]  # fmt: skip


def test_the_clock_of_a_fork_goes_on_from_the_recorded_instant(tmp_path: Path) -> None:
    source = "import time\na = time.time()\nflag = 0\nb = time.time()\nprint(0 <= b - a < 60)\n"
    trace = open_trace(record(source, tmp_path))
    at = lines_at(trace, 4)[0].seq
    made = fork(trace, at, sets=[("flag", "1")], out=tmp_path / "fork.jsonl")
    assert output_of(made.path) == "True\n"


# --- refusals ------------------------------------------------------------------------------------

REFUSED = {
    "no such name": ({"sets": [("missing", "1")]}, ForkError, "missing"),
    "expression that fails": ({"sets": [("total", "1 / 0")]}, ForkError, "ZeroDivisionError"),
    "expression that is none": ({"sets": [("total", "1 +")]}, ForkError, "SyntaxError"),
    "name of the expression": ({"sets": [("total", "nowhere")]}, ForkError, "nowhere"),
    "result at a line": ({"result": 1}, UsageError, "not a call"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_applied_leaves_nothing_behind(case: str, plain: Trace, tmp_path: Path) -> None:
    given, kind, says = REFUSED[case]
    at = lines_at(plain, line_of(PLAIN, "total += k"))[1].seq
    with pytest.raises(kind, match=says):
        fork(plain, at, out=tmp_path / "fork.jsonl", **given)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_positions_and_places_that_are_not_there(plain: Trace, tmp_path: Path) -> None:
    count = plain.count()
    with pytest.raises(UsageError, match=f"0 to {count}"):
        fork(plain, count + 1, out=tmp_path / "fork.jsonl")
    with pytest.raises(UsageError, match="end of the run"):
        fork(plain, count, result=1, out=tmp_path / "fork.jsonl")
    with pytest.raises(UsageError, match="parent"):
        fork(plain, 5, sets=[("total", "1")], new=True, out=plain.path, force=True)
    assert list(tmp_path.iterdir()) == []
    taken = tmp_path / "taken.jsonl"
    taken.write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        fork(plain, count, out=taken)
    assert taken.read_text() == "mine"
    assert fork(plain, count, out=taken, force=True).outcome == "ok"


# --- recorded answers ----------------------------------------------------------------------------


class Bank:
    """A tool that counts its calls, as the world would."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def tools(self) -> list[Any]:
        """As the sandbox gets them."""

        @coda.tool
        def pay(amount: int) -> str:
            self.calls.append(("pay", amount))
            return f"paid {amount}, number {len(self.calls)}"

        @coda.tool(effect="pure")
        def square(n: int) -> int:
            self.calls.append(("square", n))
            return n * n

        @coda.tool(effect="read")
        def balance() -> int:
            self.calls.append(("balance",))
            return 1000 - len(self.calls)

        return [pay, square, balance]


class Recorded(NamedTuple):
    """A recorded run with its live tools."""

    trace: Trace
    bank: Bank


BLOCKS = [
    "amount = 5\nfirst = pay(amount)\nsecond = pay(amount)\nprint(first, '|', second)",
    "area = square(3)\nleft = balance()\nprint(area, left)",
    "third = pay(7)\nprint(third)",
]


@pytest.fixture
def banked(tmp_path: Path) -> Iterator[Recorded]:
    """Three blocks that call tools; afterwards no tool may have been called again."""
    (tmp_path / "ws").mkdir()
    bank = Bank()
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "run.jsonl", tools=bank.tools()) as sandbox:
        for block in BLOCKS:
            assert sandbox.execute(block).outcome == "ok"
    done = list(bank.calls)
    assert done == [("pay", 5), ("pay", 5), ("square", 3), ("balance",), ("pay", 7)]
    yield Recorded(open_trace(tmp_path / "run.jsonl"), bank)
    assert bank.calls == done, "a fork called a tool"


def at_statement(trace: Trace, text: str) -> int:
    """Number of the first line event whose source holds a text."""
    return next(event.seq for event in trace.events(types={"line"}) if text in (event.source or ""))


def forked(banked: Recorded, text: str, *sets: tuple[str, str], **given: Any) -> ForkResult:
    """A fork before a statement."""
    out = banked.trace.path.with_name("fork.jsonl")
    return fork(banked.trace, at_statement(banked.trace, text), sets=sets, out=out, **given)


def test_equal_calls_get_their_answers_in_order(banked: Recorded) -> None:
    made = forked(banked, "first = pay", ("unrelated", "1"), new=True)
    assert made.frontier is None
    assert output_of(made.path) == output_of(banked.trace)
    assert made.assumed == 0


def test_a_changed_argument_ends_at_the_frontier(banked: Recorded) -> None:
    made = forked(banked, "second = pay", ("amount", "50"))
    assert made.outcome == "frontier"
    assert made.frontier is not None
    assert "pay()" in made.frontier
    assert output_of(made.path) == ""
    trace = open_trace(made.path)
    assert trace.finished is not None
    assert (trace.finished.outcome, trace.finished.text) == ("frontier", made.frontier)
    assert check_trace(made.path).damage == ()


def test_nothing_runs_after_the_frontier(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    bank = Bank()
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "run.jsonl", tools=bank.tools()) as sandbox:
        sandbox.execute(
            "n = 1\ntry:\n    pay(n)\nexcept BaseException:\n    print('caught')\nfinally:\n    print('end')"
        )
    trace = open_trace(tmp_path / "run.jsonl")
    made = fork(trace, at_statement(trace, "pay(n)"), sets=[("n", "2")], out=tmp_path / "fork.jsonl")
    assert made.outcome == "frontier"
    assert output_of(made.path) == ""
    assert bank.calls == [("pay", 1)]


def test_used_up_answers_are_not_given_again(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    bank = Bank()
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "run.jsonl", tools=bank.tools()) as sandbox:
        sandbox.execute("times = 2\ngot = [(square(2), pay(1)) for _ in range(times)]\nprint(got)")
    trace = open_trace(tmp_path / "run.jsonl")
    at = at_statement(trace, "got =")
    made = fork(trace, at, sets=[("times", "3")], out=tmp_path / "fork.jsonl")
    assert made.outcome == "frontier"
    calls = [event.record for event in open_trace(made.path).events(types={"tool.returned"})]
    answers = [(call.name, call.value) for call in calls if isinstance(call, ToolReturned)]
    # The pure tool repeats; the third payment was never made, so nobody knows what it would have said.
    assert answers == [
        ("square", 4), ("pay", "paid 1, number 2"), ("square", 4), ("pay", "paid 1, number 4"), ("square", 4),
    ]  # fmt: skip
    assert len(bank.calls) == 4


def test_after_a_change_only_pure_answers_hold(banked: Recorded) -> None:
    made = forked(banked, "second = pay", ("amount", "50"), assume_recorded=True)
    # No payment of 50 was ever made: also with --assume-recorded there is nothing to give.
    assert made.outcome == "frontier"
    seq = next(event.seq for event in banked.trace.events(types={"tool.called"}))
    changed = fork(banked.trace, seq, result="declined", out=banked.trace.path.with_name("r.jsonl"))
    assert changed.outcome == "ok"
    first = output_of(changed.path).splitlines()[0]
    assert first == "declined | paid 5, number 2"


def test_assumed_answers_are_marked(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    bank = Bank()
    code = "go = True\nif go:\n    pay(1)\nlater = pay(2)\nprint(later)"
    with Sandbox(root=tmp_path / "ws", trace=tmp_path / "run.jsonl", tools=bank.tools()) as sandbox:
        sandbox.execute(code)
    trace = open_trace(tmp_path / "run.jsonl")
    at = at_statement(trace, "if go")
    strict = fork(trace, at, sets=[("go", "False")], out=tmp_path / "strict.jsonl")
    assert (strict.outcome, strict.assumed) == ("frontier", 0)
    lenient = fork(trace, at, sets=[("go", "False")], out=tmp_path / "l.jsonl", assume_recorded=True)
    assert (lenient.outcome, lenient.frontier, lenient.assumed) == ("ok", None, 1)
    assert output_of(lenient.path) == "paid 2, number 2\n"
    records = [event.record for event in open_trace(lenient.path).events(types={"tool.returned"})]
    assert [record.assumed for record in records if isinstance(record, ToolReturned)] == [True]
    assert len(bank.calls) == 2


def test_another_result_by_its_call_or_its_return(banked: Recorded, tmp_path: Path) -> None:
    called, returned = (
        next(event.seq for event in banked.trace.events(types={kind}))
        for kind in ("tool.called", "tool.returned")
    )
    for number, seq in enumerate((called, returned)):
        made = fork(banked.trace, seq, result={"new": [1, None]}, out=tmp_path / f"f{number}.jsonl")
        assert output_of(made.path).startswith("{'new': [1, None]} | paid 5, number 2\n")
        assert (made.outcome, made.assumed) == ("ok", 0)
        assert replay(made.path).diverged is None


def test_another_result_of_a_process(tmp_path: Path) -> None:
    source = dedent(
        """
        import subprocess
        done = subprocess.run(["echo", "recorded"], capture_output=True, text=True)
        print(done.returncode, done.stdout.strip())
        again = subprocess.run(["echo", "again"], capture_output=True, text=True)
        print(again.stdout.strip())
        """
    )
    trace = open_trace(record(source, tmp_path))
    seq = next(event.seq for event in trace.events(types={"process.started"}))
    made = fork(trace, seq, result={"code": 7, "stdout": "forged\n", "stderr": ""}, out=tmp_path / "f.jsonl")
    assert output_of(made.path) == "7 forged\nagain\n"
    assert replay(made.path).diverged is None


def test_a_fork_writes_to_its_copy_only(tmp_path: Path) -> None:
    source = dedent(
        """
        from pathlib import Path
        text = "parent"
        Path("made.txt").write_text(text)
        print(Path("made.txt").read_text(), Path("given.txt").read_text())
        Path("given.txt").unlink()
        """
    )
    trace = open_trace(record(source, tmp_path, files={"given.txt": "given"}))
    work = tmp_path / "work"
    (work / "given.txt").write_text("changed since")
    at = lines_at(trace, line_of(source, "write_text"))[0].seq
    made = fork(trace, at, sets=[("text", "'fork'")], out=tmp_path / "fork.jsonl")
    assert output_of(made.path) == "fork given\n"
    assert (work / "made.txt").read_text() == "parent"
    assert (work / "given.txt").read_text() == "changed since"
    wrote = [event.to_json() for event in open_trace(made.path).events(at, types={"file.wrote"})]
    assert len(wrote) == 1
    assert b"made.txt" in wrote[0]


# --- the command ---------------------------------------------------------------------------------


def test_the_command_without_a_change_says_so(plain: Trace, coda: RunCoda) -> None:
    ran = coda("fork", plain.path, "--at", "7", "-o", "f.jsonl")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == ["no change; identical to parent", "fork: f.jsonl"]


def test_the_command_shows_the_difference(plain: Trace, coda: RunCoda, tmp_path: Path) -> None:
    at = lines_at(plain, line_of(PLAIN, "total += k"))[1].seq
    ran = coda("fork", plain.path, "--at", str(at), "--set", "total=40 + 2", "-o", "f.jsonl", "--json")
    assert ran.status == 0, ran.err
    data = json.loads(ran.out)
    assert (data["schema"], data["outcome"], data["position"]) == ("coda.fork/1", "ok", str(at))
    assert data["changes"] == [
        {"kind": "set", "name": "total", "expr": "40 + 2", "before": "0", "after": "42"}
    ]
    assert not data["identical"]
    assert output_of(tmp_path / "f.jsonl") == "total 0\ntotal 43\ntotal 45\ntotal 48\nTrue\n"
    verified = coda("replay", "--verify", "f.jsonl")
    assert verified.status == 0, verified.out


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["--at", "9999"], 2, "9999"),
        (["--at", "x"], 2, "not a position"),
        (["--at", "8", "--set", "total"], 2, "NAME=EXPR"),
        (["--at", "8", "--set", "nope=1"], 2, "nope"),
        (["--at", "8", "--result", "{"], 2, "not JSON"),
        (["--at", "8", "--result", "1"], 2, "not a call"),
        ([], 2, "--at"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    plain: Trace, options: list[str], status: int, says: str, coda: RunCoda, tmp_path: Path
) -> None:
    ran = coda("fork", plain.path, "-o", "f.jsonl", *options)
    assert (ran.status, ran.out) == (status, "")
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert not re.search(r"f\.jsonl", " ".join(path.name for path in tmp_path.iterdir()))


CELLS = dedent(
    """
    import subprocess
    k = 3
    out = subprocess.run(["echo", "hi"], capture_output=True, text=True).stdout
    text = open("given.txt").read()
    open("made.txt", "w").write(out)
    # %%
    print(open("made.txt").read(), len(text) + k)
    """
)


def test_a_change_of_nothing_is_no_difference_at_any_position(tmp_path: Path) -> None:
    """Also just after an answer, whose binding is the parent's, and where a block's end is being noted."""
    trace = open_trace(record(CELLS, tmp_path, files={"given.txt": "given"}))
    bound = lines_at(trace, line_of(CELLS, "out ="))[0].seq
    for seq in range(bound, trace.count() + 1):
        made = fork(trace, seq, sets=[("k", "3")], out=tmp_path / f"{seq}.jsonl")
        assert made.outcome == "ok", seq
        assert made.diff.equal, seq
        assert open_trace(made.path).finished is not None, seq
        verdict = replay(made.path)
        assert verdict.diverged is None, (seq, str(verdict.diverged))
