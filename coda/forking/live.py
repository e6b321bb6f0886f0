"""The forking boundary: recording again, with answers from the parent as long as they hold.

Guarantee: nothing leaves the machine and nothing outside of the private copy changes. The primitives
work on the copy; every other call is answered from the parent's log or ends the fork at its frontier,
before it acts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from coda.errors import SandboxError
from coda.forking.changed import UNSET
from coda.forking.pool import Pool, RecordedCall, describe
from coda.log import (
    FileChanged,
    ProcessFinished,
    ProcessStarted,
    ToolCalled,
    ToolReturned,
    from_envelope,
)
from coda.replay import POPEN, Exchanges, PrivateCopy
from coda.runtime import (
    Answer,
    Finished,
    Observe,
    Outcome,
    Pending,
    PendingCall,
    Recording,
    Request,
    Stream,
    why_opaque,
)


class Frontier(Exception):
    """The fork asked for something that has no truthful recorded answer."""


class ForkBoundary:
    """What a forked worker may do."""

    def __init__(
        self,
        recording: Recording,
        copy: PrivateCopy,
        pool: Pool,
        children: Exchanges,
        *,
        live: frozenset[str],
        assume: bool = False,
        had: Mapping[tuple[Any, Any], tuple[int, bool]] | None = None,
        result: Any = UNSET,
        content: bytes | None = None,
        under_way: Sequence[RecordedCall] = (),
    ) -> None:
        self.recording = recording
        self.assumed = 0
        self._children = children
        self._answered_writes: set[str] = set()
        self._copy = copy
        self._pool = pool
        self._live = live
        self._assume = assume
        self._told: dict[Any, ProcessStarted] = {}
        self._had = had or {}
        self._undone: dict[Any, RecordedCall] = {}
        self._result = result
        self._content = content
        self._assumed_calls: set[int] = set()
        for each in under_way:
            self._go_on(each)

    def stream(self, message: Stream) -> None:
        """Records statements, values and coded observations."""
        self.recording.stream(Stream(message.packed, message.vals, -1))

    def observe(self, message: Observe) -> None:
        """Records an observation."""
        path = str(message.data.get("path"))
        if message.kind == "file.read":
            self._refuse_unknown(message.data)
        if message.kind == "process.io":
            data = self._own_piece(message.data)
            if data is not None:
                self.recording.observe(Observe(message.kind, data, -1))
            return
        if message.kind == "file.listed" and self._copy.hides(path):
            raise Frontier(f"the fork lists {path}, which the parent never did")
        self.recording.observe(Observe(message.kind, message.data, -1))

    def raw_output(self, stream: str, data: bytes) -> None:
        """Records raw output."""
        self.recording.raw_output(stream, data)

    def request(self, message: Request) -> Answer | Pending | PendingCall:
        """Answers a call, or raises Frontier."""
        if message.kind == "file.renamed":
            self._copy.renamed(str(message.data.get("path")), str(message.data.get("to")))
        # The worker's clock began with the replay; the writer's goes on from the parent's.
        kind, data = message.kind, dict(message.data)
        if kind == "tool.called":
            call = _call(ToolCalled, data, -1)
            return self._begin(call) if call.call else self._tool(call)
        if kind == "loop.woke":
            return self._arrived(data)
        if kind == "process.started":
            return self._process(data, -1)
        if kind == "process.unanswered":
            return self._unanswered(data)
        if kind == "process.finished":
            self._ended(data)
        if kind == "signal.sent":
            raise Frontier(f"the fork signals process {data.get('to')}, which only a live run could do")
        if kind == "net.connected":
            raise Frontier(f"the fork connects to {data.get('address')}, which only a live run could do")
        if kind.startswith("net."):
            raise Frontier("the fork goes on with a connection of its parent, which only a live run could do")
        if kind == "file.read":
            self.recording.observe(Observe("file.read", self._read(data), -1))
            return Answer(True)
        return self.recording.request(Request(kind, message.data, -1))

    def unknown(self) -> frozenset[str]:
        """Files of the private copy whose content is not known: not in the log, and not written since."""
        return frozenset(self._copy.placeholders - self.recording.written.keys() - self._answered_writes)

    def _refuse_unknown(self, data: dict[str, Any]) -> None:
        """A read of what the copy does not hold, by its name or through a link, is the frontier."""
        for path in (str(data["path"]), data.get("resolved")):
            if isinstance(path, str) and (path in self.unknown() or self._copy.hides(path)):
                raise Frontier(f"the fork reads {path}, whose content the parent never read")

    def _read(self, data: dict[str, Any]) -> dict[str, Any]:
        """A read that was held back: its content comes from the private copy, or from the user."""
        if self._content is not None:
            self._give_content(str(data.get("resolved") or data["path"]))
        self._refuse_unknown(data)
        content = self._copy.content(str(data["path"]))
        data.pop("quiet", None)
        if content is None:
            return {**data, "error": "FileNotFoundError"}
        return {**data, "content": content, "size": len(content)}

    def _give_content(self, path: str) -> None:
        """The file holds what the user says, as if somebody else had just changed it."""
        content, self._content = self._content or b"", None
        blobs = self.recording.writer.blobs
        digest = blobs.put(content)
        self._copy.put(path, digest, blobs=blobs)
        self.recording.workspace.refresh(self.recording.manifest, path)
        self.recording.workspace.remember(path, digest)
        self.recording.writer.append(FileChanged(path=path, digest=digest, size=len(content), by="user"))
        self.recording.written[path] = digest

    def _tool(self, call: ToolCalled) -> Answer | PendingCall:
        if self._result is not UNSET:
            value, self._result = self._result, UNSET
            self._pool.take_changed(call)
            return self._give(call, Outcome(True, value), assumed=False)
        if call.name in self._live:
            return self.recording.call_tool(call)
        self.recording.sync(by="agent")
        given = self._pool.find(call, self.recording.written)
        answer = given.recorded.answer if given is not None else None
        if given is None or not isinstance(answer, ToolReturned) or answer.is_broken_off:
            raise Frontier(self._why(call))
        seq = self.recording.writer.append(call)
        self._apply(given.recorded.deltas, by="tool", cause=seq)
        return self._give(
            call, Outcome(answer.ok, answer.value, answer.error), assumed=given.assumed, seq=seq
        )

    def _begin(self, call: ToolCalled) -> Answer:
        """Begins a call that others may overlap; it takes as long as it took in the parent."""
        arrivals = self.recording.arrivals
        seconds = 0.0
        if self._result is not UNSET:
            outcome, self._result = Outcome(True, self._result), UNSET
            self._pool.take_changed(call)
            seq = self.recording.writer.append(call)
        elif call.name in self._live:
            seq, outcome = self.recording.perform(call)
        else:
            self.recording.sync(by="agent")
            given = self._pool.find(call, self.recording.written)
            answer = given.recorded.answer if given is not None else None
            if given is None or not isinstance(answer, ToolReturned) or answer.is_broken_off:
                raise Frontier(self._why(call))
            seconds = max(0, answer.t - given.recorded.call.t) / 1e9
            outcome = Outcome(answer.ok, answer.value, answer.error)
            seq = self.recording.writer.append(call)
            self._apply(given.recorded.deltas, by="tool", cause=seq)
            if given.assumed:
                self._assumed_calls.add(seq)
        arrivals.end_at(arrivals.clock() + seconds, Finished(call.call, seq, call, outcome))
        return Answer(True)

    def _go_on(self, recorded: RecordedCall) -> None:
        """A call that the parent had begun before the position, and whose answer came after it."""
        call, answer = recorded.call, recorded.answer
        assert isinstance(call, ToolCalled)
        assert isinstance(answer, ToolReturned)
        self._apply(recorded.deltas, by="tool", cause=call.seq)
        arrivals = self.recording.arrivals
        outcome = Outcome(answer.ok, answer.value, answer.error)
        seconds = max(0, answer.t - call.t) / 1e9
        arrivals.end_at(arrivals.clock() + seconds, Finished(call.call, call.seq, call, outcome))

    def _arrived(self, data: dict[str, Any]) -> Pending:
        if data.get("block") and not data.get("timers") and not self.recording.arrivals.under_way:
            raise Frontier("the fork waits for what never came in the parent")
        return self.recording.arrived(data, end=self._end)

    def _end(self, ended: Finished) -> None:
        assumed = ended.seq in self._assumed_calls
        self.assumed += assumed
        self.recording.finish_call(ended.call, ended.seq, ended.outcome, assumed=assumed)

    def _give(self, call: ToolCalled, outcome: Outcome, *, assumed: bool, seq: int = -1) -> Answer:
        if seq < 0:
            seq = self.recording.writer.append(call)
        self.assumed += assumed
        self.recording.finish_call(call, seq, outcome, assumed=assumed)
        return Answer(outcome.ok, outcome.value if outcome.ok else outcome.error)

    def _process(self, data: dict[str, Any], t: int) -> Answer:
        stdin = data.pop("stdin", None)
        data.pop("redirects", None)
        opaque = data.pop("opaque", False)
        if stdin is not None:
            data["stdin"] = self.recording.writer.blobs.put(bytes(stdin))
        call = _call(ProcessStarted, data, t)
        self.recording.sync(by="agent")
        if self._result is not UNSET:
            return self._changed_process(call)
        if opaque:
            raise Frontier(f"process {call.argv[0]!r}: {why_opaque(call.via)}")
        given = self._pool.find(call, self.recording.written)
        if given is None or (call.via != POPEN and given.recorded.answer is None):
            raise Frontier(self._why(call))
        seq = self.recording.writer.append(call)
        answer = given.recorded.answer
        self.assumed += given.assumed
        if call.via == POPEN:
            return self._child(call, seq, given.recorded)
        assert isinstance(answer, ProcessFinished)
        self._act(given.recorded, seq)
        value = {"code": answer.code, "stdout": answer.stdout, "stderr": answer.stderr, "error": answer.error}
        self.recording.writer.append(msgspec.structs.replace(answer, seq=-1, t=-1, cause=seq))
        return Answer(True, value)

    def _child(self, call: ProcessStarted, seq: int, recorded: RecordedCall) -> Answer:
        """A child that is talked to: the worker tells of its pieces as they are handed out.

        What else it did is done at once; of one that is fed, when it ends and its input is known.
        """
        assert isinstance(recorded.call, ProcessStarted)
        self.recording.exchanges.note_child(call, seq)
        self._told[call.child] = call
        if "stdin" in call.pipes:
            self._undone[call.child] = recorded
        else:
            self._act(recorded, seq)
        return Answer(True, self._children.answer(recorded.call, recorded.call.seq))

    def _own_piece(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """What of a piece of a pipe is not in the log of the parent before the position."""
        fields = dict(data)
        offset, content = fields.pop("offset", 0), fields.pop("content", b"")
        had = self._had.get((fields.get("child"), fields.get("stream")))
        if had is None:
            return {**fields, "content": content} if content else fields
        size, ended = had
        rest = content[max(0, size - offset) :]
        if rest:
            return {**fields, "content": rest}
        return None if ended or content else fields

    def _act(self, recorded: RecordedCall, cause: int) -> None:
        """What a process wrote to the program's own streams, and did to files."""
        for output in recorded.outputs:
            self.recording.output.add(output.stream, output.text)
            self.recording.writer.append(msgspec.structs.replace(output, seq=-1, t=-1))
        self._apply(recorded.deltas, by="process", cause=cause)

    def _ended(self, data: dict[str, Any]) -> None:
        """A child that was fed has ended: it did to files what it did."""
        child = data.get("child")
        cause = self.recording.exchanges.start_of(child)
        recorded = self._undone.pop(child, None)
        if cause is not None and recorded is not None:
            self._act(recorded, cause)

    def _unanswered(self, data: dict[str, Any]) -> Answer:
        """A child would say what was recorded, and the fork did not do what the parent did before."""
        child = data.get("child")
        call = self._told.get(child) or self._children.started(child)
        name = describe(call) if call is not None else f"child {child}"
        why = f"{name} has no recorded answer that still holds: {data.get('why')}"
        if not self._assume or not data.get("recorded"):
            raise Frontier(why)
        self.assumed += 1
        self._pool.doubt(f"{name}: {data.get('why')}")
        return Answer(True)

    def _changed_process(self, call: ProcessStarted) -> Answer:
        """The user's result of a process: its code, and what it wrote."""
        value, self._result = self._result, UNSET
        self._pool.take_changed(call)
        seq = self.recording.writer.append(call)
        if call.via == POPEN:
            return self._changed_child(call, seq, value)
        self.recording.writer.append(ProcessFinished(cause=seq, **value))
        return Answer(True, {**value, "error": None})

    def _changed_child(self, call: ProcessStarted, seq: int, value: dict[str, Any]) -> Answer:
        self.recording.exchanges.note_child(call, seq)
        need = [0, False]
        answer: dict[str, Any] = {"code": value["code"], "need": need, "input": None}
        for name in call.pipes:
            if name == "stdin":
                continue
            content = from_envelope(value.get(name) or b"")
            content = content if isinstance(content, bytes) else str(content).encode()
            answer[name] = [[need, piece] for piece in ((content, b"") if content else (b"",))]
        return Answer(True, answer)

    def _apply(self, deltas: tuple[Any, ...], *, by: str, cause: int) -> None:
        for record in deltas:
            self._copy.apply(record)
            self._answered_writes.add(record.path)
        self.recording.sync(by=by, cause=cause)

    def _why(self, call: ToolCalled | ProcessStarted) -> str:
        reason = self._pool.why or "the parent's log ends before it"
        return f"{describe(call)} has no recorded answer that still holds: {reason}"


def _call(kind: Any, data: dict[str, Any], t: int) -> Any:
    try:
        return msgspec.convert({**data, "type": kind.__struct_config__.tag, "t": t}, kind)
    except msgspec.ValidationError as error:
        raise SandboxError(f"the worker sent a call that is not one: {error}") from error
