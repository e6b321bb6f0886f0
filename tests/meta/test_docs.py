"""Pages say what is there: make targets, dependencies, links, markers, decisions, fragments."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.source import ROOT, imports, modules, own_files, project

PAGES = [path for path in own_files() if path.suffix == ".md"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", text("Makefile"), flags=re.MULTILINE))


def test_every_make_target_is_documented_and_real() -> None:
    pages = text("README.md") + text("CONTRIBUTING.md")
    assert make_targets() <= set(re.findall(r"`make ([a-z]+)", pages))
    everywhere = set(
        re.findall(r"`make ([a-z]+)`", "".join(page.read_text(encoding="utf-8") for page in PAGES))
    )
    assert everywhere <= make_targets()


def declared() -> set[str]:
    return {re.split(r"[<>=!~\[ ]", line, maxsplit=1)[0] for line in project()["project"]["dependencies"]}


def test_every_dependency_is_justified_in_one_line() -> None:
    table = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", text("ARCHITECTURE.md"), flags=re.MULTILINE)
    assert {name for name, _ in table} == declared()


MODULE_OF = {
    "markdown-it-py": "markdown_it",
    "prometheus-client": "prometheus_client",
    "opentelemetry-api": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
}

# Libraries that are part of what a declared one offers: its types are theirs.
CARRIED = {
    "google": "opentelemetry-exporter-otlp-proto-http",
    "pydantic": "fastapi",
    "pygments": "rich",
    "requests": "opentelemetry-exporter-otlp-proto-http",
    "starlette": "fastapi",
}


def test_every_dependency_is_used_and_every_import_declared() -> None:
    used = {found.module for path in modules() for found in imports(path)}
    outside = {name.partition(".")[0] for name in used} - set(sys.stdlib_module_names) - {"coda"}
    homes = {MODULE_OF.get(name, name): name for name in declared()}
    unused = {
        name for home, name in homes.items() if not any(m == home or m.startswith(f"{home}.") for m in used)
    }
    # uvicorn finds websockets by itself; nothing of ours names it.
    assert unused <= {"websockets"}
    assert set(CARRIED.values()) <= declared()
    assert outside <= {home.partition(".")[0] for home in homes} | set(CARRIED)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose)
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert not [target for target in local if not (page.parent / target).exists()]


@pytest.mark.slow
def test_the_readme_s_python_runs_as_it_stands(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", text("README.md"), flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "45"
    assert lines[-1] == "True"
    assert [line.split(" ", 1)[1] for line in lines if " line " in line] == [
        "line 1 total = sum(range(10))",
        "line 2 print(total)",
    ]


def test_the_readme_keeps_a_place_for_the_demo() -> None:
    page = text("README.md")
    assert page.count("<!-- demo:begin -->") == page.count("<!-- demo:end -->") == 1
    assert page.index("<!-- demo:begin -->") < page.index("<!-- demo:end -->")


def test_a_decision_says_what_was_rejected_and_how_we_would_notice() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = [int(path.name[:4]) for path in decisions]
    assert numbers == list(range(1, len(decisions) + 1))
    for path in decisions:
        headings = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert headings == ["Context", "Decision", "Rejected", "How we would notice"], path.name


def test_changelog_fragments_are_named_for_their_kind() -> None:
    names = [path.name for path in (ROOT / "changelog").glob("*.md") if path.name != "README.md"]
    assert not [
        name for name in names if not re.fullmatch(r"[a-z0-9-]+\.(feature|bugfix|change|removal)\.md", name)
    ]
