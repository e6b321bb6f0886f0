"""Matches the statements, values and output of a replay against the recorded ones.

Guarantee: chunks need not align: only the sequence of statements, the sequence of values and, at each
place among the statements, the text written there must be equal. The first difference is named by the
recorded event. What is equal as it stands passes at C speed (`lockstep`); the rest is looked at closely.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

from coda.errors import Diverged
from coda.log import CODES, Elided, Lines, Units, render, times_in
from coda.replay.compare import Matcher
from coda.replay.lockstep import Lockstep
from coda.replay.tape import GC_CODE, OUTPUT_CODES, has_codes
from coda.runtime import LOWEST_CODE

_PIECE = 1 << 12


class _Text(NamedTuple):
    """Output written after so many entries of the block."""

    at: int
    code: int
    text: Any
    seq: int
    entries: int = 1
    """In how many pieces it came."""


class _Chunk(NamedTuple):
    """A recorded `lines` record that was not compared yet."""

    kept: list[int]
    """Its entries without output and marks of frames."""
    seq: int
    ids: list[int]
    """All its entries."""


class _Side:
    """One side's entries that were not compared yet."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.vals: deque[Any] = deque()
        self.texts: deque[_Text] = deque()
        self.total = 0
        self._pending: deque[Any] = deque()

    def add(
        self,
        ids: list[int],
        vals: list[Any],
        seq: int,
        bindings_in: Callable[[Sequence[int]], list[int]],
        marks: Container[int],
    ) -> list[int]:
        """Takes a chunk in; output is set aside with its place. Gives the ids without output and marks.

        Values may come earlier than the entries that they belong to, never later.
        """
        pending = self._pending
        pending.extend(vals)
        if not pending:
            self.total += len(ids)  # nothing takes a value: a hot loop passes at C speed
            return ids
        takes_value = set(bindings_in(ids))
        # Marks of frames follow from the statements, and are not in the log once these are only counted.
        if takes_value and all(map(marks.__contains__, takes_value)) and min(ids) >= 0:
            statements = [ident for ident in ids if ident not in takes_value]
            for _ in range(len(ids) - len(statements)):
                pending.popleft()
            self.total += len(statements)
            return statements
        takers = takes_value.union(range(LOWEST_CODE, 0))
        kept: list[int] = []
        number = seq
        for start in range(0, len(ids), _PIECE):
            piece = ids[start : start + _PIECE]
            if takers.isdisjoint(piece):
                kept += piece
                self.total += len(piece)
                number += len(piece)
                continue
            for ident in piece:
                if ident in OUTPUT_CODES:
                    self._add_text(_Text(self.total, ident, pending.popleft(), number))
                elif ident in marks:
                    pending.popleft()
                else:
                    kept.append(ident)
                    self.total += 1
                    if ident < 0 or ident in takes_value:
                        self.vals.append(pending.popleft())
                number += ident not in takes_value
        return kept

    def take_early(self) -> list[Any]:
        """Gives up the values whose entries are yet to come."""
        early = list(self._pending)
        self._pending.clear()
        return early

    def _add_text(self, new: _Text) -> None:
        if self.texts:
            last = self.texts[-1]
            if (
                (last.at, last.code) == (new.at, new.code)
                and isinstance(last.text, str)
                and isinstance(new.text, str)
            ):
                self.texts[-1] = last._replace(text=last.text + new.text, entries=last.entries + 1)
                return
        self.texts.append(new)


class PathMatcher:
    """One block's path.

    Args:
        units: tables of the run; grows as modules are imported.
        matcher: equality of values.
        compare_lines: False when the recording has no statements (level `effects`).
    """

    def __init__(self, units: Units, matcher: Matcher, *, compare_lines: bool) -> None:
        self._units = units
        self._matcher = matcher
        self._compare_lines = compare_lines
        self._there = _Side()
        self._here = _Side()
        self._recorded: deque[_Chunk] = deque()
        self._offset = 0
        self._waiting: list[int] = []
        self._wanted: Counter[int] | None = None
        self._counted: Counter[int] = Counter()
        self._binding_cache: dict[int, bool] = {}
        self._marks: set[int] = set()
        self._together = Lockstep(self._passed)
        self._is_apart = not compare_lines
        """Whether the two sides are looked at closely: they were not the same entry for entry."""
        self.lines = self.values = self.outputs = 0
        self.seq = -1

    # --- feeding -------------------------------------------------------------------------------

    def expect(self, record: Lines | Elided) -> None:
        """Adds what was recorded next."""
        self.seq = record.seq
        if isinstance(record, Elided):
            self._part()
            if self._wanted is None:
                self._wanted = Counter()
                for chunk in self._recorded:
                    self._wanted.update(chunk.kept[self._offset :])
                    self._offset = 0
                self._recorded.clear()
                self._counted.update(self._waiting)
                self._waiting.clear()
            self._wanted.update(dict(record.counts))
            self._there.total += record.n
            self.lines += record.n
            return
        self.lines += len(record.ids) - len(record.vals)
        if self._is_apart:
            self._expect_apart(record)
        else:
            self._together.expect(record)

    def _expect_apart(self, record: Lines) -> None:
        ids = list(record.ids)
        kept = self._there.add(ids, list(record.vals), record.seq, self._bindings_in, self._marks)
        if self._wanted is not None:
            self._wanted.update(kept)
        elif kept:
            self._recorded.append(_Chunk(kept, record.seq, ids))

    def happened(self, ids: list[int], vals: list[Any]) -> None:
        """Adds what the replay did next."""
        if self._is_apart:
            self._happened_apart(ids, vals)
        else:
            self._together.happened(ids, vals)

    def _happened_apart(self, ids: list[int], vals: list[Any]) -> None:
        if not self._compare_lines:
            bindings = set(self._bindings_in(ids))
            ids = [ident for ident in ids if ident < 0 and ident != GC_CODE and ident not in bindings]
        kept = self._here.add(ids, vals, -1, self._bindings_in, self._marks)
        if self._wanted is not None:
            self._counted.update(kept)
        else:
            self._waiting.extend(kept)

    def _passed(self, record: Lines) -> None:
        """Counts what a record holds that the replay has passed whole."""
        if not record.vals:
            return
        marks = self._marks.intersection(self._bindings_in(record.ids))
        outputs = times_in(record.ids, OUTPUT_CODES) if has_codes(record) else 0
        self.outputs += outputs
        self.values += len(record.vals) - outputs - times_in(record.ids, marks)

    def _part(self) -> None:
        """Goes on by looking closely, from the last record that both sides had passed whole."""
        if self._is_apart:
            return
        self._is_apart = True
        together, self._together = self._together, Lockstep(self._passed)
        for record in together.records:
            self._expect_apart(record)
        self._happened_apart(together.ids, together.vals)

    def _join(self) -> None:
        """Both sides have come to the same place: what follows may be the same entry for entry."""
        if self._compare_lines:
            self._is_apart = False
            self._together.happened([], self._here.take_early())

    def _bindings_in(self, ids: Sequence[int]) -> list[int]:
        """Which of the ids are bindings."""
        cache = self._binding_cache
        found = []
        for ident in set(ids):
            if ident < 0:
                continue
            known = cache.get(ident)
            if known is None:
                unit = self._units.find(ident)
                known = cache[ident] = unit is None or ident >= unit.statements_end
                if unit is not None and known and unit.is_mark(ident):
                    self._marks.add(ident)
            if known:
                found.append(ident)
        return found

    # --- comparing -----------------------------------------------------------------------------

    def needs_more(self) -> bool:
        """True while the replay has done more than was recorded so far."""
        if not self._is_apart:
            return self._together.lead > 0
        return self._wanted is None and len(self._waiting) > self._left()

    def _left(self) -> int:
        return sum(len(chunk.kept) for chunk in self._recorded) - self._offset

    def advance(self) -> None:
        """Compares as much as both sides have. Raises Diverged at the first difference."""
        if not self._is_apart:
            if self._together.advance():
                return
            self._part()
        if self._wanted is not None:
            return
        done = 0
        waiting = self._waiting
        while done < len(waiting) and self._recorded:
            chunk = self._recorded[0]
            ids = chunk.kept
            size = min(len(ids) - self._offset, len(waiting) - done)
            there = ids[self._offset : self._offset + size]
            here = waiting[done : done + size]
            if there != here:
                self._differ(there, here, chunk)
            done += size
            self._offset += size
            if self._offset == len(ids):
                self._recorded.popleft()
                self._offset = 0
        del waiting[:done]

    def exceeds(self) -> bool:
        """True when the replay has done more than was recorded so far."""
        if not self._is_apart:
            if not self.needs_more():
                return False
            self._part()
        if self._wanted is not None:
            return self._counted.total() > self._wanted.total()
        return self.needs_more()

    def next_seq(self) -> int | None:
        """Number of the first recorded event here that the replay has not come to; None: none is left."""
        self._look_closely()
        left = [self._seq_of(self._recorded[0], self._offset)] if self._recorded else []
        if len(self._there.texts) > len(self._here.texts):
            left.append(self._there.texts[len(self._here.texts)].seq)
        return min(left, default=None)

    def is_level(self) -> bool:
        """True when the replay has done exactly the statements that were recorded so far."""
        if not self._is_apart and self._together.is_level:
            return True
        self._look_closely()
        return not self._recorded and not self._waiting and self._wanted is None

    def _look_closely(self) -> None:
        self._part()
        self.advance()

    def settle(self, *, at: int, what: str) -> None:
        """At an effect or the block's end both sides must have come to the same place.

        Raises:
            Diverged: one did more statements, other values or other output than the other.
        """
        self.advance()
        if not self._is_apart and self._together.is_level:
            return
        self._look_closely()
        placed = self._wanted is None
        if self._wanted is not None:
            if self._wanted != self._counted:
                raise Diverged(
                    f"diverged before event {at}: other statements ran among those that were only counted",
                    seq=at,
                )
            self._wanted, self._counted = None, Counter()
        if self._recorded:
            chunk = self._recorded[0]
            expected = self._describe(chunk.kept[self._offset])
            number = self._seq_of(chunk, self._offset)
            raise _diverged(number, expected, what)
        if self._waiting:
            raise _diverged(at, "nothing more before it", self._describe(self._waiting[0]))
        self._settle_values(at)
        if placed:
            self._settle_texts(at)
        else:
            self._settle_unplaced_texts(at)
        self._join()

    def _settle_values(self, at: int) -> None:
        there, here = self._there.vals, self._here.vals
        for _ in range(min(len(there), len(here))):
            recorded, replayed = there.popleft(), here.popleft()
            if not self._matcher.same(recorded, replayed):
                raise _diverged(at, f"a value {render(recorded)} bound before it", render(replayed))
            self.values += 1
        if there or here:
            raise _diverged(at, f"{len(there)} more values before it", f"{len(here)} more")

    def _settle_texts(self, at: int) -> None:
        there, here = self._there.texts, self._here.texts
        while there and here:
            recorded, replayed = there.popleft(), here.popleft()
            same_place = (recorded.at, recorded.code) == (replayed.at, replayed.code)
            if not (same_place and self._matcher.same(recorded.text, replayed.text)):
                raise _diverged(
                    recorded.seq, f"output {render(recorded.text)}", f"output {render(replayed.text)}"
                )
            self.outputs += recorded.entries
        if there:
            raise _diverged(there[0].seq, f"output {render(there[0].text)}", "no output")
        if here:
            raise _diverged(at, "no output before it", f"output {render(here[0].text)}")

    def _settle_unplaced_texts(self, at: int) -> None:
        """Output among statements that were only counted has no place: each stream is compared as a whole."""
        for code in OUTPUT_CODES:
            recorded = "".join(str(text.text) for text in self._there.texts if text.code == code)
            replayed = "".join(str(text.text) for text in self._here.texts if text.code == code)
            if not self._matcher.same(recorded, replayed):
                raise _diverged(at, f"output {render(recorded)} before it", f"output {render(replayed)}")
        self.outputs += sum(text.entries for text in self._there.texts)
        self._there.texts.clear()
        self._here.texts.clear()
        self._there.total = self._here.total

    # --- saying it -----------------------------------------------------------------------------

    def _differ(self, there: list[int], here: list[int], chunk: _Chunk) -> None:
        index = next(i for i, (a, b) in enumerate(zip(there, here, strict=True)) if a != b)
        number = self._seq_of(chunk, self._offset + index)
        raise _diverged(number, self._describe(there[index]), self._describe(here[index]))

    def _seq_of(self, chunk: _Chunk, index: int) -> int:
        """Number of the event that the entry `index` of a chunk is, or that it belongs to."""
        bindings = set(self._bindings_in(chunk.ids))
        seq = chunk.seq
        for ident in chunk.ids:
            if ident not in OUTPUT_CODES and ident not in self._marks:
                if index == 0:
                    break
                index -= 1
            seq += ident not in bindings
        return seq

    def _describe(self, ident: int) -> str:
        if ident < 0:
            return " ".join(CODES.get(ident, ("stream code", str(ident))))
        unit = self._units.find(ident)
        if unit is None:
            return f"statement {ident}"
        info = unit.statement(ident)
        first = info.source.strip().splitlines()
        where = f" in {info.function}()" if info.function else ""
        return f"line {info.line}{where}: {first[0] if first else ''}"


def _diverged(seq: int, expected: str, found: str) -> Diverged:
    return Diverged(
        f"diverged at event {seq}: the log has {expected}; the replay did {found}",
        seq=seq,
        expected=expected,
        found=found,
    )
