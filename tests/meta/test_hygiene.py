"""What must not be in a public repository: paths of one machine, hosts of one network, leftovers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.meta.source import ROOT, modules, own_files, tree

# Each has a one-letter class in it, so that this file does not hold what it looks for.
_PATHS = re.compile(
    r"(?<![\w.$}~-])(?:/(?:wor[k]|roo[t])|"
    + "|".join(re.escape(str(path)) for path in (ROOT, Path.home()) if len(path.parts) > 1)
    + ")/"
)
_HOSTS = re.compile(
    r"p[y]pi\.org|python[h]osted\.org|npm[j]s\.(?:org|com)|deb\.[d]ebian\.org|proxy\.[g]olang"
)
_LEFTOVERS = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b(?![-/*|])")
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".json", ".jsonl", ".txt", ".cfg", ".tcss", ".sh", ""}


def test_no_file_names_this_machine_or_a_package_registry() -> None:
    found = []
    for path in own_files():
        if path.suffix not in TEXT:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if _PATHS.search(line) or _HOSTS.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found


def test_no_module_holds_unfinished_business() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if _LEFTOVERS.search(line.partition("#")[2])
    ]
    assert not found


def test_only_a_documented_method_of_a_base_class_is_not_implemented() -> None:
    for path in modules():
        allowed = {
            id(item.body[-1])
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ClassDef)
            for item in node.body
            if isinstance(item, ast.FunctionDef) and len(item.body) == 2 and ast.get_docstring(item)
        }
        found = [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Raise)
            and node.exc is not None
            and "NotImplementedError" in ast.unparse(node.exc)
            and id(node) not in allowed
        ]
        assert not found


def test_every_silenced_check_gives_its_code() -> None:
    bare = re.compile(r"#\s*(?:no[q]a(?!:)|type:\s*ignore(?!\[))")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in own_files()
        if path.suffix == ".py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line)
    ]
    assert not found


def test_tests_do_not_sleep() -> None:
    """Programs that a test records may: they are texts, or files of the corpus."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in own_files()
        if path.suffix == ".py" and path.is_relative_to(ROOT / "tests")
        if not path.is_relative_to(ROOT / "tests/corpus")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("time.sleep", "asyncio.sleep", "sleep")
        and [ast.unparse(argument) for argument in node.args] != ["0"]
    ]
    assert not found


def test_nothing_cites_a_paper_that_is_not_here() -> None:
    """Short names of rules mean something to those alone who have the list."""
    cited = re.compile(r"\((?:R[0-9]{1,2}|A-[0-9]{2}|RULES)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in own_files()
        if path.suffix in (".py", ".md", ".toml")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if cited.search(line)
    ]
    assert not found
