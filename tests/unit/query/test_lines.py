"""Lines and assignments: counted from the path, with values where the log has them and only there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from coda.errors import SchemaMismatch
from coda.log import Elided, FileRead, Header, Import, Lines, Parent, Trace, TraceWriter, open_trace
from coda.query import Group, Hit, Result, query
from tests.unit.query.recorder import Recorder, record

PROGRAM = """
limit = 3
def f(n):
    x = n * 2
    if n > 0:
        x = f(n - 1) + x
    return x
for row in range(5):
    if row > limit:
        limit = row
total = f(2)
"""


def ask(text: str, trace: Trace) -> tuple[list[Hit], Result]:
    """Gives the hits of a query and the answer they came from."""
    answer = query(text, [trace])
    return [row for row in answer.rows if isinstance(row, Hit)], answer


def values(text: str, trace: Trace) -> list[object]:
    """Gives the values that the hits of a `set` query show."""
    return [hit.fields["value"] for hit in ask(text, trace)[0]]


def test_lines_count_what_ran(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", PROGRAM)
    hits, answer = ask("line 3", trace)
    assert [hit.source for hit in hits] == ["x = n * 2"] * 3
    assert {hit.function for hit in hits} == {"f"}
    assert answer.incomplete == []
    numbered = {event.seq: event.line for event in trace.events(types={"line"})}
    assert [numbered[hit.seq] for hit in hits] == [3, 3, 3]
    every = ask("line", trace)[0]
    assert [(hit.seq, hit.line) for hit in every] == list(numbered.items())


def test_line_ranges_and_inner_lines(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "x = [\n  1,\n  2,\n]\nif x:\n  y = (\n    3\n  )\n")
    assert [hit.line for hit in ask("line 5..6", trace)[0]] == [5, 6]
    assert [hit.line for hit in ask("line 3", trace)[0]] == [1]
    assert [hit.line for hit in ask("line 7", trace)[0]] == [6]
    assert ask("line 90", trace)[0] == []


def test_assignments_have_their_values_and_statements(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", PROGRAM)
    hits, answer = ask("set limit", trace)
    assert [(hit.fields["value"], hit.source) for hit in hits] == [(3, "limit = 3"), (4, "limit = row")]
    assert answer.incomplete == []
    assert values("set limit where value > 3", trace) == [4]
    assert values("set row", trace) == [0, 1, 2, 3, 4]
    assert values("set n", trace) == [2, 1, 0]
    assert values("set l*t", trace) == [3, 4]
    assert values("set f where value.type = function", trace) != []


def test_recursive_assignments_are_paired_and_marked(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", PROGRAM)
    hits = ask("set x where line = 5", trace)[0]
    # Two frames are at the statement: in order of their starts, the outer one is stored last.
    assert [(hit.fields["value"], hit.fields["pairing"]) for hit in hits] == [
        (6, "recorded"),
        (2, "inferred"),
    ]
    assert hits[0].seq < hits[1].seq
    assert hits[0].fields["known"] > hits[1].fields["known"]


def test_a_statement_that_raised_is_no_assignment(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "x = 1\ntry:\n    x = 1 / 0\nexcept ZeroDivisionError:\n    x = 2\n")
    assert values("set x", trace) == [1, 2]


def test_an_argument_that_is_stored_again(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "def f(n=None):\n    n = n or 3\n    return n\nf()\nf(5)\n")
    assert values("set n", trace) == [None, 3, 5, 5]


def test_attributes_items_and_walruses(tmp_path: Path) -> None:
    source = """
    class Box: pass
    box = Box()
    box.size = 4
    rows = {}
    rows["a"] = 7
    while (left := len(rows)) < 2:
        rows["b"] = left
    del left
    """
    trace = record(tmp_path / "t.jsonl", source)
    assert values("set box.size", trace) == [4]
    assert values("set rows[]", trace) == [7, 1]
    assert values("set left", trace) == [1, 2]


@pytest.mark.parametrize("kept", [1, 2, 5])
def test_past_the_limit_values_are_not_known(tmp_path: Path, kept: int) -> None:
    source = "total = 0\nfor n in range(6):\n    total = total + n\n"
    trace = record(tmp_path / "t.jsonl", source, value_limit=kept)
    hits, answer = ask("set total", trace)
    assert len(hits) == 7
    assert [hit.fields["captured"] for hit in hits] == [True] * (1 + kept) + [False] * (6 - kept)
    assert answer.incomplete == []
    hits, answer = ask("set total where value > 100", trace)
    assert hits == []
    assert answer.incomplete == [
        f"incomplete: {6 - kept} bindings not captured in run t, so not compared; a replay knows them"
    ]
    # What the condition decides without the value leaves nothing open.
    assert ask("set total where line = 90 and value > 100", trace)[1].incomplete == []


def test_recursion_past_the_limit_loses_no_row(tmp_path: Path) -> None:
    source = "def f(n):\n    x = n and f(n - 1)\n    return n\nf(4)\n"
    trace = record(tmp_path / "t.jsonl", source, value_limit=2)
    assert [hit.fields["captured"] for hit in ask("set x", trace)[0]].count(True) == 2
    assert len(ask("set x", trace)[0]) == 5
    assert len(ask("set n", trace)[0]) == 5


def test_level_lines_has_rows_without_values(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", PROGRAM, level="lines")
    hits, answer = ask("set limit", trace)
    assert [(hit.line, hit.fields["captured"]) for hit in hits] == [(1, False), (9, False)]
    assert answer.incomplete == []
    assert "2 bindings not captured" in ask("set limit where value = 3", trace)[1].incomplete[0]


def test_level_effects_says_that_it_has_no_lines(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", PROGRAM, level="effects")
    for text in ("set limit", "line 3"):
        hits, answer = ask(text, trace)
        assert hits == []
        assert "level effects" in answer.incomplete[0]


def test_budgets_begin_anew_with_each_block(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "x = 1\nx = 2\n", "x = 3\n", value_limit=1)
    assert values("set x", trace) == [1, 2, 3]
    assert [hit.block for hit in ask("set x", trace)[0]] == [1, 1, 2]


def test_elided_lines_count(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "t.jsonl", level="lines")

    def elide() -> None:
        recorder.writer.append(Elided(n=12, counts=((0, 10), (1, 2)), block=1))

    recorder.block("x = 1\ny = 2\n", prepare=elide)
    trace = recorder.close()
    assert query("line 1 | count", [trace]).groups == [Group(field=None, key=None, count=11)]
    hits, answer = ask("set x where value = 1", trace)
    assert hits == []
    assert answer.incomplete[0].startswith("incomplete: 11 bindings")


def test_a_fork_has_its_prefix_and_no_more(tmp_path: Path) -> None:
    parent = record(tmp_path / "p.jsonl", "a = 1\na = 2\na = 3\nb = 4\n")
    cut = ask("set a", parent)[0][1].seq + 1
    header = Header(run="f", parent=Parent(run="p", path="p.jsonl", seq=cut, position=str(cut)))
    with TraceWriter(tmp_path / "f.jsonl", header, first_seq=cut) as writer:
        writer.append(Lines(n=1, ids=(2, 6), vals=(30,), block=1))
        writer.append(FileRead(path="x.env", file="<block 1>", line=3, function=""))
    fork = open_trace(tmp_path / "f.jsonl")
    assert values("set a", fork) == [1, 2, 30]
    assert [hit.seq for hit in ask("line", fork)[0]] == [2, 3, 4]
    (hit,) = ask("read *.env", fork)[0]
    assert (hit.run, hit.seq, hit.source, hit.block) == ("f", cut + 1, "a = 3", 1)


def test_damage_is_an_error_of_the_log(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "t.jsonl")
    recorder.block("x = 1\n")
    recorder.writer.append(Lines(n=1, ids=(999,), block=1))
    trace = recorder.close()
    for text in ("set x", "line 1"):
        with pytest.raises(SchemaMismatch, match="no table"):
            ask(text, trace)


def test_rows_are_data(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", PROGRAM)
    row = ask("set limit", trace)[0][0].to_json()
    assert msgspec.json.decode(msgspec.json.encode(row)) == row
    assert list(row)[:4] == ["run", "trace", "verb", "seq"]


def test_an_import_of_what_is_loaded_already_is_found(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "t.jsonl")

    def loaded() -> None:
        place = {"file": "<block 1>", "line": 1, "function": ""}
        recorder.emit(Import(module="csv", **place))  # type: ignore[arg-type]

    source = """
    import csv, os, sys
    def f():
        from os import path
        import xml.dom as dom, json; import os.path
        if path: import sys
    for n in range(3):
        f()
    """
    recorder.block(source, prepare=loaded)
    trace = recorder.close()
    assert [(hit.line, hit.what) for hit in ask("import os", trace)[0]] == [
        (1, "os"),
        (3, "os"),
        (4, "os.path"),
    ]
    assert [(hit.line, hit.what) for hit in ask("import sys", trace)[0]] == [(1, "sys"), (5, "sys")]
    assert [(hit.what, hit.fields["basis"]) for hit in ask("import csv", trace)[0]] == [("csv", "recorded")]
    assert [hit.what for hit in ask("import xml", trace)[0]] == ["xml.dom"]
    assert [hit.line for hit in ask("import where basis = recorded", trace)[0]] == [1]
    assert [hit.what for hit in ask("import os.path", trace)[0]] == ["os.path", "os.path"]
    assert ask("import o", trace)[0] == []
    (first, *_) = ask("import os", trace)[0]
    assert (first.source, first.fields["basis"]) == ("import csv, os, sys", "source")
    assert [hit.line for hit in ask(f"import os at {first.seq + 1}..", trace)[0]] == [3, 4]


def test_without_lines_a_no_about_imports_is_incomplete(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "import os\n", level="effects")
    answer = query("import os", [trace])
    assert list(answer.rows) == []
    assert "level effects" in answer.incomplete[0]


def test_an_import_that_failed_is_none(tmp_path: Path) -> None:
    source = """
    def f():
        try:
            import no_such_module_here
        except ImportError:
            pass
        import os
    f()
    """
    trace = record(tmp_path / "t.jsonl", source)
    assert [hit.what for hit in ask("import", trace)[0]] == ["os"]
    trace = record(tmp_path / "lines.jsonl", source, level="lines")
    assert [hit.what for hit in ask("import os", trace)[0]] == ["os"]


def test_brackets_in_a_target_mean_items(tmp_path: Path) -> None:
    trace = record(tmp_path / "t.jsonl", "rows = [{}]\nrows[0]['n'] = 4\nrows[0] = 5\n")
    for pattern, values in (("rows[][]", [4]), ("rows[]", [5]), ("rows*", None), ("*[]", [4, 5])):
        rows = [hit for hit in query(f"set {pattern}", [trace]).rows if isinstance(hit, Hit)]
        found = [row.fields["value"] for row in rows]
        assert found[-2:] == (values or [4, 5]), pattern
