"""`coda log`, `check` and `runs` as a user runs them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coda.log import open_trace
from tests.conftest import RunCoda
from tests.support.traces import agent_trace, fork_trace, program_trace


def test_log_shows_lines_with_what_they_bound(tmp_path: Path, coda: RunCoda) -> None:
    program_trace(tmp_path / "t.jsonl")
    done = coda("log", "t.jsonl", "--from", "4", "--to", "12")
    assert (done.status, done.err) == (0, "")
    assert [line[18:] for line in done.out.splitlines()] == [
        "     1    import os   # os = <module os>",
        "     3    limit = 3   # limit = 3",
        "     4    total = 0   # total = 0",
        "     7    def add(item):",
        "    13    for n in range(limit):   # n = 0",
        "    14    add(n)",
        "     9      total += item  in add   # total = 0",
        "    10      return total  in add",
        "    13    # n = 1",
        "    14    add(n)",
    ]
    assert "\x1b[" not in done.out


def test_log_masks_secrets_unless_told(tmp_path: Path, coda: RunCoda) -> None:
    program_trace(tmp_path / "t.jsonl")
    for options in ((), ("--json",)):
        assert "sk-test-0123456789abcdefghij" not in coda("log", "t.jsonl", *options).out
        assert "sk-test-0123456789abcdefghij" in coda("log", "t.jsonl", "--show-secrets", *options).out


def test_log_json_is_one_object_for_each_event(tmp_path: Path, coda: RunCoda) -> None:
    path = agent_trace(tmp_path / "t.jsonl")
    rows = [msgspec.json.decode(line) for line in coda("log", "t.jsonl", "--json").out.splitlines()]
    assert [row["seq"] for row in rows] == list(range(open_trace(path).count()))
    some = coda("log", "t.jsonl", "--json", "--type", "ctx.set", "--type", "ctx.mutated", "--block", "2").out
    assert [msgspec.json.decode(line)["type"] for line in some.splitlines()] == [
        "ctx.set",
        "ctx.set",
        "ctx.mutated",
    ]


def test_log_of_a_fork_is_the_whole_run_or_its_own_part(tmp_path: Path, coda: RunCoda) -> None:
    parent = program_trace(tmp_path / "p.jsonl")
    fork_trace(tmp_path / "f.jsonl", parent, 12)
    assert len(coda("log", "f.jsonl", "--json").out.splitlines()) == 19
    own = coda("log", "f.jsonl", "--json", "--own").out.splitlines()
    assert [msgspec.json.decode(line)["seq"] for line in own] == list(range(12, 19))


def test_log_says_what_is_wrong_in_one_sentence(tmp_path: Path, coda: RunCoda) -> None:
    path = program_trace(tmp_path / "t.jsonl")
    done = coda("log", "t.jsonl", "--type", "file.rad")
    assert (done.status, done.out) == (2, "")
    assert "there is no event type 'file.rad'; did you mean" in done.err
    assert coda("log", "missing.jsonl").status == 2
    with path.open("ab") as file:
        file.write(b'{"type"')
    done = coda("log", "t.jsonl", "--follow")
    assert done.status == 0
    assert "the last line is torn: 7 bytes" in done.err


def test_check_answers_by_its_status(tmp_path: Path, coda: RunCoda) -> None:
    path = program_trace(tmp_path / "t.jsonl")
    done = coda("check", "t.jsonl")
    assert done.status == 0
    assert done.out.startswith("consistent: t.jsonl: 31 events in 16 records")
    head = done.out.split()[-1]
    assert coda("check", "t.jsonl", "--head", head).out.endswith(
        f"authentic: as your digest says\nhead {head}\n"
    )
    assert coda("check", "t.jsonl", "--head", "0" * 64).status == 1
    assert coda("check", "t.jsonl", "--head", "abc").status == 2
    path.write_bytes(path.read_bytes().replace(b'"seq":26', b'"seq":27'))
    done = coda("check", "t.jsonl")
    assert done.status == 1
    assert "event 27" in done.out
    report = msgspec.json.decode(coda("check", "t.jsonl", "--json").out)
    assert (report["schema"], report["consistent"], report["damage"][0]["seq"]) == ("coda.check/1", False, 27)


def test_runs_lists_whatever_is_there(tmp_path: Path, coda: RunCoda) -> None:
    assert coda("runs").status == 0
    runs = tmp_path / ".coda" / "runs"
    for name in ("one", "two", "three"):
        (runs / name).mkdir(parents=True)
    program_trace(runs / "one" / "trace.jsonl")
    agent_trace(runs / "two" / "trace.jsonl")
    (runs / "three" / "trace.jsonl").write_text("no trace\n")
    rows = {row["kind"]: row for row in map(msgspec.json.decode, coda("runs", "--json").out.splitlines())}
    assert set(rows) == {"exec", "run", "?"}
    assert (rows["exec"]["task"], rows["exec"]["outcome"], rows["exec"]["events"]) == ("prog.py", "error", 31)
    assert (rows["run"]["task"], rows["run"]["input_tokens"]) == ("count the words", 600)
    assert rows["?"]["outcome"] == "damaged"
    table = coda("runs", ".").out
    assert "count the words" in table
    assert "630" in table
    assert coda("log", "20260314T15", "--json").status == 2  # no run folder has that name
    assert coda("log", "one", cwd=runs).status == 0
