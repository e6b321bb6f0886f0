"""`make demo` works in any folder, and README.md shows what it really prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "demo" / "demo.py"
RUN_ID = re.compile(r"\b\d{8}T\d{6}-[0-9a-f]{6}\b")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo prints, run once in a folder of its own, with nothing of the repository around it."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, str(DEMO), "--folder", str(folder / "any where")],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout


def section(shown: str, verb: str) -> list[str]:
    """The lines that the first command of a verb printed."""
    after = shown.partition(f"\n$ coda {verb} ")[2]
    return [line[2:] for line in after.partition("\n# ")[0].splitlines()[1:] if line.startswith("  ")]


def test_the_agent_fails_once_and_repairs_itself(shown: str) -> None:
    lines = section(shown, "run")
    assert any("block 2: error" in line and "AttributeError" in line for line in lines)
    assert any(line.strip().startswith("block 4: ok") for line in lines)
    assert any(line.startswith("The triage is done") for line in lines)


def test_the_run_is_verified_by_replay(shown: str) -> None:
    assert section(shown, "replay")[0].startswith("faithful")


def test_the_state_tells_why_the_block_failed(shown: str) -> None:
    text = "\n".join(section(shown, "state"))
    assert "these need to become classes" in text
    assert re.search(r"len\(hits\)\D+\d+", text)


def test_the_read_of_the_settings_is_found_with_its_line(shown: str) -> None:
    rows = section(shown, "query")
    assert len(rows) >= 1
    assert all(".env" in row for row in rows)
    assert any("block 4 line" in row for row in rows)


def test_the_other_threshold_gives_another_report(shown: str) -> None:
    lines = section(shown, "diff")
    assert lines[0].startswith("differs ")
    assert "if points >= limit" in lines[0]
    assert "ctx.urgent" in lines[0]
    text = "\n".join(lines)
    assert "TRIAGE.md: changed" in text
    assert re.search(r"changed\s+limit 3 -> 5", text)


def test_changing_nothing_is_said_to_change_nothing(shown: str) -> None:
    assert "no change; identical to parent" in shown.rpartition("\n$ coda fork ")[2]


def test_no_secret_is_printed(shown: str) -> None:
    assert "ghp_not0a0real" not in shown


def plain(text: str) -> list[str]:
    """Lines without what may differ between machines and Python versions: ids, numbers, spaces, quotes."""
    text = RUN_ID.sub("RUN", text)
    return [re.sub(r"\d+", "N", line).strip() for line in text.splitlines() if line.strip()]


def test_the_readme_shows_what_the_demo_prints(shown: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.partition("<!-- demo:begin -->")[2].partition("<!-- demo:end -->")[0]
    block = block.replace("\n  ↪ ", " ")  # lines that were folded
    lines = [line for line in block.splitlines() if line.strip() and not line.startswith("```")]
    assert sum(line.startswith("$ coda ") for line in lines) >= 7
    real = plain(shown)
    for line in plain("\n".join(lines)):
        if line.startswith(("…", "trace: ", "faithful: ", "isolation ")):
            continue  # cut here, or another folder or kernel there
        assert line in real, line
