"""Seals compared while a trace is read: what was changed is said, what was not vouched for too."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda.errors import LogError
from coda.log import Header, Output, RunFinished, RunStarted, SealWatch, TraceWriter, open_trace
from coda.log import seals as seals_module
from tests.conftest import RunCoda
from tests.support.traces import fork_trace, program_trace


def sealed_often(path: Path, *, finish: bool = True) -> Path:
    """Writes a trace of some thirty records with a seal after every few; its last bytes may lack one."""
    started = RunStarted(
        wall="2026-01-02T03:04:05Z", kind="exec", coda="0", python="3.11.7", level="values", value_limit=256,
        line_limit=10**7, hash_seed=0, random_seed=0, cwd="/", root="/",
    )  # fmt: skip
    writer = TraceWriter(path, Header(run="r"), clock=lambda: 0, seal_bytes=400)
    writer.append(started)
    for number in range(30):
        writer.append(Output(stream="stdout", text=f"line {number} " + "x" * (7 * number % 90)))
    if finish:
        writer.append(RunFinished(outcome="ok"))
        writer.close()
    else:
        writer.append(Output(stream="stdout", text="last"))
        writer._file._fd = -1  # the recorder dies here: nothing more is written
    return path


@pytest.mark.parametrize("piece_bytes", [7, 64, 500, 4 << 20])
def test_any_changed_byte_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int) -> None:
    monkeypatch.setattr(seals_module, "_PIECE_BYTES", piece_bytes)
    whole = sealed_often(tmp_path / "t.jsonl").read_bytes()
    assert seals_module.read_seals(tmp_path / "t.jsonl")[:3] == (None, 0, 0)
    assert whole.count(b'"type":"seal"') > 5
    places = [at for at in range(0, len(whole), 97) if whole[at : at + 1].isalnum()]
    for at in places:
        changed = bytearray(whole)
        changed[at] = ord("7") if changed[at] != ord("7") else ord("8")
        (tmp_path / "d.jsonl").write_bytes(changed)
        try:
            broken = seals_module.read_seals(tmp_path / "d.jsonl").broken
        except LogError:
            continue  # the seal itself cannot be read any more
        # A seal that no longer looks like one is covered by the next; only the last byte has none.
        assert broken is not None or at > whole.rfind(b"\n", 0, -1), at


def test_what_no_seal_covers_is_counted(tmp_path: Path) -> None:
    path = sealed_often(tmp_path / "t.jsonl", finish=False)
    whole = path.read_bytes()
    last = whole.rindex(b'{"type":"seal"')
    behind = len(whole) - whole.index(b"\n", last) - 1
    assert behind > 0
    assert seals_module.read_seals(path).unsealed_bytes == behind
    watch = SealWatch(open_trace(path))
    assert watch.damage() is None
    # The dead writer's descriptor is still open in this process, and holds the lock.
    assert watch.unsealed() is None
    path.rename(tmp_path / "old.jsonl")
    path.write_bytes(whole)
    assert f"{behind:,} bytes" in str(SealWatch(open_trace(path)).unsealed())


def test_of_a_parent_counts_what_the_fork_relied_on(tmp_path: Path) -> None:
    parent = program_trace(tmp_path / "p.jsonl")
    fork = open_trace(fork_trace(tmp_path / "f.jsonl", parent, 12))
    assert SealWatch(fork).damage() is None
    data = bytearray(parent.read_bytes())
    relied = fork.header.parent.offset if fork.header.parent is not None else 0
    assert relied
    data[relied - 3] ^= 1
    parent.write_bytes(data)
    assert "p.jsonl" in str(SealWatch(open_trace(fork.path)).damage())


def test_log_query_and_why_say_that_a_record_was_changed(tmp_path: Path, coda: RunCoda) -> None:
    path = program_trace(tmp_path / "t.jsonl")
    data = path.read_bytes()
    changed = data.replace(b"limit = 3", b"limit = 4", 1)
    assert changed != data
    path.write_bytes(changed)
    program_trace(tmp_path / "good.jsonl")
    rows = coda("log", "t.jsonl")
    assert (rows.status, len(rows.out.splitlines()) > 10) == (2, True)
    assert "damaged or was changed: the seal at byte" in rows.err
    assert coda("log", "t.jsonl", "--type", "run.started").status == 2
    assert coda("log", "t.jsonl", "--follow").status == 2
    assert coda("export", "t.jsonl", "--dry-run").status == 2
    assert coda("export", "good.jsonl", "--dry-run").status == 0
    assert coda("log", "good.jsonl").err == ""
    for question in ("set limit", "read *.env", "set limit | first 1", "line | count", "why total"):
        assert coda("query", question, "good.jsonl").status in (0, 1)
        done = coda("query", question, "t.jsonl")
        assert (done.status, "damaged or was changed" in done.err) == (2, True), question
    both = coda("query", "set limit | count", "t.jsonl", "good.jsonl")
    assert (both.status, both.out.split()) == (2, ["2"])


def test_of_several_traces_one_that_cannot_be_read_spoils_no_other(tmp_path: Path, coda: RunCoda) -> None:
    program_trace(tmp_path / "good.jsonl")
    (tmp_path / "not.jsonl").write_text("hello\n")
    done = coda("query", "set limit | count", "missing.jsonl", "not.jsonl", "good.jsonl")
    assert (done.status, done.out.split()) == (2, ["1"])
    assert "there is no trace missing.jsonl" in done.err
    assert "not.jsonl is not a coda trace" in done.err
