"""Front doors: what `__all__` says is what there is, and the root's lazy names all lead somewhere."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module

import pytest

import coda
from tests.meta.source import PACKAGE, ROOMS, ROOT, project, tree


def imported_by(body: list[ast.stmt]) -> set[str]:
    """Gives the names that statements import from the package."""
    return {
        alias.asname or alias.name
        for node in body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("coda.")
        for alias in node.names
    }


# What a worker imports before its shims are in place looks its names up late (docs/adr/0005).
LAZY = ("log", "runtime")


@pytest.mark.parametrize("room", sorted({*ROOMS} - {*LAZY}))
def test_a_front_door_is_imports_and_all(room: str) -> None:
    door = tree(PACKAGE / room / "__init__.py")
    assert ast.get_docstring(door), "a front door says what the room is for"
    others = [
        ast.unparse(node)
        for node in door.body[1:]
        if not isinstance(node, ast.Import | ast.ImportFrom)
        and not (isinstance(node, ast.Assign | ast.AnnAssign) and "__all__" in ast.unparse(node))
    ]
    assert not others, "a front door holds imports and __all__ only"
    exported = import_module(f"coda.{room}").__all__
    assert sorted(exported) == sorted(imported_by(door.body))
    assert len(exported) == len(set(exported))


@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_front_door_shows_type_checkers_what_it_looks_up(name: str) -> None:
    """Its table, `__all__` and the imports for type checkers agree."""
    door = tree(PACKAGE / name / "__init__.py")
    seen = [node.body for node in door.body if isinstance(node, ast.If)]
    room = import_module(f"coda.{name}")
    assert [sorted(imported_by(body)) for body in seen] == [sorted(room.__all__)]
    assert sorted(room._HOMES) == sorted(room.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = room.nonsense


@pytest.mark.parametrize("room", [f"coda.{room}" for room in ROOMS] + ["coda"])
def test_every_exported_name_is_there_and_documented(room: str) -> None:
    module = import_module(room)
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value):
            assert value.__doc__, f"{room}.{name} has no docstring"


def test_the_root_lists_its_lazy_names() -> None:
    assert sorted(coda.__all__) == list(coda.__all__)
    assert set(coda.__all__) <= set(dir(coda))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = coda.nonsense


def test_the_version_is_the_one_of_the_distribution() -> None:
    assert coda.__version__ == project()["project"]["version"]


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import coda.replay",
        "import coda.query",
        "from coda.replay import *",
        "from coda import replay, query",
        "import coda.forking",
    ],
)
def test_rooms_with_a_function_s_name_mean_the_same_in_every_order(before: str) -> None:
    """`coda.replay` is the package and can be called, whoever imported what before."""
    code = (
        f"{before}\n"
        "import sys, coda\n"
        "assert coda.replay is sys.modules['coda.replay'], coda.replay\n"
        "assert coda.query is sys.modules['coda.query'], coda.query\n"
        "assert callable(coda.replay) and callable(coda.query)\n"
        "from coda.query import query\n"
        "try:\n    coda.query('read', [], nonsense=1)\n"
        "except TypeError as error:\n    assert 'nonsense' in str(error)\n"
        "else:\n    raise SystemExit('the call did not reach the function')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
