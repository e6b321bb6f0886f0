"""The difference of two runs, aligned by structure: block, statement, step.

Guarantee: what is reported as the same step is the same statement, call or access in both runs, and a
step that one run has more moves nothing after it. Times, batching and file layout play no part; two
recordings of a program that did the same are equal. What was not recorded is not compared, and
`notes` says so. The wrong alternative, a difference of two log texts, reports every later line.

Memory: about twenty bytes an event that the runs do not share by construction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from coda.forking.align import Match, align, gaps
from coda.forking.difference import Blocks, CallChange, Change, Counts, Diff, Difference, Join, Place
from coda.forking.ends import Ends, compare_files, compare_output, ends_of
from coda.forking.places import places_of
from coda.forking.reading import Reading, Scoped, Side, bound_before, read_both
from coda.forking.strands import BOUND, LINE, Bound, Strand, digest, parts, shared_prefix
from coda.log import (
    ForkApplied,
    Trace,
    render,
)

LISTED = 100
_CALLS = frozenset({"tool.called", "process.started", "llm.requested", "net.connected"})
_ANSWERS = frozenset({"tool.returned", "process.finished", "llm.responded"})


class _Pair(NamedTuple):
    """Two strands that were aligned; a side without the block has an empty strand."""

    a: Strand
    b: Strand
    matches: list[Match]
    bound: bytes
    """For each number, whether it is a value that was bound."""

    def gaps(self) -> Iterator[tuple[int, int, int, int]]:
        """What only one side has. Values alone are none: the limit of values came earlier there."""
        for a, a_end, b, b_end in gaps(self.matches, len(self.a.tokens), len(self.b.tokens)):
            a, b = self.event(self.a, a, a_end), self.event(self.b, b, b_end)
            if a < a_end or b < b_end:
                yield a, a_end, b, b_end

    def event(self, strand: Strand, at: int, end: int) -> int:
        """The next index from `at` on that is an event."""
        while at < end and self.bound[strand.tokens[at]]:
            at += 1
        return at

    def events(self, strand: Strand, start: int, stop: int) -> int:
        """How many events there are between two indexes."""
        return stop - start - sum(self.bound[token] for token in strand.tokens[start:stop])

    def changed(self) -> Iterator[tuple[int, int]]:
        """Indexes of the steps that both have with another value."""
        for a, b, size in self.matches:
            if self.a.values[a : a + size] == self.b.values[b : b + size]:
                continue
            for at in range(size):
                if self.a.values[a + at] != self.b.values[b + at]:
                    yield a + at, b + at

    def changed_counts(self) -> tuple[int, int]:
        """How many events, and how many bound values, both have with another value."""
        values = [self.bound[self.a.tokens[a]] for a, _ in self.changed()]
        return len(values) - sum(values), sum(values)


def diff(a: Trace, b: Trace) -> Diff:
    """Compares two runs.

    Args:
        a: any run; the parent, where one is a fork of the other.
        b: the other.

    Returns:
        The difference, complete; lists are cut at a hundred entries, counts are not.

    Raises:
        LogError: a trace is damaged where it had to be read.

    Cost:
        One pass over each file from the end of the shared prefix, and an alignment of bounded cost.
    """
    start = shared_prefix(a, b)
    reading = read_both(a, b, start)
    return _Comparison(a, b, start, reading).result()


class _Comparison:
    """Two runs, read and aligned."""

    def __init__(self, a: Trace, b: Trace, start: int, reading: Reading) -> None:
        self.a, self.b, self.start, self.reading = a, b, start, reading
        self.kinds = reading.words.kinds
        self.line_numbers = bytearray(kind.type == LINE for kind in self.kinds)
        shapes = [kind.shape for kind in self.kinds]
        bound = bytes(kind.type == BOUND for kind in self.kinds)
        self.pairs = [_Pair(x, y, align(x.tokens, y.tokens, shapes), bound) for x, y in self._strands()]

    def _strands(self) -> Iterator[tuple[Strand, Strand]]:
        """Gives the strands to align: what is outside of blocks, then each pair of blocks."""
        left, right = self.reading.a, self.reading.b
        yield left.top, right.top
        for pair in self.reading.pairs:
            yield _strand(left, pair.a), _strand(right, pair.b)

    def result(self) -> Diff:
        a_ends, b_ends = ends_of(self.a), ends_of(self.b)
        pair, first = self._first()
        hunks = list(islice(self._hunks(), LISTED))
        join = None if pair is None else self._join(pair)
        calls = list(self._calls())
        show = _Shown(self.a, self.b, [*hunks, *filter(None, [first, join])], calls[:LISTED])
        ctx = tuple(_ctx_changes(a_ends, b_ends))
        files = tuple(compare_files(self.a, self.b, a_ends, b_ends))
        output = dict(self._output())
        outcome = (a_ends.outcome, b_ends.outcome)
        blocks = self._blocks()
        ends_equal = not (ctx or files or output or blocks.differ) and outcome[0] == outcome[1]
        return Diff(
            a=self.a.run,
            b=self.b.run,
            equal=first is None and ends_equal,
            shared=self.start,
            first=None if first is None else show.difference(first),
            join=None if join is None else show.join(join),
            counts=self._counts(calls),
            blocks=blocks,
            hunks=tuple(show.difference(hunk) for hunk in hunks),
            variables=tuple(self._variables())[:LISTED],
            ctx=ctx,
            calls=tuple(show.call(call) for call in calls[:LISTED]),
            output=output,
            files=files,
            outcome=outcome,
            applied=self._applied(),
            notes=tuple(self._notes()),
        )

    # --- where ---------------------------------------------------------------------------------

    def _first(self) -> tuple[_Pair | None, _Spot | None]:
        """The earliest difference, and the pair of strands that it is in."""
        found: list[tuple[tuple[int, int], _Pair, tuple[int, int, int, int], bool]] = []
        for pair in self.pairs:
            for gap in pair.gaps():
                found.append((_order(pair, gap[0], gap[2]), pair, gap, True))
                break
            for a_at, b_at in pair.changed():
                found.append((_order(pair, a_at, b_at), pair, (a_at, a_at + 1, b_at, b_at + 1), False))
                break
        if not found:
            return None, None
        _, pair, gap, is_path = min(found, key=lambda entry: entry[0])
        return pair, self._spot(pair, gap, "path" if is_path else "value")

    def _spot(self, pair: _Pair, gap: tuple[int, int, int, int], kind: str) -> _Spot:
        a_at, a_end, b_at, b_end = gap
        path = kind == "path"
        return _Spot(
            kind=kind,
            a=pair.a.seq(a_at) if a_at < a_end else None,
            b=pair.b.seq(b_at) if b_at < b_end else None,
            after=self._line_before(pair.a, a_at),
            a_lines=self._lines(pair.a, a_at, a_end) if path else 0,
            b_lines=self._lines(pair.b, b_at, b_end) if path else 0,
        )

    def _line_before(self, strand: Strand, at: int) -> int | None:
        for index in range(at - 1, -1, -1):
            if self.line_numbers[strand.tokens[index]]:
                return strand.seq(index)
        return None

    def _join(self, pair: _Pair) -> _Spot | None:
        """Where the pair takes one path again, after the last difference within it."""
        last: tuple[int, int] | None = None
        for _, a_end, _, b_end in pair.gaps():
            last = a_end, b_end
        if last is None:
            for a_at, b_at in pair.changed():
                last = a_at + 1, b_at + 1
        if last is None:
            return None
        a_size, b_size = len(pair.a.tokens), len(pair.b.tokens)
        last = pair.event(pair.a, last[0], a_size), pair.event(pair.b, last[1], b_size)
        if last[0] >= a_size or last[1] >= b_size:
            return None
        return _Spot("join", pair.a.seq(last[0]), pair.b.seq(last[1]))

    def _hunks(self) -> Iterator[_Spot]:
        for pair in self.pairs:
            for gap in pair.gaps():
                yield self._spot(pair, gap, "path")

    # --- how much ------------------------------------------------------------------------------

    def _lines(self, strand: Strand, start: int, stop: int) -> int:
        flags = self.line_numbers
        return sum(flags[token] for token in strand.tokens[start:stop])

    def _counts(self, calls: list[_Call]) -> Counts:
        a_only = b_only = a_lines = b_lines = same = other = 0
        for pair in self.pairs:
            same += sum(pair.events(pair.a, match.a, match.a + match.size) for match in pair.matches)
            events, values = pair.changed_counts()
            same, other = same - events, other + events + values
            for a_at, a_end, b_at, b_end in pair.gaps():
                a_only += pair.events(pair.a, a_at, a_end)
                b_only += pair.events(pair.b, b_at, b_end)
                a_lines += self._lines(pair.a, a_at, a_end)
                b_lines += self._lines(pair.b, b_at, b_end)
        return Counts(
            same=self.start + same, a_only=a_only, b_only=b_only, a_only_lines=a_lines,
            b_only_lines=b_lines, other_values=other, calls=len(calls),
        )  # fmt: skip

    def _blocks(self) -> Blocks:
        left, right = self.reading.a.blocks, self.reading.b.blocks
        both = [(left[p.a], right[p.b]) for p in self.reading.pairs if p.a is not None and p.b is not None]
        return Blocks(
            matched=len(both),
            edited=tuple((x.number, y.number) for x, y in both if x.source != y.source),
            a_only=tuple(left[p.a].number for p in self.reading.pairs if p.a is not None and p.b is None),
            b_only=tuple(right[p.b].number for p in self.reading.pairs if p.b is not None and p.a is None),
        )

    # --- what ----------------------------------------------------------------------------------

    def _calls(self) -> Iterator[_Call]:
        for pair in self.pairs:
            for a_at, a_end, b_at, b_end in pair.gaps():
                removed = self._calls_in(pair.a, a_at, a_end)
                added = self._calls_in(pair.b, b_at, b_end)
                yield from _paired(removed, added)
            for a_at, b_at in pair.changed():
                kind = self.kinds[pair.a.tokens[a_at]]
                if kind.type in _ANSWERS:
                    yield _Call("answer", kind.name or kind.type, pair.a.seq(a_at), pair.b.seq(b_at))

    def _calls_in(self, strand: Strand, start: int, stop: int) -> list[tuple[str, int]]:
        found = []
        for index in range(start, stop):
            kind = self.kinds[strand.tokens[index]]
            if kind.type in _CALLS:
                found.append((kind.name or kind.type, strand.seq(index)))
        return found

    def _variables(self) -> Iterator[Change]:
        left, right = self._bound(self.reading.a), self._bound(self.reading.b)
        for key in sorted({*left, *right}):
            if key.name.startswith("ctx."):
                continue  # compared by its own events
            one, other = left.get(key), right.get(key)
            if one is not None and other is not None and one.digest == other.digest:
                continue
            yield Change(
                name=key.name,
                scope=key.scope,
                a=None if one is None else render(one.value),
                b=None if other is None else render(other.value),
                a_seq=None if one is None else one.seq,
                b_seq=None if other is None else other.seq,
                exact=all(bound.exact for bound in (one, other) if bound is not None),
            )

    def _bound(self, side: Side) -> dict[Scoped, Bound]:
        """Last bindings of a run, for the names that either bound since the shared prefix."""
        last = side.bindings.last
        wanted = {*self.reading.a.bindings.last, *self.reading.b.bindings.last} - set(last)
        if not self.start or not wanted:
            return last
        before = bound_before(side.trace, side.names, self.start)
        return {**{key: bound for key, bound in before.items() if key in wanted}, **last}

    def _output(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        left, right = self.reading.a.printed, self.reading.b.printed
        for stream in sorted({*left.ordered, *right.ordered, *left.loose, *right.loose}):
            rows = compare_output(left.ordered.get(stream, []), right.ordered.get(stream, []))
            rows += compare_output(left.loose.get(stream, []), right.loose.get(stream, []))
            if rows:
                yield stream, rows

    def _applied(self) -> tuple[dict[str, Any], ...]:
        for trace, other in ((self.b, self.a), (self.a, self.b)):
            if trace.parent is not None and trace.parent.run == other.run:
                for part in parts(trace, start=self.start, types={"fork.applied"}):
                    if isinstance(part.record, ForkApplied):
                        return part.record.changes
        return ()

    def _notes(self) -> Iterator[str]:
        a, b = self.a.started, self.b.started
        if a.level != b.level:
            yield f"recorded at different levels ({a.level}, {b.level}): only what both have was compared"
        elif not self.reading.scope.lines:
            yield "recorded at level effects: paths were not compared"
        elif a.level == "values" and a.value_limit != b.value_limit:
            yield "recorded with different limits of values: values were not compared"
        if a.python != b.python:
            yield f"recorded with different Pythons: {a.python} and {b.python}"
        for name, side in (("a", self.reading.a), ("b", self.reading.b)):
            if side.assumed:
                yield f"assumed in {name}: {side.assumed} recorded answers after a change"
            if side.trace.torn is not None:
                yield f"the last record of {name} is incomplete and was left out"


class _Call(NamedTuple):
    kind: str
    name: str
    a: int | None
    b: int | None


class _Spot(NamedTuple):
    """A difference, or a joint, by event numbers."""

    kind: str
    a: int | None
    b: int | None
    after: int | None = None
    a_lines: int = 0
    b_lines: int = 0


class _Shown:
    """Numbers turned into places, each file read once for all of them."""

    def __init__(self, a: Trace, b: Trace, spots: Iterable[_Spot], calls: Iterable[_Call]) -> None:
        seqs = [(spot.a, spot.after, spot.b) for spot in spots] + [(call.a, None, call.b) for call in calls]
        self.a = places_of(a, [seq for here, after, _ in seqs for seq in (here, after) if seq is not None])
        self.b = places_of(b, [there for _, _, there in seqs if there is not None])

    def difference(self, spot: _Spot) -> Difference:
        return Difference(
            kind=spot.kind, a=self._at(self.a, spot.a), b=self._at(self.b, spot.b),
            after=self._at(self.a, spot.after), a_lines=spot.a_lines, b_lines=spot.b_lines,
        )  # fmt: skip

    def join(self, spot: _Spot) -> Join | None:
        a, b = self._at(self.a, spot.a), self._at(self.b, spot.b)
        return None if a is None or b is None else Join(a=a, b=b)

    def call(self, call: _Call) -> CallChange:
        a, b = self._at(self.a, call.a), self._at(self.b, call.b)
        return CallChange(kind=call.kind, name=call.name, a=a, b=b)

    @staticmethod
    def _at(places: dict[int, Place], seq: int | None) -> Place | None:
        return None if seq is None else places.get(seq)


def _strand(side: Side, index: int | None) -> Strand:
    if index is None:
        return Strand()
    return side.strands.get(side.blocks[index].number, Strand())


def _order(pair: _Pair, a_at: int, b_at: int) -> tuple[int, int]:
    """Sorts differences by where they begin in the first run; in the other when only that has the block."""
    a_seq, b_seq = pair.a.seq(a_at), pair.b.seq(b_at)
    return (a_seq if a_seq >= 0 else b_seq), b_seq


def _paired(removed: list[tuple[str, int]], added: list[tuple[str, int]]) -> Iterator[_Call]:
    """Calls of one name on both sides of a gap had other arguments; the rest came or went."""
    waiting = Counter(name for name, _ in added)
    used: Counter[str] = Counter()
    by_name: dict[str, list[int]] = {}
    for name, seq in added:
        by_name.setdefault(name, []).append(seq)
    for name, seq in removed:
        if used[name] < waiting[name]:
            yield _Call("arguments", name, seq, by_name[name][used[name]])
            used[name] += 1
        else:
            yield _Call("removed", name, seq, None)
    for name, seqs in by_name.items():
        for seq in seqs[used[name] :]:
            yield _Call("added", name, None, seq)


def _ctx_changes(a: Ends, b: Ends) -> Iterator[Change]:
    for name in sorted({*a.ctx, *b.ctx}):
        if name in a.ctx and name in b.ctx and digest(a.ctx[name]) == digest(b.ctx[name]):
            continue
        yield Change(
            name=name,
            a=render(a.ctx[name]) if name in a.ctx else None,
            b=render(b.ctx[name]) if name in b.ctx else None,
        )
