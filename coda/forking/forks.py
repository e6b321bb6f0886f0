"""Forks: replay to a position, change something, run on, and say where the futures part.

Guarantee: the parent is only read; the fork is a trace of its own that names its parent. Nothing outside of a
private copy changes, no tool, process or model runs for real, and no agent code runs after the frontier,
not even a `finally`: the worker is ended where it stands.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from coda.errors import ForkError, MissingEffect, UsageError
from coda.forking.changed import UNSET, Changed, changed_answer
from coda.forking.diff import diff
from coda.forking.difference import Diff
from coda.forking.live import ForkBoundary, Frontier
from coda.forking.onward import (
    Conversation,
    ctx_names_before,
    emitted_blocks,
    is_conversation,
    results_of_turn,
)
from coda.forking.opened import open_files
from coda.forking.pool import Pool, answered
from coda.forking.watching import Ended, Watching
from coda.log import (
    BlockFinished,
    BlockStarted,
    Event,
    ExceptionRaised,
    ForkApplied,
    Header,
    LimitHit,
    LlmRequested,
    LlmResponded,
    Parent,
    Position,
    ProcessStarted,
    RunFinished,
    Table,
    Trace,
    TraceWriter,
    find_key,
    new_run_id,
    open_trace,
    run_directory,
    to_envelope,
)  # fmt: skip
from coda.replay import (
    CUT_SHORT,
    Exchanges,
    Session,
    counted,
    ends_nowhere,
    ends_there,
    replay,
    show_listed,
    whole_run,
)
from coda.runtime import (
    Done,
    FileAccess,
    Limits,
    Outcome,
    Prepare,
    Primitives,
    Recording,
    Run,
    Stopped,
    Tool,
    Workspace,
    invoke,
    out_of_memory,
    program_end,
)

_CUT = "the parent's log ends here"
LIVE_PRIMITIVES = frozenset(("ls", "glob", "grep", "read", "write", "edit"))


class ForkResult(NamedTuple):
    """A fork that was made."""

    path: Path
    position: str
    outcome: str
    """As in `run.finished`: `ok`, `error`, `frontier`, `cut short` (where the parent's log was) ..."""
    frontier: str | None
    """Why it could not go on, when it stopped at its frontier."""
    assumed: int
    """Recorded answers that were used though they may not hold."""
    changes: tuple[dict[str, Any], ...]
    diff: Diff
    ended: str | None = None
    """Why it was ended from outside: its time was over, or it was cancelled."""


def fork(
    trace: Trace | str | os.PathLike[str],
    position: str | int | Position,
    *,
    sets: Sequence[tuple[str, str]] = (),
    result: Any = UNSET,
    new: bool = False,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    assume_recorded: bool = False,
    trust: bool = False,
    best_effort: bool = False,
    command: str = "",
    runs: str | os.PathLike[str] | None = None,
    timeout_s: float | None = None,
    cancelled: Callable[[], bool] = bool,
    on_progress: Callable[[float, int], None] | None = None,
) -> ForkResult:
    """Goes back to a position, changes what is asked, and runs on to the end of the recorded blocks.

    Args:
        trace: the parent, or its path.
        position: `N`, `N+K` or `B:S`.
        sets: (name, Python expression): evaluated in the innermost frame, then bound where the name is bound.
        result: answer of the call or the observation at the position, in place of the recorded one.
        new: allow names that are not bound there.
        out: path of the fork's trace; None: in the run directory.
        force: replace an existing trace.
        assume_recorded: use recorded answers also after calls have changed; each is marked.
        trust: execute even where the kernel does not keep the worker in.
        best_effort: also fork what was only observed.
        command: how the fork was asked for; kept in the trace.
        runs: the run directory; None: that of the current folder.
        timeout_s: how long what runs live may take; then it is ended. None: as long as it takes.
        cancelled: asked again and again while it runs live; True ends it. From another thread.
        on_progress: told of the seconds that it has run live, and of its events. From another thread.

    Raises:
        UsageError: no such position, or what is there has no answer, or cannot have that one.
        ForkError: a change cannot be applied. Nothing was written.
        Diverged, MissingEffect: the replay does not reach the position.
    """
    opened = trace if isinstance(trace, Trace) else open_trace(trace)
    where = position if isinstance(position, Position) else opened.position(str(position))
    answer = Changed(where) if result is UNSET else changed_answer(opened, where, result)
    where = answer.position
    with Session(opened, trust=trust, best_effort=best_effort) as session:
        where = counted(opened, where, trust=trust, best_effort=best_effort)
        session.run_to(where, onward=not sets and result is UNSET)
        changes = _apply(session, sets, result, new=new)
        watch = partial(
            Watching, session.engine, timeout_s=timeout_s, cancelled=cancelled, on_progress=on_progress
        )
        run = _Fork(session, where, changes, out=out, runs=runs, force=force, command=command, watch=watch)
        try:
            outcome, frontier = run.go(answer, assume_recorded)
        finally:
            run.writer.close()
    made = open_trace(run.writer.path)
    return ForkResult(
        path=run.writer.path,
        position=where.text,
        outcome=outcome,
        frontier=frontier,
        assumed=run.assumed,
        changes=changes,
        diff=diff(opened, made),
        ended=run.watching.reason,
    )


def _apply(
    session: Session, sets: Sequence[tuple[str, str]], result: Any, *, new: bool
) -> tuple[dict[str, Any], ...]:
    changes: list[dict[str, Any]] = []
    if sets:
        for done in session.assign(list(sets), new=new):
            before = done["before"]["repr"] if done["before"] is not None else None
            changes.append(
                {
                    "kind": "set",
                    "name": done["name"],
                    "expr": done["expr"],
                    "before": before,
                    "after": done["after"]["repr"],
                }
            )
    if result is not UNSET:
        changes.append({"kind": "result", "after": to_envelope(result)})
    return tuple(changes)


def _first_own(session: Session) -> int:
    """Number of the fork's first event: where the worker stands.

    When a block's code has ended, what the host notes of it (files written, the block's end) is the parent's
    as well: a fork that left in between would have a block without an end. The run's end is each run's own.
    """
    if session.stopped is None and session.tail and isinstance(session.tail[-1], BlockFinished):
        return session.tail[-1].seq + 1
    finished = session.trace.finished
    return session.at_seq if finished is None else min(session.at_seq, finished.seq)


class _Fork:
    """One fork being made."""

    def __init__(
        self,
        session: Session,
        position: Position,
        changes: tuple[dict[str, Any], ...],
        *,
        out: str | os.PathLike[str] | None,
        runs: str | os.PathLike[str] | None,
        force: bool,
        command: str,
        watch: Callable[[Callable[[], int]], Watching],
    ) -> None:
        self.session = session
        self.parent = session.trace
        self.changes = changes
        self.assumed = 0
        self.first_seq = _first_own(session)
        self.writer = self._open(position, out, runs, force)
        self.writer.append(
            ForkApplied(parent=self.parent.run, position=position.text, changes=changes, command=command)
        )
        self.watching = watch(lambda: self.writer.next_seq)
        self.rest = list(whole_run(self.parent, start=self.first_seq))
        self.tools = session.tools
        self.effects = {name: tool.effect for name, tool in self.tools.items()}
        self.live = frozenset(
            name
            for name, tool in self.tools.items()
            if tool.origin == "primitive" and name in LIVE_PRIMITIVES
        )

    def _open(
        self,
        position: Position,
        out: str | os.PathLike[str] | None,
        runs: str | os.PathLike[str] | None,
        force: bool,
    ) -> TraceWriter:
        run = new_run_id(datetime.datetime.now(datetime.UTC))
        if out is None:
            folder = (run_directory(Path.cwd()) if runs is None else Path(runs)) / run
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            out = folder / "trace.jsonl"
        path = Path(out)
        if path.exists() and path.samefile(self.parent.path):
            raise UsageError(f"the fork would replace its parent {path}: name another file with -o")
        steps = position.steps if self.session.started.level == "effects" else 0
        data = self.parent.path.read_bytes()
        header = Header(
            run=run,
            parent=Parent(
                run=self.parent.run,
                path=os.path.relpath(self.parent.path, path.parent),
                seq=self.first_seq,
                position=position.text,
                steps=steps,
                offset=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
            ),
        )
        since = max(0, self.parent.event(self.first_seq - 1).t) if self.first_seq else 0
        return TraceWriter(
            path,
            header,
            first_seq=self.first_seq,
            force=force,
            clock=_clock_from(since),
            key=find_key(make=True).key,
        )

    # --- running on ----------------------------------------------------------------------------

    def go(self, answer: Changed, assume: bool) -> tuple[str, str | None]:
        """Runs on; gives the outcome and the frontier."""
        if not self.changes:
            return self._confirm()
        self._arrange(answer, assume)
        try:
            with self.watching:
                outcome, text, code = self._run_on(answer.given)
        except Frontier as frontier:
            return self._end_here("frontier", str(frontier)), str(frontier)
        except Ended as ended:
            return self._end_here("interrupted", str(ended)), None
        except KeyboardInterrupt:
            self._end_here("interrupted", "Ctrl-C")
            raise
        except (EOFError, OSError):
            if self.watching.reason is None:
                raise
            return self._end_here("interrupted", self.watching.reason), None
        self.assumed += self.boundary.assumed
        self.writer.append(RunFinished(outcome=outcome, text=text, code=code))
        return outcome, None

    def _end_here(self, outcome: str, text: str) -> str:
        """Ends the worker where it stands; gives the outcome."""
        self.session.engine.kill()
        self.assumed += self.boundary.assumed
        self.writer.append(RunFinished(outcome=outcome, text=text))
        return outcome

    def _confirm(self) -> tuple[str, str | None]:
        """Nothing was changed: every recorded answer still holds, so the rest is replayed and compared."""
        session = self.session
        if session.stopped is not None and session.block is not None and ends_nowhere(session.block):
            verdict = replay(self.parent, trust=session.trust, best_effort=session.best_effort)
            if verdict.diverged is not None:
                raise verdict.diverged
        else:
            self._replay_rest()
        for record in self.rest:
            cause = getattr(record, "cause", None)
            # The fork's own first event moved every later number by one.
            shifted = {"cause": cause + 1} if cause is not None and cause >= self.first_seq else {}
            self.writer.append(msgspec.structs.replace(record, **shifted))
        ended = self.parent.finished
        if ended is None:
            self.writer.append(RunFinished(outcome=CUT_SHORT, text=_CUT))
        return ended.outcome if ended is not None else CUT_SHORT, None

    def _replay_rest(self) -> None:
        try:
            self.session.go_on()
        except MissingEffect as error:
            if not ends_there(self.parent, error):
                raise

    def _arrange(self, answer: Changed, assume: bool) -> None:
        session = self.session
        show_listed(session.copy, self.parent, self.first_seq)
        workspace = Workspace(session.copy.folder, blobs=self.writer.blobs)
        primitives = Primitives(session.copy.folder, env={}, on_file=self._note_file)
        self._performed: dict[str, Tool] = {
            tool.name: tool for tool in primitives.tools() if tool.name in self.live
        }
        self.recording = Recording(
            self.writer,
            workspace,
            run_tool=self._perform,
            effects=self.effects,
            line_limit=session.started.line_limit,
            encoding=session.started.encoding,
        )
        block = session.block.started if session.stopped is not None and session.block is not None else None
        self.recording.go_on(
            _tables(self.parent, self.first_seq),
            block=block.block if block is not None else None,
            lines=self._lines_before(block) if block is not None else 0,
        )
        self.recording.opened_before(open_files(self.parent, self.first_seq, self.effects))
        pool = Pool(self.rest, effects=self.effects, live=self.live, assume=assume)
        children = Exchanges(self.parent)
        had = self._note_children(children)
        begun = session.boundary.schedule.under_way.values()
        under_way = [found for call in begun if (found := answered(call, self.rest)) is not None]
        self.boundary = ForkBoundary(
            self.recording,
            session.copy,
            pool,
            children,
            live=self.live,
            assume=assume,
            had=had,
            result=answer.call,
            content=answer.content,
            under_way=under_way,
        )

    def _note_children(self, children: Exchanges) -> dict[tuple[int, str], tuple[int, bool]]:
        """Children that were started before the position may be waited for after it.

        Returns:
            By child and stream: how many bytes passed before the position, and whether that was the end.
        """
        had: dict[tuple[int, str], tuple[int, bool]] = {}
        for placed in self.parent.records(own=False, types={"process.started"}):
            if isinstance(placed.record, ProcessStarted) and placed.record.seq < self.first_seq:
                self.recording.exchanges.note_child(placed.record, placed.record.seq)
                for piece in children.pieces(placed.record.seq):
                    if piece.seq < self.first_seq:
                        size, ended = had.get((piece.child, piece.stream), (0, False))
                        had[piece.child, piece.stream] = size + piece.size, ended or not piece.size
        return had

    def _perform(self, name: str, args: list[Any], kwargs: dict[str, Any], recording: Recording) -> Outcome:
        self._call = recording.writer.next_seq - 1
        self._unknown: str | None = None
        outcome = invoke(self._performed[name], args, kwargs)
        if self._unknown is not None:
            raise Frontier(f"{name}() looks into {self._unknown}, whose content the parent never read")
        return outcome

    def _note_file(self, access: FileAccess) -> None:
        if access.op == "read" and access.path in self.boundary.unknown():
            self._unknown = access.path
        self.recording.note_file(access, self._call)

    def _lines_before(self, block: BlockStarted) -> int:
        kinds = {"line", "elided"}
        return sum(
            getattr(event, "n", 1) if event.type == "elided" else 1
            for event in self.parent.events(block.seq, self.first_seq, types=kinds)
        )

    def _run_on(self, given: tuple[int, Any] | None) -> tuple[str, str | None, int | None]:
        """The open block, then the recorded blocks that follow."""
        session = self.session
        rest = iter(self.rest)
        done: Done | None = None
        if session.stopped is not None and session.block is not None:
            number = session.block.started.block
            heard = session.engine.resume(
                self.boundary, live_at=self._wall_ns(), given=given, limits=self._limits(), block=number
            )
            done = _done(heard)
            self.watching.check()
            self._finish(session.block.started.block, done)
            for record in rest:  # the parent's own way through this block
                if isinstance(record, BlockFinished):
                    break
        else:
            session.engine.go_live(self._wall_ns())
        if done is not None and self._program_ended(done):
            return self._end_of(done)
        return self._next_blocks(rest, done)

    def _wall_ns(self) -> int:
        """The recorded wall clock at the position: a fork's clock goes on from there."""
        began = datetime.datetime.fromisoformat(self.session.started.wall)
        since = 0
        if self.first_seq > 0:
            since = max(0, self.parent.event(self.first_seq - 1).t)
        return int(began.timestamp() * 1e9) + since

    def _next_blocks(self, rest: Any, done: Done | None) -> tuple[str, str | None, int | None]:
        conversation = Conversation(self.parent, self.first_seq)
        conversation.known = ctx_names_before(self.parent.path, conversation.turn)
        cause: int | None = None
        finished: RunFinished | None = None
        for record in rest:
            if isinstance(record, BlockStarted):
                done = self._run_block(record)
                if self._program_ended(done):
                    return self._end_of(done)
            elif isinstance(record, LlmRequested):
                results = results_of_turn(self.writer.path, conversation.turn)
                emitted = emitted_blocks(self._all_started(), conversation.turn)
                cause = self.writer.append(conversation.request(record, results, max(emitted, len(results))))
            elif isinstance(record, LlmResponded):
                reply = conversation.reply(record, cause)
                self.assumed += reply.assumed
                self.writer.append(reply)
            elif is_conversation(record):
                conversation.take(record)
                self.writer.append(msgspec.structs.replace(record, seq=-1, t=-1))
            elif isinstance(record, RunFinished):
                finished = record
        if done is not None and self._ends_program(done):
            return self._end_of(done)
        if finished is None:
            return CUT_SHORT, _CUT, None
        return finished.outcome, finished.text, finished.code

    def _all_started(self) -> list[Event]:
        return [block.started for block in self.parent.blocks]

    # --- blocks --------------------------------------------------------------------------------

    def _run_block(self, recorded: BlockStarted) -> Done:
        session = self.session
        message = Prepare(
            block=recorded.block,
            source=recorded.source,
            file=recorded.file,
            first_line=recorded.first_line,
            flags=session.flags,
            top_level_await=session.started.kind != "exec",
            docstring=recorded.block == 1,
            worker=session.worker,
            base=self.recording.next_id,
        )
        prepared = session.engine.prepare(message, self.boundary)
        session.flags = prepared.flags
        table = self.recording.add_table(prepared.table)
        self.writer.append(msgspec.structs.replace(recorded, seq=-1, t=-1, table=table, note=prepared.note))
        self.recording.begin_block(recorded.block)
        if prepared.error is not None:
            done = Done(recorded.block, "error", None, prepared.error, 0, 0)
        else:
            is_program = session.started.kind == "exec"
            run = Run(
                block=recorded.block,
                program=is_program,
                last=is_program and recorded.block == session.last_block,
            )
            done = _done(session.engine.run(run, self.boundary, limits=self._limits()))
            self.watching.check()
        self._finish(recorded.block, done)
        return done

    def _finish(self, block: int, done: Done) -> None:
        self.recording.end_block()
        exhausted = out_of_memory(done, self.session.started.limits.get("memory_bytes"))
        if exhausted is not None:
            self.writer.append(LimitHit(what="memory", detail=exhausted))
            done = msgspec.structs.replace(done, broken=True)
        if done.error is not None:
            self.writer.append(
                ExceptionRaised(
                    kind=str(done.error.get("type", "Exception")),
                    message=str(done.error.get("message", "")),
                    traceback=str(done.error.get("traceback", "")),
                    mro=tuple(str(name) for name in done.error.get("mro", ())),
                )
            )
        self.writer.append(
            BlockFinished(
                block=block,
                outcome=done.outcome,
                state="lost" if done.broken else "kept",
                lines=self.recording.lines_in_block,
                code=done.code,
            )
        )
        self.recording.block = None

    def _limits(self) -> Limits:
        """The parent's: what ran for ever there might do so here."""
        found = self.session.started.limits
        return Limits(wall_s=found.get("wall_s"), cpu_s=found.get("cpu_s"))

    def _program_ended(self, done: Done) -> bool:
        return done.broken or (self.session.started.kind == "exec" and done.outcome != "ok")

    def _ends_program(self, done: Done) -> bool:
        """Whether it was a program's last block, which need not be the last that the parent's log has."""
        return self.session.started.kind == "exec" and done.block == self.session.last_block

    @staticmethod
    def _end_of(done: Done) -> tuple[str, None, int | None]:
        outcome, code = program_end(done.outcome, done.code)
        return outcome, None, code


def _clock_from(since_ns: int) -> Callable[[], int]:
    """A clock for a writer: its first answer, the origin, is 0; the next ones go on from `since_ns`."""
    begun: list[int] = []

    def clock() -> int:
        if not begun:
            begun.append(time.monotonic_ns())
            return 0
        return since_ns + time.monotonic_ns() - begun[0]

    return clock


def _done(heard: Done | Stopped) -> Done:
    if not isinstance(heard, Done):
        raise ForkError("the worker stopped where it should have gone on")
    return heard


def _tables(trace: Trace, before: int) -> list[Table]:
    return [unit.table for unit in trace.units(before)]
