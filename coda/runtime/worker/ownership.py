"""The worker's own builtins and its own view of the modules that it uses: agent code shares neither.

Guarantee: agent code may delete a builtin, set `os.write` or all of `time` and `msgspec` to nonsense, and
coda's modules go on with what was there before it began. What they reach through the standard library's
own Python code is covered between blocks only (`pristine`); elsewhere whoever calls it expects it to fail.
(The other way, to look each name up once and keep it, is forgotten at the next edit.)
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, ModuleType
from typing import Any, Protocol

_SHARED = frozenset({"builtins", "__main__", "coda"})
_HOOKS = frozenset({"excepthook", "displayhook", "unraisablehook", "breakpointhook"})
_GONE = object()


class Finder(Protocol):
    """What gives coda's modules their builtins when they are imported (`__main__` of the worker)."""

    builtins: dict[str, Any]
    after: Callable[[ModuleType], None]


class Ownership:
    """What coda's modules use in this process."""

    def __init__(self, finder: Finder | None = None) -> None:
        self._finder = finder
        self._builtins = finder.builtins if finder is not None else dict(vars(builtins))
        self._copies: dict[int, tuple[ModuleType, ModuleType]] = {}

    def freeze(self) -> None:
        """Gives coda's modules copies of the modules that they use, as they are now: shims in place."""
        self._builtins.update(vars(builtins))
        for name, module in list(sys.modules.items()):
            if name == "coda" or name.startswith("coda."):
                self._keep(module)
        if self._finder is not None:
            self._finder.after = self._keep

    def pristine(self, modules: bool = False) -> _Pristine:
        """Context in which everybody has the builtins of the start: the standard library works for us.

        On leaving, what agent code had made of them is put back.

        Args:
            modules: also what is in the modules that we use. Cost: looks at each name of each.
        """
        pairs = [(vars(module), vars(copy)) for module, copy in self._copies.values()] if modules else []
        return _Pristine([(vars(builtins), self._builtins), *pairs])

    def _keep(self, module: ModuleType) -> None:
        for name, value in list(vars(module).items()):
            if type(value) is ModuleType and value.__name__.partition(".")[0] not in _SHARED:
                vars(module)[name] = self._copy(value)

    def _copy(self, module: ModuleType) -> ModuleType:
        if id(module) in self._copies:
            return self._copies[id(module)][1]
        if module is sys:
            copy: ModuleType = _Sys(module)
        else:
            copy = ModuleType(module.__name__, module.__doc__)
            vars(copy).update(vars(module))
        self._copies[id(module)] = module, copy
        for name, value in list(vars(copy).items()):
            if type(value) is ModuleType and (
                value is os.path or value.__name__.startswith(f"{module.__name__}.")
            ):
                vars(copy)[name] = self._copy(value)
        return copy


class _Sys(ModuleType):
    """`sys` with its functions as they were; its streams, paths and hooks change for good reasons."""

    def __init__(self, real: ModuleType) -> None:
        super().__init__("sys")
        vars(self).update(
            {
                name: value
                for name, value in vars(real).items()
                if isinstance(value, BuiltinFunctionType) and name not in _HOOKS
            }
        )
        vars(self)["_real"] = real

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_real"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(vars(self)["_real"], name, value)


class _Pristine:
    # Not made by contextlib: that would need the very builtins that are missing.

    def __init__(self, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
        self._changed = [
            (live, name, live.get(name, _GONE), value)
            for live, ours in pairs
            for name, value in ours.items()
            if live.get(name, _GONE) is not value and type(value) is not ModuleType and name != "_real"
        ]

    def __enter__(self) -> None:
        for live, name, _, ours in self._changed:
            live[name] = ours

    def __exit__(self, *_: object) -> None:
        for live, name, theirs, _ours in self._changed:
            if theirs is _GONE:
                live.pop(name, None)
            else:
                live[name] = theirs
