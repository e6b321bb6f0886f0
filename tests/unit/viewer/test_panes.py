from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from coda.viewer.details import TABS, Details
from coda.viewer.ledger import Known, Printed, Snapshot
from coda.viewer.panes import Variable, Variables, by_recency, changed, output_lines, recorded, variable_lines
from coda.viewer.session import Session
from coda.viewer.source import colour, highlight, line_hits, source_row
from coda.viewer.text import Span, clean, duration, fit, plain, shown, width_of, wrap

KEY = "sk-test-0123456789abcdefghij"


def snapshot(**values: object) -> Snapshot:
    names = tuple(Known(name, "", value, 1, 0, "") for name, value in values.items())
    return Snapshot(2, names, True)


def test_texts_of_a_trace_are_masked_and_disarmed() -> None:
    assert KEY not in clean(f"key {KEY}")
    assert "\x1b" not in clean("\x1b]0;title\x07red\x1b[31m")
    assert clean("a\nb\tc") == "a⏎b    c"


def test_the_value_of_a_secrets_name_is_masked() -> None:
    assert shown("hunter2hunter2", under="password") == "'***'"
    text = "\n".join(
        plain(line) for line in variable_lines(recorded(snapshot(api_key="abcdefgh12"), ""), frozenset(), ())
    )
    assert "abcdefgh12" not in text


def test_variables_say_where_they_come_from_and_what_changed() -> None:
    for variables, nothing in (
        (recorded(snapshot(), ""), "no values in the log"),
        (Variables("replayed", "", (), ()), "nothing bound yet"),
    ):
        assert plain(variable_lines(variables, frozenset(), ())[-1]).strip() == nothing
    before, now = recorded(snapshot(a=1, b=2), ""), recorded(snapshot(a=1, b=3), "")
    assert changed(before, now) == {("", "b")}
    assert changed(None, now) == frozenset()
    lines = [plain(line) for line in variable_lines(now, changed(before, now), ())]
    assert lines[0] == "recorded"
    assert "● b 3" in lines
    assert "  a 1" in lines


def test_replayed_variables_stand_as_the_recorded_ones_and_leave_room_for_others() -> None:
    names = ("old", "unseen", "a", "b")  # a namespace gives the oldest name first
    replayed = Variables("replayed", "", (), tuple(Variable(name, "", "x" * 2000) for name in names))
    ordered = by_recency(replayed, snapshot(old=1, b=2, a=3))
    assert [item.name for item in ordered.globals] == ["a", "b", "old", "unseen"]
    assert [item.name for item in by_recency(replayed, None).globals] == ["b", "a", "unseen", "old"]
    rows = [plain(line) for line in variable_lines(ordered, frozenset(), ()) if "xxx" in plain(line)]
    assert all(len(row) < 400 and row.endswith("…") for row in rows)


def test_output_joins_what_was_printed_in_pieces() -> None:
    printed = [Printed(1, "stdout", "a "), Printed(2, "stdout", "b\nc\n"), Printed(3, "stderr", "oops\n")]
    lines = output_lines(printed)
    assert [plain(line) for line in lines] == ["a b", "c", "oops"]
    assert lines[2][0].tone == "warn"


def test_source_rows_show_the_current_line_and_what_ran(program: Session) -> None:
    moment = next(program.moments.at(seq) for seq in range(30) if program.moments.at(seq).type == "line")
    assert moment.unit is not None
    source = colour(moment.unit)
    hits = line_hits(moment.unit, {moment.unit.table.base: 3})
    first = plain(source_row(source, 0, hits=hits, current=1, values={1: "os = <module>"}, width=80))
    assert first == "▶ 1    ×3 ┃ import os  os = <module>"
    second = plain(source_row(source, 1, hits=hits, current=1, width=80))
    assert second == "  2       │ "


@given(st.text(max_size=200))
def test_highlighting_keeps_every_character(text: str) -> None:
    text = text.replace("\r", "").replace("\0", "")
    assert "\n".join(plain(line) for line in highlight(text)) == text


@given(st.text(max_size=300), st.integers(12, 60), st.integers(0, 4))
def test_wrapped_rows_fit_and_lose_nothing_but_spaces(text: str, width: int, indent: int) -> None:
    line = (Span(clean(text)),)
    rows = list(wrap(line, width, indent=indent))
    assert all(width_of(row) <= width for row in rows)
    assert "".join(plain(row) for row in rows).replace(" ", "") == clean(text).replace(" ", "")


@given(st.text(max_size=60), st.text(max_size=20), st.integers(4, 50))
def test_a_fitted_line_is_exactly_as_wide_as_asked(left: str, right: str, width: int) -> None:
    line = fit((Span(clean(left)),), (Span(clean(right)),), width)
    assert cell_len(plain(line)) == width or width_of((Span(clean(right)),)) >= width


def test_durations_are_short() -> None:
    values = [0, 812_000, 3_200_000, 45_000_000, 1_400_000_000, 125_000_000_000, 7_300_000_000_000]
    assert [duration(value) for value in values] == [
        "0µs",
        "812µs",
        "3.2ms",
        "45ms",
        "1.4s",
        "2m05s",
        "2h01m",
    ]


def test_every_tab_has_something_to_say_everywhere(agent: Session) -> None:
    details = Details(agent)
    for seq in range(agent.timeline.count + 1):
        line = agent.line_before(seq) if seq < agent.timeline.count else None
        details.move(seq, line)
        details.snapshot = Snapshot(seq, (), True)
        for tab in TABS:
            assert details.lines(tab), (seq, tab)


def test_a_tab_waits_rather_than_showing_another_position(agent: Session) -> None:
    details = Details(agent)
    details.snapshot = Snapshot(3, (), True)
    details.move(4, None)
    assert details.lines("variables") is None
    assert details.lines("output") is None


def test_the_conversation_grows_with_the_position(agent: Session) -> None:
    details = Details(agent)
    details.move(0, None)
    assert [plain(line) for line in details.lines("talk") or []] == ["nobody has spoken yet"]
    details.move(agent.timeline.count, None)
    text = "\n".join(plain(line) for line in details.lines("talk") or [])
    assert "count the words" in text
    assert "Now I read." in text
    assert "print(names)" in text


def test_ctx_is_what_was_set_before(agent: Session) -> None:
    details = Details(agent)
    details.move(agent.timeline.ctx[0], None)
    assert [plain(line) for line in details.lines("ctx") or []] == ["ctx is empty here"]
    details.move(agent.timeline.count, None)
    assert any("['two', 'words', 'end']" in plain(line) for line in details.lines("ctx") or [])


def test_a_call_shows_arguments_and_answer(agent: Session) -> None:
    details = Details(agent)
    call = next(
        seq for seq in range(agent.timeline.count)
        if agent.moments.at(seq).type == "tool.called" and agent.moments.at(seq).name == "read"
    )  # fmt: skip
    details.move(call, None)
    text = [plain(line) for line in details.lines("call") or []]
    assert text[0].startswith("read")
    assert "  0 'a.txt'" in text
    assert "  two words" in text
