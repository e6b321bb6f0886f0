"""Which recorded answers a fork may still use: in order, while nothing has changed."""

from __future__ import annotations

from typing import Any

import pytest

from coda.forking.pool import Given, Pool, describe
from coda.log import (
    Event,
    FileDeleted,
    FileWrote,
    Lines,
    ProcessFinished,
    ProcessStarted,
    ToolCalled,
    ToolReturned,
)

EFFECTS = {"act": "act", "other": "act", "pure": "pure", "look": "read", "write": "act"}


def called(name: str, *args: Any, seq: int = -1, **kwargs: Any) -> ToolCalled:
    """A call."""
    return ToolCalled(name=name, args=args, kwargs=kwargs, seq=seq)


def returned(name: str, value: Any) -> ToolReturned:
    """Its answer."""
    return ToolReturned(name=name, value=value)


def recorded(*pairs: tuple[str, Any, Any]) -> list[Event]:
    """Records of calls with one argument: (name, argument, answer)."""
    rows: list[Event] = []
    for name, argument, answer in pairs:
        rows += [Lines(n=1, ids=(1,)), called(name, argument), returned(name, answer)]
    return rows


def pool(*pairs: tuple[str, Any, Any], assume: bool = False) -> Pool:
    """A pool over such calls."""
    return Pool(recorded(*pairs), effects=EFFECTS, live=frozenset({"write"}), assume=assume)


def value(given: Given | None) -> Any:
    """The answer's value and whether it is assumed; None for none."""
    if given is None:
        return None
    assert isinstance(given.recorded.answer, ToolReturned)
    return given.recorded.answer.value, given.assumed


def ask(of: Pool, name: str, argument: Any, written: dict[str, str | None] | None = None) -> Any:
    """What the pool gives for a call."""
    return value(of.find(called(name, argument), written or {}))


def test_equal_calls_get_their_answers_in_order_and_then_none() -> None:
    answers = pool(("act", 1, "a"), ("act", 1, "b"))
    assert [ask(answers, "act", 1) for _ in range(3)] == [("a", False), ("b", False), None]
    assert answers.changed_by == "act() was not called in the parent after that point"


@pytest.mark.parametrize(
    ("name", "argument"), [("act", 2), ("act", True), ("act", 1.0), ("act", "1"), ("other", 1)]
)
def test_another_call_ends_what_holds(name: str, argument: Any) -> None:
    answers = pool(("act", 1, "a"), ("act", 1, "b"), ("pure", 1, "p"))
    assert ask(answers, name, argument) is None
    assert answers.changed_by == f"{name}() was called where the parent called act()"
    assert ask(answers, "act", 1) is None
    assert ask(answers, "pure", 1) == ("p", False)


def test_a_pure_tool_repeats_and_needs_no_order() -> None:
    answers = pool(("act", 1, "a"), ("pure", 1, "p"), ("pure", 2, "q"), ("act", 2, "b"))
    assert ask(answers, "pure", 2) == ("q", False)
    assert ask(answers, "act", 1) == ("a", False)
    assert ask(answers, "pure", 1) == ("p", False)
    assert ask(answers, "pure", 1) == ("p", False)
    assert ask(answers, "pure", 3) is None
    assert ask(answers, "act", 2) == ("b", False)


def test_pure_calls_that_are_left_out_change_nothing() -> None:
    answers = pool(("pure", 1, "p"), ("act", 1, "a"), ("pure", 2, "q"), ("look", 1, "l"))
    assert ask(answers, "act", 1) == ("a", False)
    assert ask(answers, "look", 1) == ("l", False)
    assert answers.changed_by is None


def test_looking_at_something_else_changes_nothing_for_the_others() -> None:
    answers = pool(("act", 1, "a"), ("act", 2, "b"))
    assert ask(answers, "act", 1) == ("a", False)
    assert ask(answers, "look", 9) is None
    assert ask(answers, "act", 2) == ("b", False)


def test_assumed_answers_are_marked_and_each_is_given_once() -> None:
    answers = pool(("act", 1, "a"), ("act", 2, "b"), ("act", 2, "c"), assume=True)
    assert ask(answers, "act", 2) == ("b", True)
    assert ask(answers, "act", 2) == ("c", True)
    assert ask(answers, "act", 2) is None
    assert ask(answers, "act", 1) == ("a", True)
    assert ask(answers, "act", 3) is None


def test_files_that_differ_end_what_holds() -> None:
    rows: list[Event] = [
        FileWrote(path="a.txt", digest="d1"),
        *recorded(("act", 1, "a")),
        FileDeleted(path="a.txt"),
        *recorded(("act", 2, "b")),
    ]

    def fresh() -> Pool:
        return Pool(rows, effects=EFFECTS, live=frozenset(), assume=False)

    same = fresh()
    assert ask(same, "act", 1, {"a.txt": "d1"}) == ("a", False)
    assert ask(same, "act", 2, {"a.txt": None}) == ("b", False)
    cases: list[dict[str, str | None]] = [
        {},
        {"a.txt": "d2"},
        {"a.txt": "d1", "b.txt": "d3"},
        {"a.txt": None},
    ]
    for written in cases:
        other = fresh()
        assert ask(other, "act", 1, written) is None
        assert other.changed_by is not None
        assert "does not have the content" in other.changed_by


def test_what_a_call_did_to_files_comes_with_its_answer() -> None:
    wrote = FileWrote(path="made.txt", digest="d", by="tool")
    rows: list[Event] = [called("act", 1), wrote, returned("act", "a")]
    given = Pool(rows, effects=EFFECTS, live=frozenset(), assume=False).find(called("act", 1), {})
    assert given is not None
    assert given.recorded.deltas == (wrote,)


def test_live_tools_are_not_in_the_pool() -> None:
    answers = pool(("write", 1, None), ("act", 1, "a"))
    assert ask(answers, "act", 1) == ("a", False)


def test_a_call_without_an_answer_has_none() -> None:
    rows: list[Event] = [called("act", 1)]
    answers = Pool(rows, effects=EFFECTS, live=frozenset(), assume=True)
    assert ask(answers, "act", 1) is None


def test_the_user_answers_one_call_and_the_rest_stays() -> None:
    answers = pool(("act", 1, "a"), ("act", 1, "b"))
    answers.take_changed(called("act", 1))
    assert ask(answers, "act", 1) == ("b", False)


def test_processes_are_calls_too() -> None:
    start = ProcessStarted(argv=("echo", "a"))
    rows: list[Event] = [start, ProcessFinished(code=0, stdout="a\n")]
    answers = Pool(rows, effects=EFFECTS, live=frozenset(), assume=False)
    assert answers.find(ProcessStarted(argv=("echo", "b")), {}) is None
    answers = Pool(rows, effects=EFFECTS, live=frozenset(), assume=False)
    given = answers.find(ProcessStarted(argv=("echo", "a")), {})
    assert given is not None
    assert given.recorded.answer == ProcessFinished(code=0, stdout="a\n")
    assert describe(start) == "process 'echo a'"
    assert describe(called("act")) == "act()"


def test_addresses_in_arguments_do_not_matter() -> None:
    answers = pool(("act", "<X object at 0x7f0000000010>", "a"), ("act", "<X object at 0x7f0000000020>", "b"))
    assert ask(answers, "act", "<X object at 0x7f1111111110>") == ("a", False)
    assert ask(answers, "act", "<Y object at 0x7f1111111120>") is None
