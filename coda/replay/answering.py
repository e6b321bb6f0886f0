"""The answering boundary: everything a replaying worker asks is answered from the log, or is a divergence.

Guarantee: nothing is performed. What the worker says is compared with the next recorded event before it
is answered, so agent code never runs past a difference into new ground; what an answered act did to the
workspace is applied to the private copy first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from coda.errors import Diverged, MissingEffect
from coda.log import (
    Elided,
    Event,
    FileChanged,
    FileFailed,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    ForkApplied,
    Import,
    LimitHit,
    Lines,
    LoopWoke,
    NetOpened,
    NetReceived,
    Output,
    ProcessFinished,
    ProcessIo,
    ProcessSignaled,
    ProcessStarted,
    Table,
    ToolCalled,
    ToolReturned,
    Units,
    render,
    tag_of,
)  # fmt: skip
from coda.replay.children import POPEN, Exchanges
from coda.replay.compare import Matcher
from coda.replay.path import PathMatcher
from coda.replay.private import PrivateCopy
from coda.replay.schedule import Schedule
from coda.replay.tape import BlockTape, call_broken_off, interruption_of, is_workers
from coda.runtime import HOLD, Answer, Observe, Request, Stream, why_opaque

_IGNORED = (FileFailed, LimitHit, Output, ProcessIo)
_UNCOMPARED = frozenset(
    (
        "file", "line", "function", "given", "resolved", "content", "same", "special", "quiet", "size",
        "env", "environ", "folder", "source", "outside",
    )
)  # fmt: skip


class Answering:
    """Answers one run's worker, block by block."""

    def __init__(
        self,
        copy: PrivateCopy,
        units: Units,
        matcher: Matcher,
        children: Exchanges,
        *,
        compare_lines: bool,
    ) -> None:
        self._children = children
        self.copy = copy
        self.units = units
        self.matcher = matcher
        self.effects = self.lines = self.values = self.outputs = 0
        self.uncompared: list[str] = []
        self.stop_seq: int | None = None
        self.heard: Callable[[list[int]], None] | None = None
        """Told of each chunk of statements, before it is compared."""
        self.schedule = Schedule()
        self._stop_id = max((unit.table.end for unit in units), default=0)
        self._compare_lines = compare_lines
        self._items: list[Event] = []
        self._index = 0
        self._path = PathMatcher(units, matcher, compare_lines=compare_lines)
        self._end_seq = 0
        self._written: set[str] = set()
        self._cut = False
        self._broken_off: str | None = None

    # --- blocks --------------------------------------------------------------------------------

    def begin(self, tape: BlockTape) -> None:
        """A block is about to run."""
        self._items = tape.items
        self._index = 0
        self._end_seq = tape.end_seq
        self._cut = tape.finished is None
        self._broken_off = _why_broken_off(tape)
        self._path = PathMatcher(self.units, self.matcher, compare_lines=self._compare_lines)

    def end(self) -> None:
        """A block ended: nothing recorded may be left over."""
        item = self._next("the end of the block")
        if item is not None:
            raise self._other(item, "the end of the block")
        self.count_path()

    def count_path(self) -> None:
        """Adds what the block at hand has compared to the totals."""
        self.lines += self._path.lines
        self.values += self._path.values
        self.outputs += self._path.outputs
        self._path.lines = self._path.values = self._path.outputs = 0

    def begin_loose(self, items: list[Event], end_seq: int) -> None:
        """The worker is about to do what it did before the first block (finding a module)."""
        self._items = items
        self._index = 0
        self._end_seq = end_seq
        self._cut = False
        self._path = PathMatcher(self.units, self.matcher, compare_lines=self._compare_lines)

    def next_seq(self) -> int:
        """Number of the first recorded event that the replay has not come to."""
        item = self._peek()
        self._path.advance()
        left = self._path.next_seq()
        return left if left is not None else item.seq if item is not None else self._end_seq

    def at_fork(self) -> bool:
        """True when the next recorded thing is a fork's change."""
        item = self._peek()
        self._path.advance()
        if isinstance(item, ForkApplied) and self._path.is_level():
            self._next("a fork")
            return True
        return False

    def pass_fork(self) -> None:
        """The fork's change was applied: what follows is the fork's own."""
        self._index += 1

    # --- the boundary --------------------------------------------------------------------------

    def stream(self, message: Stream) -> None:
        """Compares statements, values and output with what was recorded."""
        path = self._path
        ids = message.entries(self._stop_id)
        if self.heard is not None:
            self.heard(ids)
        path.happened(ids, message.vals)
        while self._index < len(self._items) and (path.needs_more() or self._is_split()):
            item = self._items[self._index]
            if isinstance(item, (Lines, Elided)):
                path.expect(item)
            elif is_workers(item) or isinstance(item, ForkApplied):
                break
            else:
                self._pass(item)
            self._index += 1
        path.advance()
        if not path.exceeds() or self._at_stop():
            return
        if self._peek() is None and self._broken_off is not None:
            raise MissingEffect(
                f"{self._broken_off} (event {self._end_seq}); a replay cannot stop at the same instant",
                seq=self._end_seq,
            )
        if not path.exceeds():
            return
        self._next("other statements")
        raise Diverged(f"diverged at event {self._here()}: the log goes on otherwise", seq=self._here())

    def _is_split(self) -> bool:
        """Whether what was recorded last goes on with statements that were only counted.

        Of one chunk the values and observations are written first, the counts of its statements after them.
        """
        before = self._items[self._index - 1] if self._index else None
        return isinstance(before, Lines) and isinstance(self._items[self._index], Elided)

    def observe(self, message: Observe) -> None:
        """Compares an observation with what was recorded."""
        if message.kind == "limit.hit" or (
            message.kind == "signal" and message.data.get("statement") is None
        ):
            return
        data = dict(message.data)
        if message.kind == "import":
            if "content" in data:
                self._import(data)
            return
        self._match(message.kind, data)

    def raw_output(self, stream: str, data: bytes) -> None:
        """Output of C code itself: it has no place, so it is not compared."""
        self.uncompared.append(f"{stream} written by C code")

    def request(self, message: Request) -> Any:
        """Answers from the log; holds the request back at the place where the replay is to stop."""
        kind, data = message.kind, dict(message.data)
        if kind == "diverged":
            raise self._clock_differs(data)
        if kind == "loop.woke" and not data.get("block") and not self._wakes(data):
            return Answer(True, None)  # a look that found nothing
        if self._must_hold(kind, data):
            return HOLD
        if kind == "file.read":
            return self._read(data)
        if kind == "loop.woke":
            woke = self._match(kind, {"turns": data.get("turns")})
            assert isinstance(woke, LoopWoke)
            return self.schedule.arrived(woke)
        if kind == "process.signaled" and not isinstance(self._next(kind), ProcessSignaled):
            return Answer(True)  # a trace of before this was written down: what came of it is compared
        if kind == "net.sent":
            data["digest"] = _digest(data.pop("content"))
        record = self._match(kind, data)
        self.effects += 1
        if isinstance(record, ToolCalled):
            return self.schedule.begun(record) if record.call else self._tool(record)
        if isinstance(record, ProcessStarted):
            return self._process(record)
        if isinstance(record, NetOpened):
            return Answer(True, {"local": record.local, "peer": record.peer, "error": record.error})
        if isinstance(record, NetReceived):
            content = self._children.content(record.digest)
            return Answer(True, {"content": content, "error": record.error})
        if kind == "net.connected" and data.get("conn") is None:
            raise MissingEffect(
                f"event {record.seq} connects to {data.get('address')}: a replay cannot answer it",
                seq=record.seq,
            )
        if isinstance(record, FileOpened | FileRenamed) and record.error is None:
            self._change(record, data)
        return Answer(True)

    def _change(self, act: FileOpened | FileRenamed, data: dict[str, Any]) -> None:
        """The worker is about to open or rename a file of the copy."""
        path = str(data.get("resolved") or data["path"])
        if isinstance(act, FileRenamed):
            self.copy.renamed(act.path, act.to)
            if act.path in self._written:
                self._written.add(act.to)
            return
        self._written.add(path)
        if "w" in act.mode:
            self.copy.overwritten(path)

    # --- the tape ------------------------------------------------------------------------------

    def _next(self, what: str) -> Event | None:
        """The next record that the worker must cause, after everything before it was compared."""
        found = self._peek()
        self._path.settle(at=found.seq if found is not None else self._end_seq, what=what)
        return found

    def _peek(self) -> Event | None:
        """The next record that the worker must cause; what comes before it is expected from now on."""
        while self._index < len(self._items):
            item = self._items[self._index]
            if isinstance(item, (Lines, Elided)):
                self._path.expect(item)
            elif is_workers(item) or isinstance(item, ForkApplied):
                break
            else:
                self._pass(item)
            self._index += 1
        return self._items[self._index] if self._index < len(self._items) else None

    def _here(self) -> int:
        return self._items[self._index].seq if self._index < len(self._items) else self._end_seq

    def _at_stop(self) -> bool:
        return self.stop_seq is not None and self._here() >= self.stop_seq

    def _must_hold(self, kind: str, data: dict[str, Any]) -> bool:
        item = self._next(kind)
        if isinstance(item, ForkApplied):
            return True
        if kind == "file.read" and data.get("quiet") and not isinstance(item, FileRead):
            return False
        return item is not None and self.stop_seq is not None and item.seq >= self.stop_seq

    def _wakes(self, data: dict[str, Any]) -> bool:
        """Whether something was delivered at this look for arrivals."""
        item = self._peek()
        return isinstance(item, LoopWoke) and item.turns == data.get("turns")

    def _match(self, kind: str, data: dict[str, Any]) -> Event:
        """The next recorded event, which must be what the worker says now."""
        item = self._next(kind)
        if item is None:
            if self._cut:
                raise MissingEffect(
                    f"the log ends at event {self._end_seq}; {kind} comes after it", seq=self._end_seq
                )
            raise Diverged(
                f"diverged at event {self._end_seq}: the log has the end of the block; "
                f"the replay did {_said(kind, data)}",
                seq=self._end_seq,
            )
        if tag_of(type(item)) != kind:
            raise self._other(item, _said(kind, data))
        for name, value in data.items():
            if name in _UNCOMPARED or not hasattr(item, name):
                continue
            recorded = msgspec.to_builtins(getattr(item, name))
            if name == "stdin" and value is not None:
                value = _digest(value)
            if not self.matcher.same(recorded, value if value is not None else recorded):
                raise Diverged(
                    f"diverged at event {item.seq}: the log has {kind} with {name} = {render(recorded)}; "
                    f"the replay has {render(value)}",
                    seq=item.seq,
                    expected=recorded,
                    found=value,
                )
        self._index += 1
        if kind != "file.listed":
            self.effects += kind.startswith("ctx.")
        return item

    def _other(self, item: Event, said: str) -> Diverged:
        recorded = _said(tag_of(type(item)), msgspec.to_builtins(item))
        return Diverged(
            f"diverged at event {item.seq}: the log has {recorded}; the replay did {said}",
            seq=item.seq,
            expected=recorded,
            found=said,
        )

    def _pass(self, item: Event) -> None:
        """Takes note of what the host recorded by itself."""
        if isinstance(item, FileWrote) and item.by == "agent":
            if item.digest is not None and item.target is None and self.copy.digest(item.path) != item.digest:
                raise Diverged(
                    f"diverged at event {item.seq}: {item.path} was written with other content than recorded",
                    seq=item.seq,
                )
            self.effects += 1
        elif isinstance(item, FileChanged):
            if item.digest is not None:
                self.copy.put(item.path, item.digest)
        elif isinstance(item, ToolReturned):
            self.schedule.returned(item)
        elif not isinstance(item, _IGNORED):
            self.copy.apply(item)

    # --- kinds ---------------------------------------------------------------------------------

    def _tool(self, call: ToolCalled) -> Answer:
        """Gives the recorded answer, after what the call did to files."""
        while self._index < len(self._items):
            item = self._items[self._index]
            self._index += 1
            if isinstance(item, ToolReturned) and item.cause == call.seq:
                return Answer(item.ok, item.value if item.ok else item.error)
            self._pass(item)
        raise self._unanswered(call.seq, call.name)

    def _unanswered(self, seq: int, name: str) -> MissingEffect:
        """The recorder was gone before the act had a result: what the log has ends there, not before."""
        at = self._end_seq if self._cut else seq
        return MissingEffect(f"the log ends before event {seq} ({name}) was answered", seq=at)

    def _process(self, started: ProcessStarted) -> Answer:
        if started.via == POPEN:
            return Answer(True, self._children.answer(started, started.seq))
        while self._index < len(self._items):
            item = self._items[self._index]
            if isinstance(item, ProcessFinished):
                self._index += 1
                value = {"code": item.code, "stdout": item.stdout, "stderr": item.stderr, "error": item.error}
                return Answer(True, value)
            if is_workers(item) or (isinstance(item, Lines) and item.ids):
                break
            self._index += 1
            self._pass(item)
        if self._cut and self._index == len(self._items):
            raise self._unanswered(started.seq, started.via)
        raise MissingEffect(
            f"event {started.seq} starts {' '.join(started.argv)[:60]!r}: {why_opaque(started.via)}",
            seq=started.seq,
        )

    def _read(self, data: dict[str, Any]) -> Answer:
        path = str(data["path"])
        item = self._next("file.read")
        if data.get("quiet") and not (isinstance(item, FileRead) and item.path == path):
            return Answer(True)
        record = self._match("file.read", {"path": path, "via": data.get("via")})
        assert isinstance(record, FileRead)
        self.effects += 1
        if record.digest is not None and self.copy.digest(path) != record.digest:
            if (data.get("resolved") or path) in self._written:
                raise Diverged(
                    f"diverged at event {record.seq}: {path} was written with other content than was read",
                    seq=record.seq,
                )
            self.copy.put(record.resolved or path, record.digest)
        elif record.digest is None and record.error is None:
            self.uncompared.append(f"content of {path}, which was not kept")
        return Answer(True)

    def _import(self, data: dict[str, Any]) -> None:
        table = data.pop("table", b"")
        item = self._match("import", {"module": data.get("module")})
        assert isinstance(item, Import)
        if item.table is not None:
            found = msgspec.json.decode(table, type=Table) if table else None
            if found != item.table:
                raise Diverged(
                    f"diverged at event {item.seq}: module {item.module} has other statements than recorded",
                    seq=item.seq,
                )

    def _clock_differs(self, data: dict[str, Any]) -> Diverged | MissingEffect:
        item = self._next("an observation")
        if item is None and self._cut:
            return MissingEffect(
                f"the log ends at event {self._end_seq}; an observation comes after it", seq=self._end_seq
            )
        seq = item.seq if item is not None else self._end_seq
        return Diverged(
            f"diverged at event {seq} or before: the replay asks for an observation that is not there",
            seq=seq,
        )


def _why_broken_off(tape: BlockTape) -> str | None:
    """Why a block ended in the middle, when it was not by itself."""
    block = tape.started.block
    if tape.finished is None:
        return f"the log ends inside block {block}"
    stopped_again = interruption_of(tape) is not None or call_broken_off(tape)
    if tape.finished.outcome in ("interrupted", "killed") and not stopped_again:
        return f"block {block} was {tape.finished.outcome} from outside"
    return None


def _said(kind: str, data: dict[str, Any]) -> str:
    """An act in a few words."""
    parts = [str(data[name])[:60] for name in ("name", "path", "module", "argv", "address") if data.get(name)]
    return f"{kind} {' '.join(parts)}".strip()


def _digest(value: Any) -> str:
    import hashlib

    return hashlib.sha256(bytes(value)).hexdigest()
