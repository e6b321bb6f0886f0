"""Reading: one event for each that was recorded, with its place, from whatever file it is in."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from coda.errors import LogError, SchemaMismatch, SequenceGap, UsageError
from coda.log import (
    BlockFinished,
    BlockStarted,
    Effect,
    Elided,
    FileRead,
    Import,
    Lines,
    Note,
    RunFinished,
    ToolCalled,
    Trace,
    TraceEvent,
    Unknown,
    open_trace,
)
from tests.support.traces import (
    LOOP,
    Ids,
    agent_trace,
    big_lines_trace,
    fork_trace,
    lines,
    many_records_trace,
    program_trace,
    started,
    table_of,
    writer,
)


def place(event: TraceEvent) -> tuple[str, int | None, str | None]:
    return (event.type, event.line, event.function)


def test_a_program_reads_line_by_line(tmp_path: Path) -> None:
    trace = open_trace(program_trace(tmp_path / "t.jsonl"))
    events = list(trace.events())
    assert [event.seq for event in events] == list(range(31))
    assert trace.count() == 31
    assert [place(event) for event in events[:13]] == [
        ("run.started", None, None), ("tool.declared", None, None), ("sandbox.started", None, None),
        ("block.started", None, None), ("line", 1, ""), ("line", 3, ""), ("line", 4, ""), ("line", 7, ""),
        ("line", 13, ""), ("line", 14, ""), ("line", 9, "add"), ("line", 10, "add"), ("line", 14, ""),
    ]  # fmt: skip
    assert events[10].source == "total += item"
    assert events[11].bound == (("total", 0),)
    assert events[12].bound == (("n", 1),)
    assert [event.block for event in events] == [None] * 3 + [1] * 27 + [None]
    out = events[21]
    assert (out.type, out.name, out.value, out.line) == ("output", "stdout", "total 3\n", 16)
    read, call = events[19], events[23]
    assert (read.file, read.line, read.source) == ("prog.py", 15, 'text = open(".env").read()')
    assert isinstance(call.record, ToolCalled)
    assert events[24].cause == 23
    assert trace.blobs.get(str(read.fields["digest"])).startswith(b"API_KEY=")
    times = [event.t for event in events]
    assert times == sorted(times)


def test_every_event_found_alone_is_the_event_found_in_passing(tmp_path: Path) -> None:
    parent = program_trace(tmp_path / "p.jsonl")
    fork = fork_trace(tmp_path / "f.jsonl", parent, 12)
    for path in (parent, agent_trace(tmp_path / "a.jsonl"), fork, fork_of_fork(tmp_path, fork)):
        trace = open_trace(path)
        whole = [event.fields for event in trace.events()]
        for seq in range(trace.count()):
            assert open_trace(path).event(seq).fields == whole[seq]
            assert [event.fields for event in trace.events(seq, seq + 3)] == whole[seq : seq + 3]


def fork_of_fork(folder: Path, fork: Path) -> Path:
    return fork_trace(folder / "g.jsonl", fork, 14, run="20260314T190000-f6a7b8")


def test_a_filter_gives_the_same_events_with_the_same_places(tmp_path: Path) -> None:
    parent = program_trace(tmp_path / "p.jsonl")
    for path in (parent, agent_trace(tmp_path / "a.jsonl"), fork_trace(tmp_path / "f.jsonl", parent, 20)):
        trace = open_trace(path)
        whole = list(trace.events())
        for kind in {event.type for event in whole}:
            some = list(trace.events(types={kind}))
            expected = [event for event in whole if event.type == kind]
            assert unbound(some) == unbound(expected)
            mid = trace.count() // 2
            assert unbound(trace.events(mid, types={kind})) == unbound(e for e in expected if e.seq >= mid)
            assert unbound(trace.events(0, mid, types={kind})) == unbound(e for e in expected if e.seq < mid)


def unbound(events: Iterable[TraceEvent]) -> list[dict[str, Any]]:
    """Events as data, but for the values that became known on the way to them."""
    return [{name: value for name, value in event.fields.items() if name != "bound"} for event in events]


def test_places_of_events_without_their_own_come_from_the_last_line(tmp_path: Path) -> None:
    """Also when the lines are not asked for, are many records back, or lie before the start."""
    table = table_of(LOOP)
    ids = Ids(table)
    path = tmp_path / "t.jsonl"
    with writer(path) as out:
        out.append(started())
        out.append(Effect(name="env", value="before any block"))
        out.append(BlockStarted(block=1, source=LOOP, file="<block 1>", table=table))
        out.append(Effect(name="env", value="before any line"))
        out.append(lines([ids.at(1), ids.at(2), ids.at(3), (ids.of(3, "total"), 1)], table))
        out.append_many(Effect(name="env", value=index) for index in range(500))
        for index in range(200):
            out.append(lines([(-3, float(index))], table))
        out.append(Effect(name="env", value="end"))
        out.append(BlockFinished(block=1, outcome="ok"))
        out.append(Effect(name="env", value="after"))
    trace = open_trace(path)
    for found in (
        list(trace.events()),
        list(trace.events(types={"effect"})),
        [trace.event(seq) for seq in range(trace.count())],
    ):
        effects = [event for event in found if event.type == "effect"]
        assert len(effects) == 703 + 1
        assert [event.line for event in effects] == [None, None] + [3] * 701 + [None]
        assert effects[-2].source == "total += i"


def test_a_fork_reads_as_one_run(tmp_path: Path) -> None:
    parent = program_trace(tmp_path / "p.jsonl")
    fork = open_trace(fork_trace(tmp_path / "f.jsonl", parent, 12))
    events = list(fork.events())
    assert [event.seq for event in events] == list(range(fork.count())) == list(range(19))
    assert [event.run for event in events] == [open_trace(parent).run] * 12 + [fork.run] * 7
    assert events[12].type == "fork.applied"
    assert events[12].bound == (("n", 1),)
    assert (events[13].source, events[13].block) == ("total += item", 1)
    assert fork.first_seq == 12
    assert [event.seq for event in fork.events(own=True)] == list(range(12, 19))
    [block] = fork.blocks
    assert (block.seq, block.end_seq, block.outcome) == (3, 17, "ok")
    assert fork.started == open_trace(parent).started
    assert fork.finished is not None
    assert fork.finished.outcome == "ok"
    assert fork.blobs.get(str(open_trace(parent).event(19).fields["digest"]))
    twice = open_trace(fork_of_fork(tmp_path, fork.path))
    assert [event.run for event in twice.events()] == (
        [open_trace(parent).run] * 12 + [fork.run] * 2 + [twice.run] * 7
    )
    assert [
        p.record.seq for p in twice.records(own=False, types={"lines"}) if isinstance(p.record, Lines)
    ] == [4, 13, 15]


def test_a_fork_without_its_parent_says_where_it_should_be(tmp_path: Path) -> None:
    parent = program_trace(tmp_path / "p.jsonl")
    fork = fork_trace(tmp_path / "f.jsonl", parent, 12)
    moved = tmp_path / ".coda" / "runs" / open_trace(parent).run
    moved.mkdir(parents=True)
    parent.rename(moved / "trace.jsonl")  # found by its run id
    assert open_trace(fork).count() == 19
    (moved / "trace.jsonl").unlink()
    with pytest.raises(LogError, match=r"is a fork of run \S+, whose trace is not at p\.jsonl"):
        open_trace(fork)
    program_trace(tmp_path / "p.jsonl", run="somebody-else")
    with pytest.raises(LogError, match="is a fork of run"):
        open_trace(fork)


def test_unknown_types_and_fields_survive(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with writer(path) as out:
        out.append(started())
        out.append_encoded(b'{"type":"x.new","seq":1,"t":5,"n":3,"deep":{"a":[1]}}')
        out.append_encoded(b'{"type":"note","seq":4,"t":6,"text":"hi","later":true}')
        out.append_encoded(b'{"later": 1, "seq": 5, "type": "note", "text": "other order"}')
    trace = open_trace(path)
    events = list(trace.events())
    assert [(event.seq, event.type, event.n) for event in events] == [
        (0, "run.started", 1), (1, "x.new", 3), (4, "note", 1), (5, "note", 1),
    ]  # fmt: skip
    assert isinstance(events[1].record, Unknown)
    assert events[1].fields["deep"] == {"a": [1]}
    assert events[2].fields["later"] is True
    assert trace.count() == 6
    assert [event.seq for event in trace.events(types={"note"})] == [4, 5]
    assert [event.type for event in trace.events(types={"x.new"})] == ["x.new"]
    assert trace.event(3).seq == 1


def test_elided_statements_keep_their_numbers(tmp_path: Path) -> None:
    table = table_of(LOOP)
    ids = Ids(table)
    path = tmp_path / "t.jsonl"
    with writer(path) as out:
        out.append(started())
        out.append(BlockStarted(block=1, source=LOOP, file="<block 1>", table=table))
        out.append(lines([ids.at(1), ids.at(2)], table))
        out.append(Elided(n=1000, counts=((ids.at(3), 600), (ids.at(4), 400)), block=1))
        out.append(BlockFinished(block=1, outcome="ok", lines=1002))
    trace = open_trace(path)
    assert trace.count() == 1005
    assert [(event.seq, event.n) for event in trace.events(2)] == [(2, 1), (3, 1), (4, 1000), (1004, 1)]
    assert trace.event(700).type == "elided"
    assert str(trace.position("1:1")) == "3"
    assert str(trace.position("1:500")) == "502"


def test_modules_of_the_workspace_have_their_own_tables(tmp_path: Path) -> None:
    source = "import helper\nhelper.double(2)\n"
    module = "def double(n):\n    return 2 * n\n"
    block, unit = table_of(source), table_of(module, base=table_of(source).end)
    path = tmp_path / "t.jsonl"
    with writer(path) as out:
        out.append(started())
        out.append(BlockStarted(block=1, source=source, file="<block 1>", table=block))
        out.append(lines([Ids(block).at(1)], block))
        digest = out.blobs.put(module.encode())
        out.append(Import(module="helper", path="helper.py", digest=digest, table=unit))
        out.append(lines([Ids(unit).at(1), Ids(block).at(2), Ids(unit).at(2)], unit))
    trace = open_trace(path)
    events = list(trace.events(types={"line"}))
    assert [(event.file, event.line, event.function, event.source) for event in events] == [
        ("<block 1>", 1, "", "import helper"), ("helper.py", 1, "", "def double(n):"),
        ("<block 1>", 2, "", "helper.double(2)"), ("helper.py", 2, "double", "return 2 * n"),
    ]  # fmt: skip
    statement = trace.statement(Ids(unit).at(2))
    assert (statement.kind, statement.loads, statement.source) == ("return", ("n",), "    return 2 * n")
    assert trace.unit_of(unit.base).source == module
    with pytest.raises(LogError, match="no table"):
        trace.unit_of(10_000)


def test_blocks_turns_and_paths(tmp_path: Path) -> None:
    trace = open_trace(agent_trace(tmp_path / "t.jsonl"))
    assert [(b.number, b.turn, b.outcome, b.seq, b.end_seq) for b in trace.blocks] == [
        (1, 1, "ok", 9, 15), (2, 2, "ok", 20, 31), (3, 3, "ok", 36, 45),
    ]  # fmt: skip
    assert [(turn.number, turn.seq, turn.end_seq) for turn in trace.turns] == [
        (1, 6, 16),
        (2, 17, 32),
        (3, 33, 46),
    ]
    assert trace.block_of(8) is None
    found = trace.block_of(15)
    assert found is not None
    assert found.number == 1
    statements = [trace.statement(id).line for id in trace.path_of(2) if id >= 0]
    assert statements == [1, 1, 2, 3, 4]  # the second is the binding of `text`
    with pytest.raises(UsageError, match="no block 9"):
        trace.block(9)


def test_a_torn_tail_is_dropped_and_said_unless_the_run_is_live(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    program_trace(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"type":"note","seq":31,')
    trace = open_trace(path)
    assert trace.torn == (len(whole), 24)
    assert len(list(trace.events())) == 31
    live = tmp_path / "live.jsonl"
    with writer(live) as out:
        out.append(started())
        with live.open("ab") as other:  # as a reader may see the writer's own record
            other.write(b'{"type":"no')
        assert open_trace(live).torn is None
        assert [event.seq for event in open_trace(live).events()] == [0]
        os.truncate(live, out.offset)


def damage(path: Path, old: bytes, new: bytes) -> Trace:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return open_trace(path)


@pytest.mark.parametrize(
    ("old", "new", "kind", "words"),
    [
        (b'"type":"ctx.set","seq":26', b'"type":"ctx.set","seq":27', SequenceGap,
         r"event 27 at byte \d+, expected event 26"),
        (b'"type":"ctx.set"', b'"type":"ctx.set', LogError, r"no record at byte \d+"),
        (b'"path":".env"', b'"path":7', SchemaMismatch, r"at byte \d+ \(event 19\) is malformed"),
        (b'"n":15,', b'"n":16,', SchemaMismatch, r"\(event 4\) says 16 events and holds 15"),
        (b'"n":15,"ids":[0,', b'"n":15,"ids":[999,', SchemaMismatch, "names statement 999"),
        (b'"vals":["API', b'"vals":[1,"API', SchemaMismatch, "values for"),
        (b'"name":"best"', b'"name":"b\xffst"', LogError, "byte"),
    ],
)  # fmt: skip
def test_damage_names_the_byte_and_the_event_and_invents_nothing(
    tmp_path: Path, old: bytes, new: bytes, kind: type[LogError], words: str
) -> None:
    path = program_trace(tmp_path / "t.jsonl")
    sound = [event.fields for event in open_trace(path).events()]
    trace = damage(path, old, new)
    seen: list[object] = []
    with pytest.raises(kind, match=words):
        seen.extend(event.fields for event in trace.events())
    assert seen == sound[: len(seen)]


def test_what_is_not_a_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    for data in (
        b"",
        b"hello\n",
        b"{}\n",
        b"[" * 100_000,
        b'{"type":"header","format":"other","run":"r"}\n',
        b"\x00" * 99,
    ):
        path.write_bytes(data)
        with pytest.raises(SchemaMismatch, match="is not a coda trace"):
            open_trace(path)
    path.write_bytes(b'{"type":"header","version":99,"run":"r"}\n')
    with pytest.raises(SchemaMismatch, match="schema version 99"):
        open_trace(path)
    path.write_bytes(b'{"type":"header","versi')
    with pytest.raises(LogError, match="cut short inside its header"):
        open_trace(path)
    with pytest.raises(UsageError, match="there is no trace"):
        open_trace(tmp_path / "missing.jsonl")


def test_following_a_run_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    out = writer(path)
    out.append(started())
    seen: list[int] = []
    first = threading.Event()

    def follow() -> None:
        for event in open_trace(path).follow(poll_s=0.001):
            seen.append(event.seq)
            first.set()

    reader = threading.Thread(target=follow)
    reader.start()
    assert first.wait(10)
    out.append_many(Note(text=str(index)) for index in range(100))
    out.append(RunFinished(outcome="ok"))
    reader.join(10)
    assert not reader.is_alive()
    out.close()
    assert seen == list(range(102))


def test_following_ends_when_the_writer_dies_or_nobody_wants_more(tmp_path: Path) -> None:
    path = program_trace(tmp_path / "t.jsonl", finish=False)
    assert [event.seq for event in open_trace(path).follow(start=20)] == [20, 21, 22, 23, 24]
    with writer(tmp_path / "live.jsonl") as out:
        out.append(started())
        assert len(list(open_trace(out.path).follow(stop=lambda: True))) == 1


def test_json_has_the_common_keys_first_and_masks_secrets(tmp_path: Path) -> None:
    trace = open_trace(program_trace(tmp_path / "t.jsonl"))
    common = ["seq", "type", "t", "run", "block", "turn", "file", "line", "function", "frame", "cause"]
    for event in trace.events():
        assert list(event.fields)[:11] == common
        assert b"sk-test" not in event.to_json()
    assert b"sk-test-0123456789abcdefghij" in trace.event(20).to_json(mask=False)


def test_events_beyond_the_end_are_refused(tmp_path: Path) -> None:
    trace = open_trace(program_trace(tmp_path / "t.jsonl"))
    for seq in (31, 10**9, -1):
        with pytest.raises(UsageError, match="events are 0 to 30"):
            trace.event(seq)
    assert list(trace.events(31)) == []
    assert list(trace.events(5, 5)) == []


@pytest.mark.slow
def test_a_million_lines_and_a_million_records_are_no_trouble(tmp_path: Path) -> None:
    big = open_trace(big_lines_trace(tmp_path / "b.jsonl", 1_000_000))
    assert big.count() == 1_000_004
    assert sum(1 for _ in big.events()) == 1_000_004
    event = big.event(777_777)
    assert (event.seq, event.type, event.file) == (777_777, "line", "<block 1>")
    assert event.line in (3, 4, 5)
    many = open_trace(many_records_trace(tmp_path / "m.jsonl", 1_000_000))
    reads = list(many.events(types={"file.read"}))
    assert len(reads) == 999
    assert all(isinstance(e.record, FileRead) and e.seq == e.record.size and e.block == 1 for e in reads)
    assert many.event(654_000).fields == reads[653].fields
