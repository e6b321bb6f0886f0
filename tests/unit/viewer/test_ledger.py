from __future__ import annotations

from pathlib import Path

from coda.log import BlockFinished, BlockStarted, Elided, Output
from coda.viewer.ledger import Ledger, hits
from coda.viewer.session import Session
from tests.support import traces
from tests.unit.viewer.conftest import Opened

LOOP = """\
def add(item):
    global total
    total += item
    return total


rows = []
for n in range(4):
    rows[0] = add(n)
del n
done = True
"""


def ledger_of(session: Session, limit: int = 256) -> Ledger:
    return Ledger(session.timeline, session.moments, value_limit=limit)


def known(ledger: Ledger, seq: int) -> dict[str, tuple[str, object, str]]:
    snapshot = ledger.at(seq)
    assert snapshot is not None
    return {item.name: (item.function, item.value, item.doubt) for item in snapshot.names}


def loop_trace(path: Path) -> Path:
    table = traces.table_of(LOOP)
    ids = traces.Ids(table)
    entries: traces.Entries = [ids.at(1), ids.at(7), (ids.of(7, "rows"), []), ids.at(8)]
    for n in range(4):
        entries += [(ids.of(8, "n"), n), ids.at(9), ids.at(3), (ids.of(3, "total"), n * 10), ids.at(4)]
    entries += [ids.at(10), ids.at(11), (ids.of(11, "done"), True)]
    with traces.writer(path) as out:
        out.append(traces.started())
        out.append(BlockStarted(block=1, source=LOOP, file="p.py", table=table))
        out.append(traces.lines(entries, table))
        out.append(BlockFinished(block=1, outcome="ok"))
    return path


def test_names_have_their_value_just_before_the_position(program: Session) -> None:
    ledger = ledger_of(program)
    assert known(ledger, 4) == {}
    assert known(ledger, 6)["limit"] == ("", 3, "")
    assert known(ledger, 7)["total"] == ("", 0, "")


def test_going_back_gives_the_same_as_going_forward(program: Session) -> None:
    forward, back = ledger_of(program), ledger_of(program)
    count = program.timeline.count
    rising = [known(forward, seq) for seq in range(count + 1)]
    falling = [known(back, seq) for seq in range(count, -1, -1)]
    assert rising == falling[::-1]


def test_a_value_bound_by_a_call_is_known_before_the_next_line(program: Session) -> None:
    # The binding stands at the head of the record that follows the answer, before its first event.
    line = next(
        seq for seq in range(program.timeline.count)
        if (found := program.moments.at(seq)).statement is not None and found.statement.line == 18
    )  # fmt: skip
    for position in (line, line + 1):
        ledger = ledger_of(program)
        assert known(ledger, position)["answer"][:2] == ("", ["a", "b"])
    assert "answer" not in known(ledger_of(program), line - 1)


def test_every_position_agrees_with_the_reader(program: Session) -> None:
    ledger = ledger_of(program)
    values: dict[str, object] = {}
    for event in program.trace.events():
        values.update(dict(event.bound))
        snapshot = ledger.at(event.seq)
        assert snapshot is not None
        assert {item.name: item.value for item in snapshot.names} == values
        assert all(times <= 4 for times in ledger._state.counts.values())


def test_a_global_bound_in_a_function_is_the_modules(tmp_path: Path, opened: Opened) -> None:
    session = opened(loop_trace(tmp_path / "t.jsonl"))
    names = known(ledger_of(session), session.timeline.count)
    assert names["total"] == ("", 30, "")


def test_doubts_are_said(tmp_path: Path, opened: Opened) -> None:
    session = opened(loop_trace(tmp_path / "t.jsonl"))
    names = known(ledger_of(session), session.timeline.count)
    assert names["rows"] == ("", [], "as bound")
    assert names["n"] == ("", 3, "deleted")
    assert names["done"][2] == ""


def test_a_site_that_used_up_its_values_is_in_doubt(tmp_path: Path, opened: Opened) -> None:
    session = opened(loop_trace(tmp_path / "t.jsonl"))
    ledger = ledger_of(session, limit=4)
    assert known(ledger, session.timeline.count)["total"][2] == "older"
    # Just bound: nothing has run since, so it is the present value whatever comes.
    first_add = next(seq for seq in range(session.timeline.count) if "total" in known(ledger, seq))
    assert known(ledger, first_add)["total"] == ("", 0, "")


def test_a_local_is_that_of_the_last_call(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "t.jsonl"
    source = "def f(n):\n    return n and f(n - 1)\n\n\nf(1)\n"
    table = traces.table_of(source)
    ids = traces.Ids(table)
    with traces.writer(path) as out:
        out.append(traces.started())
        out.append(BlockStarted(block=1, source=source, file="p.py", table=table))
        calls: traces.Entries = [(ids.of(2, "n"), 1), ids.at(2), (ids.of(2, "n"), 0), ids.at(2)]
        out.append(traces.lines([ids.at(1), ids.at(5), *calls], table))
        out.append(BlockFinished(block=1, outcome="ok"))
    ledger = ledger_of(opened(path))
    assert known(ledger, 4)["n"] == ("f", 1, "")
    assert known(ledger, 6)["n"] == ("f", 0, "last call")


def test_a_rolled_back_block_leaves_nothing(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "t.jsonl"
    first, second = traces.table_of("a = 1\n"), traces.table_of("a = 2\nb = 3\n", base=10)
    one, two = traces.Ids(first), traces.Ids(second)
    with traces.writer(path) as out:
        out.append(traces.started())
        out.append(BlockStarted(block=1, source="a = 1\n", file="<block 1>", table=first))
        out.append(traces.lines([one.at(1), (one.of(1, "a"), 1)], first))
        out.append(BlockFinished(block=1, outcome="ok"))
        out.append(BlockStarted(block=2, source="a = 2\nb = 3\n", file="<block 2>", table=second))
        bound: traces.Entries = [two.at(1), (two.of(1, "a"), 2), two.at(2), (two.of(2, "b"), 3)]
        out.append(traces.lines(bound, second, block=2))
        out.append(BlockFinished(block=2, outcome="killed", state="rolled_back"))
    session = opened(path)
    ledger = ledger_of(session)
    assert {name: value for name, (_, value, _) in known(ledger, 6).items()} == {"a": 2}
    assert {name: value for name, (_, value, _) in known(ledger, session.timeline.count).items()} == {"a": 1}


def test_elided_statements_put_all_in_doubt(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "t.jsonl"
    table = traces.table_of("a = 1\nb = 2\n")
    ids = traces.Ids(table)
    with traces.writer(path) as out:
        out.append(traces.started())
        out.append(BlockStarted(block=1, source="a = 1\nb = 2\n", file="p.py", table=table))
        out.append(traces.lines([ids.at(1), (ids.of(1, "a"), 1)], table))
        out.append(Elided(n=5, counts=((ids.at(1), 3), (ids.at(2), 2)), block=1))
        out.append(BlockFinished(block=1, outcome="ok", lines=6))
    session = opened(path)
    ledger = ledger_of(session)
    snapshot = ledger.at(session.timeline.count)
    assert snapshot is not None
    assert not snapshot.complete
    assert [item.doubt for item in snapshot.names] == ["older"]
    block = session.timeline.opened_by(1)
    assert block is not None
    assert hits(session.timeline, session.moments, block.start, block.end) == {ids.at(1): 4, ids.at(2): 2}


def test_output_is_known_by_position(program: Session) -> None:
    ledger = ledger_of(program)
    printed_at = next(
        seq for seq in range(program.timeline.count) if program.moments.at(seq).type == "output"
    )
    ledger.at(program.timeline.count)
    assert ledger.printed(printed_at) == []
    assert [item.value for item in ledger.printed(printed_at + 1)] == ["total 3\n"]
    ledger.at(printed_at)
    ledger.at(program.timeline.count)
    assert len(ledger.printed(program.timeline.count)) == 1


def test_output_records_count_too(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "t.jsonl"
    with traces.writer(path) as out:
        out.append(traces.started())
        out.append(Output(stream="stderr", text="from a child\n"))
    session = opened(path)
    ledger = ledger_of(session)
    ledger.at(2)
    assert [(item.stream, item.value) for item in ledger.printed(2)] == [("stderr", "from a child\n")]


def test_hits_count_lines_as_the_reader_does(program: Session) -> None:
    expected: dict[int, int] = {}
    for event in program.trace.events(types={"line"}):
        assert event.id is not None
        expected[event.id] = expected.get(event.id, 0) + 1
    found = hits(program.timeline, program.moments, 0, program.timeline.count - 1)
    assert found == expected


def test_hits_of_a_fork_stop_where_it_left(tmp_path: Path, opened: Opened) -> None:
    parent = traces.program_trace(tmp_path / "p.jsonl")
    session = opened(traces.fork_trace(tmp_path / "f.jsonl", parent, 10))
    counted = hits(session.timeline, session.moments, 0, 9)
    assert sum(counted.values()) == sum(session.moments.at(seq).type == "line" for seq in range(10))


def test_cancelled_work_says_so(tmp_path: Path, opened: Opened) -> None:
    session = opened(traces.big_lines_trace(tmp_path / "big.jsonl", 60_000))
    assert ledger_of(session).at(50_000, cancelled=lambda: True) is None
