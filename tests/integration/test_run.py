from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coda.log import open_trace
from tests.conftest import ROOT, RunCoda

EXAMPLE = ROOT / "examples" / "agent"
STOCK = "article,count\nchair,2\ntable,1\nmug,9\nlamp,3\n"


def test_the_example_runs_to_its_answer(coda: RunCoda, tmp_path: Path) -> None:
    (tmp_path / "stock.csv").write_text(STOCK)
    ran = coda(
        "run",
        "What is our stock worth?",
        "--script",
        EXAMPLE / "inventory.md",
        "--tools",
        EXAMPLE / "prices.py",
    )
    assert ran.status == 0, ran.err
    assert ran.out.startswith("The stock is worth 191.")
    assert "  block 3: error" in ran.err
    assert "LookupError: lamp is not in the price list" in ran.err
    path = ran.err.rstrip("\n").rpartition("trace: ")[2]
    assert Path(path).is_relative_to(tmp_path / ".coda" / "runs")
    trace = open_trace(Path(path))
    assert trace.finished is not None
    assert (trace.finished.outcome, trace.finished.text) == ("ok", ran.out.rstrip("\n"))
    assert [block.outcome for block in trace.blocks] == ["ok", "ok", "error", "ok"]
    assert (tmp_path / "report.txt").read_text() == "4 articles, worth 191; without a price: lamp\n"


def test_the_example_from_python(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE / "take_stock.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "4 turns, 4 blocks, finished: done" in ran.stdout


def test_json(coda: RunCoda, tmp_path: Path) -> None:
    (tmp_path / "s.md").write_text("<!-- reply input_tokens=5 output_tokens=2 -->\nDone.\n")
    ran = coda("run", "x", "--script", "s.md", "-o", "t.jsonl", "--json", "--model", "toy")
    assert json.loads(ran.out) == {
        "schema": "coda.run/1",
        "text": "Done.",
        "turns": 1,
        "finish_reason": "done",
        "blocks": 0,
        "input_tokens": 5,
        "output_tokens": 2,
        "trace": "t.jsonl",
        "error": None,
    }
    started = open_trace(tmp_path / "t.jsonl").started
    assert (started.task, started.model, started.kind) == ("x", "toy", "run")


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        ("```python\nx = 1\n```\n", ["--max-turns", "1"], "not done: the limit of turns was reached"),
        ("```python\nx = 1\n```\n", [], "not done: s.md has 1 reply and the agent asked for number 2"),
        ("<!-- reply finish_reason=length -->\n```python\nx = 1", [], "the model's reply was cut"),
    ],
)
def test_not_done_is_status_1(
    coda: RunCoda, tmp_path: Path, script: str, options: list[str], message: str
) -> None:
    (tmp_path / "s.md").write_text(script)
    ran = coda("run", "x", "--script", "s.md", "-o", "t.jsonl", *options)
    assert (ran.status, ran.out) == (1, "")
    assert message in ran.err
    assert ran.err.endswith("trace: t.jsonl\n")


def test_what_the_caller_gets_wrong_is_status_2_and_one_sentence(coda: RunCoda, tmp_path: Path) -> None:
    (tmp_path / "s.md").write_text("Done.\n")
    (tmp_path / "old.jsonl").write_text("precious\n")
    for options, message in [
        (["--script", "none.md"], "cannot read the script none.md: No such file or directory"),
        ([], "no model is connected: give its replies in a file with --script FILE"),
        (["--script", "s.md", "--root", "none"], "is not a folder"),
        (["--script", "s.md", "--tools", "none.py"], "the file of tools none.py is not a Python file"),
        (["--script", "s.md", "--max-turns", "0"], "--max-turns takes a whole number from 1 on"),
        (["--script", "s.md", "-o", "old.jsonl"], "old.jsonl"),
    ]:
        ran = coda("run", "x", *options)
        assert (ran.status, ran.out) == (2, ""), ran
        assert message in ran.err
        assert ran.err.count("\n") == 1
    assert (tmp_path / "old.jsonl").read_text() == "precious\n"
    assert coda("run", "x", "--script", "s.md", "-o", "old.jsonl", "--force").status == 0


def test_ctrl_c_in_a_block_leaves_a_closed_trace(tmp_path: Path) -> None:
    (tmp_path / "s.md").write_text(
        "```python\nopen('started', 'w').close()\nimport time\nwhile True:\n    time.sleep(0.01)\n```\n"
    )
    os.mkfifo(tmp_path / "started")
    reader = os.open(tmp_path / "started", os.O_RDONLY | os.O_NONBLOCK)
    process = subprocess.Popen(
        [sys.executable, "-m", "coda", "run", "x", "--script", "s.md", "-o", "t.jsonl"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # The block opens the pipe and closes it again: that end of file is the sign that it runs.
        poll = select.poll()
        poll.register(reader, select.POLLHUP)
        assert poll.poll(60_000)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        os.close(reader)
        process.kill()
    assert (process.returncode, err.splitlines()[-1]) == (130, "coda: interrupted")
    trace = open_trace(tmp_path / "t.jsonl")
    assert trace.torn is None
    assert trace.finished is not None
    assert trace.finished.outcome == "interrupted"
