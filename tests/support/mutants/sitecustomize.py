"""Run by an interpreter that has this folder on its path: takes one rule of the worker away.

`MUTANT` is `module|code`: the code is run in that module's namespace when it has been imported.
"""

from __future__ import annotations

import os
from importlib.machinery import SourceFileLoader
from types import ModuleType


def mutate(wanted: str, code: str) -> None:
    """Has the code run after the import of the module."""
    real = SourceFileLoader.exec_module

    def exec_module(loader: SourceFileLoader, module: ModuleType) -> None:
        real(loader, module)
        if module.__name__ == wanted:
            exec(code, module.__dict__)

    setattr(SourceFileLoader, "exec_module", exec_module)


if "MUTANT" in os.environ:
    mutate(*os.environ["MUTANT"].split("|", 1))
