"""The difference of two runs: what is the same step stays aligned, what differs is named where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coda.forking import Diff, diff
from coda.log import (
    BlockFinished,
    Elided,
    Event,
    Lines,
    LlmResponded,
    Note,
    Output,
    RunFinished,
    Trace,
    TraceWriter,
    TurnStarted,
    open_trace,
)
from tests.unit.forking.recorded import Recorder, fork_of, record

LOOP = """\
total = 0
limit = 10
for n in range(30):
    if n > limit:
        total = total + ask(n)
        print("big", n)
ctx.total = total
save("report.txt", f"total\\n{total}\\n")
"""


def two(tmp_path: Path, a: str | list[str], b: str | list[str], **options: Any) -> Diff:
    left = record(tmp_path / "a.jsonl", *([a] if isinstance(a, str) else a), run="r1", **options)
    right = record(tmp_path / "b.jsonl", *([b] if isinstance(b, str) else b), run="r2", **options)
    return diff(left, right)


def test_two_recordings_of_one_program_do_not_differ(tmp_path: Path) -> None:
    found = two(tmp_path, [LOOP, "y = total\n"], [LOOP, "y = total\n"])
    assert found.equal
    assert found.first is None
    assert found.summary() == ["no difference"]


def test_another_limit_is_told_by_place_amount_ctx_calls_output_and_file(tmp_path: Path) -> None:
    found = two(tmp_path, LOOP, LOOP.replace("limit = 10", "limit = 20"))
    assert not found.equal
    assert found.blocks.edited == ((1, 1),)
    changed = {change.name: (change.a, change.b) for change in found.variables}
    assert changed == {"limit": ("10", "20"), "total": ("760", "450")}
    assert [(change.name, change.a, change.b) for change in found.ctx] == [("total", "760", "450")]
    assert [call.kind for call in found.calls] == ["removed"] * 10
    assert {call.a.what for call in found.calls if call.a} == {f"ask({n})" for n in range(11, 21)}
    assert found.output["stdout"][1:11] == tuple(f"-big {n}" for n in range(11, 21))
    assert [(change.path, change.kind) for change in found.files] == [("report.txt", "changed")]
    assert found.files[0].text[-2:] == ("-760", "+450")
    # The assignment itself was edited: one line on each side, then ten turns of two lines in `a` alone.
    assert (found.counts.a_only_lines, found.counts.b_only_lines) == (21, 1)


def test_the_same_code_that_branches_otherwise_names_the_deciding_line(tmp_path: Path) -> None:
    source = (
        "limit = ask(5)\nkept = 0\nfor n in range(30):\n    if n > limit:\n        kept = kept + 1\nz = 1\n"
    )
    a = record(tmp_path / "a.jsonl", source)
    b = record(tmp_path / "b.jsonl", source, run="r2", answer=lambda question: question * 3)
    found = diff(a, b)
    assert found.first is not None
    assert found.first.kind == "value"  # the answer comes before the branch that it decides
    assert found.first.a is not None
    assert (found.first.a.type, found.first.a.what) == ("tool.returned", "ask gave 10")
    hunk = found.hunks[0]
    assert hunk.after is not None
    assert (hunk.after.line, hunk.after.source) == (4, "if n > limit:")
    assert (found.counts.a_only_lines, found.counts.b_only_lines) == (5, 0)
    assert found.join is not None
    assert found.join.a.seq - found.join.b.seq == 5
    assert found.summary()[0] == (
        f"differs from event {found.first.a.seq} (block 1, line 1: limit = ask(5)): "
        "0 lines instead of 5; 1 call differs; kept 19 -> 14; limit 10 -> 15; outcome ok -> ok"
    )


def test_a_statement_inserted_at_the_top_moves_nothing(tmp_path: Path) -> None:
    found = two(tmp_path, LOOP, "import math\n" + LOOP)
    assert [(hunk.a, hunk.a_lines, hunk.b_lines) for hunk in found.hunks] == [(None, 0, 1)]
    assert found.counts.a_only == 0
    assert found.counts.b_only == 1
    assert found.hunks[0].b is not None
    assert found.hunks[0].b.source == "import math"
    assert found.counts.calls == 0


def test_inserted_statements_stay_aligned_inside_functions_defined_earlier(tmp_path: Path) -> None:
    define = "def double(x):\n    y = x * 2\n    return y\n"
    use = "for n in range(5):\n    out = double(n)\nprint(out)\n"
    edited = define.replace("    y", "    note = 'seen'\n    y")
    found = two(tmp_path, [define, use], [edited, use])
    assert found.counts.a_only == 0
    assert found.counts.b_only_lines == 5
    assert {hunk.b.source for hunk in found.hunks if hunk.b} == {"note = 'seen'"}
    assert [hunk.b.block for hunk in found.hunks if hunk.b] == [2] * 5
    assert [(change.scope, change.name) for change in found.variables] == [("double", "note")]


def test_changed_arguments_are_one_call_with_other_arguments(tmp_path: Path) -> None:
    found = two(tmp_path, "x = ask(1)\n", "x = ask(7)\n")
    assert [(call.kind, call.name) for call in found.calls] == [("arguments", "ask")]
    assert found.calls[0].a is not None
    assert found.calls[0].b is not None
    assert (found.calls[0].a.what, found.calls[0].b.what) == ("ask(1)", "ask(7)")


def test_blocks_are_matched_by_source_and_the_odd_one_is_named(tmp_path: Path) -> None:
    first, second, third = "a = 1\n", "for n in range(3):\n    b = n\n", "c = 3\n"
    found = two(tmp_path, [first, third], [first, second, third])
    assert found.blocks.matched == 2
    assert found.blocks.b_only == (2,)
    assert found.blocks.a_only == ()
    assert found.counts.a_only == 0
    assert found.counts.b_only_lines == 4


def test_an_exception_is_part_of_the_outcome(tmp_path: Path) -> None:
    found = two(tmp_path, "x = ask(2)\ny = 10 / x\n", "x = ask(0)\ny = 10 / x\n")
    assert [outcome.finish for outcome in found.outcome] == ["ok", "error"]
    assert found.outcome[1].exception == "ZeroDivisionError"
    assert found.summary()[0].endswith("outcome ok -> error (ZeroDivisionError)")


def test_an_edited_comment_is_another_source_and_nothing_else(tmp_path: Path) -> None:
    found = two(tmp_path, "x = 1  \ny = 2\n", "x = 1  \ny = 2\n# done\n")
    assert not found.equal
    assert found.first is None
    assert found.summary()[0] == "same path and values, but another source: outcome ok -> ok"


def test_values_alone_can_differ(tmp_path: Path) -> None:
    a = record(tmp_path / "a.jsonl", "x = ask(1)\nprint('done')\n")
    b = record(tmp_path / "b.jsonl", "x = ask(1)\nprint('done')\n", run="r2", answer=lambda question: 99)
    found = diff(a, b)
    assert (found.counts.a_only, found.counts.b_only) == (0, 0)
    assert [(call.kind, call.name) for call in found.calls] == [("answer", "ask")]
    assert [(change.name, change.a, change.b) for change in found.variables] == [("x", "2", "99")]
    assert found.join is not None
    assert found.join.a.seq == found.join.b.seq


def test_a_last_value_past_the_limit_is_said_to_be_the_last_recorded(tmp_path: Path) -> None:
    source = "x = ask(1)\nfor n in range(100):\n    y = n * x\n"
    a = record(tmp_path / "a.jsonl", source)
    b = record(tmp_path / "b.jsonl", source, run="r2", answer=lambda question: 5)
    exact = {change.name: change.exact for change in diff(a, b).variables}
    assert exact == {"x": True, "y": False}
    assert any("y 126 -> 315 (last recorded)" in line for line in diff(a, b).summary())


def test_levels_that_recorded_less_are_compared_by_what_both_have(tmp_path: Path) -> None:
    a = record(tmp_path / "a.jsonl", LOOP)
    for level in ("lines", "effects"):
        b = record(tmp_path / f"{level}.jsonl", LOOP, run=level, level=level)
        found = diff(a, b)
        assert found.equal, found.summary()
        assert found.notes == (
            f"recorded at different levels (values, {level}): only what both have was compared",
        )
    lines = diff(open_trace(tmp_path / "lines.jsonl"), open_trace(tmp_path / "lines.jsonl"))
    assert lines.notes == ()


def test_effects_alone_still_compare_calls_and_results(tmp_path: Path) -> None:
    found = two(tmp_path, LOOP, LOOP.replace("limit = 10", "limit = 20"), level="effects")
    assert found.counts.calls == 10
    assert found.counts.a_only_lines == 0
    assert found.notes == ("recorded at level effects: paths were not compared",)
    assert [(change.name, change.a, change.b) for change in found.ctx] == [("total", "760", "450")]


# --- forks -------------------------------------------------------------------------------------


def own_events(trace: Trace, start: int) -> list[Event]:
    """The records of a trace from an event on, as a fork that does the same would write them."""
    rest: list[Event] = []
    for placed in trace.records():
        record_ = placed.record
        if isinstance(record_, Event) and record_.seq >= start:
            rest.append(msgspec.structs.replace(record_, seq=-1))
    return rest


def record_start(trace: Trace, kind: type[Event]) -> int:
    return next(p.record.seq for p in trace.records() if isinstance(p.record, kind))


def test_a_fork_that_did_the_same_does_not_differ(tmp_path: Path) -> None:
    parent = record(tmp_path / "a.jsonl", LOOP, "y = total\n")
    at = next(block.seq for block in parent.blocks if block.number == 2)
    fork = fork_of(parent, tmp_path / "f.jsonl", at, own_events(parent, at), [])
    found = diff(parent, fork)
    assert found.shared == at
    assert found.equal, found.summary()
    assert found.counts.same == parent.count()


def test_a_fork_names_what_was_changed_and_where_it_left(tmp_path: Path) -> None:
    parent = record(tmp_path / "a.jsonl", LOOP, "y = total\nprint(y)\n")
    at = next(block.seq for block in parent.blocks if block.number == 2)
    rest = own_events(parent, at)
    lines = next(i for i, event in enumerate(rest) if isinstance(event, Lines))
    batch = rest[lines]
    assert isinstance(batch, Lines)
    changed = tuple(5 if value == 760 else "5\n" if value == "760\n" else value for value in batch.vals)
    assert changed != batch.vals
    rest[lines] = msgspec.structs.replace(batch, vals=changed)
    change = {"kind": "set", "name": "total", "expr": "5", "before": "760", "after": "5"}
    fork = fork_of(parent, tmp_path / "f.jsonl", at, rest, [change])
    found = diff(parent, fork)
    assert found.shared == at
    assert found.applied == (change,)
    assert [(v.name, v.a, v.b) for v in found.variables] == [("y", "760", "5")]
    assert found.first is not None
    assert found.first.a is not None
    assert found.first.b is not None
    assert found.first.b.seq == found.first.a.seq + 1  # after fork.applied
    assert "  changed   total 760 -> 5" in found.summary()


def test_sibling_forks_share_what_they_share_with_their_parent(tmp_path: Path) -> None:
    parent = record(tmp_path / "a.jsonl", "x = 1\n", "y = 2\n", "z = 3\n")
    second, third = (block.seq for block in parent.blocks[1:])
    one = fork_of(parent, tmp_path / "f1.jsonl", third, own_events(parent, third), [])
    other = fork_of(parent, tmp_path / "f2.jsonl", second, own_events(parent, second), [])
    found = diff(one, other)
    assert found.shared == second
    assert found.equal, found.summary()


def test_a_fork_in_the_middle_of_a_batch_of_lines(tmp_path: Path) -> None:
    parent = record(tmp_path / "a.jsonl", "x = 1\ny = 2\nz = 3\nw = 4\n")
    start = parent.blocks[0].seq
    batch = next(p.record for p in parent.records() if isinstance(p.record, Lines))
    base = batch.ids[0]
    rest: list[Event] = [
        Lines(n=1, ids=(base + 3,), block=1),
        BlockFinished(block=1, outcome="ok"),
        RunFinished(outcome="stopped"),
    ]
    fork = fork_of(parent, tmp_path / "f.jsonl", start + 3, rest, [])
    found = diff(parent, fork)
    assert found.shared == start + 3
    assert [hunk.a.source for hunk in found.hunks if hunk.a] == ["z = 3"]
    assert (found.counts.a_only_lines, found.counts.b_only_lines) == (1, 0)
    assert [(change.name, change.a, change.b) for change in found.variables] == [
        ("w", "4", None),
        ("z", "3", None),
    ]


# --- bad and odd input -------------------------------------------------------------------------


def test_turns_answers_and_remarks_outside_of_blocks(tmp_path: Path) -> None:
    def run(name: str, reply: str) -> Trace:
        recorder = Recorder(tmp_path / f"{name}.jsonl", run=name)
        recorder.emit(TurnStarted(turn=1))
        recorder.emit(LlmResponded(text=reply))
        recorder.emit(Note(text=name))
        recorder.run("x = 1\n")
        recorder.emit(Output(stream="stderr", text="noise\n"))
        return recorder.finish("ok", text=reply)

    found = diff(run("one", "first reply"), run("two", "second reply"))
    assert [(call.kind, call.name) for call in found.calls] == [("answer", "llm.responded")]
    assert [outcome.answer for outcome in found.outcome] == ["first reply", "second reply"]
    assert (found.counts.a_only, found.counts.b_only) == (0, 0)
    assert diff(open_trace(tmp_path / "one.jsonl"), open_trace(tmp_path / "one.jsonl")).equal


def test_a_run_that_was_cut_short_differs_by_its_outcome(tmp_path: Path) -> None:
    whole = record(tmp_path / "a.jsonl", "x = 1\ny = 2\n")
    recorder = Recorder(tmp_path / "b.jsonl", run="r2")
    recorder.run("x = 1\ny = 2\n")
    recorder.writer.close()
    found = diff(whole, open_trace(tmp_path / "b.jsonl"))
    assert [outcome.finish for outcome in found.outcome] == ["ok", "cut short"]
    assert not found.equal


def test_a_long_loop_that_differs_in_many_turns(tmp_path: Path) -> None:
    source = (
        "total = ask(0)\nfor n in range(60_000):\n    score = (n * 7919 + total) % 100\n"
        "    if score > 50:\n        kept = n\n    last = n\n"
    )
    a = record(tmp_path / "a.jsonl", source, answer=lambda question: 0)
    b = record(tmp_path / "b.jsonl", source, run="r2", answer=lambda question: 17)
    found = diff(a, b)
    # Which turn kept its number depends on the sum alone, so both paths can be computed.
    scores = [(n * 7919 % 100 > 50, (n * 7919 + 17) % 100 > 50) for n in range(60_000)]
    assert found.counts.a_only_lines == sum(x and not y for x, y in scores)
    assert found.counts.b_only_lines == sum(y and not x for x, y in scores)
    assert len(found.hunks) == 100


def test_json_is_plain_data(tmp_path: Path) -> None:
    found = two(tmp_path, LOOP, LOOP.replace("limit = 10", "limit = 20"))
    data = json.loads(json.dumps(found.to_json()))
    assert data["equal"] is False
    assert data["counts"]["calls"] == 10
    assert msgspec.convert(data, Diff) == found


@pytest.mark.parametrize("text", ["\x1b[31mred", "𝄞 ünïcode", "\ud800"])
def test_any_text_can_differ(tmp_path: Path, text: str) -> None:
    a = record(tmp_path / "a.jsonl", "x = ask('q')\nprint(x)\n", answer=lambda question: "plain")
    b = record(tmp_path / "b.jsonl", "x = ask('q')\nprint(x)\n", run="r2", answer=lambda question: text)
    found = diff(a, b)
    assert not found.equal
    assert found.summary()


def test_a_writer_that_is_empty_after_its_header(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.jsonl")
    assert isinstance(recorder.writer, TraceWriter)
    recorder.writer.close()
    trace = open_trace(tmp_path / "a.jsonl")
    assert diff(trace, trace).equal


def test_a_copy_that_was_changed_is_compared_though_it_bears_the_same_run_id(tmp_path: Path) -> None:
    a = record(tmp_path / "a.jsonl", "x = ask(1)\n")
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(a.path.read_bytes())
    found = diff(a, open_trace(copy))
    assert found.equal
    assert found.shared == 0
    copy.write_bytes(a.path.read_bytes().replace(b'"value":2', b'"value":3'))
    found = diff(a, open_trace(copy))
    assert not found.equal
    assert [(call.kind, call.name) for call in found.calls] == [("answer", "ask")]


def test_statements_past_the_line_limit_count_as_one_step(tmp_path: Path) -> None:
    def run(name: str, elided: int) -> Trace:
        recorder = Recorder(tmp_path / f"{name}.jsonl", run=name)
        recorder.run("x = 1\n")
        recorder.emit(Elided(n=elided, counts=((0, elided),), block=1))
        recorder.run("y = ask(2)\n")
        return recorder.finish("ok")

    assert diff(run("one", 500), run("two", 500)).equal
    found = diff(run("three", 500), run("four", 700))
    assert not found.equal
    assert (found.counts.a_only, found.counts.b_only, found.counts.other_values) == (0, 0, 1)
    assert found.first is not None
    assert found.first.a is not None
    assert found.first.a.type == "elided"


def test_numbers_after_elided_statements_are_those_of_the_run(tmp_path: Path) -> None:
    def run(name: str, answer: int) -> Trace:
        recorder = Recorder(tmp_path / f"{name}.jsonl", run=name, answer=lambda question: answer)
        recorder.emit(Elided(n=500, counts=((0, 500),)))
        recorder.run("y = ask(2)\n")
        return recorder.finish("ok")

    a, b = run("one", 1), run("two", 2)
    found = diff(a, b)
    assert found.calls[0].a is not None
    assert a.event(found.calls[0].a.seq).type == "tool.returned"


def test_a_loop_variable_is_no_value_of_the_line_before_it(tmp_path: Path) -> None:
    source = "limit = ask(0)\nfor n in range(8):\n    if n > limit:\n        kept = n\n"
    a = record(tmp_path / "a.jsonl", source, answer=lambda question: 3)
    b = record(tmp_path / "b.jsonl", source, run="r2", answer=lambda question: 5)
    found = diff(a, b)
    assert found.counts.other_values == 2  # the answer, and `limit` that was bound to it
    assert (found.counts.a_only_lines, found.counts.b_only_lines) == (2, 0)


def test_a_limit_of_values_that_came_earlier_is_no_difference(tmp_path: Path) -> None:
    # Sixty-four turns of `w` are recorded; in `a` twenty more come first, and use them up.
    source = (
        "def f(v):\n    w = v\n    return w\nmore = ask(0)\nfor n in range(more):\n    f(-1)\n"
        "for n in range(100):\n    f(n)\n"
    )
    a = record(tmp_path / "a.jsonl", source, answer=lambda question: 20)
    b = record(tmp_path / "b.jsonl", source, run="r2", answer=lambda question: 0)
    found = diff(a, b)
    assert (found.counts.a_only, found.counts.b_only) == (60, 0)
    assert found.counts.other_values == 2  # the answer, and `more`
    exact = {change.name: change.exact for change in found.variables}
    assert exact == {"more": True, "v": False, "w": False}


def test_output_without_lines_is_compared_as_text(tmp_path: Path) -> None:
    def run(name: str, *pieces: str) -> Trace:
        recorder = Recorder(tmp_path / f"{name}.jsonl", run=name, level="effects")
        for piece in pieces:
            recorder.drain((-1, piece))
        return recorder.finish("ok")

    assert diff(run("one", "a\n", "b\n"), run("two", "a\nb\n")).equal
    found = diff(open_trace(tmp_path / "one.jsonl"), run("three", "a\nc\n"))
    assert found.output == {"stdout": ("@@ -1,2 +1,2 @@", " a", "-b", "+c")}


def test_how_output_was_cut_into_events_is_no_difference(tmp_path: Path) -> None:
    def run(name: str, *pieces: str) -> Diff:
        recorder = Recorder(tmp_path / f"{name}.jsonl", run=name)
        recorder.names["say"] = lambda: recorder.drain(*((-1, piece) for piece in pieces))
        recorder.run("say()\nsay()\nx = 1\n")
        recorder.emit(Output(stream="stdout", text="from a child\n"))
        recorder.finish("ok")
        return diff(open_trace(tmp_path / "one.jsonl"), open_trace(recorder.writer.path))

    run("one", "line 566\n", "more\n")
    found = run("two", "line ", "566", "\nmore\n")
    assert (found.equal, found.counts.other_values, found.counts.a_only) == (True, 0, 0)
    found = run("three", "line ", "567\n", "more\n")
    assert found.first is not None
    assert (found.counts.other_values, found.counts.a_only, found.counts.b_only) == (2, 0, 0)
    assert [place and place.what for place in (found.first.a, found.first.b)] == [
        "stdout: 'line 566\\nmore\\n'",
        "stdout: 'line 567\\nmore\\n'",
    ]


def test_where_a_child_wrote_among_the_statements_is_no_difference(tmp_path: Path) -> None:
    def run(name: str, text: str, place: int) -> Trace:
        recorder = Recorder(tmp_path / f"{name}.jsonl", run=name)
        recorder.names["here"] = lambda number: (
            recorder.emit(Output(stream="stdout", text=text)) if number == place else None
        )
        recorder.run("here(1)\nhere(2)\nprint('own')\nhere(3)\n")
        return recorder.finish("ok")

    one = run("one", "hi\n", 1)
    assert diff(one, run("two", "hi\n", 3)).equal
    found = diff(one, run("three", "ho\n", 2))
    assert (found.equal, found.output) == (False, {"stdout": ("@@ -1 +1 @@", "-hi", "+ho")})
