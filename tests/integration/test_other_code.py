"""Positions in code that a block did not bring itself: functions of earlier cells, modules of the workspace,
methods and generators that live there. A state there is that of the place, and a fork changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.errors import UsageError
from coda.forking import fork
from coda.log import Trace, open_trace
from coda.replay import replay, state_at
from coda.runtime import Sandbox
from tests.support.programs import dedent, line_of, lines_at, output_of, record

pytestmark = pytest.mark.slow

MAIN = dedent(
    """
    def total(items, start=0):
        for item in items:
            start += item  # in an earlier cell
        return start
    class Box:
        def __init__(self, n):
            self.n = n
        @property
        def twice(self):
            result = self.n * 2  # in a property
            return result
    # %% use
    import helper
    first = total([1, 2])
    # %% use again
    second = total([3, 4, 5])
    doubled = [helper.double(x) for x in (first, second)]
    drawn = list(helper.numbers(3))
    made = helper.adder(10)(Box(4).twice)
    print(first, second, doubled, drawn, made)
    """
)
HELPER = dedent(
    """
    NAMES = []
    for letter in "ab":
        NAMES.append(letter)  # while the module is imported
    def double(x):
        y = x * 2  # in a function of a module
        return y
    def numbers(n):
        for i in range(n):
            square = i * i
            yield square  # in a generator of a module
    def adder(by):
        def add(x):
            out = x + by  # in a closure of a module
            return out
        return add
    """
)
OUTPUT = "3 12 [6, 24] [0, 1, 4] 18\n"


class Place:
    """A place in MAIN or HELPER, by the remark on its line, and what holds there."""

    def __init__(
        self, remark: str, nth: int, names: dict[str, str], change: tuple[str, str], prints: str
    ) -> None:
        self.remark = remark
        self.nth = nth
        self.names = names
        self.change = change
        self.prints = prints

    @property
    def source(self) -> str:
        """The text that it is in."""
        return MAIN if self.remark in MAIN else HELPER

    def seq(self, trace: Trace) -> int:
        """Its event."""
        name = "prog.py" if self.source is MAIN else "helper.py"
        here = [
            event
            for event in lines_at(trace, line_of(self.source, self.remark))
            if (event.file or "").endswith(name)
        ]
        return here[self.nth].seq


PLACES = [
    Place("earlier cell", 3, {"start": "3", "item": "4"}, ("item", "100"), "3 108 [6, 216] [0, 1, 4] 18\n"),
    Place("in a property", 0, {"self.n": "4"}, ("self", "type(self)(9)"), "3 12 [6, 24] [0, 1, 4] 28\n"),
    Place("is imported", 1, {"letter": "'b'", "NAMES": "['a']"}, ("letter", "'z'"), OUTPUT),
    Place("function of a module", 1, {"x": "12"}, ("x", "-1"), "3 12 [6, -2] [0, 1, 4] 18\n"),
    Place("generator", 1, {"i": "1", "square": "1"}, ("square", "7"), "3 12 [6, 24] [0, 7, 4] 18\n"),
    Place("closure", 0, {"x": "8", "by": "10"}, ("by", "x"), "3 12 [6, 24] [0, 1, 4] 16\n"),
]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """The recorded program."""
    made = record(MAIN, tmp_path_factory.mktemp("other"), files={"helper.py": HELPER})
    assert output_of(made) == OUTPUT
    return open_trace(made)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.remark)
def test_state_and_fork_there(trace: Trace, place: Place, tmp_path: Path) -> None:
    seq = place.seq(trace)
    state = state_at(trace, seq, exprs=list(place.names))
    shown = {name: value if isinstance(value, str) else value.repr for name, value in state.exprs.items()}
    assert shown == place.names
    assert state.line == line_of(place.source, place.remark)
    assert state.source is not None
    assert place.remark in state.source
    made = fork(trace, seq, sets=[place.change], out=tmp_path / "fork.jsonl")
    assert output_of(made.path) == place.prints
    assert replay(made.path).diverged is None
    same = fork(trace, seq, out=tmp_path / "same.jsonl")
    assert same.diff.equal


def test_statements_of_all_code_are_counted_where_none_is_recorded(trace: Trace, tmp_path: Path) -> None:
    """`B:S` at level `effects` is the same place as at level `lines`."""
    bare = open_trace(record(MAIN, tmp_path, level="effects", files={"helper.py": HELPER}))
    for place in PLACES:
        seq = place.seq(trace)
        block = trace.block_of(seq)
        assert block is not None
        step = sum(1 for _ in trace.events(block.seq, seq, types={"line"}))
        state = state_at(bare, f"{block.number}:{step}", exprs=list(place.names))
        shown = {name: value if isinstance(value, str) else value.repr for name, value in state.exprs.items()}
        assert (state.line, shown) == (line_of(place.source, place.remark), place.names)
    last = trace.block(3)
    count = sum(1 for _ in trace.events(last.seq, last.end_seq, types={"line"}))
    with pytest.raises(UsageError, match="beyond block 3"):
        state_at(bare, f"3:{count}")


CHURN = dedent(
    """
    class Node:
        live = 0
        def __init__(self):
            self.me = self
            Node.live += 1
        def __del__(self):
            Node.live -= 1
    def churn(times):
        lows = []
        for _ in range(times):
            before = Node.live
            made = [[Node()] for _ in range(100)]
            if Node.live < before:
                lows.append(Node.live)
        return lows
    # %%
    found = churn(9000)
    print(len(found) > 0, found)
    """
)


def test_garbage_is_collected_at_the_same_statement_of_any_code(tmp_path: Path) -> None:
    """Finalizers that run in the middle of a function of an earlier cell, and print."""
    trace = open_trace(record(CHURN, tmp_path, level="lines"))
    assert any(True for _ in trace.events(types={"gc"})), "nothing was collected: the test is too small"
    verdict = replay(trace)
    assert verdict.diverged is None, verdict.diverged


def test_garbage_that_is_collected_where_no_statement_is_recorded_is_marked(tmp_path: Path) -> None:
    trace = open_trace(record(CHURN, tmp_path, level="effects"))
    assert [event.record.what for event in trace.events(types={"limit.hit"})] == ["gc"]  # type: ignore[union-attr]
    verdict = replay(trace)
    assert verdict.diverged is not None
    assert verdict.notes == (
        "gc: cyclic garbage was collected between statements: a replay at this level collects elsewhere",
    )


def test_a_position_after_its_block_is_refused(trace: Trace) -> None:
    block = trace.block(2)
    with pytest.raises(UsageError, match="beyond block 2"):
        state_at(trace, f"{block.seq + 1}+5000")


BLOCKS = [
    "def note(name, value):\n    setattr(ctx, name, value)\n    return value\nctx.first = [1]",
    "note('second', 2)\nfound = ls()\nctx.first.append(3)\nfor name in found:\n    del ctx.second\nlast = 9",
    "import subprocess\nsubprocess.run(['true'])\nopen('made.txt', 'w').close()\nctx.end = note('third', 3)",
]


def test_each_event_has_its_state_or_says_that_it_has_none(tmp_path: Path) -> None:
    """What is told in passing, and what comes of a call, cannot be stood before: never another's state."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a.txt").write_text("")
    with Sandbox(root=tmp_path / "work", trace=tmp_path / "t.jsonl") as sandbox:
        for block in BLOCKS:
            assert sandbox.execute(block).outcome == "ok"
    trace = open_trace(tmp_path / "t.jsonl")
    told = {"ctx.set", "ctx.deleted", "ctx.mutated", "import", "file.listed"}
    of_calls = {"tool.returned", "process.finished", "file.listed"}
    for event in trace.events():
        if event.type == "file.wrote":
            continue  # the host sees it at the next event, or at the block's end
        state = state_at(trace, event.seq)
        moved = [note for note in state.notes if note.startswith("nothing stands still")]
        if event.type in told | of_calls:
            assert len(moved) == 1, event
            continue
        assert not moved, event
        if event.type in ("line", "tool.called", "process.started", "file.opened"):
            assert (state.line, state.function) == (event.line, event.function), event
    sets = [event.seq for event in trace.events(types={"ctx.set"})]
    assert [sorted(state_at(trace, seq).ctx) for seq in sets] == [
        ["first"], ["first", "second"], ["first", "third"], ["end", "first", "third"],
    ]  # fmt: skip
