"""The project's own files, as the meta tests read them."""

from __future__ import annotations

import ast
import functools
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "coda"
ROOMS = ("cli", "collector", "config", "forking", "log", "query", "replay", "runtime", "viewer")


class Imported(NamedTuple):
    """One import of one name."""

    module: str
    """What is imported, or imported from."""
    name: str | None
    """The name after `from module import`, else None."""
    line: int
    nested: bool
    """Whether it stands inside a function."""


@functools.cache
def modules() -> tuple[Path, ...]:
    """Gives all modules of the package, sorted."""
    return tuple(sorted(PACKAGE.rglob("*.py")))


def dotted(path: Path) -> str:
    """Gives the module name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def tree(path: Path) -> ast.Module:
    """Gives a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[Imported]:
    """Gives a file's imports, except those that only a type checker sees."""
    yield from _imports(tree(path), nested=False)


def _imports(node: ast.AST, *, nested: bool) -> Iterator[Imported]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Imported(alias.name, None, child.lineno, nested) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (Imported(child.module or "", a.name, child.lineno, nested) for a in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _imports(other, nested=nested)
        else:
            inside = nested or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, nested=inside)


@functools.cache
def project() -> dict[str, Any]:
    """Gives pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@functools.cache
def own_files() -> tuple[Path, ...]:
    """Gives the files that are in the repository, or would be with the next commit."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    paths = (ROOT / name for name in listing.split("\0") if name)
    return tuple(sorted(path for path in paths if path.is_file()))
