"""The recording boundary: what a worker says becomes the log, and what it asks is done for it.

Guarantee: the intent of an act and everything before it is in the file before the act is allowed, its
result after. Everything the worker sends is validated here; nothing of it is used as a path, a number or
a table unchecked. What an opaque act did to the workspace is in the log before its result is delivered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec

from coda.errors import SandboxError
from coda.log import (
    CtxDeleted,
    CtxMutated,
    CtxSet,
    Elided,
    Event,
    FileDeleted,
    FileFailed,
    FileListed,
    FileMade,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    Import,
    LimitHit,
    LoopWoke,
    NetConnected,
    NetOpened,
    Output,
    ProcessFinished,
    ProcessSignaled,
    ProcessStarted,
    Signal,
    Table,
    ThreadFinished,
    ThreadStarted,
    ToolCalled,
    ToolReturned,
    TraceWriter,
    from_envelope,
    render,
)  # fmt: skip
from coda.runtime.acts import Acts, why_opaque
from coda.runtime.apart import Apart, Begun, PendingCall
from coda.runtime.arrivals import Arrivals, Finished, Pending
from coda.runtime.captured import Captured
from coda.runtime.distrust import own_fields, record_of
from coda.runtime.entries import Known, encode_values
from coda.runtime.exchanges import Exchanges
from coda.runtime.filing import event_of_access, event_of_change
from coda.runtime.limits import Limits
from coda.runtime.manifest import Change, Changed, Manifest
from coda.runtime.places import FileAccess
from coda.runtime.protocol import Answer, Observe, Request, Stream
from coda.runtime.tools import Outcome, error_data
from coda.runtime.workspace import Workspace

STDOUT, STDERR = -1, -2
_SOON_SECONDS = 0.005
_GIVE_UP_SECONDS = 1.0  # for a call that was asked to end
Echo = Callable[[str, bytes], None]
ToolRunner = Callable[[str, list[Any], dict[str, Any], "Recording"], Outcome]
BesideRunner = Callable[[str, list[Any], dict[str, Any]], Outcome]

_PLAIN: dict[str, type[Event]] = {
    "file.listed": FileListed,
    "file.failed": FileFailed,
    "thread.started": ThreadStarted,
    "net.opened": NetOpened,
    "thread.finished": ThreadFinished,
    "limit.hit": LimitHit,
    "signal": Signal,
    "ctx.set": CtxSet,
    "ctx.deleted": CtxDeleted,
    "ctx.mutated": CtxMutated,
}
_ACTS: dict[str, type[Event]] = {"net.connected": NetConnected, "process.signaled": ProcessSignaled}
_FILE_ACTS: dict[str, type[Event]] = {
    "file.opened": FileOpened,
    "file.deleted": FileDeleted,
    "file.renamed": FileRenamed,
    "file.made": FileMade,
}
_table_decoder = msgspec.json.Decoder(Table)
_list_encoder = msgspec.json.Encoder()


class Recording:
    """Writes one run.

    Args:
        writer: where to.
        workspace: the files that agent code works on.
        run_tool: performs a call of a tool or primitive.
        run_beside: performs one on a thread beside others, and gives what it did to files with the outcome.
        effects: effect of each tool by name (`pure`, `read`, `act`).
        apart: where calls are made that may hang; None: all are made by whoever answers the worker.
        may_hang: the names of the tools whose calls are made there.
        line_limit: line events of a block after which the rest are elided.
        echo: shows output as it comes (stream, bytes); None shows nothing.
        encoding: of the streams.
        limits: what is kept of output, and how much of it the log holds.
        on_flood: told why, when more was written than the log is to hold.
    """

    def __init__(
        self,
        writer: TraceWriter,
        workspace: Workspace,
        *,
        run_tool: ToolRunner,
        run_beside: BesideRunner | None = None,
        effects: Mapping[str, str],
        apart: Apart | None = None,
        may_hang: Container[str] = (),
        line_limit: int,
        echo: Echo | None = None,
        encoding: str = "utf-8",
        limits: Limits | None = None,
        on_flood: Callable[[str], None] | None = None,
    ) -> None:
        self.writer = writer
        self.workspace = workspace
        self.manifest: Manifest = workspace.scan()
        self.block: int | None = None
        self.output = Captured(limits or Limits(), self._mark_output, on_flood)
        self.ctx_changes: list[tuple[str, str, Any, str | None]] = []
        self.acts = Acts()
        self.lines_in_block = 0
        self.written: dict[str, str | None] = {}
        """Digest of each file that was written so far; None for one that was deleted."""
        self.arrivals = Arrivals()
        self._run_tool = run_tool
        self._run_beside = run_beside
        self._effects = effects
        self._apart = apart
        self._may_hang = may_hang
        self._call: Begun | None = None
        self._outputs: dict[int, list[FileAccess]] = {}
        self._line_limit = line_limit
        self._echo = echo
        self._encoding = encoding
        self._known = Known()
        self._carry: list[Any] = []
        self._opened: dict[str, int] = {}
        self._explained: set[str] = set()
        self._reads: dict[str, str | None] = {}
        self._said: set[str] = set()
        self._process: int | None = None
        self.exchanges = Exchanges(writer)
        self._told = False
        """The tool at work tells of its own writes (a primitive): no need to look at the workspace."""

    @property
    def next_id(self) -> int:
        """The number that the next table begins with."""
        return self._known.stop

    # --- blocks --------------------------------------------------------------------------------

    def begin_block(self, block: int) -> None:
        """A block is about to run."""
        self.block = block
        self.output.begin_block(block)
        self.ctx_changes = []
        self.acts = Acts()
        self.lines_in_block = 0

    def end_block(self) -> None:
        """A block ended: what it wrote is in the log now."""
        self.sync(by="agent")

    def new_worker(self) -> None:
        """Another worker speaks from now on: what the last one had half said is forgotten."""
        self._carry = []
        self._reads.clear()
        self._process = None
        self._give_up()
        self.arrivals.close()
        self.arrivals = Arrivals()

    def add_table(self, encoded: bytes) -> Table | None:
        """Checks a statement table of the worker and takes note of its bindings."""
        if not encoded:
            return None
        try:
            table = _table_decoder.decode(encoded)
        except (msgspec.MsgspecError, TypeError, RecursionError) as error:
            raise SandboxError(f"the worker sent a statement table that is not one: {error}") from error
        if table.base != self.next_id:
            raise SandboxError(
                f"the worker numbered its statements from {table.base}, not from {self.next_id}"
            )
        self._known.add(table)
        return table

    def go_on(self, tables: Iterable[Table], *, block: int | None, lines: int) -> None:
        """Continues a run whose first part is elsewhere: tables, open block, statements so far."""
        for table in tables:
            self._known.add(table)
        self.output.begin_block(block or 0)
        self.block = block
        self.lines_in_block = lines

    def opened_before(self, opened: Mapping[str, Changed]) -> None:
        """Takes over files that were changed earlier: the next look tells what became of them."""
        for path, changed in opened.items():
            self._opened[path] = changed.seq
            self.manifest.set_before(path, changed.before)

    # --- the stream ----------------------------------------------------------------------------

    def stream(self, message: Stream) -> None:
        """Writes statements, values and coded observations."""
        vals = self._carry + message.vals
        entries = self._known.unpack(message, len(vals))
        ids, bound = entries.ids, entries.bound
        self._carry = vals[entries.takers :]
        vals = vals[: entries.takers]
        if entries.written:
            self._take_output(ids, vals)
        if not ids:
            return
        lines = len(ids) - entries.takers
        if self.lines_in_block + lines > self._line_limit:
            self._elide(ids, vals, message.t, plain=not entries.takers)
        else:
            n = len(ids) - bound
            self.writer.append_lines(
                _list_encoder.encode(ids), encode_values(vals), n, block=self.block, t=message.t
            )
        self.lines_in_block += lines

    def _take_output(self, ids: list[int], vals: list[Any]) -> None:
        bindings = self._known.bindings
        place = 0
        for ident in ids:
            if ident < 0:
                if ident >= STDERR:
                    self._show("stdout" if ident == STDOUT else "stderr", vals[place])
                place += 1
            elif ident in bindings:
                place += 1

    def _show(self, stream: str, written: Any) -> None:
        """Shows what was written: text, or bytes that are no text in the stream's encoding, as they are."""
        if isinstance(written, str):
            text, data = written, written.encode(self._encoding, "backslashreplace")
        else:
            value = from_envelope(written)
            data = value if isinstance(value, bytes) else b""
            text = data.decode(self._encoding, "backslashreplace")
        self.output.add(stream, text)
        if self._echo is not None:
            self._echo(stream, data)

    def _elide(self, ids: list[int], vals: list[Any], t: int, *, plain: bool) -> None:
        """Past the limit statements are counted, while values and observations stay.

        Args:
            ids: entries of the stream.
            vals: their values.
            t: when they arrived.
            plain: they are statements alone.
        """
        room = max(0, self._line_limit - self.lines_in_block)
        if not room and not plain:
            # Frames cannot be followed among statements that are not listed.
            ids, vals = self._known.without_marks(ids, vals)
            plain = not vals
        if plain and not room:
            kept, counts = list[int](), Counter(ids)
        else:
            kept, vals, counts = self._known.split(ids, vals, room)
        self._mark("lines", f"more than {self._line_limit} statements in block {self.block}", None)
        n = sum(1 for ident in kept if ident not in self._known.bindings)
        if kept:
            self.writer.append_lines(
                _list_encoder.encode(kept), encode_values(vals), n, block=self.block, t=t
            )
        if total := sum(counts.values()):
            self.writer.append(Elided(n=total, counts=tuple(counts.most_common()), block=self.block, t=t))

    def raw_output(self, stream: str, data: bytes) -> None:
        """Writes what came over descriptor 1 or 2 itself: its place among the lines is not known."""
        if self._echo is not None:
            self._echo(stream, data)
        text = data.decode(self._encoding, "backslashreplace")
        self.output.add(stream, text)
        self.writer.append(Output(stream=stream, text=text))

    # --- observations --------------------------------------------------------------------------

    def observe(self, message: Observe) -> None:
        """Writes an observation that has fields."""
        data = own_fields(message.data)
        if message.kind == "file.read":
            self._read(data, message.t)
        elif message.kind == "import":
            self._import(data, message.t)
        elif message.kind in ("process.io", "net.received"):
            self.writer.append(self.exchanges.piece(message.kind, data, message.t))
        else:
            kind = _PLAIN.get(message.kind)
            if kind is None:
                raise SandboxError(f"the worker told of {message.kind!r}, which nobody knows")
            if kind is Signal:
                data["step"] = self.lines_in_block
            elif kind is FileFailed:
                data["cause"] = data.pop("act", None)
            record = record_of(kind, data, message.t)
            if message.kind.startswith("ctx."):
                op = message.kind.removeprefix("ctx.")
                self.ctx_changes.append((op, data["name"], data.get("value"), data.get("expr")))
            self.writer.append(record)

    def _read(self, data: dict[str, Any], t: int) -> None:
        content = data.pop("content", None)
        path = str(data.get("path"))
        if content is not None:
            data["digest"] = self._put(content)
            self._reads[path] = data["digest"]
            if _is_inside(path):
                self.workspace.remember(path, data["digest"])
        elif data.pop("same", False):
            data["digest"] = self._reads.get(path)
        special = data.pop("special", False)
        cause = self.writer.append(record_of(FileRead, data, t))
        if special and path not in self._said:
            self._said.add(path)
            detail = f"the content of {path} is not kept; a replay cannot answer it"
            self.writer.append(LimitHit(what="unkept-read", detail=detail, cause=cause))

    def _put(self, content: Any) -> str:
        """Stores a content that the worker sent."""
        if type(content) is not bytes:
            raise SandboxError(f"the worker sent a content that is no bytes but {type(content).__name__}")
        return self.writer.blobs.put(content)

    def _import(self, data: dict[str, Any], t: int) -> None:
        content = data.pop("content", None)
        table = self.add_table(data.pop("table", b""))
        digest = self._put(content) if content is not None else None
        record = record_of(Import, {**data, "digest": digest}, t)
        self.writer.append(msgspec.structs.replace(record, table=table))

    # --- requests ------------------------------------------------------------------------------

    def request(self, message: Request) -> Answer | Pending | PendingCall:
        """Writes an act's intent, does what there is to do in the host, and answers."""
        kind, data = message.kind, own_fields(message.data)
        if kind == "tool.called":
            call = record_of(ToolCalled, data, message.t)
            assert isinstance(call, ToolCalled)
            return self.begin_call(call) if call.call else self.call_tool(call)
        if kind == "loop.woke":
            return self.arrived(data)
        if kind in _FILE_ACTS:
            return self._file_act(kind, data, message.t)
        if kind == "process.started":
            return self._start_process(data, message.t)
        if kind == "process.finished":
            return self._finish_process(data, message.t)
        if kind == "net.sent":
            self.writer.append(self.exchanges.piece(kind, data, message.t))
            return Answer(True)
        if kind in _ACTS:
            seq = self.writer.append(record_of(_ACTS[kind], data, message.t))
            if kind == "net.connected" and data.get("conn") is None:
                self._mark("network", f"connection to {data.get('address')}: a replay cannot answer it", seq)
            return Answer(True)
        raise SandboxError(f"the worker asked for {kind!r}, which nobody knows")

    def call_tool(self, call: ToolCalled) -> Answer | PendingCall:
        """Performs a call, or begins it where it may hang: intent, act, what it did to files, result."""
        if self._apart is None or call.name not in self._may_hang:
            return self._give(call, *self.perform(call))
        seq = self._announce(call)
        run = partial(self._run_tool, call.name, list(call.args), dict(call.kwargs), self)
        begun = self._call = Begun(call, seq, self._apart.begin(run))
        pending = PendingCall(begun.pending, partial(self._end_apart, begun), partial(self._leave, begun))
        return pending.take(_SOON_SECONDS) or pending

    def perform(self, call: ToolCalled) -> tuple[int, Outcome]:
        """Performs a call: intent, act, what it did to files; gives the call's seq and what came of it."""
        seq = self._announce(call)
        outcome = self._run_tool(call.name, list(call.args), dict(call.kwargs), self)
        self._look_after(call, seq)
        return seq, outcome

    def _announce(self, call: ToolCalled) -> int:
        """Writes the intent of a call; gives its seq."""
        effect = self._effects.get(call.name)
        if effect is None:
            raise SandboxError(f"the worker called {call.name!r}, which was never declared")
        if effect == "act" and self._opened:
            self.sync(by="agent")
        seq = self.writer.append(call)
        self._note_call(call, effect)
        self._told = False
        return seq

    def _look_after(self, call: ToolCalled, seq: int) -> None:
        """Writes what a call did to files, unless it told that itself."""
        if self._effects[call.name] == "act" and not self._told:
            self.sync(by="tool", cause=seq)

    def _give(self, call: ToolCalled, seq: int, outcome: Outcome) -> Answer:
        self.finish_call(call, seq, outcome)
        return Answer(outcome.ok, outcome.value if outcome.ok else outcome.error)

    def _end_apart(self, begun: Begun, outcome: Outcome) -> Answer:
        self._call = None
        self._look_after(begun.call, begun.seq)
        return self._give(begun.call, begun.seq, outcome)

    def _leave(self, begun: Begun, reason: str) -> Answer:
        """Ends a call whose block is stopped: agent code is told so, and no more of the tool."""
        self._give_up()
        self._look_after(begun.call, begun.seq)
        return self._give(begun.call, begun.seq, Outcome(False, error=error_data(KeyboardInterrupt(reason))))

    def _give_up(self) -> None:
        """No longer waits for the call that was begun, if there is one."""
        begun, self._call = self._call, None
        if begun is not None and not begun.pending.give_up(_GIVE_UP_SECONDS):
            name = begun.call.name
            detail = f"{name}() had not ended when its block was stopped: what it still does is not recorded"
            self.writer.append(LimitHit(what="tool", detail=detail, cause=begun.seq))

    def begin_call(self, call: ToolCalled) -> Answer:
        """Writes the intent of a call that others may overlap, and starts it."""
        seq = self._announce(call)
        run = self._run_beside
        assert run is not None
        self.arrivals.begin(call.call, seq, call, lambda: run(call.name, list(call.args), dict(call.kwargs)))
        return Answer(True)

    def arrived(self, data: dict[str, Any], *, end: Callable[[Finished], None] | None = None) -> Pending:
        """The worker asks what has arrived: it stands still, so that nobody else touches files now.

        Args:
            data: what it said.
            end: writes the end of a call; None: what it did to files, and its result.
        """
        turns = data.get("turns")
        if type(turns) is not int:
            raise SandboxError("the worker asked for arrivals without counting its turns")

        def deliver(ended: list[Finished], timers: list[int], waited_ns: int) -> None:
            for each in ended:
                (end or self._end_call)(each)
            calls = tuple(each.number for each in ended)
            self.writer.append(LoopWoke(calls=calls, timers=tuple(timers), turns=turns, waited_ns=waited_ns))

        try:
            return Pending(self.arrivals, data, deliver)
        except (TypeError, ValueError) as error:
            raise SandboxError(f"the worker told of timers that are none: {error}") from error

    def _end_call(self, ended: Finished) -> None:
        self._told = False
        for access in ended.outcome.files:
            self.note_file(access, ended.seq)
        self._look_after(ended.call, ended.seq)
        self.finish_call(ended.call, ended.seq, ended.outcome)

    def _note_call(self, call: ToolCalled, effect: str) -> None:
        if effect == "act":
            given = render(call.args[0], width=60) if call.args else "..." if call.kwargs else ""
            self.acts.add(f"{call.name}({given})")

    def finish_call(self, call: ToolCalled, seq: int, outcome: Outcome, *, assumed: bool = False) -> None:
        """Writes a call's result."""
        outputs = self._outputs_of(seq)
        self.writer.append(
            ToolReturned(
                name=call.name,
                ok=outcome.ok,
                value=outcome.value,
                error=outcome.error,
                cause=seq,
                file=call.file,
                line=call.line,
                function=call.function,
                assumed=assumed,
                stdout=outputs.get("stdout"),
                stderr=outputs.get("stderr"),
            )
        )

    def _outputs_of(self, seq: int) -> dict[str, str | None]:
        """Blobs of a command's streams that were too long for its result."""
        told = self._outputs.pop(seq, [])
        for access in told:
            if access.kept < access.size:
                detail = f"of {access.size} bytes on {access.path} the first {access.kept} are kept"
                self.writer.append(LimitHit(what="unkept-output", detail=detail, cause=seq))
        return {access.path: access.digest for access in told}

    def _file_act(self, kind: str, data: dict[str, Any], t: int) -> Answer:
        path = str(data.get("resolved") or data.get("path"))  # what is changed, not the link to it
        changed = str(data.get("to")) if kind == "file.renamed" else path
        data |= {"before": None, "error": None}  # the host's to say
        if kind != "file.made" and _is_inside(changed):
            data["before"] = self.workspace.keep_before(changed, self.manifest)
        seq = self.writer.append(record_of(_FILE_ACTS[kind], data, t))
        self.acts.add(f"{kind.removeprefix('file.')} {path}")
        self._reads.pop(path, None)
        self._opened[path] = seq
        if kind != "file.opened":
            self._explained.add(path)
        if kind == "file.renamed":
            self._opened[str(data.get("to"))] = seq
        return Answer(True, seq)

    def _start_process(self, data: dict[str, Any], t: int) -> Answer:
        if self._opened:
            self.sync(by="agent")
        stdin = data.pop("stdin", None)
        data.pop("redirects", None)
        opaque = data.pop("opaque", False)
        if stdin is not None:
            data["stdin"] = self._put(stdin)
        record = record_of(ProcessStarted, data, t)
        self._process = self.writer.append(record)
        self.acts.add(f"started {' '.join(data.get('argv') or ())[:60]}")
        self.exchanges.note_child(record, self._process)
        if opaque:
            self._mark("process", why_opaque(str(data.get("via"))), self._process)
        return Answer(True, None)

    def _finish_process(self, data: dict[str, Any], t: int) -> Answer:
        child = self.exchanges.start_of(data.get("child"))
        cause = self._process if child is None else child
        self.sync(by="process", cause=cause)
        self.writer.append(record_of(ProcessFinished, {**data, "cause": cause}, t))
        return Answer(True)

    def _mark_output(self, what: str, detail: str) -> None:
        self.writer.append(LimitHit(what=what, detail=detail))

    def _mark(self, what: str, detail: str, cause: int | None) -> None:
        if what not in self._said:
            self._said.add(what)
            self.writer.append(LimitHit(what=what, detail=detail, cause=cause))

    # --- files ---------------------------------------------------------------------------------

    def sync(self, *, by: str, cause: int | None = None) -> None:
        """Writes what changed in the workspace since the last look."""
        delta = self.workspace.delta(self.manifest)
        self.manifest = delta.after
        opened, self._opened = self._opened, {}
        explained, self._explained = self._explained, set()
        if delta.after.truncated:
            self._mark("workspace-size", "the workspace has more files than are watched", None)
        for change in delta.changes:
            own = opened.get(change.path)
            if change.path in explained and change.op != "wrote":
                continue
            who = ("agent" if own is not None else "unseen") if by == "agent" else by
            self._write_change(change, by=who, cause=own if own is not None else cause)

    def _write_change(self, change: Change, *, by: str, cause: int | None) -> None:
        if change.digest is not None:
            self._reads[change.path] = change.digest
        if change.op in ("wrote", "deleted"):
            self.written[change.path] = change.digest
        self.writer.append(event_of_change(change, by=by, cause=cause))

    def note_file(self, access: FileAccess, cause: int) -> None:
        """Writes an access of a primitive, which the next look must not tell again."""
        if access.op == "output":
            self._outputs.setdefault(cause, []).append(access)
            return
        if access.op in ("made", "wrote"):
            self.workspace.refresh(self.manifest, access.path)
        record = event_of_access(access, self.writer.blobs, cause=cause)
        if isinstance(record, FileWrote):
            self._told = True
            self.written[access.path] = record.digest
            if record.digest is not None:
                self._reads[access.path] = record.digest
                self.workspace.remember(access.path, record.digest)
        self.writer.append(record)


def _is_inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/") and path != "."
