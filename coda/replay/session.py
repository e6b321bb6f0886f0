"""A replaying worker, and how far it has come.

Guarantee: a session runs the recorded blocks in a fresh worker on a private copy, compares all that the
worker says with the log, and stands still exactly at the position it was asked for, with the live objects
in place. It performs nothing. Ending a session ends its worker without running agent code.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from itertools import chain
from types import TracebackType
from typing import Any

import msgspec

from coda.errors import Diverged, ForkError, MissingEffect, ReplayError, SandboxError, UsageError
from coda.log import (
    Event,
    FileRead,
    ForkApplied,
    Position,
    RunFinished,
    RunStarted,
    SandboxStarted,
    Table,
    ToolDeclared,
    Trace,
    Units,
)
from coda.replay.answering import Answering
from coda.replay.children import Exchanges
from coda.replay.compare import Matcher
from coda.replay.cuts import ending, last_block
from coda.replay.launch import OBSERVED, check_fidelity, launch
from coda.replay.private import PrivateCopy
from coda.replay.tape import (
    BlockMap,
    BlockTape,
    Stop,
    Tapes,
    actions_of,
    call_broken_off,
    count_of,
    feed_of,
    interruption_of,
    is_discarded,
    place_of,
    triggers_of,
)  # fmt: skip
from coda.runtime import Configure, Done, Engine, Prepare, Run, Stopped

LAYERS_OF_KERNEL = frozenset(
    (
        "mount", "network", "read-only", "devices", "no-new-privileges", "capabilities",
        "landlock", "system-calls",
    )
)  # fmt: skip
"""All that it takes to be called isolated by the kernel: each closes a way that the others leave open."""


class Session:
    """Replays a trace, up to a position or to its end.

    Args:
        trace: the run.
        trust: execute even where the kernel does not keep the worker in and the trace is not the user's own.
        best_effort: also replay what was only observed, and say what is missing.
        live: what the worker is to be that goes on for real afterwards; see `go_real`.

    Raises:
        UsageError: the trace was recorded by another interpreter, or cannot be executed safely here.
        SandboxError: the worker did not start.
    """

    def __init__(
        self,
        trace: Trace,
        *,
        trust: bool = False,
        best_effort: bool = False,
        live: Configure | None = None,
    ) -> None:
        self.trace = trace
        self.trust = trust
        self.best_effort = best_effort
        self._live = live
        self.worker = 0
        """How many workers the recorded run had before the one that stands here."""
        self.discarded: list[BlockTape] = []
        """Blocks that were passed over: what they did to variables was lost with their worker."""
        trace.verify_seals()
        self.started = trace.started
        _check_interpreter(trace, self.started)
        check_fidelity(trace, best_effort=best_effort)
        self.copy = PrivateCopy(trace)
        self.matcher = Matcher()
        self.units = Units(trace.units())
        self.boundary = Answering(
            self.copy,
            self.units,
            self.matcher,
            Exchanges(trace),
            compare_lines=self.started.level != "effects",
        )
        self.notes: list[str] = [OBSERVED] if self.started.fidelity == "observed" else []
        self.blocks_done = 0
        self.stopped: Stopped | None = None
        self.block: BlockTape | None = None
        self.at_seq = 0
        """The event before which the worker really stands."""
        self.tail: list[Event] = []
        """Records of a block that ended: those from the position on, which the host wrote by itself."""
        self.tools = {
            placed.record.name: placed.record
            for placed in trace.records(own=False, types={"tool.declared"})
            if isinstance(placed.record, ToolDeclared)
        }
        self._forks: list[tuple[ForkApplied, Stop | None]] = []
        self._loose: list[Event] = []
        self._count_to: int | None = None
        self._target: Stop | None = None
        self._place: Stop | None = None
        self._asked: int | None = None
        self.flags = 0
        self._watched: tuple[list[int], bool] = ([], False)
        self._all_tapes = Tapes(trace)
        self._tapes: Iterator[BlockTape | Event] = iter(self._all_tapes)
        self.last_block = last_block(trace)
        try:
            self.engine = self._start()
        except BaseException:
            self.copy.remove()
            raise

    # --- starting ------------------------------------------------------------------------------

    def _start(self) -> Engine:
        launched = launch(
            self.trace,
            self.copy,
            self.tools.values(),
            trust=self.trust,
            live=self._live,
            number=self.worker,
        )
        self.layers = launched.layers
        self.notes = list(dict.fromkeys((*self.notes, *launched.notes)))
        return launched.engine

    # --- running -------------------------------------------------------------------------------

    def steps_at(self, position: Position) -> int:
        """Replays to an event and gives how many statements its block had started before."""
        self._count_to = 1 << 62
        self.run_to(position)
        count: int = self.engine.inspect("steps") if self.stopped is not None else 0
        return count

    def run_to(self, position: Position | None, *, onward: bool = False, place: Stop | None = None) -> None:
        """Replays to a position, or to the end of the log when None.

        Args:
            position: where to stand still.
            onward: `go_on` will follow, so what comes after the position is watched too.
            place: where the position is, for one that the log does not tell (`elided_place`).

        Raises:
            Diverged: the replay did something else than the log.
            MissingEffect: the log has no answer for what it asked.
        """
        self.boundary.stop_seq = None
        self._asked = None if position is None else position.seq
        self._place = place
        self._watch(position, onward=onward or position is None)
        self._run_tapes(position)

    def _run_tapes(self, position: Position | None) -> None:
        for tape in self._tapes:
            if isinstance(tape, BlockTape):
                if position is not None and position.seq <= tape.started.seq and not position.is_counted:
                    self._put_back(tape, position.seq)
                    return
                if is_discarded(tape) and not _lies_in(position, tape):
                    self._pass_over(tape)
                    continue
                if self._run_block(tape, position):
                    return
                if position is not None and position.block == tape.started.block:
                    raise UsageError(
                        f"position {position} is beyond block {position.block}: it ended before",
                        position=position.text,
                    )
                if position is not None and position.seq <= tape.end_seq:
                    if self._target is not None:
                        raise ReplayError(
                            f"the replay of block {tape.started.block} did not come to {position}"
                        )
                    self.at_seq = position.seq
                    self.tail = [record for record in _after(tape) if record.seq >= position.seq]
                    return
                self.at_seq = tape.end_seq + 1
            elif position is not None and tape.seq >= position.seq:
                self._put_back(tape, position.seq)
                return
            elif isinstance(tape, ForkApplied):
                self.apply(tape.changes)
            elif isinstance(tape, SandboxStarted):
                self._count_worker(tape)
            elif self._is_loose(tape):
                if position is not None and position.seq < tape.seq + count_of(tape):
                    raise UsageError(
                        f"event {position.seq} is of what ran before the first block, to find the module "
                        f"{self.started.module}: a replay cannot stop there",
                        position=position.text,
                    )
                self._loose.append(tape)
        self.at_seq = self.trace.count()
        if position is None and self.started.module is not None and self.block is None:
            self._locate(self.at_seq)  # a package on the way to the module ended the program

    def _is_loose(self, record: Event) -> bool:
        """Whether the worker did it before the first block: it imports the packages of a module."""
        if self.started.module is None or self.block is not None:
            return False
        main = isinstance(record, FileRead) and record.via == "main"
        return not main and not isinstance(record, (RunStarted, SandboxStarted, ToolDeclared, RunFinished))

    def _locate(self, end_seq: int) -> None:
        self.boundary.begin_loose(self._loose, end_seq)
        self.engine.inspect("locate", boundary=self.boundary, module=self.started.module)
        self.boundary.end()

    def _put_back(self, tape: BlockTape | Event, seq: int) -> None:
        self.at_seq = seq
        self._tapes = chain([tape], self._tapes)

    def _pass_over(self, tape: BlockTape) -> None:
        """A block whose worker was lost: what it did to files stays, what it did to variables does not."""
        for item in tape.items:
            self.copy.perform(item)
        self.discarded.append(tape)
        self.blocks_done += 1
        self.at_seq = tape.end_seq + 1
        self.worker += 1
        if tape.finished is not None and tape.finished.state == "lost":
            self._start_anew()

    def _count_worker(self, started: SandboxStarted) -> None:
        """A worker was started: the first, one that was expected, or one for a worker that died by itself."""
        if started.worker > self.worker:
            self.worker = started.worker
            if started.state == "new":
                self._start_anew()

    def _start_anew(self) -> None:
        self.engine.kill()
        self.flags = 0
        self.engine = self._start()
        self._tell_watched()

    def go_on(self) -> None:
        """Goes on from where `run_to(..., onward=True)` left it, unchanged, to the end of the log.

        Raises as `run_to`.
        """
        self.boundary.stop_seq = None
        if self.stopped is not None and self.block is not None:
            self.stopped = None
            self._pass_forks(None)
            heard = self._guarded(lambda: self.engine.resume(self.boundary))
            if self._hear(self.block, heard, None):
                raise ReplayError("the replay stopped twice")
        self._asked = None
        self._run_tapes(None)

    def _run_block(self, tape: BlockTape, position: Position | None) -> bool:
        """Runs one block; True when it stands still at the position."""
        self.block = tape
        if tape.started.table is None:
            if is_discarded(tape):
                raise MissingEffect(
                    f"block {tape.started.block} was stopped while it was compiled (event {tape.end_seq})",
                    seq=tape.end_seq,
                )
            self._refuse(tape)
            return False
        self._refuse_endless(tape, position)
        stops, target = self._stops_in(tape, position)
        if is_discarded(tape) and target is None:
            raise MissingEffect(
                f"block {tape.started.block} {ending(tape)} (event {tape.end_seq}): what its "
                "variables were then cannot be found again",
                seq=tape.end_seq,
            )
        if target is not None and target.steps is None:
            self.boundary.stop_seq = target.seq
        self._target = target
        self._prepare(tape)
        self.boundary.begin(tape)
        self._forks = list(zip(tape.forks, stops, strict=True))
        heard = self._guarded(lambda: self.engine.run(self._run_message(tape, stops, target), self.boundary))
        return self._hear(tape, heard, target)

    def _hear(self, tape: BlockTape, heard: Done | Stopped, target: Stop | None) -> bool:
        """Goes past recorded forks; True when the worker stands at the target."""
        while isinstance(heard, Stopped):
            if self._pass_forks(target):
                heard = self._guarded(lambda: self.engine.resume(self.boundary))
                continue
            self.stopped = heard
            self.at_seq = tape.end_seq
            if target is not None:
                self.at_seq = target.seq if target.steps is None else self.boundary.next_seq()
            if self._forks:  # what it changes here comes after the position
                self.at_seq = min(self.at_seq, self._forks[0][0].seq)
            return True
        self.blocks_done += 1
        self._finish_block(tape, heard)
        return False

    def _pass_forks(self, target: Stop | None) -> bool:
        """Applies what was changed where the worker stands, short of the target; True if it is to go on."""
        goes_on = False
        while self._forks and self.boundary.at_fork():
            fork, place = self._forks[0]
            same = (
                target is not None and place is not None and target._replace(seq=0) == place._replace(seq=0)
            )
            if same and self._asked is not None and self._asked <= fork.seq:
                return False
            del self._forks[0]
            self.apply(fork.changes)
            self.boundary.pass_fork()
            goes_on = not same or target is None or target.held
        return goes_on

    def _stops_in(self, tape: BlockTape, position: Position | None) -> tuple[list[Stop | None], Stop | None]:
        """Where a block's worker is to stand still: for each recorded fork in it, and for the position."""
        where = BlockMap(tape, self.units)
        stops = [where.stop_at(place_of(item, tape, self.started.level)) for item in tape.forks]
        inside = position is not None and position.seq < tape.end_seq
        return stops, (self._place or where.stop_at(position)) if position is not None and inside else None

    def _watch(self, position: Position | None, *, onward: bool) -> None:
        """Tells the worker, before it compiles anything, at which statements it will have to act.

        They may lie in any code: a block calls functions of earlier blocks and of modules.
        """
        watched: set[int] = set()
        count = self._count_to is not None
        past = False
        if position is None and not count and not self._all_tapes.may_act():
            return
        for tape in self._all_tapes:
            if not isinstance(tape, BlockTape):
                continue
            if past and not onward:
                break
            if is_discarded(tape) and not _lies_in(position, tape):
                continue
            watched.update(actions_of(tape))
            interruption = interruption_of(tape)
            if interruption is not None and interruption.statement is not None:
                watched.add(interruption.statement)
            stops, target = self._stops_in(tape, None if past else position)
            past = past or (position is not None and position.seq < tape.end_seq)
            for stop in (*stops, target):
                if stop is not None:
                    count = count or stop.steps is not None
                    watched.update(() if stop.ident is None else (stop.ident,))
        if watched or count:
            self._watched = (sorted(watched), count)
            self._tell_watched()

    def _tell_watched(self) -> None:
        statements, count = self._watched
        if statements or count:
            self.engine.inspect("watch", statements=statements, count=count)

    def _prepare(self, tape: BlockTape) -> None:
        started = tape.started
        if self.started.module is not None and self.blocks_done == 0:
            self._locate(started.seq)
        message = Prepare(
            block=started.block,
            source=started.source,
            file=started.file,
            first_line=started.first_line,
            flags=self.flags,
            top_level_await=self.started.kind != "exec",
            docstring=started.block == 1,
            base=started.table.base if started.table is not None else -1,
            worker=self.worker,
        )
        prepared = self.engine.prepare(message, self.boundary)
        self.flags = prepared.flags
        table = msgspec.json.decode(prepared.table, type=Table) if prepared.table else None
        if prepared.error is None and table != started.table:
            raise ReplayError(
                f"block {started.block} compiles to other statements than recorded: "
                f"the trace was made by coda {self.started.coda}, whose numbering differs"
            )

    def _refuse_endless(self, tape: BlockTape, position: Position | None) -> None:
        """Without statements to compare, a block that was stopped from outside would never end."""
        finished = tape.finished
        stops_before = position is not None and (position.is_counted or position.seq < tape.end_seq)
        broken = finished is None or finished.outcome in ("interrupted", "killed")
        if broken and self.started.level == "effects" and not stops_before and not call_broken_off(tape):
            raise MissingEffect(
                f"block {tape.started.block} was stopped from outside (event {tape.end_seq}); "
                "at level effects a replay cannot tell where",
                seq=tape.end_seq,
            )

    def _refuse(self, tape: BlockTape) -> None:
        """A block that did not compile must not compile again, with the same words."""
        started = tape.started
        prepared = self.engine.prepare(
            Prepare(
                block=started.block,
                source=started.source,
                file=started.file,
                first_line=started.first_line,
                flags=self.flags,
                top_level_await=self.started.kind != "exec",
                docstring=started.block == 1,
            ),
            self.boundary,
        )
        self.blocks_done += 1
        recorded = tape.error
        if prepared.error is None or recorded is None:
            raise Diverged(
                f"diverged at event {started.seq}: block {started.block}, which did not compile, does now",
                seq=started.seq,
            )
        said = [str(prepared.error.get(name, "")) for name in ("type", "message", "traceback")]
        if not self.matcher.same([recorded.kind, recorded.message, recorded.traceback], said):
            raise Diverged(
                f"diverged at event {recorded.seq}: the log has {recorded.kind}: {recorded.message}; "
                f"the replay has {said[0]}: {said[1]}",
                seq=recorded.seq,
            )

    def _run_message(self, tape: BlockTape, stops: list[Stop | None], target: Stop | None) -> Run:
        wanted = [stop for stop in (target, *stops) if stop is not None]
        steps = {stop.steps for stop in wanted if stop.steps is not None}
        interruption = interruption_of(tape)
        if self._count_to is not None:
            steps.add(self._count_to)
        return Run(
            block=tape.started.block,
            program=self.started.kind == "exec",
            last=self.started.kind == "exec" and tape.started.block == self.last_block,
            feed=feed_of(tape, self.units),
            feed_stop=next((stop.feed for stop in wanted if stop.feed >= 0), -1),
            output_stop=next((stop.output for stop in wanted if stop.output is not None), None),
            triggers=triggers_of(tape, wanted),
            reason=interruption.detail if interruption is not None else "",
            steps=sorted(steps),
        )

    def _finish_block(self, tape: BlockTape, done: Done) -> None:
        if done.outcome == "killed":
            raise SandboxError(
                f"the replaying worker died in block {tape.started.block}: "
                f"{(done.error or {}).get('message')}"
            )
        self.boundary.end()
        finished = tape.finished
        if finished is None:
            raise MissingEffect(
                f"the log ends at event {tape.end_seq}, inside block {tape.started.block}", seq=tape.end_seq
            )
        exits = (finished.code, done.code) if done.outcome == "exited" else (None, None)
        if finished.outcome != done.outcome or exits[0] != exits[1]:
            raise Diverged(
                f"diverged at event {finished.seq}: block {finished.block} ended {finished.outcome} in the "
                f"log and {done.outcome} in the replay",
                seq=finished.seq,
            )
        if tape.error is not None and done.error is not None:
            recorded = (tape.error.kind, tape.error.message, tape.error.traceback)
            replayed = tuple(str(done.error.get(name, "")) for name in ("type", "message", "traceback"))
            if not self.matcher.same(recorded, replayed):
                raise Diverged(
                    f"diverged at event {tape.error.seq}: the log has {recorded[0]}: {recorded[1]}; "
                    f"the replay raised {replayed[0]}: {replayed[1]}",
                    seq=tape.error.seq,
                )

    def _guarded(self, act: Any) -> Done | Stopped:
        try:
            result: Done | Stopped = act()
        except BaseException:
            self.engine.kill()  # its code must not go on, not even to a `finally`
            raise
        return result

    # --- the live state ------------------------------------------------------------------------

    def frames(self) -> dict[str, Any]:
        """Frames, globals and ctx as they stand (see the worker's inspector)."""
        found: dict[str, Any] = self.engine.inspect("frames")
        return found

    def evaluate(self, expr: str) -> dict[str, Any]:
        """Shows the value of an expression in the innermost frame. Raises SandboxError with its exception."""
        shown: dict[str, Any] = self.engine.inspect("evaluate", expr=expr)
        return shown

    def assign(self, changes: list[tuple[str, str]], *, new: bool = False) -> list[dict[str, Any]]:
        """Evaluates all expressions, then binds all names. Raises ForkError when one cannot be."""
        try:
            done: list[dict[str, Any]] = self.engine.inspect("assign", changes=changes, new=new)
        except SandboxError as error:
            raise ForkError(f"cannot apply the change: {error.message}") from error
        return done

    def apply(self, changes: tuple[dict[str, Any], ...]) -> None:
        """Applies the changes of a recorded fork again."""
        sets = [(change["name"], change["expr"]) for change in changes if change.get("kind") == "set"]
        if sets:
            self.assign(sets, new=True)

    def go_real(self) -> list[str]:
        """Lets the worker go on for real, in the real workspace; gives what is not as it was.

        Raises:
            SandboxError: the system does not let it; it must not be used.
        """
        notes: list[str] = self.engine.inspect("return", boundary=self.boundary)
        return notes

    def close(self) -> None:
        """Ends the worker and removes the private copy."""
        if self.stopped is not None:
            self.engine.kill()
        else:
            self.engine.close()
        self.copy.remove()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def counted(trace: Trace, position: Position, *, trust: bool, best_effort: bool = False) -> Position:
    """A position that a replay can stop at: at level `effects`, steps are counted from the block's start.

    Cost: a replay up to the event, for such a position alone.
    """
    block = trace.block_of(position.seq)
    if position.block is not None or not position.steps or trace.started.level != "effects" or block is None:
        return position
    if position.seq == block.seq:
        return Position(block.seq, position.steps - 1, block.number)
    with Session(trace, trust=trust, best_effort=best_effort) as session:
        before = session.steps_at(Position(position.seq))
    return Position(block.seq, before + position.steps - 1, block.number)


def _check_interpreter(trace: Trace, started: RunStarted) -> None:
    here = platform.python_version()
    if started.python != here:
        raise UsageError(
            f"{trace.path} was recorded by Python {started.python}; this is {here}: "
            "replay it with the same version",
            recorded=started.python,
            here=here,
        )


def _after(tape: BlockTape) -> Iterator[Event]:
    yield from tape.items
    if tape.error is not None:
        yield tape.error
    if tape.finished is not None:
        yield tape.finished


def _lies_in(position: Position | None, tape: BlockTape) -> bool:
    """Whether a position is inside of a block, so that the block must run to get there."""
    if position is None:
        return False
    if position.block is not None:
        return position.block == tape.started.block
    return position.seq <= tape.end_seq
