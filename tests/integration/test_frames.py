"""Frames of real recordings: over blocks, from the middle, past the limit of lines, in threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.log import MARKS, Lines, open_trace
from coda.query.find_lines import unit_ids
from coda.replay import replay
from coda.runtime import Sandbox
from tests.support.programs import dedent, record

pytestmark = pytest.mark.slow

PROGRAM = dedent(
    """
    import asyncio
    def walk(tree):
        for part in tree:
            if isinstance(part, list):
                yield from walk(part)
            else:
                yield part
    def fall(n):
        if n == 0:
            raise KeyError(n)
        got = fall(n - 1)
    async def part(n):
        await asyncio.sleep(0)
        return n
    async def whole():
        return await asyncio.gather(*(part(n) for n in range(3)))
    leaves = list(walk([1, [2, [3]], 4]))
    try:
        fall(3)
    except KeyError as error:
        text = str(error)
    numbers = asyncio.run(whole())
    print(leaves, numbers)
    """
)


def test_a_pass_from_the_middle_tells_the_same_frames(tmp_path: Path) -> None:
    trace = open_trace(record(PROGRAM, tmp_path))
    whole = list(trace.events())
    told = [event for event in whole if event.type == "line"]
    assert all(event.frame is not None for event in told)
    assert len({event.frame for event in told if event.function == "fall"}) == 4
    assert len({event.frame for event in told if event.function == "part"}) == 3
    for start in range(0, len(whole), 3):
        part = list(trace.events(start, start + 5))
        assert [event.fields for event in part] == [event.fields for event in whole[start : start + 5]]
    assert replay(trace).faithful


READS = dedent(
    """
    def size(path):
        with open(path) as file:
            text = file.read()
        return len(text)
    total = 0
    for n in range(80):
        total += size("given.txt")
    """
)


def test_a_pass_from_the_middle_of_many_records_tells_the_same_frames(tmp_path: Path) -> None:
    """It begins at a stretch of the file, not at the file's start."""
    trace = open_trace(record(READS, tmp_path, files={"given.txt": "given"}))
    whole = list(trace.events())
    assert trace.seek(len(whole) - 10) > trace.file.body
    for start in range(len(whole) - 10, len(whole) - 1):
        assert trace.event(start).fields == whole[start].fields


COUNT = "def count(n):\n    for i in range(n):\n        got = yield i\none, two = count(3), count(3)"


def test_a_generator_keeps_its_frame_from_block_to_block(tmp_path: Path) -> None:
    with Sandbox(root=tmp_path, trace=tmp_path / "t.jsonl") as sandbox:
        sandbox.execute(COUNT)
        sandbox.execute("x = next(one), next(two), next(two)")
        sandbox.execute("y = next(one), one.send(5)\ndel two")
    events = [event for event in open_trace(tmp_path / "t.jsonl").events() if event.function == "count"]
    first, second = dict.fromkeys(event.frame for event in events)
    yields = [event.frame for event in events if event.source.startswith("got")]
    assert yields == [first, second, second, first, first]
    assert replay(tmp_path / "t.jsonl").faithful


def test_past_the_limit_of_lines_there_are_no_marks_and_no_frames(tmp_path: Path) -> None:
    source = "def f(n):\n    m = n\n    return m\nfor i in range(300):\n    x = f(i)\nprint(x)\n"
    path = tmp_path / "t.jsonl"
    with Sandbox(root=tmp_path, trace=path, line_limit=90, value_limit=5) as sandbox:
        sandbox.execute(source)
        sandbox.execute("y = f(1)")
    trace = open_trace(path)
    events = list(trace.events())
    limit = next(event.seq for event in events if event.type == "limit.hit")
    marks = {
        id for unit in trace.units() for id in range(unit.statements_end, unit.table.end) if unit.is_mark(id)
    }
    assert {unit.binding(id) for id in marks for unit in trace.units() if id in unit_ids(unit)} == {MARKS[0]}
    past = [
        placed.record
        for placed in trace.records(types={"lines"})
        if isinstance(placed.record, Lines) and placed.record.seq > limit and placed.record.block == 1
    ]
    # What is at the limit itself is listed up to it.
    assert all(each.n or marks.isdisjoint(each.ids) for each in past[1:])
    assert all(event.frame is not None for event in events if event.type == "line" and event.seq < limit)
    last = [event for event in events if event.type == "line" and event.block == 2]
    assert [(event.function, event.frame == last[0].seq) for event in last] == (
        [("", True), ("f", False), ("f", False)]
    )
    verdict = replay(trace)
    assert verdict.faithful
    assert verdict.lines == sum(event.n for event in events if event.type in ("line", "elided"))


THREADS = dedent(
    """
    import threading, time
    def work(n):
        for i in range(3):
            time.sleep(0.001)
            x = helper(n, i)
    def helper(n, i):
        if i:
            return helper(n, i - 1)
        return n
    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for t in threads: t.start()
    for t in threads: t.join()
    """
)


def test_threads_have_stacks_of_their_own_where_their_turns_are_in_the_log(tmp_path: Path) -> None:
    trace = open_trace(record(THREADS, tmp_path))
    whole = list(trace.events())
    events = [event for event in whole if event.type == "line" and event.function in ("work", "helper")]
    if not any(event.type == "thread.switched" for event in whole):
        assert {event.frame for event in events} == {None}
        return
    frames = list(dict.fromkeys(event.frame for event in events if event.function == "work"))
    assert None not in frames
    assert len(frames) == 3
    numbers: dict[int | None, set[object]] = {}
    for event in whole:
        for stored in event.stored:
            if stored.name == "n" and event.function == "work":
                numbers.setdefault(stored.frame, set()).add(stored.value)
    assert [numbers[frame] for frame in frames] == [{0}, {1}, {2}]
