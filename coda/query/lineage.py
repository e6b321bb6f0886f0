"""`why NAME`: the statements, calls and effects that a value came from.

Guarantee: the chain follows the path that ran, not the text: a branch that was not taken and a loop turn
that did not happen have no part in it, and a variable of the same name in another frame neither. It is
computed from names: an alias is followed as far as a name leads to it. Conditions that only decided
whether a line ran are not part of the chain. Cost: linear in the path up to the position.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coda.errors import UsageError
from coda.log import (
    Effect,
    FileRead,
    LlmResponded,
    Position,
    ProcessFinished,
    SealWatch,
    ToolReturned,
    Trace,
    TraceEvent,
    open_trace,
    render,
)
from coda.query.arguments import names_for, names_outside
from coda.query.chain import Chain, Link
from coda.query.frames import DEFINITIONS, Frame, Frames
from coda.query.names import Found, Names

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*|\[\])*")
_CTX = re.compile(r"\bctx\.([^\W\d]\w*)")
_GAP = 32
"""Events after one statement that are looked at; a line that asks more often is shown by its first."""


class _Node:
    """A link in the making; the runs of one statement share it."""

    def __init__(self, kind: str, entry: int, event: TraceEvent | None, name: str | None) -> None:
        self.kind = kind
        self.entry = entry
        self.event = event
        self.name = name
        self.certain = True
        self.times = 1
        self.looked = 0
        self.children: list[_Node] = []
        self.value: Any = None
        self.captured = False


def why(trace: Trace | str | Path, name: str, at: str | None = None) -> Chain:
    """Gives where the value of a name came from.

    Args:
        trace: an open trace, a path or a run id.
        name: a variable, or a dotted target such as `obj.total`, `rows[]`, `ctx.total`.
        at: position; None is the end of the run.

    Raises:
        UsageError: the name or the position is none.
    """
    opened = trace if isinstance(trace, Trace) else open_trace(trace)
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"{name!r} is not a variable: give a name, or a target such as obj.total", name=name)
    position = opened.position(at) if at is not None else Position(opened.count())
    return _Lineage(opened, name, position).chain()


class _Lineage:
    def __init__(self, trace: Trace, name: str, position: Position) -> None:
        self.trace = trace
        self.watch = SealWatch(trace)
        self.name = name
        self.position = position
        self.frames = Frames(trace, position)
        self.names = Names(self.frames)
        self.nodes: dict[tuple[int, str | None], _Node] = {}
        self.done: dict[int, frozenset[str]] = {}
        self.work: list[tuple[int, frozenset[str], _Node, bool]] = []
        self.attached: set[int] = set()
        self.blocks: dict[int, _Node] = {}

    def chain(self) -> Chain:
        frames = self.frames
        here = frames.here
        found = self.names.look_up(here, self.name, len(frames.ids)) if here is not None else None
        roots: list[_Node] = []
        if found is not None:
            root = self.link(found, self.name, len(frames.ids), None)
            roots.append(root)
            while self.work:
                self.expand(*self.work.pop())
            self.attach_replies(root)
        return Chain(
            run=self.trace.run,
            trace=str(self.trace.path),
            name=self.name,
            position=str(self.position),
            links=tuple(self.links(roots)),
            incomplete=tuple(self.gaps()),
        )

    def gaps(self) -> Iterable[str]:
        """Gives what keeps the chain from being whole."""
        damage = self.watch.damage()
        if damage is not None:
            yield f"incomplete: {damage}"
        level = self.trace.started.level
        if level == "effects":
            yield "incomplete: the run was recorded at level effects, which lists no lines"
        elif self.frames.elided:
            count = f"{self.frames.elided:,}"
            yield f"incomplete: {count} lines before the position were elided; a replay knows them"
        threads = next(self.trace.events(0, self.position.seq, types={"thread.started"}), None)
        if threads is not None:
            yield f"incomplete: threads ran from event {threads.seq} on, and lines do not tell whose they are"

    # --- the slice ------------------------------------------------------------------------------

    def link(self, found: Found, name: str, before: int, parent: _Node | None) -> _Node:
        """Takes a store, or the call that passed an argument, into the chain."""
        frames = self.frames
        names: frozenset[str] | None = None
        certain = found.certain
        value = None
        if found.argument is not None and found.frame is not None:
            source = frames.walk.statement(frames.ids[found.entry]).source
            names = names_for(
                source, found.frame.function, found.argument, self.names.parameters(found.frame)
            )
            certain = certain and names is not None
            if found.argument in found.frame.args:
                value = (found.argument, found.frame.args[found.argument])
        else:
            names = self.needed(found.entry, name)
            value = frames.value_of(found.entry, name, before)
            certain = certain and frames.static(frames.ids[found.entry]).changes is None
        whole = found.argument is None
        return self.add(found.entry, names, name, value, certain, parent, whole=whole)

    def needed(self, entry: int, name: str) -> frozenset[str] | None:
        """Gives what a store of exactly this attribute read, without the object; None for all else.

        After `cart.note = x` the note came from x, however the cart came about.
        """
        if "." not in name or name.endswith("[]"):
            return None
        static, base = self.frames.static(self.frames.ids[entry]), name.partition(".")[0]
        targets = [target for target_base, target in static.stores if target_base == base]
        source = self.frames.walk.statement(self.frames.ids[entry]).source
        if targets != [name] or len(re.findall(rf"\b{base}\b", source)) != 1:
            return None
        return frozenset(static.loads) - {base}

    def add(
        self, entry: int, names: frozenset[str] | None, name: str | None, value: tuple[str, Any] | None,
        certain: bool, parent: _Node | None, *, whole: bool = True,
    ) -> _Node:  # fmt: skip
        key = (self.frames.ids[entry], name)
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = _Node("line", entry, None, name)
            if value is not None:
                node.name, node.value, node.captured = value[0], value[1], True
            if parent is not None:
                parent.children.append(node)
        elif entry not in self.done and entry != node.entry:
            node.times += 1
        node.certain = node.certain and certain
        wanted = names if names is not None else self.reads(entry)
        new = wanted - self.done.get(entry, frozenset())
        if new or (whole and entry not in self.attached):
            self.done[entry] = self.done.get(entry, frozenset()) | new
            self.work.append((entry, new, node, whole))
        return node

    def expand(self, entry: int, names: frozenset[str], node: _Node, whole: bool) -> None:
        """Follows what a statement read: names, calls of agent functions, effects."""
        frames = self.frames
        frame = frames.frames[frames.frame_of[entry]]
        if whole and entry not in self.attached:
            self.attached.add(entry)
            self.attach_effects(entry, node)
            for child in self.called(entry):
                if child.gave >= 0:
                    self.add(child.gave, None, None, None, not child.guessed, node)
        for name in sorted(names):
            found = self.names.look_up(frame, name, entry)
            if found is None or found.entry < 0:
                continue
            if found.argument is None and frames.static(frames.ids[found.entry]).kind in DEFINITIONS:
                continue
            self.link(found, name, entry, node)

    def called(self, entry: int) -> list[Frame]:
        """Gives the frames that a statement opened."""
        return [self.frames.frames[number] for number in self.frames.children.get(entry, ())]

    def reads(self, entry: int) -> frozenset[str]:
        """Gives the names that a statement read, without those that only went into agent functions.

        Of these the chain shows what the function made of them. It must have returned, since what else
        it did with an argument is not known. A change of a part reads the whole, `ctx` is read by member.
        """
        id = self.frames.ids[entry]
        static = self.frames.static(id)
        names = frozenset(static.loads)
        called = self.called(entry)
        if called and all(
            frame.gave >= 0 and not frame.guessed and frame.kind == "return" for frame in called
        ):
            functions = frozenset(frame.function for frame in called)
            outside = names_outside(self.frames.walk.statement(id).source, functions)
            names = names if outside is None else names & outside
        names |= {base for base, target in static.stores if target != base}
        if "ctx" in names:
            members = _CTX.findall(self.frames.walk.statement(id).source)
            names = names - {"ctx"} | {f"ctx.{member}" for member in members}
        return names

    def attach_effects(self, entry: int, node: _Node) -> None:
        """Adds what the world answered while a statement ran."""
        if node.looked > _GAP:
            return  # a line that asks in every turn of a loop is shown by its last turns
        frames = self.frames
        info = frames.walk.statement(frames.ids[entry])
        after = frames.next_in_frame[entry]
        gaps = [entry] if after < 0 or after == entry + 1 else [entry, after - 1]
        for place in gaps:
            start = frames.seqs[place] + 1
            stop = frames.seqs[place + 1] if place + 1 < len(frames.seqs) else self.position.seq
            stop = min(stop, start + _GAP)
            if stop <= start:
                continue
            node.looked += 1
            for event in self.trace.events(start, stop):
                elsewhere = event.line is not None and not info.line <= event.line <= info.end_line
                if event.type == "block.finished":
                    break
                if not elsewhere and isinstance(_effect(event), str):
                    node.children.append(_Node("effect", place, event, None))

    def attach_replies(self, root: _Node) -> None:
        """Adds, for each block that took part, the model's reply that wrote it."""
        numbers = {self.frames.block_of(node.entry) for node in self.nodes.values()}
        blocks = {block.number: block for block in self.trace.blocks if block.number in numbers}
        turns = {block.turn for block in blocks.values()} - {None}
        if not turns:
            return
        for event in self.trace.events(0, self.position.seq, types={"llm.responded"}):
            if event.turn in turns:
                root.children.append(_Node("model", -1, event, None))

    # --- the answer -----------------------------------------------------------------------------

    def links(self, roots: list[_Node]) -> Iterable[Link]:
        stack = [(node, 0) for node in reversed(roots)]
        while stack:
            node, depth = stack.pop()
            yield self.made(node, depth)
            children = sorted(node.children, key=lambda child: (child.kind == "model", -self.seq(child)))
            stack += [(child, depth + 1) for child in reversed(children)]

    def seq(self, node: _Node) -> int:
        return node.event.seq if node.event is not None else self.frames.seqs[node.entry]

    def made(self, node: _Node, depth: int) -> Link:
        certainty = "recorded" if node.certain else "inferred"
        event = node.event
        if event is not None:
            return Link(
                depth=depth, kind=node.kind, seq=event.seq, block=event.block, file=event.file,
                line=event.line, function=event.function, source=event.source or None,
                certainty=certainty, what=_effect(event) or "",
            )  # fmt: skip
        info = self.frames.walk.statement(self.frames.ids[node.entry])
        return Link(
            depth=depth, kind="line", seq=self.seq(node), block=self.frames.block_of(node.entry),
            file=info.file, line=info.line, function=info.function,
            source=info.source.strip().partition("\n")[0], name=node.name, value=node.value,
            captured=node.captured, certainty=certainty, times=node.times,
        )  # fmt: skip


def _effect(event: TraceEvent) -> str | None:
    """Gives an answer of the world as text, None for events that are none."""
    record = event.record
    if isinstance(record, ToolReturned):
        return f"{record.name} -> {render(record.value, width=60)}" if record.ok else f"{record.name} raised"
    if isinstance(record, FileRead):
        return f"file {record.path} ({record.size} bytes)"
    if isinstance(record, ProcessFinished):
        return f"process -> exit {record.code}, {render(record.stdout, width=60)}"
    if isinstance(record, LlmResponded):
        return f"the model's reply: {render(record.text, width=60)}"
    if isinstance(record, Effect) or event.type == "effect":
        return f"{event.name} = {render(event.value, width=60)}"
    return None
