"""`why NAME`: the statements, calls and effects that a value came from.

Guarantee: the chain follows the path that ran, not the text: a branch that was not taken and a loop turn
that did not happen have no part in it, and a variable of the same name in another frame neither. It is
computed from names, and from a shadow of the path in which each object is known by all its names, so that
a change of it counts whoever made it. Conditions that only decided whether a line ran are not part of the
chain. Cost: linear in the path up to the position.
"""

from __future__ import annotations

import ast
import heapq
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coda.errors import UsageError
from coda.log import (
    Effect,
    FileRead,
    Import,
    LlmResponded,
    Position,
    ProcessFinished,
    SandboxStarted,
    SealWatch,
    ToolDeclared,
    ToolReturned,
    Trace,
    TraceEvent,
    open_trace,
    render,
)
from coda.query.arguments import names_for, names_outside, path_for
from coda.query.chain import Chain, Link
from coda.query.frames import DEFINITIONS, MAIN, Frame, Frames
from coda.query.heap import Change
from coda.query.names import Found, Names, base_of
from coda.query.shadow import Shadow
from coda.query.trees import paths_read

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*|\[\])*")
_CTX = re.compile(r"\bctx\.([^\W\d]\w*)")
_WAY = 100
"""So many aliases and calls are shown between a name and the object's first."""
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
        self.shadow = Shadow(self.frames, _from_coda(trace, position), _files(trace, position))
        self.names = Names(self.frames, self.shadow)
        self.nodes: dict[tuple[int, str | None], _Node] = {}
        self.done: dict[int, frozenset[str]] = {}
        self.work: list[tuple[int, int, int, frozenset[str], _Node, bool, Frame]] = []
        self.asked = itertools.count()
        self.attached: set[int] = set()
        self.paths: dict[int, dict[str, frozenset[str]]] = {}
        self.shown: set[tuple[int, str]] = set()
        self.hidden: set[tuple[int, int | str, str]] = set()
        self.blocks: dict[int, _Node] = {}

    def chain(self) -> Chain:
        frames = self.frames
        here = frames.here
        roots = self.follow(here, self.name, len(frames.ids), None) if here is not None else []
        if roots:
            while self.work:
                self.expand(*heapq.heappop(self.work)[2:])
            roots[0].children += [node for node in dict.fromkeys(roots) if node is not roots[0]]
            self.attach_replies(roots[0])
            del roots[1:]
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
        for base in sorted(self.shadow.unread):
            file = self.frames.walk.unit(base).file
            yield (
                f"incomplete: the source of {file} is not in the log, or this Python reads it otherwise, so"
                " changes by other names are not followed there"
            )
        for text in self.shadow.gaps:
            yield f"incomplete: {text}"
        if self.shadow.heap.cut:
            yield "incomplete: some objects hold more parts than are followed"

    # --- the slice ------------------------------------------------------------------------------

    def follow(self, frame: Frame, name: str, before: int, parent: _Node | None) -> list[_Node]:
        """Takes in where a name got its value: what bound it, and what changed its object after that.

        A change by another name comes with the statement that gave the object to this one below it.
        """
        found = self.names.look_up(frame, name, before)
        if found is not None and found.entry < 0:
            found = None
        base = base_of(name)
        scope = self.shadow.scope_of(frame, base)
        changes = self.shadow.changes_of(scope, name, self.bound_at(found), before)
        nodes = [self.link_change(change, name, before, parent, (scope, base)) for change in changes]
        if found is None or (
            found.argument is None
            and parent is not None
            and self.frames.static(self.frames.ids[found.entry]).kind in DEFINITIONS
        ):
            return nodes
        asked = name if found.argument is not None or self.is_unread(found.entry) else base
        if not nodes:
            return [self.link(found, asked, before, parent)]
        if not any(change.via == (scope, base) and base in self.reads(change.entry) for change in changes):
            self.link(found, asked, before, nodes[0])
        return nodes

    def is_unread(self, entry: int) -> bool:
        """Tells whether the code of a statement could not be gone through again."""
        return self.frames.static(self.frames.ids[entry]).key[0] in self.shadow.unread

    def bound_at(self, found: Found | None) -> int:
        """Gives the moment from which on a name stood for its object."""
        if found is None:
            return -1
        if found.argument is not None and found.frame is not None:
            # What came before the call is found by the caller's names; a default is older than any call.
            asked = self.names_given(found)
            return -1 if asked is not None and not asked else found.entry
        if any(frame.function.endswith("__init__") for frame in self.called(found.entry)):
            return found.entry  # what made the object changed it, and returned nothing
        return self.shadow.ended[found.entry]

    def link_change(
        self, change: Change, name: str, before: int, parent: _Node | None, asked: tuple[int | str, str]
    ) -> _Node:
        """Takes a statement that changed an object into the chain; `asked` is the variable in question."""
        entry = change.entry
        static = self.frames.static(self.frames.ids[entry])
        target = next((target for base, target in static.stores if target != base), None)
        shown = target or (change.via[1] if change.via is not None else name)
        value = self.frames.value_of(entry, target, before) if target is not None else None
        frame = self.frames.frames[self.frames.frame_of[entry]]
        certain = change.certain and not frame.guessed
        # Asked for `cart.total`, this may have stored `self.total`, which is the same.
        same = target is not None and "." in name and target.endswith("." + name.rpartition(".")[2])
        needed = self.needed(entry, target if same and target is not None else name)
        node = self.add(entry, needed, shown, value, certain, parent)
        if needed is not None and target not in needed and change.via not in (None, asked):
            assert change.via is not None
            self.show_way(frame, change.via[1], entry, node)
        if change.via is not None and change.via[1] not in static.loads:
            self.follow_hidden(change, node, frame)
        return node

    def show_way(self, frame: Frame, name: str, before: int, node: _Node) -> None:
        """Shows how a name came to stand for an object: calls and aliases, and no more of the object."""
        for _ in range(_WAY):
            found = self.names.look_up(frame, name, before)
            if found is None or found.entry < 0 or (found.entry, name) in self.shown:
                return
            self.shown.add((found.entry, name))
            before, owner = found.entry, found.frame
            if found.argument is not None and owner is not None:
                value = (name, owner.args[name]) if name in owner.args else None
                node = self.add(before, frozenset(), name, value, found.certain, node, whole=False)
                source = self.frames.walk.statement(self.frames.ids[before]).source
                path = path_for(source, owner.function, found.argument, self.names.parameters(owner))
            else:
                value = self.frames.value_of(before, name, len(self.frames.ids))
                node = self.add(before, frozenset(), name, value, found.certain, node, whole=False)
                path = self.alias(before)
            if path is None:
                return
            frame, name = self.frames.frames[self.frames.frame_of[before]], base_of(path)

    def alias(self, entry: int) -> str | None:
        """Gives the name that a statement gives another name: `b` of `a = b`."""
        id = self.frames.ids[entry]
        unit = self.shadow.unit(self.frames.static(id).key[0])
        node = unit.statements.get(id) if unit is not None else None
        value = node.value if isinstance(node, ast.Assign) else None
        return value.id if isinstance(value, ast.Name) else None

    def follow_hidden(self, change: Change, node: _Node, frame: Frame) -> None:
        """Follows the variable by which a lambda changed an object: the statement does not name it."""
        assert change.via is not None
        scope, name = change.via
        if (change.entry, scope, name) in self.hidden:
            return
        self.hidden.add((change.entry, scope, name))
        if isinstance(scope, int):
            frame = self.frames.frames[scope]
        elif frame.key[1] != 0:
            modules = (f for f in self.frames.frames if f.key[1] == 0 and f.module == scope)
            frame = next(modules, frame)
        self.later(change.entry, frozenset({name}), node, False, frame)

    def link(self, found: Found, name: str, before: int, parent: _Node | None) -> _Node:
        """Takes a store, or the call that passed an argument, into the chain."""
        frames = self.frames
        names: frozenset[str] | None = None
        certain = found.certain
        value = None
        if found.argument is not None and found.frame is not None:
            names = self.names_given(found, name)
            certain = certain and names is not None
            if found.argument in found.frame.args:
                value = (found.argument, found.frame.args[found.argument])
        else:
            names = self.needed(found.entry, name)
            value = frames.value_of(found.entry, name, before)
            static = frames.static(frames.ids[found.entry])
            certain = certain and (static.changes is None or static.key[0] not in self.shadow.unread)
        whole = found.argument is None
        return self.add(found.entry, names, name, value, certain, parent, whole=whole)

    def names_given(self, found: Found, name: str = "") -> frozenset[str] | None:
        """Gives the names that the expression for an argument reads; None when the text does not tell.

        Of an object that is handed on as it is only the attribute that was asked for, if one was.
        """
        assert found.argument is not None
        assert found.frame is not None
        parameters = self.names.parameters(found.frame)
        if found.frame.function.endswith(".__init__") and parameters[:1] == (found.argument,):
            return frozenset()  # the object is the call's own
        source = self.frames.walk.statement(self.frames.ids[found.entry]).source
        tail = name[len(found.argument) :] if name.startswith(f"{found.argument}.") else ""
        path = path_for(source, found.frame.function, found.argument, parameters) if tail else None
        if path is not None:
            return frozenset({path + tail})
        names = names_for(source, found.frame.function, found.argument, parameters)
        return None if names is None else self.without_super(names, found.entry)

    def without_super(self, names: frozenset[str], entry: int) -> frozenset[str]:
        """Puts the object of a method in the place of `super`, which means it."""
        if "super" not in names:
            return names
        frame = self.frames.frames[self.frames.frame_of[entry]]
        return names - {"super"} | frozenset(self.names.parameters(frame)[:1])

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
        before = {name} if static.kind == "augassign" else set()
        return frozenset(static.loads) - {base} | before

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
        if whole:
            wanted = self.narrowed(entry, wanted)
        new = wanted - self.done.get(entry, frozenset())
        if new or (whole and entry not in self.attached):
            self.done[entry] = self.done.get(entry, frozenset()) | new
            self.later(entry, new, node, whole, self.frames.frames[self.frames.frame_of[entry]])
        return node

    def later(self, entry: int, names: frozenset[str], node: _Node, whole: bool, frame: Frame) -> None:
        """Puts a statement down to be followed, the latest first."""
        heapq.heappush(self.work, (-entry, next(self.asked), entry, names, node, whole, frame))

    def expand(self, entry: int, names: frozenset[str], node: _Node, whole: bool, frame: Frame) -> None:
        """Follows what a statement read: names, calls of agent functions, effects."""
        if whole and entry not in self.attached:
            self.attached.add(entry)
            self.attach_effects(entry, node)
            for child in self.called(entry):
                if child.gave >= 0:
                    self.add(child.gave, None, None, None, not child.guessed, node)
        for name in sorted(names):
            self.follow(frame, name, entry, node)

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
        names = self.without_super(names, entry)
        if "ctx" in names:
            members = _CTX.findall(self.frames.walk.statement(id).source)
            names = names - {"ctx"} | {f"ctx.{member}" for member in members}
        return names

    def narrowed(self, entry: int, names: frozenset[str]) -> frozenset[str]:
        """Puts the attributes that a statement read in the place of the objects that they belong to."""
        id = self.frames.ids[entry]
        paths = self.paths.get(id)
        if paths is None:
            unit = self.shadow.unit(self.frames.static(id).key[0])
            node = unit.statements.get(id) if unit is not None else None
            paths = self.paths[id] = paths_read(node) if node is not None else {}
        return frozenset().union(*(paths.get(name, frozenset({name})) for name in names))

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


def _from_coda(trace: Trace, position: Position) -> frozenset[str]:
    """Gives the functions that coda put into the namespace: what they are given crosses as a value."""
    names: set[str] = set()
    for event in trace.events(0, position.seq, types={"sandbox.started", "tool.declared"}):
        if isinstance(event.record, SandboxStarted):
            names |= set(event.record.names)
        elif isinstance(event.record, ToolDeclared):
            names.add(event.record.name)
    return frozenset(names - {"ctx"})


def _files(trace: Trace, position: Position) -> dict[str, str]:
    """Gives the modules of which the lines are in the log, and where the names of each live."""
    found = {"__main__": MAIN}
    for event in trace.events(0, position.seq, types={"import"}):
        record = event.record
        if isinstance(record, Import) and record.table is not None:
            found[record.module] = record.path or record.module
    return found


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
