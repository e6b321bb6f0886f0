"""What must not be in a public repository: paths of one machine, hosts of one network, leftovers."""

from __future__ import annotations

import re
from pathlib import Path

from tests.meta.source import ROOT, modules, own_files

# Each has a one-letter class in it, so that this file does not hold what it looks for.
_PATHS = re.compile(
    "|".join(
        [
            r"(?<![\w.$}~-])/(?:wor[k]|roo[t])/",
            *(re.escape(f"{path}/") for path in (ROOT, Path.home()) if len(path.parts) > 1),
        ]
    )
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
        if _LEFTOVERS.search(line.partition("#")[2]) or "NotImplementedError" in line
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
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in own_files()
        if path.suffix == ".py" and path.is_relative_to(ROOT / "tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.match(r"\s*(?:await asyncio|time)\.slee[p]\((?!0\))", line)
    ]
    assert not found
