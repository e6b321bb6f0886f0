"""Plain and recorded execution show the same, program by program."""

from __future__ import annotations

import sys
import textwrap

import pytest

from tests.unit.runtime.instrument_programs import PROGRAMS
from tests.unit.runtime.instrument_run import PLAIN, run


@pytest.fixture(params=sorted(PROGRAMS))
def program(request: pytest.FixtureRequest) -> str:
    return textwrap.dedent(PROGRAMS[request.param])


@pytest.mark.parametrize("level", ["effects", "lines", "values"])
def test_recorded_shows_what_plain_shows(program: str, level: str) -> None:
    assert run(program, level).seen == run(program, PLAIN).seen


@pytest.mark.parametrize("limit", [1, 2])
def test_spent_budgets_change_nothing(program: str, limit: int) -> None:
    assert run(program, "values", limit=limit).seen == run(program, PLAIN).seen


# Programs with a statement whose first instruction is on a later line than the statement itself.
BEGINS_LATER = {"zero_division": [3], "multiline": [7] if sys.version_info < (3, 12) else [7, 11]}

# Programs that end with an `except ... as`: its line is shown again when the frame's end is marked.
HANDLED_LAST = {"try": [20], "except_star": [7]} if sys.version_info < (3, 13) else {}


@pytest.mark.parametrize("level", ["lines", "values"])
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_trace_functions_see_the_same_lines(name: str, level: str) -> None:
    if level == "values" and sys.version_info[:2] == (3, 12):
        pytest.skip("3.12 reports a line again after every jump, also one over a hook")
    program = textwrap.dedent(PROGRAMS[name])
    plain, recorded = (run(program, at, trace=True).seen for at in (PLAIN, level))
    assert recorded._replace(traced=()) == plain._replace(traced=())
    expected = BEGINS_LATER.get(name, []) + (HANDLED_LAST.get(name, []) if level == "values" else [])
    assert _added(plain.traced, recorded.traced, marked=level == "values") == expected


def _placed(event: tuple[str, int, str], marked: bool) -> tuple[str, int | None, str]:
    """A frame is left by way of its mark, which is at no line, or at that of what ran before it."""
    return (event[0], None if marked and event[0] == "return" else event[1], event[2])


def _added(
    plain: tuple[tuple[str, int, str], ...], recorded: tuple[tuple[str, int, str], ...], *, marked: bool
) -> list[int]:
    """Lines of the line events that only the recorded run has; every other event must be in both."""
    added, rest = [], list(plain)
    for event in recorded:
        if rest and _placed(rest[0], marked) == _placed(event, marked):
            rest.pop(0)
        else:
            assert event[0] == "line"
            added.append(event[1])
    assert not rest
    return added


DIVE = """
class Box: pass
box = Box()
def dive(n):
    global deepest
    deepest = n
    local = [n]
    box.kept = local
    (walrus := (n, 1))
    dive(n + 1)
try: dive(0)
except RecursionError as error: text = str(error)
"""


@pytest.mark.parametrize(
    ("level", "limit", "frames"), [("lines", 1, 0), ("values", 1, 0), ("values", 64, 0), ("values", 10**6, 1)]
)
def test_hooks_take_no_depth_unless_a_site_still_captures_containers(
    level: str, limit: int, frames: int
) -> None:
    plain, recorded = run(DIVE).seen.values, run(DIVE, level, limit=limit).seen.values
    assert int(plain["deepest"]) - int(recorded["deepest"]) == frames
    assert recorded["text"] == plain["text"]
