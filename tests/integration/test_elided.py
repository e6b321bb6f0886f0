"""Past the limit of lines statements are counted, not listed: their states are as good as any other's."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.errors import UsageError
from coda.forking import fork
from coda.log import Trace, open_trace
from coda.replay import State, replay, state_at
from coda.runtime import Sandbox
from tests.support.programs import dedent

pytestmark = pytest.mark.slow

HELPER = "def f(x):\n    y = x + 1\n    return y\n"
LOOP = dedent(
    """
    total = 0
    for i in range(100):
        total += f(i)
        if i == 60:
            print("sixty", total)
    end = total
    print(end)
    open("made.txt", "w").close()
    last = 1
    """
)


def recorded(folder: Path, line_limit: int) -> Trace:
    (folder / "work").mkdir(parents=True)
    with Sandbox(root=folder / "work", trace=folder / "t.jsonl", line_limit=line_limit) as sandbox:
        assert sandbox.execute(HELPER).outcome == "ok"
        assert sandbox.execute(LOOP).outcome == "ok"
    return open_trace(folder / "t.jsonl")


def shown(state: State) -> tuple[object, ...]:
    values = {name: value.repr for name, value in state.globals.items() if name != "f"}
    return state.line, state.function, values, [frame.locals for frame in state.frames]


@pytest.mark.parametrize("line_limit", [50])
def test_positions_among_them(line_limit: int, tmp_path: Path) -> None:
    whole, cut = recorded(tmp_path / "whole", 10_000), recorded(tmp_path / "cut", line_limit)
    assert replay(cut).faithful
    first = next(event for event in cut.events(types={"elided"}))
    for step in (0, line_limit - 1, line_limit, 150, 247, 406):
        assert shown(state_at(cut, f"2:{step}")) == shown(state_at(whole, f"2:{step}")), step
    inside = first.seq + 100
    assert shown(state_at(cut, inside)) == shown(state_at(whole, f"2:{line_limit + 100}"))
    assert shown(state_at(cut, f"{inside}+7")) == shown(state_at(whole, f"2:{line_limit + 107}"))
    assert shown(state_at(cut, f"{cut.block(2).seq}+200")) == shown(state_at(whole, "2:199"))


def test_a_fork_there_is_refused(tmp_path: Path) -> None:
    trace = recorded(tmp_path, 50)
    first = next(event for event in trace.events(types={"elided"}))
    with pytest.raises(UsageError, match=f"before event {first.seq}"):
        fork(trace, first.seq + 10, out=tmp_path / "f.jsonl")
