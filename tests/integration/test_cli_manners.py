"""What every verb owes its user on bad input, with `--json`, and with secrets in the trace."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import RunCoda

pytestmark = pytest.mark.slow

KEY = "sk-proj-" + "Zq9xW3tLm7Rv" * 3
PROGRAM = f"""
import os
key = "{KEY}"
coded = "{base64.b64encode(f"api_key = {KEY}".encode()).decode()}"
limit = 3
total = 0
for number in range(5):
    if number > limit:
        total += number
print("using", key, coded)
with open(".env", "w") as file:
    file.write("OPENAI_API_KEY=" + key)
with open(".env") as file:
    print(len(file.read()))
"""

# Each verb that reads a trace, as it is asked about TRACE.
READERS: dict[str, tuple[str, ...]] = {
    "log": ("log", "TRACE"),
    "check": ("check", "TRACE"),
    "replay": ("replay", "TRACE"),
    "state": ("state", "TRACE", "--at", "12"),
    "fork": ("fork", "TRACE", "--at", "12"),
    "diff": ("diff", "TRACE", "TRACE"),
    "query": ("query", "read *.env", "TRACE"),
    "why": ("query", "why total", "TRACE"),
    "export": ("export", "TRACE", "--dry-run"),
}


def asked(reader: str, trace: str | Path) -> list[str]:
    return [str(trace) if word == "TRACE" else word for word in READERS[reader]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real recording with a secret in source, values, output and files."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "coda", "exec", "-o", "trace.jsonl", "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "trace.jsonl"


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_trace_is_one_sentence(reader: str, coda: RunCoda) -> None:
    ran = coda(*asked(reader, "nowhere.jsonl"))
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("coda: ")
    assert "nowhere.jsonl" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"hello\n", b"\x00\xff" * 500, b"{}\n", b'{"type":"header"}\n', b"[1,2]\n"],
    ids=["empty", "blank", "text", "binary", "object", "half-header", "list"],
)
def test_a_file_that_is_no_trace_is_said_to_be_none(
    reader: str, content: bytes, coda: RunCoda, tmp_path: Path
) -> None:
    trace = tmp_path / "odd.jsonl"
    trace.write_bytes(content)
    ran = coda(*asked(reader, trace))
    assert ran.status in ({1, 2} if reader == "check" else {2})
    assert "Traceback" not in ran.err
    assert "a defect of coda" not in ran.err
    assert "odd.jsonl" in ran.err + ran.out


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_trace_with_json_is_one_object(reader: str, coda: RunCoda) -> None:
    ran = coda(*asked(reader, "nowhere.jsonl"), "--json")
    assert ran.status == 2
    answer = json.loads(ran.out)
    assert list(answer) == ["schema", "error"]
    assert answer["error"]["kind"] == "UsageError"
    assert ran.err == ""


@pytest.mark.parametrize("reader", READERS)
def test_every_answer_in_json_names_its_schema_first(reader: str, recorded: Path, coda: RunCoda) -> None:
    ran = coda(*asked(reader, recorded), "--json")
    assert ran.status in (0, 2) if reader == "why" else ran.status == 0, ran.err
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert rows
    if reader == "log":
        assert [row["seq"] for row in rows] == list(range(len(rows)))
    else:
        assert all(next(iter(row)) == "schema" for row in rows)
        assert len({row["schema"] for row in rows}) == 1


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("reader", READERS)
def test_no_verb_prints_a_secret_unless_asked(
    reader: str, as_json: bool, recorded: Path, coda: RunCoda
) -> None:
    ran = coda(*asked(reader, recorded), *(["--json"] if as_json else []))
    for form in (KEY, base64.b64encode(f"api_key = {KEY}".encode()).decode()):
        assert form not in ran.out + ran.err


@pytest.mark.parametrize("reader", ["log", "query"])
def test_a_reader_that_stops_early_ends_a_verb_quietly(reader: str, recorded: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "coda", *asked(reader, recorded)],
            stdout=writing,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
