"""Calls on the path: which frame a call opened, what went in, and what code that is not followed may do.

Guarantee: an argument is the caller's object, a result the one that was returned. A call that opened no
frame of agent code is known by its name (`coda.query.known`), or may have changed all that it was given.
"""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

from coda.query import known
from coda.query.effects import Code, Effects, Given
from coda.query.frames import Frame
from coda.query.heap import ANY, ANY_ITEM, NOTHING, Objects
from coda.query.pending import Pending
from coda.query.trees import Definition

if TYPE_CHECKING:
    from coda.query.shadow import Shadow

_BUILTINS = frozenset(dir(builtins))
_DEPTH = 20


class Calls(Effects):
    """The part of an evaluation that deals with calls and the objects of code."""

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self._modules: dict[str, int] = {}
        self._taken: dict[tuple[Objects, str], int] = {}
        self._classes: dict[int, int] = {}
        self._bound: dict[tuple[int, Objects], int] = {}
        self._waiting: dict[int, tuple[Definition, dict[str, Objects], Frame]] = {}
        self._yielding: dict[Definition, bool] = {}
        """Which functions are generators; remembered, since they are called many times."""
        self._depth = 0

    # --- objects --------------------------------------------------------------------------------

    def name(self, name: str, pending: Pending) -> Objects:
        """Gives what a name stands for; a name that nothing bound is something from outside."""
        for overlay in reversed(pending.overlays):
            if name in overlay:
                return overlay[name]
        scope = self.shadow.scope_of(pending.frame, name)
        found = self.shadow.get(scope, name)
        if found is None and scope != pending.frame.module:
            found = self.shadow.get(pending.frame.module, name)
        if found is not None or name in _BUILTINS or name in self.shadow.pure:
            return found or NOTHING
        made = frozenset({self.heap.new(open=True)})
        self.shadow.inject(pending.frame.module, name, made)
        return made

    def attribute(self, objects: Objects, name: str) -> Objects:
        """Gives an attribute of objects: their own, their class's, or a member of a module."""
        if name == "__dict__":
            return objects
        modules = {number for number in objects if number in self.paths}
        found = {member for number in modules for member in self.member(number, name)}
        if name in known.CHANGES and objects - modules:
            # A method that is taken without being called: it changes the object whenever that is done.
            key = (objects - modules, name)
            taken = self._taken.get(key)
            if taken is None:
                taken = self._taken[key] = self.heap.new("method")
                self.methods[taken] = key
                self.heap.put(frozenset({taken}), ".__self__", objects - modules, self.shadow.now)
            found.add(taken)
        found |= self.heap.part(objects - modules, f".{name}")
        for number in objects - modules:
            made_by = self._classes.get(number)
            if made_by is not None:
                for member in self.heap.part(frozenset({made_by}), f".{name}"):
                    found.add(self._bind_method(member, frozenset({number})))
        return frozenset(found)

    def callee(self, func: ast.expr, pending: Pending) -> Objects:
        """Gives what is called, as far as it is code or comes from a module."""
        if not isinstance(func, ast.Attribute):
            return self.value(func, pending)
        objects, key = self.value(func.value, pending), f".{func.attr}"
        modules = {number for number in objects if number in self.paths}
        found = {member for number in modules for member in self.member(number, func.attr)}
        for number in objects - modules:
            found |= self.heap.held(number, key)
            made_by = self._classes.get(number)
            for member in self.heap.held(made_by, key) if made_by is not None else ():
                found.add(self._bind_method(member, frozenset({number})))
        return self.only_code(frozenset(found))

    def only_code(self, objects: Objects) -> Objects:
        """Gives the functions and modules among objects: nothing changes them, but they are called."""
        return frozenset(n for n in objects if n in self.code or n in self.paths or n in self.methods)

    def _bind_method(self, number: int, receiver: Objects) -> int:
        code = self.code.get(number)
        if code is None or code.receiver is not None or isinstance(code.node, ast.ClassDef):
            return number
        if "staticmethod" in _decorators(code.node):
            return number
        bound = self._bound.get((number, receiver))
        if bound is None:
            bound = self._bound[number, receiver] = self.heap.new("function")
            self.code[bound] = code._replace(receiver=receiver)
            self.heap.put(frozenset({bound}), ".__self__", receiver, self.shadow.now)
        return bound

    def imported(self, path: str, pending: Pending) -> Objects:
        """Gives the object of an imported module or member."""
        owner, _, name = path.rpartition(".")
        if path not in self.shadow.files and owner in self.shadow.files:
            return self.member(self.module(owner), name)
        return frozenset({self.module(path)})

    def modules_of(self, scope: int | str) -> list[int]:
        """Gives the objects of the module whose names live in a scope."""
        return [self._modules[name] for name in self.shadow.modules_in(scope) if name in self._modules]

    def module_paths(self, objects: Objects) -> list[str]:
        """Gives the paths of the modules among objects."""
        return [self.paths[number] for number in objects if number in self.paths]

    def member(self, number: int, name: str) -> Objects:
        """Gives a member of a module: what its own code bound, when that is on the path."""
        path = self.paths[number]
        scope = self.shadow.files.get(path)
        if path == "sys" and name == "modules":
            self.shadow.gap("`sys.modules` was used, and what is done to modules by it is not followed")
        inner = f"{path}.{name}"
        if scope is None or inner in self.shadow.files:
            return frozenset({self.module(inner)})
        return self.shadow.get(scope, name) or NOTHING

    def module(self, path: str) -> int:
        """Gives the one object of a module or of a member of one."""
        number = self._modules.get(path)
        if number is None:
            number = self._modules[path] = self.heap.new("module")
            self.paths[number] = path
        return number

    # --- definitions ----------------------------------------------------------------------------

    def define(self, node: Definition, pending: Pending) -> Objects:
        """Gives the object that a `def` or `class` makes."""
        made = self.fresh("function", node, pending)
        (number,) = made
        unit = self.shadow.unit(pending.frame.key[0])
        path = unit.paths.get(self.shadow.frames.ids[pending.entry], "") if unit is not None else ""
        defaults: dict[str, Objects] = {}
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                self.heap.hand_down(self.value(base, pending), made, self.shadow.now)
            for frame in pending.implied:
                for name, objects in self.shadow.names_in(frame.number).items():
                    self.heap.put(made, f".{name}", objects, self.shadow.now, strong=True)
        else:
            names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
            last = node.args.defaults
            for name, default in zip(names[len(names) - len(last) :], last, strict=True):
                defaults[name] = self.value(default, pending)
            for arg, other in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                defaults[arg.arg] = self.value(other, pending) if other is not None else NOTHING
        self.code[number] = Code(node, path, pending.frame, None, defaults, {})
        return made

    def define_lambda(self, node: ast.Lambda, pending: Pending) -> Objects:
        """Gives the object that a lambda makes."""
        made = self.fresh("function", node, pending)
        (number,) = made
        overlay = {name: objects for names in pending.overlays for name, objects in names.items()}
        self.code[number] = Code(node, "", pending.frame, None, {}, overlay)
        return made

    # --- frames ---------------------------------------------------------------------------------

    def open(self, frame: Frame, definition: Definition | None, caller: Pending | None) -> None:
        """Takes in that a statement opened a frame: binds the parameters."""
        if caller is None or definition is None:
            return
        if isinstance(definition, ast.ClassDef):
            self.shadow.outer[frame.number] = caller.frame
            caller.implied.append(frame)
            return
        call, code = self._call_of(frame, definition, caller)
        if code is not None:
            self.shadow.outer[frame.number] = code.frame
        elif (guess := self._enclosing(frame)) is not None:
            self.shadow.outer[frame.number] = guess
        if call is not None:
            caller.called.setdefault(call, []).append(frame)
            given = self.parameters(definition, call, code, frame, caller)
        else:
            given = self._implied_parameters(frame, definition, caller)
            caller.implied.append(frame)
        if definition not in self._yielding:
            self._yielding[definition] = _is_generator(definition)
        if self._yielding[definition]:
            self.shadow.generators[frame.number] = self._generator(definition, frame, call, caller)
        for name, objects in given.items():
            self._bind_parameter(frame, name, objects)

    def _bind_parameter(self, frame: Frame, name: str, objects: Objects) -> None:
        from coda.query.shadow import type_of

        kind = type_of(frame.args[name]) if name in frame.args else None
        if kind == "":
            objects = self.only_code(objects)
        elif kind is not None and not objects:
            objects = frozenset({self.heap.new(kind, open=True)})
        elif kind is not None:
            for number in objects:
                self.heap.types[number] = self.heap.types[number] or kind
        self.shadow.set(frame.number, name, objects)

    def _call_of(
        self, frame: Frame, definition: Definition, caller: Pending
    ) -> tuple[ast.Call | None, Code | None]:
        """Gives the call of a statement that opened a frame, and what was called."""
        unit = self.shadow.unit(caller.frame.key[0])
        calls = unit.calls.get(self.shadow.frames.ids[caller.entry], ()) if unit is not None else ()
        owner, _, last = frame.function.rpartition(".")
        names = {last, owner.rpartition(".")[2]} if last in ("__init__", "__new__") else {last}
        again: tuple[ast.Call, Code] | None = None
        alike: ast.Call | None = None
        for call in calls:
            code = self._leads_to(call, frame, definition, caller)
            if code is not None and call not in caller.called:
                return call, code
            if code is not None:
                again = call, code
            elif alike is None and call not in caller.called and _callee(call) in names:
                alike = call
        return again or (alike, None)

    def _leads_to(self, call: ast.Call, frame: Frame, definition: Definition, caller: Pending) -> Code | None:
        for number in self.callee(call.func, caller):
            code = self.code.get(number)
            if code is None:
                continue
            if code.node is definition:
                return code
            if isinstance(code.node, ast.ClassDef) and frame.function.rpartition(".")[2] == "__init__":
                for init in self.heap.held(number, ".__init__"):
                    if init in self.code and self.code[init].node is definition:
                        made = frozenset({self._instance(call, number, caller)})
                        return self.code[init]._replace(receiver=made)
        return None

    def _instance(self, call: object, number: int, pending: Pending) -> int:
        (made,) = self.fresh("", call, pending, open=True)
        self._classes[made] = number
        # What its class holds is seen by it, too.
        self.heap.put(frozenset({made}), ".__class__", frozenset({number}), self.shadow.now)
        return made

    def _enclosing(self, frame: Frame) -> Frame | None:
        outer = frame.function.rpartition(".<locals>.")[0]
        for candidate in reversed(self.shadow.frames.frames[: frame.number] if outer else ()):
            if candidate.function == outer and candidate.key[0] == frame.key[0]:
                return candidate
        return None

    def given(self, call: ast.Call, pending: Pending) -> Given:
        """Gives the arguments of a call."""
        positional: list[Objects] = []
        rest: Objects = NOTHING
        stars = False
        for arg in call.args:
            found = self.value(arg, pending)
            if isinstance(arg, ast.Starred):
                stars, rest = True, rest | self.heap.parts(found)
            elif stars:
                rest |= found
            else:
                positional.append(found)
        named: dict[str, Objects] = {}
        for keyword in call.keywords:
            found = self.value(keyword.value, pending)
            if keyword.arg is None:
                stars, rest = True, rest | self.heap.parts(found)
            else:
                named[keyword.arg] = found
        return Given(positional, stars, named, rest)

    def parameters(
        self, definition: Definition, call: ast.Call, code: Code | None, frame: Frame | None, pending: Pending
    ) -> dict[str, Objects]:
        """Gives what the parameters of a function stand for in a call."""
        assert not isinstance(definition, ast.ClassDef)
        given = self.given(call, pending)
        positional = list(given.positional)
        receiver = code.receiver if code is not None else None
        if receiver is None and code is None and frame is not None and _is_method(frame.function):
            # What was called is not known: the method of whatever stands before the dot.
            if frame.function.endswith("__init__") and _callee(call) != "__init__":
                receiver = self.fresh("", call, pending, open=True)
            elif isinstance(call.func, ast.Attribute) and "staticmethod" not in _decorators(definition):
                receiver = self.value(call.func.value, pending)
        if receiver is not None:
            positional.insert(0, receiver)
        args = definition.args
        names = [arg.arg for arg in (*args.posonlyargs, *args.args)]
        found: dict[str, Objects] = dict(code.defaults) if code is not None else {}
        for name in [*names, *(arg.arg for arg in args.kwonlyargs)]:
            found.setdefault(name, NOTHING)
            if given.stars:
                found[name] |= given.rest
        found |= dict(zip(names, positional, strict=False))
        found |= {name: objects for name, objects in given.named.items() if name in found}
        if args.vararg is not None:
            left = frozenset().union(*positional[len(names) :]) | given.rest
            found[args.vararg.arg] = self.holding("tuple", (call, args.vararg.arg), left, pending)
        if args.kwarg is not None:
            left = frozenset().union(*(o for n, o in given.named.items() if n not in found)) | given.rest
            found[args.kwarg.arg] = self.holding("dict", (call, args.kwarg.arg), left, pending)
        return found

    def _implied_parameters(
        self, frame: Frame, definition: Definition, caller: Pending
    ) -> dict[str, Objects]:
        """Gives what parameters may stand for when no call names the function: an operator, a callback."""
        assert not isinstance(definition, ast.ClassDef)
        seen = frozenset(self.heap.reach(self._seen(caller)))
        for number in seen:
            waiting = self._waiting.get(number)
            if waiting is not None and waiting[0] is definition:
                self.shadow.outer[frame.number] = waiting[2]
                return waiting[1]
        args = definition.args
        arguments = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        arguments += [arg for arg in (args.vararg, args.kwarg) if arg is not None]
        given = {arg.arg: seen for arg in arguments}
        if _is_method(frame.function) and arguments:
            owner = frame.function.rpartition(".")[0]
            mine = {n for n in seen if n in self._classes and self._is_class(self._classes[n], owner)}
            given[arguments[0].arg] = frozenset(mine) or seen
        return given

    def _is_class(self, number: int, path: str) -> bool:
        code = self.code.get(number)
        return code is not None and code.path == path

    def _seen(self, pending: Pending) -> Objects:
        """Gives all objects that the names of a statement stand for."""
        from coda.query.trees import header

        found: Objects = NOTHING
        for part in header(pending.node) if pending.node is not None else ():
            for node in ast.walk(part):
                if isinstance(node, ast.Name):
                    found |= self.name(node.id, pending)
                elif isinstance(node, ast.Call):
                    found |= frozenset({pending.made[node]}) if node in pending.made else NOTHING
        return frozenset(number for number in found if number not in self.paths)

    def implied(self, pending: Pending) -> Objects:
        """Gives what frames that no call names have returned to a statement."""
        return frozenset().union(*(self.shadow.results.get(f.number, NOTHING) for f in pending.implied))

    # --- generators -----------------------------------------------------------------------------

    def _generator(self, definition: Definition, frame: Frame, call: ast.Call | None, caller: Pending) -> int:
        if call is not None:
            (number,) = self.fresh("generator", call, caller)
            return number
        for number in self.heap.reach(self._seen(caller)):
            waiting = self._waiting.get(number)
            if waiting is not None and waiting[0] is definition:
                return number
        return self.heap.new("generator")

    def yielded(self, objects: Objects, pending: Pending) -> None:
        """Hands what a generator yields to whoever goes over it."""
        number = self.shadow.generators.get(pending.frame.number)
        if number is not None:
            self.heap.put(frozenset({number}), ANY_ITEM, objects, self.shadow.now)

    # --- a call ---------------------------------------------------------------------------------

    def call(self, node: ast.Call, pending: Pending) -> Objects:
        """Gives what a call gave, and does what it did."""
        callee = self.callee(node.func, pending)
        frames = pending.called.get(node)
        if frames:
            return self._returned(node, frames, pending)
        given = self.given(node, pending)
        ours = [number for number in callee if number in self.code]
        if ours:
            found = (self._unframed(node, number, given, pending) for number in ours)
            return frozenset().union(*found)
        path = next((self.paths[number] for number in callee if number in self.paths), None)
        if path is None and isinstance(node.func, ast.Name) and not callee:
            path = node.func.id
        if path is not None:
            return self.by_path(path, node, given, pending)
        if isinstance(node.func, ast.Attribute):
            return self._call_method(node, node.func, given, pending)
        methods = [self.methods[number] for number in callee if number in self.methods]
        if methods:
            found = (self.by_method(node, name, held, node.func, given, pending) for held, name in methods)
            return frozenset().union(*found)
        inside = frozenset(self.heap.reach(callee)) - callee
        return self.unknown(given.all | inside, node, pending)

    def _call_method(self, node: ast.Call, func: ast.Attribute, given: Given, pending: Pending) -> Objects:
        objects, base = self.value(func.value, pending), func.value
        unbound = not objects and isinstance(base, ast.Name) and base.id in known.CONTAINERS
        if unbound and given.positional:  # list.append(rows, item)
            objects, base = given.positional[0], node.args[0]
            given = given._replace(positional=given.positional[1:])
        return self.by_method(node, func.attr, objects, base, given, pending)

    def _returned(self, node: ast.Call, frames: list[Frame], pending: Pending) -> Objects:
        last = frames[-1]
        if last.number in self.shadow.generators:
            return frozenset({self.shadow.generators[last.number]})
        if last.function.endswith("__init__") and _callee(node) != "__init__":
            return self.fresh("", node, pending, open=True)
        return frozenset().union(*(self.shadow.results.get(f.number, NOTHING) for f in frames))

    def _unframed(self, node: ast.Call, number: int, given: Given, pending: Pending) -> Objects:
        """A call of agent code of which the path shows no statement of its own."""
        code = self.code[number]
        if isinstance(code.node, ast.Lambda):
            return self.apply(code, given.positional, given.all, pending)
        if isinstance(code.node, ast.ClassDef):
            made = frozenset({self._instance(node, number, pending)})
            self.heap.put(made, ANY, given.all, self.shadow.now)
            return made
        if _is_generator(code.node):
            made = self.fresh("generator", node, pending)
            parameters = self.parameters(code.node, node, code, None, pending)
            self._waiting[next(iter(made))] = (code.node, parameters, code.frame)
            return made
        return NOTHING  # it raised before its first statement, or has none

    def apply(self, code: Code, positional: list[Objects], rest: Objects, pending: Pending) -> Objects:
        """Carries out the body of a lambda."""
        assert isinstance(code.node, ast.Lambda)
        if self._depth >= _DEPTH:
            return rest
        names = [arg.arg for arg in ast.walk(code.node.args) if isinstance(arg, ast.arg)]
        inner = Pending(pending.entry, pending.node, code.frame)
        inner.recording, inner.certain = pending.recording, pending.certain
        inner.made, inner.called = pending.made, pending.called
        inner.overlays = [code.overlay, dict.fromkeys(names, rest)]
        inner.overlays[-1].update(zip(names, positional, strict=False))
        self._depth += 1
        try:
            return self.value(code.node.body, inner)
        finally:
            self._depth -= 1


def _callee(call: ast.Call) -> str | None:
    func = call.func
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else None


def _is_method(path: str) -> bool:
    owner = path.rpartition(".")[0]
    return bool(owner) and not owner.endswith("<locals>")


def _decorators(node: Definition | ast.Lambda) -> set[str]:
    return {d.id for d in getattr(node, "decorator_list", ()) if isinstance(d, ast.Name)}


def _is_generator(node: Definition) -> bool:
    stack: list[ast.AST] = list(node.body)
    while stack:
        part = stack.pop()
        if isinstance(part, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            stack += ast.iter_child_nodes(part)
    return False
