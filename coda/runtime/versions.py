"""Versions of libraries, as the folders beside them say: what a later divergence may come from.

Guarantee: nothing is imported, and nothing is read but the names in a folder of libraries. A distribution
with another name than its module is not found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

_FOLDERS = ("site-packages", "dist-packages")
_INFO = ".dist-info"


def version_of(module: str, path: Iterable[str]) -> str | None:
    """Gives the version of the library that a module is of; None when it cannot be told.

    Args:
        module: its full name.
        path: where modules are looked for, as `sys.path`.

    Cost: one listing of each folder of libraries.
    """
    wanted = _plain(module.partition(".")[0])
    for folder in path:
        if os.path.basename(folder) in _FOLDERS:
            for name in _names_in(folder):
                title, _, version = name.removesuffix(_INFO).rpartition("-")
                if name.endswith(_INFO) and _plain(title) == wanted:
                    return version
    return None


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")
