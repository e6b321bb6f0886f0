"""What calls of code that is not followed do to the objects that they are given.

Guarantee: what is known by name (`coda.query.known`) is done as it is; anything else is taken to change,
keep and give all that it can reach, and what follows from that is uncertain.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

from coda.query import known
from coda.query.frames import Frame
from coda.query.heap import ANY, ANY_ITEM, NOTHING, Heap, Objects
from coda.query.pending import Pending
from coda.query.trees import Definition

if TYPE_CHECKING:
    from coda.query.shadow import Shadow


class Code(NamedTuple):
    """What a function or class object stands for."""

    node: Definition | ast.Lambda
    path: str
    frame: Frame
    """The frame in which it was made."""
    receiver: Objects | None
    """The object that a method is bound to."""
    defaults: dict[str, Objects]
    overlay: dict[str, Objects]


class Given(NamedTuple):
    """The arguments of a call."""

    positional: list[Objects]
    stars: bool
    named: dict[str, Objects]
    rest: Objects
    """What came behind stars."""

    @property
    def all(self) -> Objects:
        """Every argument."""
        return self.rest.union(*self.positional, *self.named.values())


class Effects:
    """The part of an evaluation that deals with code which is not followed."""

    def __init__(self, shadow: Shadow) -> None:
        self.shadow = shadow
        self.heap: Heap = shadow.heap
        self.code: dict[int, Code] = {}
        self.paths: dict[int, str] = {}
        self.methods: dict[int, tuple[Objects, str]] = {}
        """Methods of a library's objects that were taken without being called: `rows.append`."""

    # --- to be had from above -------------------------------------------------------------------

    def value(self, node: ast.AST, pending: Pending) -> Objects:
        """Gives what an expression stands for."""
        raise NotImplementedError

    def attribute(self, objects: Objects, name: str) -> Objects:
        """Gives an attribute of objects."""
        raise NotImplementedError

    def apply(self, code: Code, positional: list[Objects], rest: Objects, pending: Pending) -> Objects:
        """Carries out the body of a lambda."""
        raise NotImplementedError

    # --- objects --------------------------------------------------------------------------------

    def fresh(self, type: str, node: object, pending: Pending, *, open: bool = False) -> Objects:
        """Gives the object that an expression makes."""
        number = pending.made.get(node)
        if number is None:
            number = pending.made[node] = self.heap.new(type, open=open)
        return frozenset({number})

    def late(self, base: ast.expr, pending: Pending) -> Objects:
        """Gives an object to a name that was taken for something unchangeable, and is changed."""
        if not isinstance(base, ast.Name):
            return NOTHING
        made = self.fresh("", base, pending, open=True)
        self.shadow.set(self.shadow.scope_of(pending.frame, base.id), base.id, made)
        return made

    def change(
        self, objects: Objects, key: str | None, pending: Pending, *, certain: bool,
        via: tuple[int | str, str] | None = None,
    ) -> None:  # fmt: skip
        """Notes that the statement changed objects, once it is over."""
        if pending.recording:
            self.heap.change(
                objects, pending.entry, self.shadow.now, key=key, certain=certain and pending.certain, via=via
            )

    def are_containers(self, objects: Objects) -> bool:
        """Tells whether all of these are containers of Python's own."""
        return bool(objects) and all(self.heap.types[number] in known.CONTAINERS for number in objects)

    def item_key(self, node: ast.expr) -> str:
        """Gives the key of an item: exact for a constant."""
        return f"[{node.value!r}]" if isinstance(node, ast.Constant) else ANY_ITEM

    def root(self, node: ast.expr, pending: Pending) -> tuple[int | str, str] | None:
        """Gives the variable that an expression begins with."""
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        if not isinstance(node, ast.Name) or any(node.id in overlay for overlay in pending.overlays):
            return None
        return self.shadow.scope_of(pending.frame, node.id), node.id

    def holding(self, type: str, key: object, parts: Objects, pending: Pending) -> Objects:
        """Gives a new container of some parts."""
        made = self.fresh(type, key, pending)
        self.heap.put(made, ANY_ITEM, parts, self.shadow.now)
        return made

    # --- calls ----------------------------------------------------------------------------------

    def unknown(self, objects: Objects, node: ast.Call, pending: Pending) -> Objects:
        """A call of code that is not followed: it may change, keep and give all that it can reach."""
        plain = frozenset(n for n in objects if n not in self.paths and n not in self.code)
        self._call_back(objects, plain, pending)
        reached = frozenset(n for n in self.heap.reach(plain) if n not in self.paths and n not in self.code)
        via = self.root(node.func, pending) if isinstance(node.func, ast.Attribute) else None
        self.change(reached, None, pending, certain=False, via=via)
        made = self.fresh("", node, pending, open=True)
        self.heap.put(made, ANY, plain, self.shadow.now)
        return made | plain

    def _call_back(self, objects: Objects, plain: Objects, pending: Pending) -> Objects:
        """Does what lambdas and methods do that were handed to code which is not followed."""
        within, given = self.heap.parts(plain) | plain, NOTHING
        for number in self.heap.reach(objects):
            code, method = self.code.get(number), self.methods.get(number)
            if code is not None and isinstance(code.node, ast.Lambda):
                given |= self.apply(code, [], within, pending)
            elif method is not None and method[1] in known.CHANGES:
                self.heap.put(method[0], ANY_ITEM, within, self.shadow.now)
                self.change(method[0], None, pending, certain=False)
        return given

    def by_method(
        self, node: ast.Call, name: str, objects: Objects, base: ast.expr, given: Given, pending: Pending
    ) -> Objects:
        """Does what a call of a method did, as far as its name and the object's type tell.

        Args:
            node: the call.
            name: the method's.
            objects: what it belongs to.
            base: the expression that gave them.
            given: its arguments.
            pending: the statement.
        """
        if not objects and name in known.CHANGES:
            objects = self.late(base, pending)
        if not objects:
            return NOTHING if name in known.TEXT_METHODS else self.fresh("", node, pending, open=True)
        containers = self.are_containers(objects)
        if name in known.CHANGES:
            return self._change_by_method(name, objects, base, given, pending)
        pure = name in (
            known.PURE_METHODS if containers else known.TEXT_METHODS | known.SPLITS | known.GIVES_PARTS
        )
        if not containers and name == "get" and given.positional:
            pure = not any(self.heap.types[number] for number in objects)
        if not (pure or containers):
            found = self.unknown(objects | given.all, node, pending)
            self.heap.put(objects, ANY, given.all - objects, self.shadow.now)  # it may keep what it was given
            return found
        if name in known.GIVES_PART:
            return self.heap.parts(objects) | given.all
        if name in known.SPLITS:
            return self.fresh("list", node, pending, open=True)
        if name in known.GIVES_PARTS:
            return self.holding(
                "dict" if name == "copy" else "list",
                node,
                self._inside(node, name, objects, pending),
                pending,
            )
        return NOTHING

    def _inside(self, node: ast.Call, name: str, objects: Objects, pending: Pending) -> Objects:
        parts = self.heap.parts(objects)
        if name != "items":
            return parts
        pair = self.holding("tuple", (node, "pair"), parts, pending)
        self.heap.many |= pair
        return pair

    def _change_by_method(
        self, name: str, objects: Objects, base: ast.expr, given: Given, pending: Pending
    ) -> Objects:
        now = self.shadow.now
        parts = self.heap.parts(objects) if name in known.GIVES_PART else NOTHING
        if name in known.GROWS:
            self.heap.put(objects, ANY_ITEM, given.all, now)
        elif name in known.JOINS:
            self.heap.put(objects, ANY_ITEM, self.heap.parts(given.all), now)
            self.heap.put(objects, ANY_ITEM, frozenset().union(*given.named.values()), now)
        if name not in ("append", "add", "extend", "update", "setdefault"):
            self.heap.put(objects, ANY_ITEM, self.heap.parts(objects), now)  # places moved
        self.change(
            objects, None, pending, certain=self.are_containers(objects), via=self.root(base, pending)
        )
        return parts | (given.all if name == "setdefault" else NOTHING)

    def by_path(self, path: str, node: ast.Call, given: Given, pending: Pending) -> Objects:
        """A function that is known by its path, or one of a library."""
        module = path.rpartition(".")[0]
        if path in known.BLIND:
            self.shadow.gap(f"`{path}` was called, and what it binds or changes is not followed")
        if path in known.ATOMS or module in known.ATOM_MODULES:
            return NOTHING
        if path in self.shadow.pure:
            return self.fresh("", node, pending, open=True)
        if path in known.CHANGES_FIRST and given.positional:
            return self._change_first(path, node, given, pending)
        if path in known.CONSTRUCTORS or path in known.PARTS_OF:
            type = known.CONSTRUCTORS.get(path, "generator")
            made = self.fresh(type, node, pending, open=path in ("collections.defaultdict", "sum"))
            parts = self.heap.parts(given.all - self.code.keys()) | frozenset().union(*given.named.values())
            self.heap.put(made, ANY_ITEM, parts, self.shadow.now)
            return made
        if path in known.PAIRS_OF:
            pair = self.holding("tuple", (node, "pair"), self.heap.parts(given.all), pending)
            self.heap.many |= pair
            return self.holding("generator", node, pair, pending)
        if path in known.PART_OF:
            return self.heap.parts(given.all) | given.all
        if path in ("getattr", "vars", "super", "map") or module in known.PURE_MODULES:
            return self._special(path, module, node, given, pending)
        return self.unknown(given.all, node, pending)

    def _special(self, path: str, module: str, node: ast.Call, given: Given, pending: Pending) -> Objects:
        first = given.positional[0] if given.positional else NOTHING
        if path == "getattr":
            second = node.args[1] if len(node.args) > 1 else None
            exact = isinstance(second, ast.Constant)
            found = self.attribute(first, second.value) if exact else self.heap.part(first, ANY)  # type: ignore[union-attr]
            return found | frozenset().union(*given.positional[2:])
        if path == "vars":
            return first
        if path == "super":
            own = self.shadow.names_in(pending.frame.number)
            return next(iter(own.values()), NOTHING)
        if path == "map" or module in known.HANDS_ON:
            return self.unknown_but_pure(given.all, node, pending)
        made = self.fresh("", node, pending, open=True)
        self.heap.put(made, ANY, self.heap.parts(given.all - self.code.keys()), self.shadow.now)
        return made

    def unknown_but_pure(self, objects: Objects, node: ast.Call, pending: Pending) -> Objects:
        """A call that changes nothing, of which the result may hold what went in or what that held."""
        plain = frozenset(n for n in objects if n not in self.paths and n not in self.code)
        held = self.heap.parts(plain) | self._call_back(objects, plain, pending)
        made = self.fresh("", node, pending, open=True)
        self.heap.put(made, ANY, held | plain, self.shadow.now)
        return made

    def _change_first(self, path: str, node: ast.Call, given: Given, pending: Pending) -> Objects:
        first, others = given.positional[0], frozenset().union(*given.positional[1:])
        arg = node.args[0]
        if not first and path != "next":
            first = self.late(arg, pending)
        key: str | None = None
        name = node.args[1] if len(node.args) > 1 else None
        if path in ("setattr", "delattr"):
            named = isinstance(name, ast.Constant) and isinstance(name.value, str)
            key = f".{name.value}" if named else None  # type: ignore[union-attr]
        parts = self.heap.parts(first)
        self.heap.put(first, key or ANY_ITEM, others, self.shadow.now)
        if key is None:
            self.heap.put(first, ANY_ITEM, parts, self.shadow.now)
        certain = path in ("setattr", "delattr") or self.are_containers(first)
        self.change(first, key, pending, certain=certain, via=self.root(arg, pending))
        return parts | others
