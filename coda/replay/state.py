"""The live state of a run at a position, rendered; and the verdict on a whole replay."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from coda.errors import Diverged, MissingEffect, SandboxError
from coda.log import Position, Trace, open_trace, unit_covering
from coda.replay.cuts import compare_end, ending, ends_there
from coda.replay.elided import elided_place
from coda.replay.reasons import Cause, cause_of, refuse_missing_libraries
from coda.replay.session import LAYERS_OF_KERNEL, Session, counted
from coda.replay.tape import BlockTape, Stop, is_workers, last_place

_OUTPUT_CHARS = 4000


class Shown(msgspec.Struct, frozen=True):
    """A live object as text."""

    type: str
    repr: str
    truncated: bool
    source: str
    """`replay` or `log`."""
    exact: bool
    """False when the text is cut or made up."""


class Frame(msgspec.Struct, frozen=True):
    """One frame of agent code."""

    function: str
    """Path of the function, "" at module level."""
    file: str
    line: int
    locals: dict[str, Shown]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The real state at a position, by re-execution."""

    seq: int
    position: str
    block: int | None = None
    file: str | None = None
    line: int | None = None
    function: str | None = None
    source: str | None = None
    """Text of the statement that comes next."""
    globals: dict[str, Shown]
    frames: tuple[Frame, ...] = ()
    """Innermost first; empty between blocks."""
    others: tuple[str, ...] = ()
    """Threads and tasks that stand elsewhere: name and place of each."""
    ctx: dict[str, Shown]
    output: str = ""
    """What the run had written so far, its end."""
    exprs: dict[str, Shown | str] = msgspec.field(default_factory=dict)
    """Expressions that were asked for; a text is the exception that one raised."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Gives the state as one JSON object."""
        return msgspec.json.encode({"schema": "coda.state/1", **msgspec.to_builtins(self)})


class Verdict(NamedTuple):
    """What a whole replay showed."""

    faithful: bool
    diverged: Diverged | MissingEffect | None
    effects: int
    lines: int
    values: int
    outputs: int
    blocks: int
    renamed: int
    """Addresses in texts that were matched by renaming."""
    uncompared: tuple[str, ...]
    layers: tuple[str, ...]
    notes: tuple[str, ...]
    ends_at: int | None = None
    """Where the log ends inside a block (a run cut short, a fork's frontier); None: it ends with the run."""
    cause: Cause | None = None
    """Where in the program the replay left its log, and the likely reason."""

    @property
    def isolation(self) -> str:
        """`kernel`, `partial` or `none`."""
        if set(self.layers) >= LAYERS_OF_KERNEL:
            return "kernel"
        return "partial" if self.layers else "none"


def _opened(trace: Trace | str | os.PathLike[str]) -> Trace:
    return trace if isinstance(trace, Trace) else open_trace(trace)


def replay(
    trace: Trace | str | os.PathLike[str],
    *,
    to: str | int | Position | None = None,
    trust: bool = False,
    best_effort: bool = False,
) -> Verdict:
    """Runs a recorded run again and compares everything.

    Args:
        trace: the run, or its path.
        to: the position at which it is enough: `N`, `N+K` or `B:S`; None: the end of the run.
        trust: execute even where the kernel does not keep the worker in.
        best_effort: also replay what was only observed; what is missing is in the notes.

    Returns:
        The verdict; a divergence is in it, not raised.

    Raises:
        UsageError: the trace is missing or cannot be executed here.
    """
    opened = _opened(trace)
    problem: Diverged | MissingEffect | None = None
    ends_at: int | None = None
    position, place = None, None
    if to is not None:
        _, position, place = _placed(opened, to, trust=trust, best_effort=best_effort)
    with Session(opened, trust=trust, best_effort=best_effort) as session:
        try:
            session.run_to(position, place=place)
        except MissingEffect as error:
            problem = None if ends_there(opened, error) else error
            ends_at = error.facts["seq"] if problem is None else None
        except Diverged as error:
            problem = error
        boundary = session.boundary
        boundary.count_path()
        if session.stopped is not None:
            # Records of statements are taken in whole: those behind the position were not run.
            boundary.lines = sum(event.n for event in opened.events(0, boundary.next_seq(), types={"line"}))
            boundary.uncompared.append(f"values bound after the last effect before {to}")
        for tape in session.discarded:
            problem = _compare_discarded(session, tape, trust) or problem
        if problem is None and position is None:
            problem = compare_end(opened)
        cause = None
        if problem is not None:
            refuse_missing_libraries(opened, problem)
            cause = cause_of(opened, problem, gone=session.copy.missing)
        marks = tuple(
            f"{placed.record.what}: {placed.record.detail}"  # type: ignore[union-attr]
            for placed in opened.records(own=False, types={"limit.hit"})
            if position is None or placed.record.seq < position.seq  # type: ignore[union-attr]
        )
        return Verdict(
            faithful=problem is None,
            diverged=problem,
            effects=boundary.effects,
            lines=boundary.lines,
            values=boundary.values,
            outputs=boundary.outputs,
            blocks=session.blocks_done,
            renamed=session.matcher.renamed,
            uncompared=tuple(dict.fromkeys(boundary.uncompared)),
            layers=tuple(session.layers),
            notes=(*session.notes, *_torn(opened), *marks),
            ends_at=ends_at,
            cause=cause,
        )


def _torn(trace: Trace) -> tuple[str, ...]:
    torn = trace.torn
    if torn is None:
        return ()
    return (f"the last line of the log is torn: {torn.bytes} bytes from byte {torn.offset} on are no record",)


def _compare_discarded(session: Session, tape: BlockTape, trust: bool) -> Diverged | MissingEffect | None:
    """Runs a block whose worker was lost, in a session of its own, as far as its log can be followed."""
    last = last_place(tape, session.units)
    extent = "none of it could be compared" if last is None else f"it was compared up to event {last}"
    session.notes.append(
        f"block {tape.started.block} {ending(tape)}, and its variables are no part of what follows: {extent}"
    )
    if last is None:
        return None
    with Session(session.trace, trust=trust) as side:
        try:
            side.run_to(Position(tape.started.seq))
            before = _counts(side)
            side.run_to(Position(last))
        except (Diverged, MissingEffect) as error:
            return error
        for name, count in _counts(side).items():
            setattr(session.boundary, name, getattr(session.boundary, name) + count - before[name])
    return None


def _counts(session: Session) -> dict[str, int]:
    """What a session has compared so far."""
    session.boundary.count_path()
    return {name: getattr(session.boundary, name) for name in ("effects", "lines", "values", "outputs")}


def state_at(
    trace: Trace | str | os.PathLike[str],
    position: str | int | Position,
    *,
    exprs: Sequence[str] = (),
    trust: bool = False,
    best_effort: bool = False,
) -> State:
    """Gives the real state of a run just before an event, by re-execution.

    Args:
        trace: the run, or its path.
        position: `N`, `N+K` or `B:S`.
        exprs: evaluated in the innermost frame, in order, in the private copy.
        trust: execute even where the kernel does not keep the worker in.
        best_effort: also replay what was only observed; what is missing is in the notes.

    Raises:
        UsageError: no such position, or the trace cannot be executed here.
        Diverged, MissingEffect: the replay does not reach the position.

    Cost: that of the run up to the position.
    """
    opened = _opened(trace)
    asked, position, place = _placed(opened, position, trust=trust, best_effort=best_effort)
    with Session(opened, trust=trust, best_effort=best_effort) as session:
        session.run_to(position, place=place)
        return _state(session, asked, exprs)


def _placed(
    trace: Trace, position: str | int | Position, *, trust: bool, best_effort: bool
) -> tuple[Position, Position, Stop | None]:
    """A position as it was given, as a replay can stop at it, and its place where the log tells none."""
    asked = position if isinstance(position, Position) else trace.position(str(position))
    found = counted(trace, asked, trust=trust, best_effort=best_effort)
    return asked, found, elided_place(trace, found, trust=trust, best_effort=best_effort)


def _state(session: Session, position: Position, exprs: Sequence[str]) -> State:
    found = session.frames()
    frames = tuple(msgspec.convert(frame, Frame) for frame in found["frames"])
    top = frames[0] if frames else None
    shown: dict[str, Shown | str] = {}
    for expr in exprs:
        try:
            shown[expr] = msgspec.convert(session.evaluate(expr), Shown)
        except SandboxError as error:
            shown[expr] = error.message
    return State(
        seq=position.seq,
        position=position.text,
        block=session.block.started.block if session.block is not None and session.stopped else None,
        file=top.file if top else None,
        line=top.line if top else None,
        function=top.function if top else None,
        source=_source_at(session, top),
        globals=msgspec.convert(found["globals"], dict[str, Shown]),
        frames=frames,
        others=tuple(found.get("others", ())),
        ctx=msgspec.convert(found["ctx"], dict[str, Shown]),
        output=_output_before(session.trace, position.seq),
        exprs=shown,
        notes=(*session.notes, *_elsewhere(session, position)),
    )


def _elsewhere(session: Session, position: Position) -> tuple[str, ...]:
    """Says so where nothing can stand still before an event: what comes of a call, what is only told."""
    if position.is_counted:
        return ()
    if session.stopped is None and session.tail and is_workers(session.tail[0]):
        return (f"nothing stands still before event {position.seq}: this is the state at the block's end",)
    if session.at_seq == position.seq:
        return ()
    return (f"nothing stands still before event {position.seq}: this is the state before {session.at_seq}",)


def _source_at(session: Session, top: Frame | None) -> str | None:
    if top is None:
        return None
    block = session.block.started.block if session.block is not None else None
    unit = unit_covering(session.units, top.file, top.line, block)
    return (unit.text(top.line).strip() or None) if unit is not None else None


def _output_before(trace: Trace, seq: int) -> str:
    parts: list[str] = []
    for event in trace.events(0, seq, types={"output"}):
        text = event.value if event.id is not None else getattr(event.record, "text", "")
        if isinstance(text, str):
            parts.append(text)
    return "".join(parts)[-_OUTPUT_CHARS:]
