"""The module `__main__` of agent code, as the interpreter would make it for a file, a folder or `-m`.

Guarantee: names, their order and their values are those of a plain run; loaders and specs are of the types
that a plain run has, never coda's own.
"""

from __future__ import annotations

import builtins
import importlib.util
import os
import runpy
import sys
import zipimport
from importlib.machinery import BuiltinImporter, ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, Final

# Before 3.12 the call of `exec` counts, which is then runpy's own and stands in a plain run too.
FRAMES_OF_MODULE: Final = 0 if sys.version_info < (3, 12) else 1
"""Frames around a module's code that a plain run has not, against those around a script's."""


def new_main_module(*, file: str | None, program: str = "") -> ModuleType:
    """Makes a fresh `__main__` and installs it.

    Args:
        file: the program's file; None when there is none.
        program: what was named on the command line: the file, or a folder or zip file that holds it.
    """
    module = ModuleType("__main__")
    space = module.__dict__
    space.update(__spec__=None, __annotations__={}, __builtins__=builtins)
    if file is None and program == "-":
        space.update(__file__="<stdin>", __cached__=None, __loader__=BuiltinImporter)
    if file is not None:
        space.update(__file__=file, __cached__=None, __loader__=SourceFileLoader("__main__", file))
        if os.path.basename(file) == "__main__.py" and os.path.abspath(program) == os.path.dirname(file):
            space.update(_facts(_spec_of(file, space["__loader__"])))
    sys.modules["__main__"] = module
    return module


def _spec_of(file: str, loader: SourceFileLoader) -> ModuleSpec | None:
    holder = os.path.dirname(file)
    if os.path.isfile(holder):
        return zipimport.zipimporter(holder).find_spec("__main__")
    return importlib.util.spec_from_file_location("__main__", file, loader=loader)


def become_module(namespace: dict[str, Any], name: str) -> dict[str, str]:
    """Finds what `python -m NAME` would run, and makes `__main__` look like it.

    Raises:
        ImportError: there is no such module with source.
    """
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{name}.__main__")
    loader: Any = spec.loader if spec is not None else None
    source = loader.get_source(spec.name) if spec is not None and hasattr(loader, "get_source") else None
    if spec is None or source is None or spec.origin is None:
        raise ImportError(f"no module named {name!r} with Python source that could be run")
    if isinstance(loader, SourceFileLoader):
        spec.loader = SourceFileLoader(spec.name, spec.origin)
    namespace.update(_facts(spec))
    sys.argv[0] = spec.origin
    return {"file": spec.origin, "source": source}


def refusal_of(name: str) -> str | None:
    """What the interpreter says of a module that it cannot run; None when it could run it."""
    try:
        runpy._get_module_details(name, runpy._Error)  # type: ignore[attr-defined]
    except runpy._Error as error:  # type: ignore[attr-defined]
        return f"{sys.executable}: {error}\n"
    except Exception:  # noqa: BLE001  what its packages raise is told elsewhere
        return None
    return None


def runs_as_module(module: ModuleType) -> bool:
    """Whether it is a folder or a module that runs, which the interpreter hands to `runpy`."""
    return module.__dict__.get("__spec__") is not None


def run_as_module(code: CodeType, namespace: dict[str, Any]) -> None:
    """Runs code as `runpy` does for the interpreter, in frames of its own that tracebacks show."""
    run: Any = runpy._run_module_as_main  # type: ignore[attr-defined]
    names = run.__globals__  # the module itself: what we name `runpy` may be a copy (see `ownership`)
    spec = namespace["__spec__"]
    folder = spec.name == "__main__"
    asked = "_get_main_module_details" if folder else "_get_module_details"
    original = names[asked]

    def found(*_: Any) -> tuple[str, ModuleSpec, CodeType]:
        names[asked] = original  # before agent code runs: it may use runpy itself
        return spec.name, spec, code

    names[asked] = found
    run(spec.name, not folder)


def _facts(spec: ModuleSpec | None) -> dict[str, Any]:
    assert spec is not None
    return {
        "__file__": spec.origin,
        "__package__": spec.parent,
        "__loader__": spec.loader,
        "__spec__": spec,
        "__cached__": spec.cached,
    }
