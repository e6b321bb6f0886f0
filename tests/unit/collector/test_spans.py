"""The projection: every event has a place, the tree is right, budgets are counted, ids depend on the log."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda.collector import Budget, Span, names, spans
from coda.collector.model import span_id, trace_ids
from coda.collector.projection import Projection
from coda.collector.spans import facts_of, unix_ns
from coda.errors import UsageError
from coda.log import (
    BlockFinished,
    BlockStarted,
    Effect,
    Elided,
    FileRead,
    LimitHit,
    RunFinished,
    ToolCalled,
    ToolReturned,
    open_trace,
)
from tests.support.traces import (
    LOOP,
    Ids,
    agent_trace,
    big_lines_trace,
    fork_trace,
    lines,
    program_trace,
    started,
    table_of,
    writer,
)


def project(path: Path, *, line_spans: str = "2000", opted_in: bool = False) -> list[Span]:
    return list(spans(open_trace(path), budget=Budget.parse(line_spans), opted_in=opted_in))


def tree(found: list[Span]) -> list[str]:
    """The spans by start, each indented below its parent."""
    by_id = {span.span_id: span for span in found}

    def depth(span: Span) -> int:
        return 0 if span.parent_id is None else 1 + depth(by_id[span.parent_id])

    # Equal starts are told apart by the event that began the span, and a parent stands above its child.
    ordered = sorted(found, key=lambda s: (s.attributes[names.SEQ], depth(s)))
    return ["  " * depth(span) + span.name for span in ordered]


def mapped(path: Path, budget: Budget) -> tuple[dict[int, list[str]], set[str]]:
    """For each own event the spans it was said to be or to be on, and the ids of all spans."""
    trace = open_trace(path)
    places: dict[int, list[str]] = {}

    def told(seq: int, n: int, span: str) -> None:
        for number in range(seq, seq + n):
            places.setdefault(number, []).append(span)

    projection = Projection(facts_of(trace), budget=budget, on_event=told)
    found = [span for event in trace.events(own=True) for span in projection.feed(event)]
    found += projection.finish()
    return places, {span.span_id for span in found}


def test_a_program_is_a_tree(tmp_path: Path) -> None:
    found = project(program_trace(tmp_path / "a.jsonl"))
    assert tree(found) == [
        "invoke_agent prog.py",
        "  execute_tool python",
        *["    line 1", "    line 3", "    line 4", "    line 7", "    line 13"],
        *["    line 14", "    line 9", "    line 10"] * 3,
        *["    line 15", "      file.read", "    line 16", "    line 17", "      execute_tool search"],
        *["    line 18", "      ctx.set best", "    line 19"],
    ]


def test_an_agent_run_is_a_tree_of_turns(tmp_path: Path) -> None:
    assert tree(project(agent_trace(tmp_path / "a.jsonl"))) == [
        "invoke_agent",
        *["  turn 1", "    chat scripted", "    execute_tool python"],
        *["      line 1", "        execute_tool ls", "      line 2"],
        *["  turn 2", "    chat scripted", "    execute_tool python"],
        *["      line 1", "        execute_tool read", "          file.read"],
        *["      line 2", "        ctx.set text", "      line 3", "        ctx.set words"],
        *["      line 4", "        ctx.mutated words"],
        *["  turn 3", "    chat scripted", "    execute_tool python"],
        *["      line 1", "        execute_tool bash", "          process sh"],
        *["      line 2", "        file.opened", "        file.wrote"],
    ]


@pytest.mark.parametrize("line_spans", ["all", "none", "3", "2000"])
@pytest.mark.parametrize("make", [program_trace, agent_trace])
def test_every_event_is_a_span_or_on_one(tmp_path: Path, make: object, line_spans: str) -> None:
    assert callable(make)
    path = make(tmp_path / "a.jsonl")
    places, ids = mapped(path, Budget.parse(line_spans))
    assert sorted(places) == list(range(open_trace(path).count()))
    assert {len(found) for found in places.values()} == {1}
    assert {span for found in places.values() for span in found} <= ids


def test_children_come_first_and_lie_within_their_run(tmp_path: Path) -> None:
    found = project(agent_trace(tmp_path / "a.jsonl"))
    seen: set[str] = set()
    for span in found:
        assert span.parent_id not in seen
        seen.add(span.span_id)
        assert found[-1].start_ns <= span.start_ns <= span.end_ns <= found[-1].end_ns
    assert len(seen) == len(found)
    assert found[-1].parent_id is None


def test_identifiers_depend_on_run_and_event_alone(tmp_path: Path) -> None:
    run = "20260314T150926-a1b2c3"
    found = project(program_trace(tmp_path / "a.jsonl"))
    assert {span.trace_id for span in found} == {trace_ids(run, None).trace_id}
    for span in found:
        assert span.span_id == span_id(run, str(span.attributes[names.SEQ]))
    (tmp_path / "b").mkdir()
    again = project(program_trace(tmp_path / "b" / "a.jsonl"))
    assert [(s.span_id, s.parent_id, s.start_ns) for s in found] == [
        (s.span_id, s.parent_id, s.start_ns) for s in again
    ]


def test_an_incoming_traceparent_is_the_parent(tmp_path: Path) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with writer(tmp_path / "a.jsonl") as out:
        out.append(started(traceparent=f"00-{trace}-{parent}-01"))
        out.append(RunFinished(outcome="ok"))
    (span,) = project(tmp_path / "a.jsonl")
    assert (span.trace_id, span.parent_id, span.remote_parent) == (trace, parent, True)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"ff-{'a' * 32}-00f067aa0ba902b7-01",
        "00-ab-cd-01",
    ],
)
def test_a_bad_traceparent_is_not_believed(bad: str) -> None:
    assert trace_ids("r", bad) == trace_ids("r", None)


def test_lines_beyond_the_budget_are_counted_not_dropped(tmp_path: Path) -> None:
    path = big_lines_trace(tmp_path / "a.jsonl", 10_002)
    found = project(path, line_spans="7")
    counted = Counter(span.name.partition(" ")[0] for span in found)
    assert counted == {"line": 7, "lines": 1, "execute_tool": 1, "invoke_agent": 1}
    rolled = next(span for span in found if span.name == "lines")
    first = 2 + 7  # run.started, block.started, seven lines
    assert rolled.attributes[names.FIRST] == first
    assert rolled.attributes[names.LAST] == 10_002 + 1
    assert rolled.attributes[names.LINES] == rolled.attributes[names.EVENT_COUNT] == 10_002 - 7
    counts = rolled.attributes[names.ROLLUP_COUNTS]
    assert isinstance(counts, tuple)
    assert sum(int(text.rpartition(" ")[2]) for text in counts) == 10_002 - 7
    assert rolled.attributes[names.FORK] == f"coda fork {path} --at {first}"
    block = next(span for span in found if span.name == "execute_tool python")
    assert (block.attributes[names.LINES], rolled.parent_id) == (10_002, block.span_id)


def test_a_trace_has_a_budget_of_lines_too(tmp_path: Path) -> None:
    path = big_lines_trace(tmp_path / "a.jsonl", 50)
    found = list(spans(open_trace(path), budget=Budget(None, 10, None)))
    assert sum(span.name.startswith("line ") for span in found) == 10
    assert len(list(spans(open_trace(path), budget=Budget.parse("all")))) == 52


def test_elided_lines_are_in_the_roll_up(tmp_path: Path) -> None:
    table = table_of(LOOP)
    ids = Ids(table)
    with writer(tmp_path / "a.jsonl") as out:
        out.append(started())
        out.append(BlockStarted(block=1, source=LOOP, file="<block 1>", table=table))
        out.append(lines([ids.at(1), ids.at(2)], table))
        out.append(Elided(n=5000, counts=((ids.at(3), 5000),), block=1))
        out.append(BlockFinished(block=1, outcome="ok", lines=5002))
        out.append(RunFinished(outcome="ok"))
    found = project(tmp_path / "a.jsonl")
    rolled = next(span for span in found if span.name == "lines")
    covered = [rolled.attributes[name] for name in (names.LINES, names.FIRST, names.LAST)]
    assert covered == [5000, 4, 5003]
    assert found[-1].attributes[names.LINES] == 5002
    places, spans_of = mapped(tmp_path / "a.jsonl", Budget())
    assert sorted(places) == list(range(5006))
    assert {place for found_at in places.values() for place in found_at} <= spans_of


def test_calls_and_notes_have_budgets(tmp_path: Path) -> None:
    with writer(tmp_path / "a.jsonl") as out:
        out.append(started())
        out.append(BlockStarted(block=1, source="", file="<block 1>"))
        for _ in range(30):
            call = out.append(ToolCalled(name="search"))
            out.append(FileRead(path="a", cause=call))
            out.append(ToolReturned(name="search", cause=call))
        for _ in range(250):
            out.append(Effect(name="time.time", value=1.0))
        out.append(BlockFinished(block=1, outcome="ok"))
        out.append(RunFinished(outcome="ok"))
    found = list(spans(open_trace(tmp_path / "a.jsonl"), budget=Budget(details=10)))
    assert Counter(s.name for s in found) == {
        "execute_tool search": 5, "file.read": 5, "events": 1, "execute_tool python": 1,
        "invoke_agent prog.py": 1,
    }  # fmt: skip
    rolled = next(span for span in found if span.name == "events")
    assert rolled.attributes[names.ROLLUP_COUNTS] == ("file.read: 25", "tool.called: 25")
    block = next(span for span in found if span.name == "execute_tool python")
    told = block.events[-1]
    assert (len(block.events), told.name) == (101, "rollup")
    assert told.attributes[names.EVENT_COUNT] == 25 + 250 - 100
    places, ids = mapped(tmp_path / "a.jsonl", Budget(details=10))
    assert {len(at) for at in places.values()} == {1}
    assert {at[0] for at in places.values()} <= ids


def test_failures_are_status_type_and_event(tmp_path: Path) -> None:
    found = project(program_trace(tmp_path / "a.jsonl"))
    block = next(span for span in found if span.name == "execute_tool python")
    assert (block.error, block.attributes[names.ERROR_TYPE]) == ("ValueError: done", "ValueError")
    raised = next(event for event in block.events if event.name == "exception")
    assert raised.attributes[names.EXCEPTION_TYPE] == "ValueError"
    assert str(raised.attributes[names.EXCEPTION_STACKTRACE]).endswith("ValueError: done\n")
    assert (found[-1].error, found[-1].attributes[names.OUTCOME]) == ("the run ended: error", "error")


def test_a_failed_tool_and_a_limit(tmp_path: Path) -> None:
    with writer(tmp_path / "a.jsonl") as out:
        out.append(started())
        out.append(BlockStarted(block=1, source="", file="<block 1>"))
        call = out.append(ToolCalled(name="pay"))
        error = {"type": "KeyError", "mro": ["KeyError"], "message": "'x'", "args": []}
        out.append(ToolReturned(name="pay", cause=call, ok=False, error=error))
        out.append(LimitHit(what="threads", detail="two of them"))
        out.append(BlockFinished(block=1, outcome="ok"))
        out.append(RunFinished(outcome="ok"))
    found = project(tmp_path / "a.jsonl")
    tool = next(span for span in found if span.name == "execute_tool pay")
    assert (tool.error, tool.attributes[names.ERROR_TYPE]) == ("'x'", "KeyError")
    block = next(span for span in found if span.name == "execute_tool python")
    assert [(e.name, e.attributes[names.NAME]) for e in block.events] == [("limit.hit", "threads")]
    assert block.error is None


def test_a_run_that_was_cut_short_says_so(tmp_path: Path) -> None:
    found = project(program_trace(tmp_path / "a.jsonl", finish=False))
    open_ones = {span.name for span in found if names.INCOMPLETE in span.attributes}
    assert open_ones == {"execute_tool python", "invoke_agent prog.py"}
    assert found[-1].error == "the log ends before the run does"


def test_usage_is_on_calls_and_summed_on_the_run(tmp_path: Path) -> None:
    found = project(agent_trace(tmp_path / "a.jsonl"))
    calls = [span for span in found if span.name == "chat scripted"]
    assert [(s.attributes[names.INPUT_TOKENS], s.kind) for s in calls] == [
        (100, "client"), (200, "client"), (300, "client"),
    ]  # fmt: skip
    run = found[-1]
    assert (run.attributes[names.INPUT_TOKENS], run.attributes[names.OUTPUT_TOKENS]) == (600, 30)


def test_a_fork_is_a_trace_linked_to_the_span_it_left(tmp_path: Path) -> None:
    parent = program_trace(tmp_path / "a.jsonl")
    seq = 10
    fork = fork_trace(tmp_path / "f.jsonl", parent, seq)
    found = project(fork)
    run = found[-1]
    origin = {span.span_id: span for span in project(parent)}
    (link,) = run.links
    assert link.trace_id == origin[link.span_id].trace_id != run.trace_id
    assert origin[link.span_id].attributes[names.SEQ] == seq
    assert run.attributes[names.PARENT_RUN] == open_trace(parent).run
    assert run.attributes[names.PARENT_SEQ] == seq
    # Its block began in the parent: it opens with the first event that is the fork's own.
    assert tree(found) == [
        "invoke_agent prog.py", "  execute_tool python", "    line 9", "    line 10", "    line 16",
    ]  # fmt: skip
    made = datetime.datetime(2026, 3, 14, 18, 0, tzinfo=datetime.UTC)
    assert run.start_ns == int(made.timestamp()) * 10**9
    places, ids = mapped(fork, Budget())
    assert sorted(places) == list(range(seq, open_trace(fork).count()))
    assert {at[0] for at in places.values()} <= ids


def test_a_fork_of_a_rolled_up_line_links_to_the_roll_up(tmp_path: Path) -> None:
    parent = program_trace(tmp_path / "a.jsonl")
    budget = Budget.parse("2")
    fork = open_trace(fork_trace(tmp_path / "f.jsonl", parent, 10))
    (link,) = list(spans(fork, budget=budget))[-1].links
    rolled = next(s for s in spans(open_trace(parent), budget=budget) if s.name == "lines")
    assert link.span_id == rolled.span_id


def test_the_fork_command_leads_back(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    path = program_trace(folder / "a.jsonl")
    call = next(span for span in project(path) if span.name == "execute_tool search")
    quoted = "'" + str(path).replace("'", "'\"'\"'") + "'"
    assert call.attributes[names.FORK] == f"coda fork {quoted} --at {call.attributes[names.SEQ]}"


def test_contents_are_sent_only_when_opted_in(tmp_path: Path) -> None:
    path = agent_trace(tmp_path / "a.jsonl")
    assert "two words" not in repr(project(path))
    assert "count the words" not in repr(project(path))
    told = repr(project(path, opted_in=True))
    assert "two words" in told
    assert "count the words" in told


SECRET = "sk-test-0123456789abcdefghij"


def test_secrets_are_masked_even_in_contents(tmp_path: Path) -> None:
    path = program_trace(tmp_path / "a.jsonl")
    assert SECRET in path.read_text(encoding="utf-8")
    assert SECRET not in repr(project(path, opted_in=True))


@given(st.text(max_size=40), st.integers(0, 10**6))
def test_span_ids_are_sixteen_hex_digits(run: str, seq: int) -> None:
    safe = run.encode("utf-8", "replace").decode()
    assert len(span_id(safe, seq)) == 16
    assert int(span_id(safe, seq), 16)


def test_times_are_exact() -> None:
    assert unix_ns("1970-01-01T00:00:01.000001Z") == 1_000_001_000
    assert unix_ns("2026-03-14T15:09:26.535897+00:00") == 1_773_500_966_535_897_000
    assert unix_ns("not a time") == 0


@pytest.mark.parametrize("bad", ["", "some", "-1", "1.5", "٣"])
def test_a_bad_budget_is_one_sentence(bad: str) -> None:
    with pytest.raises(UsageError, match="--line-spans takes a number, all or none"):
        Budget.parse(bad)


def test_a_call_without_an_answer_ends_with_its_block(tmp_path: Path) -> None:
    with writer(tmp_path / "a.jsonl") as out:
        out.append(started())
        out.append(BlockStarted(block=1, source="", file="<block 1>"))
        out.append(ToolCalled(name="slow"))
        out.append(Effect(name="time.time", value=1.0))
        out.append(BlockFinished(block=1, outcome="killed", state="rolled_back"))
        out.append(BlockStarted(block=2, source="", file="<block 2>"))
        out.append(BlockFinished(block=2, outcome="ok"))
        out.append(RunFinished(outcome="ok"))
    slow, first, second, run = project(tmp_path / "a.jsonl")
    assert (slow.name, slow.attributes[names.INCOMPLETE]) == ("execute_tool slow", True)
    assert (slow.parent_id, slow.end_ns) == (first.span_id, first.end_ns)
    # What another thread did meanwhile is the block's, not the waiting call's.
    assert [event.name for event in first.events] == ["effect"]
    assert (first.error, first.attributes[names.ERROR_TYPE]) == ("the block ended: killed", "killed")
    assert (second.error, run.error) == (None, None)
