"""The statement table: what a unit of code can report, found from its syntax tree alone.

Guarantee: the same tree gives the same table on every run and at every record level, so an id means
the same statement when recording, when replaying and in a reader. Statements come in source order;
every one that has a line event has a row. A docstring, `global`, `nonlocal` and a `__future__` import
do nothing when they are reached, so they have none. Nothing here recurses, so a chain of thousands of
`elif` or terms costs memory, not stack.

What is captured, and how, is decided here once (the instrumenter only carries it out):

- names are read back after the store (assignment, augmented assignment, import, def, class, type alias)
  or at the head of the body that they feed (for, with, except, case, function arguments);
- attribute and subscript stores are never read back, since that could run a property; the value passes
  through a hook on its way, and so does a walrus. In a class body names are not read back either: the
  namespace may be a mapping of the user's own, whose `__getitem__` would notice;
- an augmented assignment to an attribute or item, `del`, and a star import have the line only.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from coda.log.suspending import (
    GENERATORS,
    MAX_NESTING,
    Suspensions,
    is_async,
    kind_of,
    nesting,
    suspensions,
)
from coda.log.tables import MARKS, Binding, Body, Statement, Table

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LOOPS = (ast.For, ast.AsyncFor)
_WITHS = (ast.With, ast.AsyncWith)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_TYPE_ALIAS: type[ast.AST] | None = getattr(ast, "TypeAlias", None)
# A read of `super` makes the compiler add a `__class__` cell to the function: visible, so never done.
_UNREADABLE = frozenset({"super"})
# When a part of an expression is evaluated: with its statement, when a generator is asked, when called.
_NOW, _LAZY, _CALLED = range(3)


class Group(NamedTuple):
    """Bindings that are captured at one place, always together."""

    bindings: tuple[int, ...]
    """Indexes into `Table.bindings`."""
    names: tuple[str, ...]
    """The names to read, in the order of `bindings`; the targets, for a value that passes through."""
    at: ast.AST
    """The node whose position the hook takes, so that tracebacks and trace functions notice nothing."""


class Sites(NamedTuple):
    """A statement table together with the places in the tree that it speaks of."""

    table: Table
    rows: dict[ast.stmt, int]
    """Index of the row of each statement that has one."""
    after: dict[ast.stmt, Group]
    """Names to read once the statement has run."""
    heads: dict[ast.AST, Group]
    """Names to read first in the body of a function, loop, with, handler or case."""
    through: dict[ast.Assign | ast.AnnAssign | ast.NamedExpr, Group]
    """Nodes whose `value` is to pass through a hook."""
    frames: dict[ast.AST, FrameSite]
    """The module, functions and classes whose frames are marked."""


class FrameSite(NamedTuple):
    """A piece of code that has frames, and where it suspends."""

    body: Body
    suspensions: Suspensions


class _Scope:
    """One code object to be: module, function or class body."""

    __slots__ = ("function", "globals", "kind", "path")

    def __init__(self, kind: str, path: str, function: int) -> None:
        self.kind = kind
        self.path = path
        self.function = function
        self.globals: set[str] = set()

    def child_path(self, name: str) -> str:
        """The qualified name that the compiler gives a def or class of this name here."""
        if self.kind == "module" or name in self.globals:
            return name
        return f"{self.path}.<locals>.{name}" if self.kind == "function" else f"{self.path}.{name}"


class _Reads(NamedTuple):
    """What the expressions of one statement read, and the walruses in them."""

    loads: tuple[str, ...]
    walruses: tuple[ast.NamedExpr, ...]
    lazy: frozenset[ast.NamedExpr]
    """Those of them that a generator expression runs, whenever it is asked."""


def analyse(
    tree: ast.Module,
    *,
    base: int,
    future_annotations: bool = False,
    docstring: bool = True,
    frames: bool = False,
) -> Sites:
    """Gives the statement table of a module's tree, and where its hooks belong.

    Args:
        tree: a tree as parsed; it is not changed.
        base: id of the first statement.
        future_annotations: whether an earlier cell's `from __future__ import annotations` holds here.
        docstring: whether a text at the very beginning is the module's docstring.
        frames: whether frames are to be marked.

    Returns:
        Statements numbered in source order, bindings in the order in which their places are met, and
        behind them the marks of frames.
    """
    return _Analysis(base, future_annotations, frames).run(tree, docstring)


def has_docstring(body: list[ast.stmt]) -> bool:
    """Whether the first statement is a docstring, where one is allowed."""
    first = body[0] if body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def is_silent(node: ast.stmt) -> bool:
    """Whether a statement has no line event since it only speaks to the compiler."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__" and not node.level
    return isinstance(node, ast.Global | ast.Nonlocal)


def first_line_of(node: ast.stmt) -> int:
    """Line where the statement begins to run: a decorated one begins at its first decorator."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return decorators[0].lineno if decorators else node.lineno


class _Analysis:
    """One walk over a tree; statements wait on a stack, in source order."""

    def __init__(self, base: int, future_annotations: bool, framed: bool) -> None:
        self.base = base
        self.framed = framed
        self.lazy_annotations = future_annotations or sys.version_info >= (3, 14)
        self.functions: dict[str, int] = {"": 0}
        self.statements: list[Statement] = []
        self.bindings: list[Binding] = []
        self.rows: dict[ast.stmt, int] = {}
        self.after: dict[ast.stmt, Group] = {}
        self.heads: dict[ast.AST, Group] = {}
        self.through: dict[ast.Assign | ast.AnnAssign | ast.NamedExpr, Group] = {}
        self.loose: list[int] = []
        self.begun: list[tuple[ast.AST, int]] = []
        self.ended: dict[ast.AST, int] = {}
        self.stack: list[tuple[ast.stmt | ast.Module, _Scope | None]] = []

    def run(self, tree: ast.Module, docstring: bool) -> Sites:
        self.push(tree.body, _Scope("module", "", 0), owner=tree, docstring=docstring)
        while self.stack:
            node, scope = self.stack.pop()
            if scope is None:
                self.ended[node] = len(self.statements)
            else:
                assert isinstance(node, ast.stmt)
                self.visit(node, scope)
        frames = self.frames() if self.framed else {}
        table = Table(
            base=self.base,
            functions=tuple(self.functions),
            statements=tuple(self.statements),
            bindings=tuple(self.bindings),
            bodies=tuple(site.body for site in frames.values()),
            loose=tuple(self.loose) if self.framed else (),
        )
        return Sites(table, self.rows, self.after, self.heads, self.through, frames)

    def push(
        self,
        body: list[ast.stmt],
        scope: _Scope,
        *,
        owner: ast.stmt | ast.Module | None = None,
        docstring: bool = False,
    ) -> None:
        """Puts a body on the stack; with its `owner` when it runs in a frame of its own."""
        if owner is not None:
            self.begun.append((owner, len(self.statements)))
            self.stack.append((owner, None))
        start = 1 if docstring and has_docstring(body) else 0
        self.stack.extend((node, scope) for node in reversed(body[start:]))

    def frames(self) -> dict[ast.AST, FrameSite]:
        """Gives the code that has statements and so frames, and makes the rows of its marks."""
        found: dict[ast.AST, FrameSite] = {}
        for owner, first in self.begun:
            stop = self.ended[owner]
            if stop == first:
                continue
            body: list[ast.stmt] = owner.body  # type: ignore[attr-defined]
            inside = suspensions(body)
            kind = kind_of(owner, inside)
            wanted = MARKS[: 3 if kind in GENERATORS else 1] if nesting(body) <= MAX_NESTING else ()
            rows = range(len(self.bindings), len(self.bindings) + len(wanted))
            self.bindings.extend(Binding(first, name) for name in wanted)
            exit, suspend, resume = [*rows, -1, -1, -1][:3]
            head = self.heads.get(owner) if isinstance(owner, _FUNCTIONS) else None
            arguments = head.bindings if head is not None else ()
            found[owner] = FrameSite(Body(first, stop, kind, exit, suspend, resume, arguments), inside)
        return found

    def visit(self, node: ast.stmt, scope: _Scope) -> None:
        if is_silent(node):
            if isinstance(node, ast.Global):
                scope.globals.update(node.names)
            elif isinstance(node, ast.ImportFrom) and any(a.name == "annotations" for a in node.names):
                self.lazy_annotations = True
            return
        number = len(self.statements)
        self.rows[node] = number
        stores = list(_stores(node))
        parameters = frozenset(p.name for p in getattr(node, "type_params", ()))
        reads = _reads(self.expressions(node, scope), parameters)
        stores += [walrus.target.id for walrus in reads.walruses]
        self.statements.append(
            Statement(
                line=first_line_of(node),
                end_line=node.end_lineno or node.lineno,
                kind=type(node).__name__.lower(),
                function=scope.function,
                stores=tuple(dict.fromkeys(stores)),
                loads=reads.loads,
            )
        )
        for walrus in reads.walruses:
            group = self.through[walrus] = self.group(number, [walrus.target.id], walrus.value)
            if walrus in reads.lazy:
                self.loose.extend(group.bindings)
        self.capture(node, number, scope)
        self.descend(node, number, scope)

    # --- what is read ---------------------------------------------------------------------------

    def expressions(self, node: ast.stmt, scope: _Scope) -> Iterator[ast.AST]:
        """The expressions that the statement itself evaluates: for a compound one, its header."""
        if isinstance(node, _FUNCTIONS):
            yield from node.decorator_list
            yield from node.args.defaults
            yield from (default for default in node.args.kw_defaults if default is not None)
            if not self.lazy_annotations:
                yield from (a.annotation for a in _arguments(node.args) if a.annotation is not None)
                yield from [node.returns] if node.returns is not None else []
        elif isinstance(node, ast.ClassDef):
            yield from [*node.decorator_list, *node.bases, *(k.value for k in node.keywords)]
        elif isinstance(node, ast.AnnAssign):
            yield node.target
            yield from [node.value] if node.value is not None else []
            if scope.kind != "function" and not self.lazy_annotations:
                yield node.annotation
        elif isinstance(node, ast.AugAssign):
            target = node.target
            yield (
                ast.copy_location(ast.Name(target.id, ast.Load()), target)
                if isinstance(target, ast.Name)
                else target
            )
            yield node.value
        elif isinstance(node, ast.Match):
            yield node.subject
            for case in node.cases:
                yield case.pattern
                yield from [case.guard] if case.guard is not None else []
        elif _is_type_alias(node):
            yield node.value  # type: ignore[attr-defined]
        elif isinstance(node, ast.Try | ast.TryStar):
            yield from (h.type for h in getattr(node, "handlers", ()) if h.type is not None)
        else:
            yield from (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt))

    # --- what is captured -----------------------------------------------------------------------

    def group(self, statement: int, names: Iterable[str], at: ast.AST) -> Group:
        """Makes bindings of one statement that are captured together."""
        known = tuple(dict.fromkeys(names))
        first = len(self.bindings)
        self.bindings.extend(Binding(statement, name) for name in known)
        return Group(tuple(range(first, len(self.bindings))), known, at)

    def head(self, owner: ast.AST, statement: int, names: Iterable[str], at: ast.AST) -> None:
        """Notes names to read at the head of a body."""
        readable = [name for name in names if name not in _UNREADABLE]
        if readable:
            self.heads[owner] = self.group(statement, readable, at)

    def capture(self, node: ast.stmt, number: int, scope: _Scope) -> None:
        """Notes the bindings of one statement; those of function arguments come with the function."""
        if isinstance(node, _FUNCTIONS):
            self.capture_arguments(node, number)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            self.capture_assignment(node, number, scope)
        if scope.kind == "class":
            return
        if isinstance(node, _LOOPS):
            self.head(node, number, _names(node.target), node.target)
        elif isinstance(node, _WITHS):
            targets = [item.optional_vars for item in node.items if item.optional_vars is not None]
            last = node.items[-1].optional_vars or node.items[-1].context_expr
            self.head(node, number, [n for target in targets for n in _names(target)], last)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                self.head(case, number, _pattern_names(case.pattern), case.pattern)
        elif isinstance(
            node, ast.AugAssign | ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef
        ) or (isinstance(node, ast.AsyncFunctionDef) or _is_type_alias(node)):
            names = [n for n in _stores(node) if n.isidentifier() and n not in _UNREADABLE]
            if names:
                self.after[node] = self.group(number, names, getattr(node, "target", node))
        else:
            for handler in getattr(node, "handlers", ()):
                self.head(handler, number, [handler.name] if handler.name else [], handler)

    def capture_assignment(self, node: ast.Assign | ast.AnnAssign, number: int, scope: _Scope) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        assert node.value is not None
        kinds = (ast.Attribute, ast.Subscript, *((ast.Name,) if scope.kind == "class" else ()))
        passing = [target for target in targets if isinstance(target, kinds)]
        if passing:
            self.through[node] = self.group(number, [_target(t) for t in passing], node.value)
        if scope.kind != "class":
            names = [n for t in targets for n in _names(t) if n not in _UNREADABLE]
            if names:
                self.after[node] = self.group(number, names, targets[-1])

    def capture_arguments(self, node: FunctionNode, number: int) -> None:
        body = node.body[1:] if has_docstring(node.body) else node.body
        first = next((child for child in body if not is_silent(child)), None)
        if first is not None:  # in source order it is the very next statement
            self.head(node, number + 1, [a.arg for a in _arguments(node.args)], first)

    # --- what is below --------------------------------------------------------------------------

    def descend(self, node: ast.stmt, number: int, scope: _Scope) -> None:
        """Puts the statements inside this one on the stack, so that the first is next."""
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            path = scope.child_path(node.name)
            function = self.functions.setdefault(path, len(self.functions))
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            self.push(node.body, _Scope(kind, path, function), owner=node, docstring=True)
            return
        for body in reversed(list(bodies(node))):
            self.push(body, scope)


def bodies(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Gives the statement lists inside a compound statement, in source order."""
    if isinstance(node, ast.Match):
        yield from (case.body for case in node.cases)
        return
    yield getattr(node, "body", [])
    yield from (handler.body for handler in getattr(node, "handlers", ()))
    yield getattr(node, "orelse", [])
    yield getattr(node, "finalbody", [])


def _is_type_alias(node: ast.AST) -> bool:
    return _TYPE_ALIAS is not None and isinstance(node, _TYPE_ALIAS)


def _arguments(args: ast.arguments) -> Iterator[ast.arg]:
    """Arguments in the order of the signature."""
    yield from args.posonlyargs
    yield from args.args
    yield from [args.vararg] if args.vararg is not None else []
    yield from args.kwonlyargs
    yield from [args.kwarg] if args.kwarg is not None else []


# --- targets ----------------------------------------------------------------------------------------


def _stores(node: ast.stmt) -> Iterator[str]:
    """What the statement binds, changes or deletes, walruses left aside."""
    if isinstance(node, ast.Assign | ast.Delete):
        for target in node.targets:
            yield from _targets(target)
    elif isinstance(node, ast.AnnAssign):
        yield from _targets(node.target) if node.value is not None else ()
    elif isinstance(node, ast.AugAssign | ast.For | ast.AsyncFor):
        yield from _targets(node.target)
    elif isinstance(node, _WITHS):
        for item in node.items:
            yield from _targets(item.optional_vars) if item.optional_vars is not None else ()
    elif isinstance(node, ast.Import):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Match):
        for case in node.cases:
            yield from _pattern_names(case.pattern)
    elif _is_type_alias(node):
        yield node.name.id  # type: ignore[attr-defined]
    else:
        yield from (h.name for h in getattr(node, "handlers", ()) if h.name)


def _leaves(target: ast.expr) -> Iterator[ast.expr]:
    """The single targets of a target, in order: tuples, lists and stars taken apart."""
    stack = [target]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Tuple | ast.List):
            stack.extend(reversed(node.elts))
        elif isinstance(node, ast.Starred):
            stack.append(node.value)
        else:
            yield node


def _targets(target: ast.expr) -> Iterator[str]:
    return map(_target, _leaves(target))


def _names(target: ast.expr) -> list[str]:
    return [leaf.id for leaf in _leaves(target) if isinstance(leaf, ast.Name)]


def _target(target: ast.expr) -> str:
    """Text of one target: `x`, `obj.total`, `rows[]`, `load().rows[]`."""
    tail = ""
    node = target
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            tail = f".{node.attr}{tail}"
            node = node.value
        elif isinstance(node, ast.Subscript):
            tail = f"[]{tail}"
            node = node.value
        elif isinstance(node, ast.Call):
            tail = f"(){tail}"
            node = node.func
        else:
            return f"(){tail}"
    return node.id + tail


def _pattern_names(pattern: ast.pattern) -> list[str]:
    """Names that a case pattern captures, each once."""
    found: dict[str, None] = {}
    stack: list[ast.AST | str] = [pattern]
    while stack:
        node = stack.pop()
        if isinstance(node, str):  # the name of a pattern, which comes after the pattern's parts
            found[node] = None
            continue
        name = getattr(node, "rest", None) or getattr(node, "name", None)
        stack.extend([name] if name else [])
        stack.extend(reversed(list(ast.iter_child_nodes(node))))
    return list(found)


# --- reads ------------------------------------------------------------------------------------------


def _reads(roots: Iterable[ast.AST], hidden: frozenset[str]) -> _Reads:
    """Names that the expressions read, in source order, without those that they bind for themselves.

    Names in `hidden` are bound by the statement around them: its type parameters.
    """
    found: list[tuple[int, int, str]] = []
    walruses: list[ast.NamedExpr] = []
    lazy: set[ast.NamedExpr] = set()
    stack: list[tuple[ast.AST, frozenset[str], int]] = [(root, hidden, _NOW) for root in roots]
    while stack:
        node, own, when = stack.pop()
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load) and node.id not in own:
                found.append((node.lineno, node.col_offset, node.id))
        elif isinstance(node, ast.Lambda):
            stack.extend((child, own, when) for child in _defaults(node.args))
            inner = own | {a.arg for a in _arguments(node.args)} | _walrus_names(node.body)
            stack.append((node.body, inner, _CALLED))
        elif isinstance(node, _COMPREHENSIONS):
            stack.extend(_comprehension(node, own, when))
        else:
            if isinstance(node, ast.NamedExpr) and when != _CALLED:
                walruses.append(node)
                if when == _LAZY:
                    lazy.add(node)
            stack.extend((child, own, when) for child in ast.iter_child_nodes(node))
    walruses.sort(key=lambda node: (node.lineno, node.col_offset))
    names = tuple(dict.fromkeys(name for _, _, name in sorted(found)))
    return _Reads(names, tuple(walruses), frozenset(lazy))


def _defaults(args: ast.arguments) -> list[ast.expr]:
    return [*args.defaults, *(default for default in args.kw_defaults if default is not None)]


def _walrus_names(body: ast.expr) -> frozenset[str]:
    return frozenset(n.target.id for n in ast.walk(body) if isinstance(n, ast.NamedExpr))


def _comprehension(
    node: ast.AST, own: frozenset[str], when: int
) -> Iterator[tuple[ast.AST, frozenset[str], int]]:
    """Parts of a comprehension: the first iterable sees the names outside, all else the inner ones."""
    generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
    yield generators[0].iter, own, when
    inner = own.union(*(_names(generator.target) for generator in generators))
    if when == _NOW and (isinstance(node, ast.GeneratorExp) or is_async(node)):
        when = _LAZY
    for number, generator in enumerate(generators):
        yield generator.target, inner, when
        yield from ((test, inner, when) for test in generator.ifs)
        if number:
            yield generator.iter, inner, when
    for field in ("elt", "key", "value"):
        if (part := getattr(node, field, None)) is not None:
            yield part, inner, when
