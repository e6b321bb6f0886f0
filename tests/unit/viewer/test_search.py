from __future__ import annotations

from pathlib import Path

import pytest

from coda.log import LlmRequested, LlmResponded, UserMessage
from coda.query import query
from coda.viewer.engine import parse_change
from coda.viewer.moments import fields
from coda.viewer.panes import talk_lines
from coda.viewer.search import find_text, search
from coda.viewer.session import Session
from coda.viewer.text import capped, plain
from tests.support import traces
from tests.unit.viewer.conftest import Opened


def never() -> bool:
    return False


def test_text_is_found_in_source_output_and_records(program: Session) -> None:
    def types(text: str) -> list[str]:
        found = find_text(program.timeline, program.moments, text, never)
        return [program.moments.at(seq).type for seq in found]

    assert types("total 3") == ["output"]
    assert types("RETURN TOTAL") == ["block.started", "line", "line", "line"]
    assert "file.read" in types(".env")
    assert types("nowhere at all") == []
    assert types("") == []


def test_text_of_a_fork_is_found_in_its_own_events_only(tmp_path: Path, opened: Opened) -> None:
    parent = traces.program_trace(tmp_path / "p.jsonl")
    session = opened(traces.fork_trace(tmp_path / "f.jsonl", parent, 20))
    found = list(find_text(session.timeline, session.moments, "total", never))
    assert found == sorted(set(found))
    assert found[-1] < session.timeline.count


def test_a_query_is_answered_as_one(program: Session) -> None:
    answer = search(query, program.trace, program.timeline, program.moments, "read *.env", never)
    assert (answer.how, len(answer.hits), answer.error) == ("query", 1, "")
    event = program.moments.at(answer.hits[0])
    assert event.type == "file.read"


def test_a_query_about_no_field_says_what_is_wrong(program: Session) -> None:
    answer = search(query, program.trace, program.timeline, program.moments, "tool where colour = 1", never)
    assert answer.how == "query"
    assert "colour" in answer.error
    assert not answer.hits


def test_text_that_is_no_query_is_searched_as_text(program: Session) -> None:
    answer = search(query, program.trace, program.timeline, program.moments, "total += item", never)
    assert (answer.how, len(answer.hits)) == ("text", 4)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("threshold = 5", ("threshold", "5")),
        ("a.b=c == d", ("a.b", "c == d")),
        ("", None),
    ],
)
def test_a_change_is_a_name_and_an_expression(text: str, change: tuple[str, str] | None) -> None:
    assert parse_change(text) == change


@pytest.mark.parametrize("text", ["threshold", "= 5", "5 = x", "x =", "f() = 2"])
def test_what_is_no_change_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name = expression"):
        parse_change(text)


def test_events_read_as_the_log_shows_them(program: Session) -> None:
    for event in program.trace.events():
        shown = fields(program.moments.at(event.seq))
        assert (shown["seq"], shown["type"]) == (event.seq, event.type)
        if event.type == "line":
            assert (shown["line"], shown["function"]) == (event.line, event.function)


def test_what_is_said_twice_is_shown_twice() -> None:
    said, answered = {"role": "user", "content": "yes"}, {"role": "assistant", "content": "ok"}
    records = [
        UserMessage(text="yes"), LlmRequested(model="m", messages=(said,)), LlmResponded(text="ok"),
        UserMessage(text="yes"), LlmRequested(model="m", messages=(answered, said)),
    ]  # fmt: skip
    text = [plain(line) for line in talk_lines(records)]
    assert text.count("yes") == 2
    assert text.count("ok") == 1


def test_a_cut_text_leaks_no_half_secret() -> None:
    key = "sk-test-0123456789abcdefghij"
    text = "x" * 90 + " " + key + " tail" * 100
    shown = capped(text, 100)
    assert "sk-test" not in shown
    assert "more characters" in shown
    assert capped("short", 100) == "short"
