from __future__ import annotations

import fcntl
import re
from pathlib import Path

import pytest
from textual.widgets import ContentSwitcher, Input

from coda.viewer.screens import HelpScreen
from coda.viewer.text import plain
from coda.viewer.widgets import Bar, TextPane
from tests.support import traces
from tests.tui.conftest import Open

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return traces.program_trace(tmp_path / "program.jsonl")


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    return traces.agent_trace(tmp_path / "agent.jsonl")


async def test_a_program_opens_on_its_first_line(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        assert viewer.seq == 4
        assert viewer.source().current == 1
        assert "·   1 import os" in viewer.cursor()
        assert any("Block 1" in row for row in viewer.rows())


async def test_stepping_moves_source_and_variables(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.press("right", "right", "j")
        assert viewer.seq == 7
        assert viewer.source().current == 7
        assert "limit 3" in viewer.tab("variables")
        assert "total 0" in viewer.tab("variables")
        assert "recorded" in viewer.tab("variables")
        await viewer.press("left", "k")
        assert viewer.seq == 5
        assert "limit" not in viewer.tab("variables")


async def test_stepping_cannot_leave_the_run(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.press("home", "left", "left")
        assert viewer.seq == 0
        assert (
            re.search(r"\d(ns|µs|ms|s)$", viewer.cursor()) is None
        )  # the time of setting up is not the run's
        await viewer.press("end", "right", "right")
        assert viewer.seq == viewer.screen.timeline.count
        assert "end of run" in viewer.cursor()


async def test_lines_that_ran_are_counted(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        hits = viewer.source().hits
        assert hits is not None
        assert (hits[9], hits[14], hits[1]) == (3, 3, 1)
        assert 8 not in hits


async def test_blocks_and_turns_are_stepped_over(agent: Path, view: Open) -> None:
    async with view(agent) as viewer:
        assert "Block 1" in viewer.cursor()
        await viewer.press("right_square_bracket")
        assert "Block 2" in viewer.cursor()
        await viewer.press("right_curly_bracket")
        assert "Turn 3" in viewer.cursor()
        await viewer.press("left_square_bracket")
        assert "Block 2" in viewer.cursor()
        await viewer.press("right_square_bracket", "right_square_bracket")
        assert viewer.status() == "no further block"


async def test_stepping_into_a_folded_block_opens_it(agent: Path, view: Open) -> None:
    async with view(agent) as viewer:
        assert not any("names = ls()" in row and "Block" not in row for row in viewer.rows())
        await viewer.press("right")
        assert "names = ls()" in viewer.cursor()
        await viewer.press("left", "enter")
        assert "▸" in viewer.cursor()


async def test_moving_by_rows_passes_folded_blocks(agent: Path, view: Open) -> None:
    async with view(agent) as viewer:
        await viewer.press("down")
        assert "turn 1 ends" in viewer.cursor()
        await viewer.press("up")
        assert "Block 1" in viewer.cursor()


async def test_all_blocks_fold_and_unfold(agent: Path, view: Open) -> None:
    async with view(agent) as viewer:
        folded = viewer.screen.timeline.rows()
        await viewer.press("plus")
        assert viewer.screen.timeline.rows() > folded
        await viewer.press("right", "minus")
        assert viewer.screen.timeline.rows() == folded
        assert "Block 1" in viewer.cursor()


async def test_going_to_an_event_a_block_step_and_a_share(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.press("g", "1", "0", "enter")
        assert viewer.seq == 10
        await viewer.press("g", "1", "colon", "2", "enter")
        assert viewer.seq == 6
        await viewer.press("g", "1", "0", "0", "percent_sign", "enter")
        assert viewer.seq == viewer.screen.timeline.count
        await viewer.press("g", "9", "9", "9", "enter")
        assert "there is no event 999" in viewer.status()
        assert viewer.seq == viewer.screen.timeline.count


async def test_a_query_is_searched(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.press("slash")
        await viewer.type("read *.env")
        await viewer.press("enter")
        assert viewer.screen.timeline.type_of(viewer.screen.timeline.record_of(viewer.seq)) == "file.read"
        assert viewer.status() == "/read *.env  1 of 1"


async def test_text_is_searched_when_it_is_no_query(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.press("slash")
        await viewer.type("TOTAL +=")
        await viewer.press("enter")
        # The first hit is the block, whose source holds the text; three lines ran it.
        assert viewer.status() == "/TOTAL +=  2 of 4 (as text)"
        assert viewer.source().current == 9
        await viewer.press("n", "n")
        assert viewer.status().startswith("/TOTAL +=  4 of 4")
        await viewer.press("n")
        assert "Block 1" in viewer.cursor()
        await viewer.press("N")
        assert viewer.status().startswith("/TOTAL +=  4 of 4")


async def test_a_search_without_hits_says_so(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        before = viewer.seq
        await viewer.press("slash")
        await viewer.type("delete *.nothing")
        await viewer.press("enter")
        assert "0 hits" in viewer.status()
        assert viewer.seq == before


async def test_escape_leaves_the_command_line(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.press("slash", "x", "q", "escape")
        assert not viewer.screen.query_one("#entry", Input).display
        await viewer.press("right")
        assert viewer.seq == 5


async def test_errors_are_stepped_through(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.press("e")
        assert "ValueError: done" in viewer.cursor()
        assert viewer.source().current == 19
        await viewer.press("E")
        assert viewer.status() == "no earlier error"


async def test_tabs_follow_the_position(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.press("3")
        assert viewer.screen.query_one("#switch", ContentSwitcher).current == "output"
        assert viewer.tab("output") == "nothing printed yet"
        await viewer.press("end")
        assert "total 3" in viewer.tab("output")
        await viewer.press("2")
        assert "ctx.best = 'a'" in viewer.tab("ctx")
        await viewer.press("slash")
        await viewer.type("tool search")
        await viewer.press("enter", "4")
        assert "returned" in viewer.tab("call")
        await viewer.press("6")
        assert '"type": "tool.called"' in viewer.tab("event").replace("type: ", '"type": ')


async def test_secrets_are_not_on_the_screen(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.press("end")
        for number in range(1, 7):
            await viewer.press(str(number))
        for name in ("variables", "output", "event"):
            assert "sk-test" not in viewer.tab(name)
        assert not any("sk-test" in row for row in viewer.rows())
        assert "text" in viewer.tab("variables")


async def test_help_opens_and_closes(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.press("question_mark")
        assert isinstance(viewer.pilot.app.screen, HelpScreen)
        assert "one event forward" in viewer.pilot.app.screen.query_one("#help", TextPane).text
        await viewer.press("escape")
        assert viewer.seq == 4


async def test_light_and_dark(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        assert viewer.pilot.app.current_theme.dark
        await viewer.press("t")
        assert not viewer.pilot.app.current_theme.dark


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 12)])
async def test_every_size_shows_tree_and_source(program: Path, view: Open, size: tuple[int, int]) -> None:
    async with view(program, size=size) as viewer:
        tree, source = viewer.screen.query_one("#tree"), viewer.source()
        assert tree.region.width > 10
        assert tree.region.height >= 3
        assert source.region.width > 15
        assert source.region.bottom <= size[1]
        wide = size[0] >= 116
        assert (
            viewer.screen.query_one("#tabs").region.y == viewer.screen.query_one("#centre").region.y
        ) is wide


async def test_a_click_moves_and_folds(agent: Path, view: Open) -> None:
    async with view(agent) as viewer:
        row = next(index for index, text in enumerate(viewer.rows()) if "Turn 1" in text)
        await viewer.pilot.click("#tree", offset=(6, row))
        await viewer.settle()
        assert "Turn 1" in viewer.cursor()
        await viewer.pilot.click("#tree", offset=(6, row))
        await viewer.settle()
        assert not any("Block 1" in text for text in viewer.rows())


async def test_the_scrubber_seeks(program: Path, view: Open) -> None:
    async with view(program) as viewer:
        await viewer.pilot.click("#scrubber", offset=(0, 0))
        await viewer.settle()
        assert viewer.seq == 0


async def test_a_million_lines_can_be_walked(tmp_path: Path, view: Open) -> None:
    path = traces.big_lines_trace(tmp_path / "big.jsonl", 1_000_000)
    async with view(path) as viewer:
        assert viewer.screen.timeline.count > 1_000_000
        await viewer.press("g")
        await viewer.type("700000")
        await viewer.press("enter", "down", "right")
        assert viewer.seq == 700_002
        assert len(viewer.rows()) > 20
        assert viewer.source().current is not None


async def test_a_growing_run_is_followed_at_its_end(tmp_path: Path, view: Open) -> None:
    whole = traces.program_trace(tmp_path / "whole.jsonl").read_bytes()
    path = tmp_path / "live.jsonl"
    lines = whole.splitlines(keepends=True)
    with path.open("ab", buffering=0) as out:
        fcntl.flock(out, fcntl.LOCK_EX)  # as the writer of a trace does
        out.write(b"".join(lines[:6]))
        async with view(path) as viewer:
            assert viewer.seq == viewer.screen.timeline.count
            assert "recording" in viewer.cursor()
            assert viewer.source().current == 15  # the line that is running
            before = viewer.seq
            out.write(b"".join(lines[6:9]))
            await until(viewer, lambda: viewer.screen.timeline.count > before)
            assert viewer.seq == viewer.screen.timeline.count
            await viewer.press("left")
            held = viewer.seq
            out.write(b"".join(lines[9:]))
            await until(viewer, lambda: viewer.screen.timeline.finished)
            assert viewer.seq == held


async def test_a_run_whose_recorder_died_is_cut_short(tmp_path: Path, view: Open) -> None:
    whole = traces.program_trace(tmp_path / "whole.jsonl").read_bytes()
    path = tmp_path / "dead.jsonl"
    lines = whole.splitlines(keepends=True)

    def title(viewer: object) -> str:
        return plain(viewer.screen.query_one("#title", Bar).right)  # type: ignore[attr-defined]

    with path.open("ab", buffering=0) as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        out.write(b"".join(lines[:6]))
        async with view(path) as viewer:
            assert "live" in title(viewer)
            out.write(b"".join(lines[6:9]) + lines[9][:20])
            out.close()  # the recorder is killed while it writes a record
            await until(viewer, lambda: viewer.screen.session.abandoned)
            assert "cut short" in title(viewer)
            assert "the recording stops here" in viewer.cursor()
            assert "cut short" in "".join(viewer.rows())
    async with view(path) as viewer:  # and so when it is opened later, from its beginning
        assert "cut short" in title(viewer)
        assert viewer.seq < viewer.screen.timeline.count


async def test_damage_is_told_and_the_rest_is_shown(tmp_path: Path, view: Open) -> None:
    path = traces.program_trace(tmp_path / "t.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-3] = b'{"type":"exception","seq":\n'
    path.write_bytes(b"".join(lines))
    async with view(path) as viewer:
        assert "damaged" in viewer.status()
        await viewer.press("right")
        assert viewer.seq == 5


async def test_a_changed_byte_is_told(tmp_path: Path, view: Open) -> None:
    path = traces.program_trace(tmp_path / "t.jsonl")
    path.write_bytes(path.read_bytes().replace(b"limit = 3", b"limit = 4", 1))
    async with view(path) as viewer:
        await until(viewer, lambda: "damaged or was changed" in viewer.status())
        assert viewer.screen.timeline.finished


async def until(viewer: object, condition: object) -> None:
    """Waits for something that a thread brings about."""
    assert callable(condition)
    for _ in range(5000):
        await viewer.pilot.pause()  # type: ignore[attr-defined]
        if condition():
            await viewer.settle()  # type: ignore[attr-defined]
            return
    raise AssertionError("it did not happen")
