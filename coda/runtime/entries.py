"""Which numbers a worker may put into its stream, and how many of them take a value.

Guarantee: what `Known.unpack` gives names statements, bindings and codes of this run's tables and nothing
else, and exactly `Entries.takers` of its entries take a value; anything else is refused. The common
streams are checked at C speed: numbers below 128 and codes are single bytes, which `translate` checks and
`list` unpacks (2 ns an entry); of statements alone, a decoder that knows every number (a `Literal`) gives
back the objects it has (5 ns). Decoding integers and then looking at them as a set takes 10 to 30.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import msgspec

from coda.errors import SandboxError
from coda.log import MARKS, Table, to_envelope
from coda.runtime.distrust import refuse_references
from coda.runtime.protocol import LOWEST_CODE, Stream

_PIECE: Final = 1 << 12
_MOST_NUMBERS: Final = 2048
"""A run with more has no decoder of its own numbers: making one costs about a microsecond for each."""
_WORTH_BYTES: Final = 32
"""Bytes of stream for each number since the last table after which making a decoder pays."""


OUTPUT_CODES: Final = (-1, -2)
"""Standard output, standard error."""
_NOT_NEGATIVE: Final = bytes(range(128))
_list_encoder: Final = msgspec.json.Encoder()
_CODE_BYTES: Final = bytes(256 + code for code in range(LOWEST_CODE, 0))


class Entries(NamedTuple):
    """A stream that was checked."""

    ids: list[int]
    codes: int
    """How many are coded observations."""
    bound: int
    """How many are bindings."""
    written: int = 0
    """How many of the codes are output."""

    @property
    def takers(self) -> int:
        """How many take a value."""
        return self.codes + self.bound


class Known:
    """The numbers of the tables so far."""

    def __init__(self) -> None:
        self.stop = 0
        """The first number that no table has."""
        self.bindings: set[int] = set()
        """What takes a value and is no event: bindings, and the marks of frames."""
        self.marks: set[int] = set()
        self._takers: set[int] = set(range(LOWEST_CODE, 0))
        self._seen_bytes = 0
        # Numbers of one byte: the statements, and what takes a value.
        self._small, self._small_takers = b"", _CODE_BYTES
        self._statements_of: Callable[[bytes], Any] | None = None

    def add(self, table: Table) -> None:
        """Takes note of a table; tables of different units do not overlap."""
        bindings = range(table.base + len(table.statements), table.end)
        self.bindings.update(bindings)
        self.marks.update(
            number for number, row in zip(bindings, table.bindings, strict=True) if row.name in MARKS
        )
        self._takers.update(bindings)
        self.stop = max(self.stop, table.end)
        small = range(min(self.stop, 128))
        self._small = bytes(number for number in small if number not in self.bindings)
        self._small_takers = bytes(number for number in small if number in self.bindings) + _CODE_BYTES
        self._seen_bytes = 0
        self._statements_of = None

    def unpack(self, stream: Stream, values: int) -> Entries:
        """Unpacks a stream's entries.

        Args:
            stream: what the worker sent.
            values: how many values are there for its entries; there may be more than they take.

        Raises:
            SandboxError: a number is in no table of this run, or the values are too few.

        Cost: one or two passes in C; with values and numbers from 128 on, about 10 ns for each entry.
        """
        entries = self._of_single_bytes(stream.packed) or self._of_statements(stream.packed)
        if entries is None:
            ids = stream.entries(self.stop)
            entries = Entries(ids, *self._count(ids, values))
        if entries.takers > values:
            raise SandboxError("the worker sent fewer values than its statements bind")
        return entries

    def without_marks(self, ids: list[int], vals: list[Any]) -> tuple[list[int], list[Any]]:
        """Gives the entries of a stream that was checked, and their values, without marks of frames."""
        marks = self.marks
        kept = [number for number in ids if number not in marks]
        if len(ids) - len(kept) == len(vals):  # nothing else takes a value, as a rule in a hot loop
            return kept, []
        takers = filter(self._takers.__contains__, ids)
        return kept, [value for number, value in zip(takers, vals, strict=True) if number not in marks]

    def split(self, ids: list[int], vals: list[Any], room: int) -> tuple[list[int], list[Any], Counter[int]]:
        """Parts a stream that was checked where so many more statements are to be listed.

        Returns:
            The entries that stay, with their values, and how often each other statement ran. Behind the
            last statement that is listed bindings and codes stay, marks of frames do not.
        """
        kept: list[int] = []
        kept_vals: list[Any] = []
        counts: Counter[int] = Counter()
        values = iter(vals)
        for number in ids:
            if number in self._takers:
                value = next(values)
                if room or number not in self.marks:
                    kept.append(number)
                    kept_vals.append(value)
            elif room:
                room -= 1
                kept.append(number)
            else:
                counts[number] += 1
        return kept, kept_vals, counts

    def _of_single_bytes(self, packed: bytes) -> Entries | None:
        """The entries if each is a known number of one byte, else None."""
        body = _single_bytes(packed)
        if body is None:
            return None
        takers = body.translate(None, self._small)
        if not takers:
            return Entries(list(body), 0, 0)
        if takers.translate(None, self._small_takers):
            return None  # the slow way says what is wrong
        codes = len(takers.translate(None, _NOT_NEGATIVE))
        ids = list(memoryview(body).cast("b")) if codes else list(body)
        written = sum(takers.count(256 + code) for code in OUTPUT_CODES)
        return Entries(ids, codes, len(takers) - codes, written)

    def _of_statements(self, packed: bytes) -> Entries | None:
        """The entries if all are statements, and if finding that out this way pays; else None."""
        decode = self._statements_of
        if decode is None:
            self._seen_bytes += len(packed)
            if self.stop > _MOST_NUMBERS or self._seen_bytes < _WORTH_BYTES * self.stop:
                return None
            numbers = tuple(number for number in range(self.stop) if number not in self.bindings)
            if not numbers:
                return None
            statement: Any = Literal.__getitem__(numbers)
            decode = self._statements_of = msgspec.msgpack.Decoder(list[statement]).decode
        try:
            return Entries(decode(packed), 0, 0)
        except msgspec.MsgspecError:
            return None  # the slow way says what is wrong

    def _count(self, ids: list[int], values: int) -> tuple[int, int, int]:
        """Codes, bindings and output among the entries."""
        takes = self._takers.__contains__
        codes = taken = written = 0
        for start in range(0, len(ids), _PIECE):
            if taken >= values and self._takers.isdisjoint(ids[start:]):
                break
            found = list(filter(takes, ids[start : start + _PIECE]))
            taken += len(found)
            codes += sum(1 for number in found if number < 0)
            written += sum(found.count(code) for code in OUTPUT_CODES)
        return codes, taken - codes, written


def _single_bytes(packed: bytes) -> bytes | None:
    """What follows the head of a msgpack array, if that is one byte for each of its entries; else None."""
    first = packed[0] if packed else 0
    if 0x90 <= first <= 0x9F:
        head, count = 1, first - 0x90
    else:
        head = {0xDC: 3, 0xDD: 5}.get(first, 0)
        count = int.from_bytes(packed[1:head], "big")
    return packed[head:] if head and len(packed) == head + count else None


def encode_values(vals: list[Any]) -> bytes:
    """JSON of values; raw scalars that JSON cannot hold (NaN, lone surrogates, big integers) are tagged.

    Raises:
        SandboxError: one of them is no data (a mapping with keys that JSON does not have), or names a blob.
    """
    if not vals:
        return b"[]"
    encoded = _exactly(vals)
    if encoded is None:
        try:
            encoded = _list_encoder.encode(
                [value if isinstance(value, (dict, list)) else to_envelope(value) for value in vals]
            )
        except TypeError as error:
            raise SandboxError(f"the worker sent a value that is none: {error}") from error
    refuse_references(encoded)
    return encoded


def _exactly(vals: list[Any]) -> bytes | None:
    """JSON of values that JSON can hold as they are; else None."""
    try:
        encoded = _list_encoder.encode(vals)
    except (msgspec.MsgspecError, TypeError, UnicodeEncodeError, OverflowError, ValueError):
        return None
    # A NaN becomes null without a word: more nulls than Nones betray it.
    return encoded if encoded.count(b"null") == vals.count(None) else None
