"""The user's key, what it vouches for, and what `check` and a replay make of that."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from coda.log import (
    FoundKey,
    Header,
    Key,
    Note,
    Parent,
    TraceWriter,
    check_trace,
    find_key,
    is_own,
    open_trace,
)
from tests.conftest import RunCoda

MINE = Key("0123456789abcdef", b"m" * 32)
HERS = Key("fedcba9876543210", b"h" * 32)


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    """An environment with a state folder of its own."""
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def path_of(state: dict[str, str]) -> Path:
    return Path(state["XDG_STATE_HOME"]) / "coda" / "key"


def trace_by(key: Key | None, path: Path, *, close: bool = True, seal_bytes: int = 300) -> Path:
    writer = TraceWriter(path, Header(run=path.stem), key=key, seal_bytes=seal_bytes)
    for number in range(12):
        writer.append(Note(text=f"note {number} {'x' * 40}"))
    if close:
        writer.close()
    else:
        writer._seal_bytes = 1 << 20
        writer.append(Note(text="last"))
        writer._file.close()  # the recorder dies here
    return path


def test_a_key_is_made_once_and_for_its_user_alone(state: dict[str, str]) -> None:
    assert find_key(environ=state) == FoundKey(
        None, path_of(state), f"there is no key at {path_of(state)}; the next recording makes one"
    )
    made = find_key(make=True, environ=state)
    assert made.key is not None
    assert len(made.key.secret) == 32
    assert find_key(make=True, environ=state) == find_key(environ=state) == made
    assert stat.S_IMODE(path_of(state).stat().st_mode) == 0o600
    assert stat.S_IMODE(path_of(state).parent.stat().st_mode) == 0o700
    assert os.listdir(path_of(state).parent) == ["key"]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.chmod(0o640), "others may read or change it"),
        (lambda path: path.write_text("abc\n"), "it is damaged"),
        (lambda path: path.write_bytes(b"\xff" * 65), "it is damaged"),
        (lambda path: (path.rename(path.with_name("k")), path.symlink_to("k")), "cannot be used"),
        (lambda path: (path.unlink(), path.mkdir()), "it is no file"),
    ],
    ids=["readable", "short", "binary", "link", "folder"],
)
def test_a_key_that_is_not_safe_is_not_used(spoil: object, problem: str, state: dict[str, str]) -> None:
    find_key(make=True, environ=state)
    spoil(path_of(state))  # type: ignore[operator]
    found = find_key(make=True, environ=state)
    assert found.key is None
    assert problem in (found.problem or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_without_a_place_for_a_key_there_is_none(tmp_path: Path, state: dict[str, str]) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be used" in (find_key(make=True, environ=state).problem or "")


def test_where_the_state_folder_is_a_file_there_is_no_key(state: dict[str, str]) -> None:
    Path(state["XDG_STATE_HOME"]).write_text("")
    assert "cannot be used" in (find_key(make=True, environ=state).problem or "")


def test_own_is_what_the_key_signed_to_its_end(tmp_path: Path) -> None:
    mine = trace_by(MINE, tmp_path / "mine.jsonl")
    assert is_own(open_trace(mine), MINE)
    assert not is_own(open_trace(mine), HERS)
    assert not is_own(open_trace(trace_by(None, tmp_path / "unsigned.jsonl")), MINE)
    killed = trace_by(MINE, tmp_path / "killed.jsonl", close=False)
    assert not is_own(open_trace(killed), MINE)
    assert [check_trace(path, key=MINE).signature for path in (mine, killed)] == ["own", "part"]
    assert [check_trace(path, key=HERS).signature for path in (mine, killed)] == ["other", "other"]
    assert check_trace(tmp_path / "unsigned.jsonl", key=MINE).signature == "none"
    assert [check_trace(mine, key=key).authentic for key in (MINE, HERS)] == [True, None]


def test_no_edit_keeps_a_trace_own(tmp_path: Path) -> None:
    """An editor can make digests anew, but not what the key makes of them."""
    whole = trace_by(MINE, tmp_path / "t.jsonl").read_bytes()
    for at in range(0, len(whole), 41):
        (tmp_path / "d.jsonl").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        report = check_trace(tmp_path / "d.jsonl", key=MINE)
        assert report.authentic is not True, at
        assert report.signature != "own"
    (tmp_path / "forged.jsonl").unlink(missing_ok=True)
    forger = Key(MINE.id, b"f" * 32)  # knows the name of the key, not the key
    report = check_trace(trace_by(forger, tmp_path / "forged.jsonl"), key=MINE)
    assert (report.consistent, report.authentic) == (False, None)
    assert "bears the name of your key, which did not make it" in report.damage[0].what
    (tmp_path / "longer.jsonl").write_bytes(whole + b'{"type":"note","seq":12,"text":"added"}\n')
    longer = check_trace(tmp_path / "longer.jsonl", key=MINE)
    assert (longer.consistent, longer.signature, longer.authentic) == (True, "part", None)
    assert not is_own(open_trace(tmp_path / "longer.jsonl"), MINE)
    shorter = whole[: whole.rindex(b'{"type":"note"')]
    (tmp_path / "shorter.jsonl").write_bytes(shorter)
    assert check_trace(tmp_path / "shorter.jsonl", key=MINE).finished is False


def test_a_fork_is_own_when_its_parents_are(tmp_path: Path) -> None:
    for name, key in (("mine", MINE), ("hers", HERS)):
        parent = trace_by(key, tmp_path / f"{name}.jsonl")
        header = Header(
            run=f"{name}-fork", parent=Parent(run=name, path=f"{name}.jsonl", seq=5, position="5")
        )
        with TraceWriter(tmp_path / f"{name}-fork.jsonl", header, first_seq=5, key=MINE) as writer:
            writer.append(Note(text="of my own"))
        fork = open_trace(tmp_path / f"{name}-fork.jsonl")
        assert is_own(fork, MINE) is (key is MINE)
        assert (check_trace(fork.path, key=MINE).signature == "own") is (key is MINE)
        parent.write_bytes(parent.read_bytes().replace(b"note 3", b"note 9"))
        assert not is_own(open_trace(fork.path), MINE)


@pytest.mark.slow
def test_check_says_whose_a_recording_is(tmp_path: Path, coda: RunCoda) -> None:
    (tmp_path / "prog.py").write_text("print(1)\n")
    env = {"XDG_STATE_HOME": str(tmp_path / "mine")}
    assert coda("exec", "--quiet", "-o", "t.jsonl", "prog.py", env=env).status == 0
    assert stat.S_IMODE((tmp_path / "mine" / "coda" / "key").stat().st_mode) == 0o600
    mine = coda("check", "t.jsonl", env=env)
    assert mine.status == 0
    assert "authentic: signed with your key\n" in mine.out
    hers = coda("check", "t.jsonl", env={"XDG_STATE_HOME": str(tmp_path / "hers")})
    assert hers.status == 0
    assert "not known to be authentic: another key than yours signed it\n" in hers.out
    secret = (tmp_path / "mine" / "coda" / "key").read_text().strip()
    assert secret not in (tmp_path / "t.jsonl").read_text()
    # Where no key can be kept, a recording is made all the same.
    (tmp_path / "none").write_text("")
    env = {"XDG_STATE_HOME": str(tmp_path / "none")}
    assert coda("exec", "--quiet", "-o", "u.jsonl", "prog.py", env=env) == (0, "1\n", "")
    assert "no key signed it" in coda("check", "u.jsonl", env=env).out
