"""Two runs as sequences of numbers that can be aligned: the same number means the same step.

Guarantee: a step has a number by what it is, never by where it stands: a statement by its place in
the aligned statement tables of both runs, a call by its name and arguments, a file access by its
path. Values, answers, times and record batching are no part of it; values and answers are digests
beside the numbers, so that a statement that bound another value is the same step with another value.

Memory: twelve bytes for an event; a trace is read once, record by record.
"""

from __future__ import annotations

import re
import stat
from array import array
from bisect import bisect_right
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from coda.errors import LogError
from coda.forking.align import Shape, tokens
from coda.log import (
    Event,
    FileRead,
    Piece,
    Trace,
    Unknown,
)

LINE, BOUND = "line", "bound"
_encode = msgspec.json.Encoder(order="deterministic").encode
# As `object.__repr__` writes them: `<Session object at 0x7f3a...>`. No two runs have the same.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}>")
_ADDRESS_BYTES = re.compile(_ADDRESS.pattern.encode())

# What makes an event the same step (first), and what of it may then differ (second).
FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "run.started": ((), ()),
    "run.finished": ((), ("outcome", "code", "text")),
    "sandbox.started": ((), ()),
    "tool.declared": (("name",), ("signature", "effect")),
    "user.message": ((), ("text",)),
    "turn.started": ((), ("turn",)),
    "turn.finished": ((), ("blocks", "done")),
    "llm.requested": (("model",), ("digest",)),
    "llm.responded": ((), ("text", "finish_reason")),
    "block.started": ((), ()),
    "block.finished": ((), ("outcome", "state", "code")),
    "tool.called": (("name", "args", "kwargs"), ()),
    "tool.returned": (("name",), ("ok", "value", "error")),
    "ctx.set": (("name",), ("value",)),
    "ctx.deleted": (("name",), ()),
    "ctx.mutated": (("name",), ("value",)),
    "effect": (("name",), ("value",)),
    "file.opened": (("path", "mode"), ("error",)),
    "file.read": (("path", "via"), ("digest", "size", "error")),
    "file.wrote": (("path", "by"), ("digest", "size", "mode")),
    "file.deleted": (("path", "by"), ("error",)),
    "file.renamed": (("path", "to"), ("error",)),
    "file.made": (("path", "by"), ("error",)),
    "file.listed": (("path", "via"), ()),
    "file.changed": (("path", "by"), ("digest", "size")),
    "process.started": (("argv", "shell", "cwd", "stdin"), ()),
    "process.finished": ((), ("code", "stdout", "stderr", "error")),
    "net.connected": (("address",), ()),
    "import": (("module",), ("digest",)),
    "exception": (("kind",), ("message",)),
    "signal": (("name",), ()),
    "thread.started": ((), ("name",)),
    "thread.finished": ((), ("name",)),
    "limit.hit": (("what",), ()),
    "elided": ((), ("n", "counts")),
}

# Not steps of the program: how a fork was made, remarks, what the collector of garbage and the schedule did,
# when the pieces of a child's output came.
SKIPPED = frozenset(
    {
        "fork.applied", "note", "run.resumed", "gc", "loop.woke", "thread.switched", "thread.preempted",
        "process.io", "file.failed",
    }
)  # fmt: skip
_META = ("type", "seq", "t", "n", "file", "line", "function", "cause")


class Bound(NamedTuple):
    """The last recorded binding of a name."""

    value: Any
    digest: int
    seq: int
    exact: bool
    """False when its site ran to the limit of recorded values: later ones may be missing."""


class Kind(NamedTuple):
    """What a number stands for."""

    type: str
    name: str
    shape: Shape = Shape(50, False)
    """Accesses and calls are paired after what stands in the blocks themselves, before functions."""


class Vocabulary:
    """The numbers that both runs share."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self.kinds: list[Kind] = []

    def number(self, key: Any, kind: Kind) -> int:
        """Gives the number of a step; equal keys get the same."""
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.kinds)
            self.kinds.append(kind)
        return found


class Strand:
    """The events of one block, or those outside of blocks, as numbers with digests of their values."""

    def __init__(self) -> None:
        self.tokens = tokens()
        self.values: array[int] = array("q")
        self._starts: list[int] = []
        self._seqs: list[int] = []
        self._next = -1

    def add(self, seq: int, token: int, value: int, *, n: int = 1) -> None:
        """Appends an event; seq may leave out numbers, n counts those that it stands for."""
        if seq != self._next:
            self._starts.append(len(self.tokens))
            self._seqs.append(seq)
        # What stands for several numbers has one index: behind it the two no longer go in step.
        self._next = seq + 1 if n == 1 else -1
        self.tokens.append(token)
        self.values.append(value)

    def widen(self) -> None:
        """The last event stands for the next number too."""
        self._next = -1

    @property
    def last(self) -> int:
        """Number of the last event; -1 before the first."""
        return self.tokens[-1] if self.tokens else -1

    def add_bound(self, seq: int, token: int, value: int) -> None:
        """Appends a value that was bound. It is no event: `seq` is that of the statement it belongs to."""
        self._starts.append(len(self.tokens))
        self._seqs.append(seq)
        self._next = -1
        self.tokens.append(token)
        self.values.append(value)

    def seq(self, index: int) -> int:
        """Gives the event number of the event at an index; at the end, one after the last."""
        if not self._starts:
            return -1
        slot = max(0, bisect_right(self._starts, index) - 1)
        return self._seqs[slot] + index - self._starts[slot]


def _same_file(a: Trace, b: Trace) -> bool:
    """Run ids alone prove nothing: a copy may have been changed."""
    return a.run == b.run and a.path.exists() and a.path.samefile(b.path)


def shared_prefix(a: Trace, b: Trace) -> int:
    """Gives how many events the two runs have in common by construction: 0 unless one file serves both."""
    shared = 0
    for left, right in zip(a.pieces(), b.pieces(), strict=False):
        if not _same_file(left.trace, right.trace):
            break
        stops = [stop for stop in (left.stop, right.stop) if stop is not None]
        if not stops:
            return max(a.count(), b.count())
        shared = min(stops)
        if left.stop != right.stop:
            break
    return shared


@contextmanager
def naming(trace: Trace) -> Iterator[None]:
    """Puts the name of a trace into the complaints about it: a comparison reads two."""
    try:
        yield
    except LogError as error:
        if str(trace.path) in error.message:
            raise
        raise type(error)(f"{trace.path}: {error.message}", **error.facts) from error


class Part(NamedTuple):
    """A record, of whose events only start <= seq < stop are meant (its own, unless an edge cuts it)."""

    record: Event | Unknown
    start: int
    stop: int


def parts(
    trace: Trace, *, start: int = 0, stop: int | None = None, types: Container[str] | None = None
) -> Iterator[Part]:
    """Gives the records of a whole run, a fork's prefix from its ancestors' files, in order.

    Args:
        trace: any run.
        start: first event that is wanted.
        stop: first event that is not; None is the end.
        types: types of record to decode; None is all.
    """
    for piece in trace.pieces(0, stop):
        with naming(piece.trace):
            yield from _parts_of(piece, start, types)


def _parts_of(piece: Piece, start: int, types: Container[str] | None) -> Iterator[Part]:
    for placed in piece.records(types):
        record = placed.record
        if not isinstance(record, Event | Unknown) or record.seq < 0:
            continue
        after = record.seq + getattr(record, "n", 1)
        if after > start:
            stop = after if piece.stop is None else min(piece.stop, after)
            yield Part(record, max(start, record.seq), stop)


def digest(value: Any) -> int:
    """Gives a number for a value in the envelope: equal values have equal ones, within this process.

    Addresses as `object.__repr__` writes them do not count: no run reproduces them.
    """
    data = _encode(value)
    return hash(_ADDRESS_BYTES.sub(b" at 0x>", data) if b" at 0x" in data else data)


def observed(value: Any) -> Any:
    """Gives what counts of an observation: of what `os.stat` answered, the kind of file and a file's size.

    Inodes, devices and times are those of one disk and one moment: no other run can have them.
    """
    match value:
        case [str(name), {"stat": [int(mode), _, _, _, _, _, size, *_]}]:
            return [name, stat.S_IFMT(mode), size if stat.S_ISREG(mode) else None]
    return value


def without_addresses(text: str) -> str:
    """Gives text in which the addresses of objects are an ellipsis."""
    return _ADDRESS.sub(" at 0x…>", text) if " at 0x" in text else text


def step_of(record: Event | Unknown) -> tuple[str, str, Any, Any]:
    """Gives (type, name, what makes it the same step, what of it may differ) of a record."""
    if isinstance(record, Unknown):
        fields = msgspec.json.decode(record.raw)
        rest = {name: value for name, value in fields.items() if name not in _META}
        return record.type, "", (), rest
    kind = type(record).__struct_config__.tag
    if isinstance(record, FileRead) and record.via == "main":
        return "file.read", record.path, (record.path, "main"), ()  # the program: its blocks hold the source
    same, other = FIELDS.get(str(kind), ((), _own_fields(record)))
    name = getattr(record, same[0], "") if same else ""
    return str(kind), name if isinstance(name, str) else "", _values(record, same), _values(record, other)


def _own_fields(record: Event) -> tuple[str, ...]:
    return tuple(name for name in record.__struct_fields__ if name not in _META)


def _values(record: Event, names: tuple[str, ...]) -> list[Any]:
    return [getattr(record, name) for name in names]
