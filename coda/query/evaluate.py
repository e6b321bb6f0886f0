"""One statement carried out on objects without values.

Guarantee: what Python certainly does (bindings, stores, arguments, returns, methods of its own containers)
is done on the heap as it is; what code that is not followed may do, it is taken to do to all that it can
reach, uncertainly.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from coda.query.calls import Calls
from coda.query.heap import ANY, ANY_ITEM, NOTHING, Objects
from coda.query.pending import Pending
from coda.query.trees import header

if TYPE_CHECKING:
    from coda.query.shadow import Shadow

_VALUES = (ast.expr, ast.keyword, ast.FormattedValue, ast.slice, ast.withitem)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
_KINDS = {ast.List: "list", ast.Set: "set", ast.Dict: "dict", ast.Tuple: "tuple"}
_MADE = {ast.ListComp: "list", ast.SetComp: "set", ast.GeneratorExp: "generator", ast.DictComp: "dict"}


class Evaluator(Calls):
    """Carries out statements.

    Args:
        shadow: the path's names and objects.
    """

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._expressions: dict[ast.AST, tuple[ast.AST, ...]] = {}

    # --- statements -----------------------------------------------------------------------------

    def carry_out(self, pending: Pending) -> None:
        """Does what a statement did, now that it is over."""
        node = pending.node
        pending.recording = True
        if isinstance(node, ast.Assign | ast.AnnAssign):
            if node.value is not None:
                value = self.value(node.value, pending) | self.implied(pending)
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    self.bind(target, value, pending)
        elif isinstance(node, ast.AugAssign):
            self._augment(node, pending)
        elif isinstance(node, ast.For | ast.AsyncFor):
            pending.given = self.value(node.iter, pending) | self.implied(pending)
            self.bind(node.target, self.heap.parts(pending.given), pending)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                entered = self.value(item.context_expr, pending) | self.implied(pending)
                generators = {n for n in entered if self.heap.types[n] == "generator"}
                entered |= self.heap.parts(frozenset(generators))  # what a `contextmanager` yields
                if item.optional_vars is not None:
                    self.bind(item.optional_vars, entered, pending)
        elif isinstance(node, ast.Return):
            if node.value is not None:
                pending.given = self.value(node.value, pending) | self.implied(pending)
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                if isinstance(target, ast.Attribute | ast.Subscript):
                    self._store(target, None, pending)
        elif isinstance(node, ast.Match):
            subject = self.value(node.subject, pending)
            parts = frozenset(self.heap.reach(subject))
            for name in _captured(node):
                self._bind_name(name, parts, pending)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._define(node, pending)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node, pending)
        elif node is not None:
            for part in header(node):
                self.value(part, pending)

    def _augment(self, node: ast.AugAssign, pending: Pending) -> None:
        value = self.value(node.value, pending)
        if not isinstance(node.target, ast.Name):
            self._store(node.target, value, pending, augmented=True)
            return
        name = node.target.id
        scope = self.shadow.scope_of(pending.frame, name)
        current = self.shadow.get(scope, name) or NOTHING
        if self.known_type(pending, name) == "":
            current = NOTHING
        if current:
            self.heap.put(current, ANY_ITEM, self.heap.parts(value), self.shadow.now)
            self.change(current, None, pending, certain=self.are_containers(current), via=(scope, name))
        elif value:
            current = self.fresh("", node, pending, open=True)
            self.heap.put(current, ANY_ITEM, self.heap.parts(value), self.shadow.now)
        self._bind_name(name, current, pending)

    def bind(self, target: ast.expr, value: Objects, pending: Pending) -> None:
        """Binds a target of an assignment, loop or `with`."""
        if isinstance(target, ast.Name):
            self._bind_name(target.id, value, pending)
        elif isinstance(target, ast.Tuple | ast.List):
            star = next((i for i, e in enumerate(target.elts) if isinstance(e, ast.Starred)), None)
            for place, element in enumerate(target.elts):
                if isinstance(element, ast.Starred):
                    rest = self.fresh("list", element, pending)
                    self.heap.put(rest, ANY_ITEM, self.heap.parts(value), self.shadow.now)
                    self.bind(element.value, rest, pending)
                elif star is not None and place > star:
                    self.bind(element, self.heap.parts(value), pending)
                else:
                    self.bind(element, self.heap.part(value, f"[{place}]"), pending)
        elif isinstance(target, ast.Attribute | ast.Subscript):
            self._store(target, value, pending)

    def _bind_name(self, name: str, value: Objects, pending: Pending) -> None:
        for overlay in reversed(pending.overlays):
            if name in overlay:
                overlay[name] = value
                return
        known = self.known_type(pending, name)
        if known == "" or self.shadow.frames.raised(pending.entry, name):
            if known is None:
                return  # it raised before it bound anything
            value = self.only_code(value)
        elif known is not None and not value:
            value = self.fresh(known, pending.node, pending, open=True)
        elif known is not None:
            for number in value:
                self.heap.types[number] = self.heap.types[number] or known
        self.shadow.set(self.shadow.scope_of(pending.frame, name), name, value)

    def known_type(self, pending: Pending, name: str) -> str | None:
        """Gives the type that was captured of what a statement bound; "" for what nothing can change."""
        if pending.frame.number in self.shadow.generators and isinstance(pending.node, ast.For):
            return None  # of a generator that was resumed not every value is known to be its own
        return self.shadow.value_type(pending.entry, name)

    def _store(
        self, target: ast.expr, value: Objects | None, pending: Pending, *, augmented: bool = False
    ) -> None:
        """Stores a part of an object; None deletes it."""
        if isinstance(target, ast.Attribute):
            key, base = f".{target.attr}", target.value
        elif isinstance(target, ast.Subscript):
            key, base = self.item_key(target.slice), target.value
            self.value(target.slice, pending)
        else:
            return
        objects = self.value(base, pending)
        via = self.root(base, pending)
        if not objects:
            objects = self.late(base, pending)
        for number in objects:
            scope = self.shadow.files.get(self.paths.get(number, ""))
            if scope is not None and value is not None and key[0] == ".":
                self.shadow.set(scope, key[1:], value)  # `config.debug = True` binds a name of that module
        if augmented:
            held = self.heap.part(objects, key)
            self.change(held, None, pending, certain=self.are_containers(held), via=via)
            self.heap.put(held, ANY_ITEM, self.heap.parts(value or NOTHING), self.shadow.now)
        elif value is not None:
            self.heap.put(objects, key, value, self.shadow.now, strong=key not in (ANY_ITEM, ANY))
        self.change(objects, key, pending, certain=True, via=via)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, pending: Pending) -> None:
        for part in header(node):
            self.value(part, pending)
        made = self.define(node, pending)
        if node.decorator_list:  # what a decorator gives may be the function or something around it
            outside = self.fresh("", (node, "decorated"), pending, open=True)
            self.heap.put(outside, ANY, made, self.shadow.now)
            made |= outside
        self.shadow.set(self.shadow.scope_of(pending.frame, node.name), node.name, made)

    def _import(self, node: ast.Import | ast.ImportFrom, pending: Pending) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                name = alias.asname or alias.name.partition(".")[0]
                path = alias.name if alias.asname else name
            elif alias.name == "*":
                self.shadow.gap(f"`from {node.module} import *` binds names unseen")
                continue
            else:
                name, path = alias.asname or alias.name, f"{node.module}.{alias.name}"
            module = self.imported(path, pending)
            self.shadow.set(self.shadow.scope_of(pending.frame, name), name, module)

    # --- expressions ----------------------------------------------------------------------------

    def value(self, node: ast.AST, pending: Pending) -> Objects:
        """Gives what an expression stands for."""
        if isinstance(node, ast.Name):
            return self.name(node.id, pending)
        if isinstance(node, ast.Constant):
            return NOTHING
        if isinstance(node, ast.Call):
            return self.call(node, pending)
        if isinstance(node, ast.Attribute):
            return self.attribute(self.value(node.value, pending), node.attr)
        if isinstance(node, ast.Subscript):
            return self._item(node, pending)
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            return self._display(node, pending)
        if isinstance(node, _COMPREHENSIONS):
            return self._comprehension(node, pending)
        if isinstance(node, ast.Lambda):
            return self.define_lambda(node, pending)
        return self._other(node, pending)

    def _other(self, node: ast.AST, pending: Pending) -> Objects:
        if isinstance(node, ast.IfExp):
            self.value(node.test, pending)
            return self.value(node.body, pending) | self.value(node.orelse, pending)
        if isinstance(node, ast.BoolOp):
            return frozenset().union(*(self.value(part, pending) for part in node.values))
        if isinstance(node, ast.NamedExpr):
            found = self.value(node.value, pending)
            self._bind_name(node.target.id, found, pending)
            return found
        if isinstance(node, ast.Await | ast.Starred):
            return self.value(node.value, pending)
        if isinstance(node, ast.Yield | ast.YieldFrom):
            given = self.value(node.value, pending) if node.value is not None else NOTHING
            given = self.heap.parts(given) if isinstance(node, ast.YieldFrom) else given
            self.yielded(given, pending)
            return NOTHING
        held = NOTHING
        for part in self._values_in(node):
            held |= self.value(part, pending)
        if not held or not isinstance(node, ast.BinOp | ast.UnaryOp):
            return NOTHING
        # The sum of two lists is a new one, and holds what they held; of other types nothing is known.
        made = self.fresh("list" if self.are_containers(held) else "", node, pending, open=True)
        self.heap.put(made, ANY_ITEM, self.heap.parts(held), self.shadow.now)
        return made

    def _values_in(self, node: ast.AST) -> tuple[ast.AST, ...]:
        """Gives the expressions directly in one; remembered, since a statement runs many times."""
        known = self._expressions.get(node)
        if known is None:
            parts = ast.iter_child_nodes(node)
            known = self._expressions[node] = tuple(part for part in parts if isinstance(part, _VALUES))
        return known

    def _item(self, node: ast.Subscript, pending: Pending) -> Objects:
        base = self.value(node.value, pending)
        self.value(node.slice, pending)
        if not isinstance(node.slice, ast.Slice):
            return self.heap.part(base, self.item_key(node.slice))
        if self.are_containers(base):
            made = self.fresh("list", node, pending)
            self.heap.put(made, ANY_ITEM, self.heap.parts(base), self.shadow.now)
            return made
        return base  # a view, as arrays give it, shares what it shows

    def _display(self, node: ast.List | ast.Tuple | ast.Set | ast.Dict, pending: Pending) -> Objects:
        rows: list[tuple[str, Objects]] = []
        if isinstance(node, ast.Dict):
            for key, item in zip(node.keys, node.values, strict=True):
                found = self.value(item, pending)
                if key is None:
                    rows.append((ANY_ITEM, self.heap.parts(found)))
                else:
                    rows += [(self.item_key(key), found), (ANY_ITEM, self.value(key, pending))]
        else:
            stars = False
            for place, item in enumerate(node.elts):
                found = self.value(item, pending)
                stars = stars or isinstance(item, ast.Starred)
                found = self.heap.parts(found) if isinstance(item, ast.Starred) else found
                rows.append((ANY_ITEM if stars or isinstance(node, ast.Set) else f"[{place}]", found))
        if isinstance(node, ast.Tuple) and not any(found for _, found in rows):
            return NOTHING
        made = self.fresh(_KINDS[type(node)], node, pending)
        for key_text, found in rows:
            if found:
                self.heap.put(made, key_text, found, self.shadow.now)
        return made

    def _comprehension(self, node: ast.AST, pending: Pending) -> Objects:
        generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
        overlay: dict[str, Objects] = {}
        for inner in generators:
            for part in ast.walk(inner.target):
                if isinstance(part, ast.Name):
                    overlay[part.id] = NOTHING
        pending.overlays.append(overlay)
        for inner in generators:
            self.bind(inner.target, self.heap.parts(self.value(inner.iter, pending)), pending)
            for test in inner.ifs:
                self.value(test, pending)
        elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]  # type: ignore[attr-defined]
        held = frozenset().union(*(self.value(element, pending) for element in elements))
        if held:
            # One expression made an object in every turn.
            self.heap.many.update(number for number in held if number in pending.made.values())
        pending.overlays.pop()
        made = self.fresh(_MADE[type(node)], node, pending)
        self.heap.put(made, ANY_ITEM, held, self.shadow.now)
        return made


def _captured(node: ast.Match) -> list[str]:
    found: list[str] = []
    for case in node.cases:
        for part in ast.walk(case.pattern):
            name = getattr(part, "name", None) or getattr(part, "rest", None)
            found += [name] if isinstance(name, str) else []
    return found
