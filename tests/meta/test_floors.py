"""The floors, where import-linter cannot say them: what a fresh process loads, front doors, pickles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coda.cli.main import VERBS
from tests.meta.source import PACKAGE, ROOMS, ROOT, dotted, imports, modules

HEAVY = ("fastapi", "opentelemetry", "starlette", "textual", "uvicorn", "websockets")


def loaded_by(code: str) -> frozenset[str]:
    """Gives the modules that a fresh interpreter has after running some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; sys.stderr.write(' '.join(sys.modules))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return frozenset(done.stderr.split())


def tops(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in names)


def test_import_coda_loads_nothing_else() -> None:
    loaded = loaded_by("import coda")
    assert {name for name in loaded if name.partition(".")[0] == "coda"} == {"coda"}
    assert not {"click", "msgspec", "lark", "rich", *HEAVY} & tops(loaded)


def test_help_loads_click_alone() -> None:
    loaded = loaded_by("from coda.cli.main import main; assert main(['--help']) == 0")
    assert {name for name in loaded if name.partition(".")[0] == "coda"} == {
        "coda",
        "coda.cli",
        "coda.cli.main",
        "coda.cli.options",
        "coda.errors",
    }
    assert "click" in loaded
    assert not {"msgspec", "lark", "rich", *HEAVY} & tops(loaded)


def test_a_run_without_coroutines_needs_no_event_loop() -> None:
    loaded = loaded_by("import coda.cli.exec, coda.runtime.sandbox")
    assert not {"asyncio", "ssl", "logging"} & loaded


@pytest.mark.parametrize("room", ["log", "query", "runtime", "replay", "forking"])
def test_a_lower_room_loads_no_heavy_library(room: str) -> None:
    assert not {*HEAVY, "click", "lark"} & tops(loaded_by(f"import coda.{room}"))


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_loads_its_room_only_when_it_runs(verb: str) -> None:
    assert not {*HEAVY, "lark"} & tops(loaded_by(f"import coda.cli.{verb}"))


def test_a_plain_query_needs_no_parser_library() -> None:
    loaded = loaded_by("from coda.query import parse; parse('read *.env')")
    assert not {*HEAVY, "lark", "click"} & tops(loaded)


def test_viewer_and_collector_do_not_load_each_other() -> None:
    assert "textual" not in tops(loaded_by("import coda.collector"))
    assert not {"fastapi", "uvicorn", "opentelemetry"} & tops(loaded_by("import coda.viewer"))


def test_rooms_are_entered_by_their_front_doors() -> None:
    broken = []
    for path in [*modules(), *sorted((ROOT / "examples").rglob("*.py"))]:
        inside = path.relative_to(PACKAGE).parts[0] if path.is_relative_to(PACKAGE) else ""
        for found in imports(path):
            whole = f"{found.module}.{found.name}" if found.name else found.module
            parts = whole.split(".")
            if len(parts) < 3 or parts[0] != "coda" or parts[1] not in ROOMS or parts[1] == inside:
                continue
            # The command's own entrance is the one inner module that others name.
            if found.module == "coda.cli.main":
                continue
            deeper = found.module.count(".") > 1
            is_submodule = (PACKAGE / parts[1] / f"{parts[2]}.py").exists() and not _exports(
                parts[1], parts[2]
            )
            if deeper or is_submodule:
                broken.append(f"{path.relative_to(ROOT)}:{found.line} reaches into {whole}")
    assert not broken, "\n".join(broken)


def _exports(room: str, name: str) -> bool:
    from importlib import import_module

    return name in import_module(f"coda.{room}").__all__


# A verb may: it must start fast. Nobody else, lest a cycle hides there.
def test_no_import_of_ours_hides_in_a_function() -> None:
    hidden = [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.module}"
        for path in modules()
        if path.parent.name != "cli"
        for found in imports(path)
        if found.nested and found.module.partition(".")[0] == "coda" and not _same_room(path, found.module)
    ]
    assert not hidden, "\n".join(hidden)


def _same_room(path: Path, module: str) -> bool:
    return dotted(path).split(".")[:2] == module.split(".")[:2]


def test_pickles_are_made_and_read_by_workers_alone() -> None:
    """The worker is not trusted: host, collector, viewer and cli never unpickle anything."""
    serialisers = {"pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "copyreg"}
    users = {
        dotted(path)
        for path in modules()
        for found in imports(path)
        if found.module.partition(".")[0] in serialisers
    }
    strays = {name for name in users if not _is_worker_code(name)}
    assert not strays


def _is_worker_code(name: str) -> bool:
    """Whether a module belongs to the part of a room that runs in the worker process."""
    room, *rest = name.split(".")[1:]
    return room in ("runtime", "replay") and any(part.startswith("worker") for part in rest)
