"""Writing the hooks into a syntax tree.

Guarantee: the rewritten tree does what the tree did. Hooks are statements of their own that stand at the
position of what they speak of, so tracebacks (carets included) and trace functions show the user's own
lines; docstrings stay first, then `__future__` imports; nothing is read back that could run user code.

The hook forms (the objects are constants that are put in after compilation):

    LINES.append(id)                                           before a statement
    if SITE.left is not None:                                  after a store, or at the head of a body
        SITE.left = SITE.left - 1 or None
        VALUES.append(x if type(x) in SCALARS else summary(x)); LINES.append(id)
    target.attr = SITE.keep(v) if SITE.left is not None else v   for a value that passes through
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from coda.log import GENERATORS, FrameSite, Group, Sites, bodies, has_docstring, is_silent
from coda.runtime.instrument_frames import FrameNumbers, Marks, SuspendingMarks, guarded
from coda.runtime.instrument_hooks import SCALARS, Budget, Buffer, Site, summary

_LOAD: Final = ast.Load()
_STORE: Final = ast.Store()
_OWNERS = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)  # of docstrings
_ASYNC = (ast.AsyncFor, ast.AsyncWith)
_RESUMED_AFTER = (*_ASYNC, ast.With)
_DOUBLED_LINES = 20
"""A passing value that is longer than this is not written twice; its hook is called each time."""


class _Place:
    """A position for nodes: the first column of something, on one line only (its carets, if any)."""

    __slots__ = ("where",)

    def __init__(self, node: Any) -> None:
        end = node.end_col_offset if node.end_lineno == node.lineno else node.col_offset + 1
        self.where = {
            "lineno": node.lineno,
            "col_offset": node.col_offset,
            "end_lineno": node.lineno,
            "end_col_offset": end,
        }

    def constant(self, value: Any) -> ast.Constant:
        return ast.Constant(value=value, **self.where)

    def name(self, name: str) -> ast.Name:
        return ast.Name(id=name, ctx=_LOAD, **self.where)

    def attribute(self, holder: int, name: str) -> ast.Attribute:
        return ast.Attribute(value=self.constant(holder), attr=name, ctx=_LOAD, **self.where)

    def call(self, function: ast.expr, argument: ast.expr) -> ast.Call:
        return ast.Call(func=function, args=[argument], keywords=[], **self.where)

    def append(self, holder: int, argument: ast.expr) -> ast.stmt:
        return ast.Expr(value=self.call(self.attribute(holder, "append"), argument), **self.where)


class Hooks(NamedTuple):
    """What the hooks of one unit are made of."""

    lines: Buffer
    values: Buffer
    limit: int | None
    """Values at each site; None for no capture at all."""
    triggers: Mapping[int, object]
    """Statement id to an object whose `append` is called there instead of the buffer's."""
    first: int
    """The first placeholder integer; the source must contain none as large."""
    numbers: FrameNumbers
    """Where frames that can be suspended find their numbers."""


class Written(NamedTuple):
    """What the compiled tree needs to run."""

    objects: list[object]
    """What stands for each placeholder, in order."""
    budget: Budget


def rewrite(tree: ast.Module, sites: Sites, hooks: Hooks) -> Written:
    """Writes the hooks into a tree, in place.

    Args:
        tree: the tree that `sites` was made from.
        sites: what `analyse` said of it.
        hooks: what to write.
    """
    return _Rewriter(sites, hooks).rewrite(tree)


class _Pending(NamedTuple):
    """A list of statements that is to be rewritten."""

    body: list[ast.stmt]
    owner: ast.AST | None
    """The node whose head the list is; None when it is another list of its statement."""
    marks: Marks | None
    """Of the frame that it runs in; None when frames are not marked there."""
    resumes: bool = False
    """Whether the frame may be going on when its first statement is reached."""


class _Rewriter:
    """One rewriting of one tree."""

    def __init__(self, sites: Sites, hooks: Hooks) -> None:
        self.sites = sites
        self.hooks = hooks
        self.limit = hooks.limit
        self.base = sites.table.base
        self.first_binding = self.base + len(sites.table.statements)
        self.budget: list[Site] = []
        self.objects: list[object] = []
        self.lines = self._hold(hooks.lines)
        self.values = self._hold(hooks.values)
        self.type = self._hold(type)
        self.scalars = self._hold(SCALARS)
        self.summary = self._hold(summary)
        self.framed = bool(sites.frames) and self.limit is not None
        self.marks: dict[ast.AST, Marks] = {}
        self.holding = frozenset().union(*(s.suspensions.statements for s in sites.frames.values()))

    def _hold(self, thing: object) -> int:
        """Gives the placeholder that stands for an object."""
        self.objects.append(thing)
        return self.hooks.first + len(self.objects) - 1

    def rewrite(self, tree: ast.Module) -> Written:
        marks = {owner: self._marks(site) for owner, site in self.sites.frames.items()} if self.framed else {}
        self.marks = {owner: each for owner, each in marks.items() if each is not None}
        if self.limit is not None:
            for node, group in self.sites.through.items():
                self._pass_through(node, group)
        pending: list[_Pending] = [_Pending(tree.body, tree, None)]
        while pending:
            self._body(pending.pop(), pending)
        return Written(self.objects, Budget(self.budget))

    def _marks(self, site: FrameSite) -> Marks | None:
        """What writes the marks of one body; the expressions that suspend it get theirs now."""
        body = site.body
        if body.exit < 0:
            return None
        where = {"lines": self.lines, "values": self.values, "exit": self.first_binding + body.exit}
        if body.kind not in GENERATORS:
            return Marks(self._hold, **where)
        marks = SuspendingMarks(
            self._hold,
            **where,
            suspend=self.first_binding + body.suspend,
            resume=self.first_binding + body.resume,
            numbers=self.hooks.numbers,
            streams=(self.hooks.lines, self.hooks.values),
        )
        for spot in reversed(site.suspensions.spots):  # the inner ones first: they hang in the outer ones
            if isinstance(spot.node, ast.stmt):
                continue
            written = marks.expression(spot.node)
            if spot.place is None:
                setattr(spot.parent, spot.field, written)
            else:
                getattr(spot.parent, spot.field)[spot.place] = written
        return marks

    def _body(self, item: _Pending, pending: list[_Pending]) -> None:
        body, owner = item.body, item.owner
        marks = self.marks.get(owner, item.marks) if owner is not None else item.marks
        framed = marks if owner in self.marks else None
        written: list[ast.stmt] = []
        rest = iter(list(body))
        if isinstance(owner, _OWNERS) and has_docstring(body) and body[0] not in self.sites.rows:
            written.append(next(rest))
        if item.resumes and isinstance(marks, SuspendingMarks):
            written.append(marks.resumed())
        head = self.sites.heads.get(owner) if owner is not None and self.limit is not None else None
        inside: int | None = None
        for node in rest:
            number = self.sites.rows.get(node)
            if head is not None and not is_silent(node):
                written.append(self._capture(head))
                head = None
            if number is not None:
                written.append(self._line(node, self.base + number))
                inside = len(written) if inside is None else inside
            written.append(node)
            if self.limit is not None and (group := self.sites.after.get(node)) is not None:
                written.append(self._capture(group))
            self._queue(node, pending, marks)
            if isinstance(marks, SuspendingMarks) and isinstance(node, _RESUMED_AFTER) and self._holds(node):
                written.append(marks.resumed())
        if head is not None:
            written.append(self._capture(head))
        if framed is not None and inside is not None:
            written[inside:] = framed.around(written[inside:])
        elif isinstance(marks, SuspendingMarks) and isinstance(owner, _ASYNC):
            written = [guarded(written, marks.suspended())]
        body[:] = written

    def _holds(self, node: ast.stmt) -> bool:
        """Whether the code can be suspended inside a statement."""
        return id(node) in self.holding

    def _queue(self, node: ast.stmt, pending: list[_Pending], marks: Marks | None) -> None:
        """Puts the bodies inside a statement on the list, with the node whose head each one is."""
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            pending.append(_Pending(node.body, node, None))
            return
        if isinstance(node, ast.Match):
            pending.extend(_Pending(case.body, case, marks) for case in node.cases)
            return
        resumes = False
        if isinstance(marks, SuspendingMarks):
            resumes = self._holds(node)
            if isinstance(node, ast.AsyncFor):
                node.iter = marks.before(node.iter)
            elif isinstance(node, ast.AsyncWith):
                for place, part in enumerate(node.items):
                    part.context_expr = marks.before(part.context_expr, resumed=place > 0)
        first = True
        owners: dict[int, ast.AST] = {id(h.body): h for h in getattr(node, "handlers", ())}
        for body in bodies(node):
            if body:
                entered = isinstance(node, ast.Try | ast.TryStar) and not first
                again = isinstance(node, ast.AsyncFor) or (first and isinstance(node, ast.AsyncWith))
                pending.append(
                    _Pending(
                        body, owners.get(id(body), node if first else None), marks,
                        resumes and (entered or again),
                    )
                )  # fmt: skip
            first = False

    # --- hooks ----------------------------------------------------------------------------------

    def _line(self, node: ast.stmt, number: int) -> ast.stmt:
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        place = _Place(decorators[0] if decorators else node)
        buffer = self._hold(self.hooks.triggers[number]) if number in self.hooks.triggers else self.lines
        return place.append(buffer, place.constant(number))

    def _site(self, group: Group) -> int:
        ids = tuple(self.first_binding + binding for binding in group.bindings)
        site = Site(ids, self.limit, self.hooks.lines, self.hooks.values)
        self.budget.append(site)
        return self._hold(site)

    def _guard(self, place: _Place, site: int) -> ast.expr:
        return ast.Compare(
            left=place.attribute(site, "left"),
            ops=[ast.IsNot()],
            comparators=[place.constant(None)],
            **place.where,
        )

    def _capture(self, group: Group) -> ast.stmt:
        """Reads names back and appends them, while the budget lasts."""
        place = _Place(group.at)
        site = self._site(group)
        one_less = ast.BinOp(
            left=place.attribute(site, "left"), op=ast.Sub(), right=place.constant(1), **place.where
        )
        left = ast.BoolOp(op=ast.Or(), values=[one_less, place.constant(None)], **place.where)
        target = ast.Attribute(value=place.constant(site), attr="left", ctx=_STORE, **place.where)
        body: list[ast.stmt] = [ast.Assign(targets=[target], value=left, **place.where)]
        for binding, name in zip(group.bindings, group.names, strict=True):
            # The value comes first: a drain takes ids and then values, so no id is ever without its value.
            body.append(place.append(self.values, self._picture(place, name)))
            body.append(place.append(self.lines, place.constant(self.first_binding + binding)))
        return ast.If(test=self._guard(place, site), body=body, orelse=[], **place.where)

    def _picture(self, place: _Place, name: str) -> ast.expr:
        """`name if type(name) in SCALARS else summary(name)`: scalars enter no frame of ours."""
        test = ast.Compare(
            left=place.call(place.constant(self.type), place.name(name)),
            ops=[ast.In()],
            comparators=[place.constant(self.scalars)],
            **place.where,
        )
        other = place.call(place.constant(self.summary), place.name(name))
        return ast.IfExp(test=test, body=place.name(name), orelse=other, **place.where)

    def _pass_through(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr, group: Group) -> None:
        value = node.value
        assert value is not None
        place = _Place(value)
        site = self._site(group)
        kept: ast.expr = place.call(place.attribute(site, "keep"), value)
        if not self._too_large(value):
            # Written twice: a spent site then costs a load and a jump, and no frame at all.
            kept = ast.IfExp(test=self._guard(place, site), body=kept, orelse=value, **place.where)
        node.value = kept

    def _too_large(self, value: ast.expr) -> bool:
        """Whether writing the value twice could grow the code out of proportion."""
        if (value.end_lineno or value.lineno) - value.lineno > _DOUBLED_LINES:
            return True
        return any(isinstance(part, ast.NamedExpr) for part in ast.walk(value))
