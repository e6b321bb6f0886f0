"""Recorded answers as a fork may still use them.

Guarantee: an answer is given only while it is truthful: the calls after the fork must be the recorded ones,
in order, and the files that they see must be the recorded ones. From the first call that differs on, only
functions that depend on their arguments alone are answered; everything else ends the fork at its frontier,
unless the user asked to assume, and then each such answer is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from coda.log import (
    UNKEPT,
    Event,
    FileDeleted,
    FileMade,
    FileWrote,
    Output,
    ProcessFinished,
    ProcessStarted,
    ToolCalled,
    ToolReturned,
)
from coda.replay import Matcher


class RecordedCall(NamedTuple):
    """A call after the fork's position, with its answer."""

    call: ToolCalled | ProcessStarted
    answer: ToolReturned | ProcessFinished | None
    deltas: tuple[Event, ...]
    """What it did to the workspace."""
    files: Mapping[str, str | None]
    """Digests of what the run had written between the position and the call."""
    outputs: tuple[Output, ...] = ()
    """What a process wrote itself to the streams of the program."""


class Given(NamedTuple):
    """An answer from the pool."""

    recorded: RecordedCall
    assumed: bool


class Pool:
    """The calls of the parent after the position.

    Args:
        records: the parent's records from the position on.
        effects: effect of each tool by name.
        live: names of tools that a fork performs itself (on its private copy).
        assume: give recorded answers also where they may not hold any more.
    """

    def __init__(
        self, records: Iterable[Event], *, effects: Mapping[str, str], live: frozenset[str], assume: bool
    ) -> None:
        self._effects = effects
        self._assume = assume
        self._matcher = Matcher()
        self._calls = _calls_of(records, live)
        self._used: set[int] = set()
        # Pure calls are answered whenever they come: only the others have an order.
        self._order = [index for index, found in enumerate(self._calls) if not self._is_pure(found.call)]
        self._next = 0
        self.changed_by: str | None = None
        """What made the recorded answers doubtful: the first difference, in words."""
        self.why: str | None = None
        """Why the last call that was looked for has no answer."""

    def find(self, call: ToolCalled | ProcessStarted, written: Mapping[str, str | None]) -> Given | None:
        """The recorded answer to a call, or None when there is no truthful one.

        Args:
            call: what the fork asks.
            written: digests of what the fork has written since the position.
        """
        self.why = None
        found = self._find(call, written)
        if found is None:
            self.why = self.why or self.changed_by
        return found

    def _find(self, call: ToolCalled | ProcessStarted, written: Mapping[str, str | None]) -> Given | None:
        effect = self._effects.get(call.name, "act") if isinstance(call, ToolCalled) else "act"
        if effect == "pure":
            return self._by_identity(call, assumed=False)
        if self.changed_by is None:
            self.changed_by = self._difference(call, effect, written)
            if self.changed_by is None:
                found = self._calls[self._order[self._next]]
                self._used.add(self._order[self._next])
                self._next += 1
                return Given(found, False) if _is_answered(found) else None
            if effect == "read":
                self.why = self.changed_by
                self.changed_by = None  # looking at something else changes nothing for the others
                return self._by_identity(call, assumed=True) if self._assume else None
        return self._by_identity(call, assumed=True) if self._assume else None

    def doubt(self, why: str) -> None:
        """From here on recorded answers are doubtful."""
        self.changed_by = self.changed_by or why

    def take_changed(self, call: ToolCalled | ProcessStarted) -> None:
        """The user gave another answer to this call: it is used up, the ones after it stay as they are."""
        if self._next < len(self._order) and self._same(self._calls[self._order[self._next]].call, call):
            self._used.add(self._order[self._next])
            self._next += 1

    def _difference(
        self, call: ToolCalled | ProcessStarted, effect: str, written: Mapping[str, str | None]
    ) -> str | None:
        if self._next >= len(self._order):
            return f"{describe(call)} was not called in the parent after that point"
        recorded = self._calls[self._order[self._next]]
        if not self._same(recorded.call, call):
            if (why := _why_another(call, recorded.call)) is not None:
                return why
            return f"{describe(call)} was called where the parent called {describe(recorded.call)}"
        if (why := _is_unkept(call)) is not None:
            return why
        for path in sorted(recorded.files.keys() | written.keys()):
            if recorded.files.get(path) != written.get(path):
                return f"{path} does not have the content that {describe(call)} saw in the parent"
        return None

    def _by_identity(self, call: ToolCalled | ProcessStarted, *, assumed: bool) -> Given | None:
        last = None
        for index in self._alike(call):
            recorded = self._calls[index]
            if index not in self._used:
                self._used.add(index)
                return Given(recorded, assumed)
            last = recorded
        return Given(last, assumed) if last is not None and self._is_pure(call) else None

    def _alike(self, call: ToolCalled | ProcessStarted) -> list[int]:
        """Answered calls like this one: the same, then the same command in other circumstances."""
        have = [index for index, found in enumerate(self._calls) if _is_answered(found)]
        same = [index for index in have if self._same(self._calls[index].call, call)]
        others = [index for index in have if _why_another(call, self._calls[index].call) is not None]
        return same + others

    def _is_pure(self, call: ToolCalled | ProcessStarted) -> bool:
        return isinstance(call, ToolCalled) and self._effects.get(call.name) == "pure"

    def _same(self, a: ToolCalled | ProcessStarted, b: ToolCalled | ProcessStarted) -> bool:
        return type(a) is type(b) and self._matcher.same(_identity(a), _identity(b))


def _is_answered(found: RecordedCall) -> bool:
    """Whether there is an answer; a child that is talked to has answers from its start on."""
    talked_to = isinstance(found.call, ProcessStarted) and found.call.child is not None
    return found.answer is not None or talked_to


def _identity(call: ToolCalled | ProcessStarted) -> list[Any]:
    if isinstance(call, ToolCalled):
        return [call.name, msgspec.to_builtins(call.args), msgspec.to_builtins(call.kwargs)]
    return [list(call.argv), call.shell, call.via, *(read(call) for _, read in _DEPENDS_ON)]


_DEPENDS_ON: tuple[tuple[str, Callable[[ProcessStarted], Any]], ...] = (
    ("is fed other input than in the parent", lambda call: call.stdin),
    ("would start in another folder than in the parent", lambda call: [call.cwd, call.folder]),
    ("would see other environment variables than in the parent", lambda call: [call.environ, _env_of(call)]),
    ("reads a standard input that is not known to be the parent's", lambda call: call.source),
    ("could see another content of a file outside of the workspace", lambda call: call.outside),
)
"""What the answer of a process depends on beside its command, and what is said where it differs."""


def _env_of(call: ProcessStarted) -> list[list[str | None]]:
    return [[name, value] for name, value in sorted(call.env.items())]


def _why_another(call: ToolCalled | ProcessStarted, recorded: ToolCalled | ProcessStarted) -> str | None:
    """Why a call of the same command is another call all the same."""
    if not isinstance(call, ProcessStarted) or not isinstance(recorded, ProcessStarted):
        return None
    if (call.argv, call.shell, call.via) != (recorded.argv, recorded.shell, recorded.via):
        return None
    reason = next((why for why, read in _DEPENDS_ON if read(call) != read(recorded)), None)
    return f"{describe(call)} {reason}" if reason is not None else None


def _is_unkept(call: ToolCalled | ProcessStarted) -> str | None:
    """Why nobody can know whether a process would find what it found."""
    if isinstance(call, ProcessStarted):
        if call.source == UNKEPT:
            return f"{describe(call)} reads a pipe whose content is not in the log"
        if call.outside == UNKEPT:
            return f"{describe(call)} could see a file outside of the workspace that is too large"
    return None


def describe(call: ToolCalled | ProcessStarted) -> str:
    """A call in a few words."""
    if isinstance(call, ToolCalled):
        return f"{call.name}()"
    return f"process {' '.join(call.argv)[:60]!r}"


def answered(call: ToolCalled, records: Iterable[Event]) -> RecordedCall | None:
    """A call that was begun before these records, with the answer in them; None without one."""
    deltas: list[Event] = []
    for record in records:
        if getattr(record, "cause", None) != call.seq:
            continue
        if isinstance(record, ToolReturned):
            return RecordedCall(call, record, tuple(deltas), {})
        if isinstance(record, (FileWrote, FileDeleted, FileMade)):
            deltas.append(record)
    return None


class _Open(NamedTuple):
    """A call whose answer has not come yet."""

    place: int
    call: ToolCalled | ProcessStarted
    deltas: list[Event]
    outputs: list[Output]
    files: Mapping[str, str | None]

    @property
    def may_write(self) -> bool:
        """Whether it is a process, which may write to the streams of the program."""
        return isinstance(self.call, ProcessStarted)

    def ended(self, answer: ToolReturned | ProcessFinished | None) -> RecordedCall:
        """The whole of it."""
        return RecordedCall(self.call, answer, tuple(self.deltas), self.files, tuple(self.outputs))


def _calls_of(records: Iterable[Event], live: frozenset[str]) -> list[RecordedCall]:
    """Calls in the order of their beginning; those that overlapped are told apart by their numbers."""
    found: list[RecordedCall] = []
    under_way: dict[int, _Open] = {}
    files: dict[str, str | None] = {}
    for record in records:
        if isinstance(record, (ToolCalled, ProcessStarted)):
            if not (isinstance(record, ToolCalled) and record.name in live):
                under_way[record.seq] = _Open(len(found), record, [], [], dict(files))
                found.append(RecordedCall(record, None, (), dict(files)))
        elif isinstance(record, (ToolReturned, ProcessFinished)):
            done = under_way.pop(record.cause if record.cause is not None else -1, None)
            if done is not None:
                found[done.place] = done.ended(record)
        elif isinstance(record, Output):
            writer = next((each for each in reversed(under_way.values()) if each.may_write), None)
            if writer is not None:
                writer.outputs.append(record)
        elif isinstance(record, (FileWrote, FileDeleted, FileMade)):
            cause = record.cause
            if cause is None and record.by not in ("agent", "unseen"):
                cause = next(reversed(under_way), None)
            if cause in under_way:
                under_way[cause].deltas.append(record)
            if isinstance(record, FileWrote):
                files[record.path] = record.digest
            elif isinstance(record, FileDeleted):
                files[record.path] = None
    for each in under_way.values():
        found[each.place] = each.ended(None)
    return found
