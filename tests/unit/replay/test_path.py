"""Where the recorded and the replayed path part, event for event, however the two are cut into chunks."""

from __future__ import annotations

import ast
from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda.errors import Diverged
from coda.log import Elided, Lines, Units, analyse
from coda.log.units import UnitInfo
from coda.replay.compare import Matcher
from coda.replay.path import PathMatcher

SOURCE = "a = 1\nb = 2\nc = 3\nprint(a)\n"
FIRST = 10
CLOCK = -3


class Entry(NamedTuple):
    """One entry of the stream."""

    ident: int
    value: Any = None

    @property
    def takes_value(self) -> bool:
        """Bindings and coded observations do."""
        return self.ident < 0 or self.ident >= 4

    @property
    def is_event(self) -> bool:
        """All but bindings are."""
        return self.ident < 4


STATEMENTS = st.builds(Entry, st.sampled_from([0, 1, 2, 3]), st.none())
OTHERS = (
    st.builds(Entry, st.sampled_from([4, 5, 6]), st.integers(0, 9))
    | st.builds(Entry, st.sampled_from([-1, -2]), st.sampled_from(["x", "y\n", "long text\n"]))
    | st.builds(Entry, st.just(CLOCK), st.floats(0, 9))
)
STREAM = st.lists(STATEMENTS | STATEMENTS | OTHERS, min_size=1, max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=5)


def matcher(*, lines: bool = True) -> PathMatcher:
    """Over a block of four statements, ids 0 to 3, and three bindings, ids 4 to 6."""
    table = analyse(ast.parse(SOURCE), base=0).table
    assert (len(table.statements), table.end) == (4, 7)
    units = Units([UnitInfo(table, "x.py", first_line=1, block=1, source=SOURCE)])
    return PathMatcher(units, Matcher(), compare_lines=lines)


def chunks(stream: list[Entry], cuts: list[int]) -> list[list[Entry]]:
    """The stream in pieces."""
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    return [stream[a:b] for a, b in pairwise(places)]


def parts(piece: list[Entry]) -> tuple[list[int], list[Any]]:
    """Ids and values as they are sent."""
    return [each.ident for each in piece], [each.value for each in piece if each.takes_value]


def expect(path: PathMatcher, stream: list[Entry], cuts: list[int]) -> int:
    """Hands the recorded side over; gives the number after its last event."""
    seq = FIRST
    for piece in chunks(stream, cuts):
        ids, vals = parts(piece)
        n = sum(each.is_event for each in piece)
        path.expect(Lines(n=n, ids=tuple(ids), vals=tuple(vals), seq=seq))
        seq += n
    return seq


def seq_of(stream: list[Entry], index: int) -> int:
    """The number of the event at an index."""
    return FIRST + sum(each.is_event for each in stream[:index])


def happen(path: PathMatcher, stream: list[Entry], cuts: list[int]) -> None:
    """Hands the replayed side over."""
    for piece in chunks(stream, cuts):
        path.happened(*parts(piece))
        path.advance()


@given(STREAM, CUTS, CUTS)
def test_the_same_stream_is_the_same_however_it_is_cut(
    stream: list[Entry], there: list[int], here: list[int]
) -> None:
    path = matcher()
    end = expect(path, stream, there)
    happen(path, stream, here)
    path.settle(at=end, what="the end")
    assert path.lines == sum(0 <= each.ident < 4 for each in stream)
    assert path.values == sum(each.ident >= 4 or each.ident == CLOCK for each in stream)


@given(STREAM, CUTS, CUTS, st.data())
def test_another_statement_is_named_exactly(
    stream: list[Entry], there: list[int], here: list[int], data: st.DataObject
) -> None:
    places = [index for index, each in enumerate(stream) if 0 <= each.ident < 4]
    if not places:
        return
    index = data.draw(st.sampled_from(places))
    other = [*stream]
    other[index] = Entry((stream[index].ident + 1) % 4)
    path = matcher()
    end = expect(path, stream, there)
    with pytest.raises(Diverged) as caught:
        _both(path, other, here, end)
    assert caught.value.facts["seq"] == seq_of(stream, index)


@given(st.lists(STREAM, min_size=1, max_size=4), CUTS, CUTS, st.data())
def test_output_may_come_in_other_pieces(
    stretches: list[list[Entry]], there: list[int], here: list[int], data: st.DataObject
) -> None:
    """Whatever both sides were looked at closely for, they are compared to the last entry behind it."""
    path = matcher()
    for stream in stretches:
        end = expect(path, stream, there)
        happen(path, [piece for each in stream for piece in in_pieces(each)], here)
        path.settle(at=end, what="an effect")
    every = [each for stream in stretches for each in stream]
    assert path.outputs == sum(each.ident in (-1, -2) for each in every)
    assert path.values == sum(each.ident >= 4 or each.ident == CLOCK for each in every)
    last = Entry(data.draw(st.sampled_from([0, 1, 2, 3])))
    end = expect(path, [last], [])
    with pytest.raises(Diverged) as caught:
        _both(path, [Entry((last.ident + 1) % 4)], [], end)
    assert caught.value.facts["seq"] == FIRST


def in_pieces(entry: Entry) -> list[Entry]:
    """Output as two writes of one statement, where it is long enough; what else there is as it stands."""
    if entry.ident not in (-1, -2) or len(entry.value) < 3:
        return [entry]
    return [entry._replace(value=entry.value[:2]), entry._replace(value=entry.value[2:])]


@pytest.mark.parametrize("other", [True, 1.0, "1", None, [1]])
def test_a_value_of_another_type_is_another_value(other: object) -> None:
    path = matcher()
    end = expect(path, [Entry(0), Entry(4, 1)], [])
    with pytest.raises(Diverged):
        _both(path, [Entry(0), Entry(4, other)], [], end)


def test_marks_of_frames_are_no_values_and_may_be_numbered_otherwise() -> None:
    """The number of a frame that is suspended is its own affair; that it was is compared by what runs."""
    table = analyse(ast.parse("def f():\n    yield 1\nfor x in f(): pass\n"), base=0, frames=True).table
    names = {
        binding.name: table.base + len(table.statements) + at for at, binding in enumerate(table.bindings)
    }
    resume, left = names["<resume>"], names["<exit>"]
    units = Units([UnitInfo(table, "x.py", first_line=1, block=1, source="")])
    for number in (1, 7):
        path = PathMatcher(units, Matcher(), compare_lines=True)
        path.expect(Lines(n=2, ids=(0, resume, 1, left), vals=(1, 1), seq=FIRST))
        path.happened([0, resume, 1, left], [number, number])
        path.settle(at=FIRST + 2, what="the end")
        assert (path.lines, path.values) == (2, 0)


@given(STREAM, CUTS, CUTS, st.data())
def test_other_values_and_output_are_found(
    stream: list[Entry], there: list[int], here: list[int], data: st.DataObject
) -> None:
    places = [index for index, each in enumerate(stream) if each.takes_value]
    if not places:
        return
    index = data.draw(st.sampled_from(places))
    other = [*stream]
    other[index] = Entry(stream[index].ident, "something else")
    path = matcher()
    end = expect(path, stream, there)
    with pytest.raises(Diverged) as caught:
        _both(path, other, here, end)
    # Values are compared where both sides meet; output is named by its own event, joined with its neighbours.
    assert FIRST <= caught.value.facts["seq"] <= end
    if stream[index].ident in (-1, -2):
        assert caught.value.facts["seq"] <= seq_of(stream, index)


def _both(path: PathMatcher, stream: list[Entry], cuts: list[int], end: int) -> None:
    happen(path, stream, cuts)
    path.settle(at=end, what="the end")


@given(STREAM, CUTS, CUTS, st.integers(1, 5))
def test_a_path_that_ends_early_or_late_is_found(
    stream: list[Entry], there: list[int], here: list[int], count: int
) -> None:
    short = stream[: max(0, len(stream) - count)]
    path = matcher()
    end = expect(path, stream, there)
    with pytest.raises(Diverged):
        _both(path, short, here, end)
    path = matcher()
    end = expect(path, short, there)
    with pytest.raises(Diverged):
        _both(path, stream, here, end)


@given(STREAM, CUTS, CUTS)
def test_without_recorded_statements_the_rest_is_compared(
    stream: list[Entry], there: list[int], here: list[int]
) -> None:
    recorded = [each for each in stream if each.ident < 0]
    path = matcher(lines=False)
    end = expect(path, recorded, there) if recorded else FIRST
    path.happened([each.ident for each in stream if each.ident < 4], [e.value for e in stream if e.ident < 0])
    path.settle(at=end, what="the end")
    path.happened([CLOCK], [1.5])
    with pytest.raises(Diverged):
        path.settle(at=end, what="the end")


@given(STREAM, CUTS, st.integers(0, 10))
def test_statements_that_were_only_counted_are_counted_again(
    stream: list[Entry], here: list[int], limit: int
) -> None:
    kept: list[Entry] = []
    counted: Counter[int] = Counter()
    for each in stream:
        if each.takes_value or sum(0 <= other.ident < 4 for other in kept) < limit:
            kept.append(each)
        else:
            counted[each.ident] += 1
    for extra in (False, True):
        path = matcher()
        end = expect(path, kept, []) if kept else FIRST
        if counted:
            elided = Elided(n=counted.total(), counts=tuple(counted.most_common()), seq=end)
            path.expect(elided)
        happen(path, [*stream, Entry(3)] if extra else stream, here)
        if extra:
            with pytest.raises(Diverged):
                path.settle(at=end + counted.total(), what="the end")
        else:
            path.settle(at=end + counted.total(), what="the end")
