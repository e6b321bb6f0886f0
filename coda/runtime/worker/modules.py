"""Python files under the workspace are agent code: instrumented, with their source kept.

Guarantee: libraries and environment folders are never touched; bytecode under the workspace is neither read
nor written, so that an edited module is always the one that runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from types import CodeType
from typing import Any

_SKIPPED = ("site-packages", "dist-packages", "node_modules", ".git", ".venv")


_PREFIXES = tuple({os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, sys.exec_prefix)})
PACKAGE_FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""Where coda itself is imported from."""


def is_library(folder: str, *workspaces: str) -> bool:
    """Whether a folder is an environment's, or an installation's, and not a workspace's."""
    for prefix in (*_PREFIXES, PACKAGE_FOLDER):
        inside = folder == prefix or folder.startswith(prefix + os.sep)
        # A workspace may lie inside a prefix, a prefix inside a workspace is no part of it.
        if inside and not any(top.startswith(prefix + os.sep) for top in workspaces):
            return True
    return any(part in _SKIPPED for part in folder.split(os.sep))


def write_no_bytecode() -> None:
    """Lets no import write bytecode; what agent code reads in `sys.dont_write_bytecode` stays as it is."""
    SourceFileLoader._cache_bytecode = _keep_nothing  # type: ignore[attr-defined]


def _keep_nothing(_self: Any, _source_path: str, _cache_path: str, _data: bytes) -> None:
    """In place of the method that writes a `.pyc`."""


class AgentLoader(SourceFileLoader):
    """Compiles a workspace module through the instrumenter."""

    compiler: Callable[[str, str, bytes], CodeType]
    quiet: Callable[[], AbstractContextManager[None]]

    def get_code(self, fullname: str) -> CodeType:
        """Reads, tells of and compiles the source."""
        path = self.get_filename(fullname)
        with type(self).quiet():  # the compiler tells of it
            data = self.get_data(path)
        return type(self).compiler(fullname, path, data)


class AgentFinder:
    """Meta path finder: gives workspace modules to `AgentLoader`, everything else to the others."""

    def __init__(
        self,
        folders: Sequence[str],
        compiler: Callable[[str, str, bytes], CodeType],
        on_library: Callable[[str], None],
        quiet: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._on_library = on_library
        self._quiet = quiet
        self._folders = tuple(os.path.realpath(folder) for folder in folders)
        self._loader = type(
            "AgentLoader", (AgentLoader,), {"compiler": staticmethod(compiler), "quiet": staticmethod(quiet)}
        )

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        """Gives a spec for a source module that lies in the workspace, else None."""
        with self._quiet():
            spec = self._find(name, path)
        if spec is None:
            self._on_library(name)
        return spec

    def _find(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        for entry in sys.path if path is None else path:
            folder = os.path.realpath(entry or os.getcwd())
            if not self._is_agents(folder):
                continue
            finder = FileFinder(folder, (self._loader, [".py"]))
            spec = finder.find_spec(name)
            if spec is not None and spec.loader is not None:
                spec.cached = None
                return spec
        return None

    def _is_agents(self, folder: str) -> bool:
        inside = any(folder == top or folder.startswith(top.rstrip(os.sep) + os.sep) for top in self._folders)
        return inside and not is_library(folder, *self._folders)

    def invalidate_caches(self) -> None:
        """Nothing is cached: a file made by agent code is found at once."""
