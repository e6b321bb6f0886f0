"""Start of a worker: `python -m coda.runtime.worker READ_FD WRITE_FD CONTROL_FD`.

What is imported from here on has builtins of its own (see `ownership`), so this module imports nothing.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class OwnBuiltins:
    """Meta path finder for coda's own modules: each gets the builtins of this object, not everybody's."""

    def __init__(self) -> None:
        self.builtins = dict(vars(builtins))
        self.after: Callable[[ModuleType], None] = _nothing
        """Called with each module that was executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        """Gives coda's modules a loader that puts our builtins into them; None for every other."""
        if not name.startswith("coda."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            # Functions take the builtins that their module has when they are made.
            module.__dict__["__builtins__"] = self.builtins
            run(module)
            self.after(module)

        loader.exec_module = exec_module
        return spec


def _nothing(_module: ModuleType) -> None:
    return


if __name__ == "__main__":
    finder = OwnBuiltins()
    sys.meta_path.insert(0, finder)
    import_module("coda.runtime.worker.bootstrap").serve(*map(int, sys.argv[1:4]), finder)
