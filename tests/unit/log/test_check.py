"""`check`: what is whole is called whole, and each kind of damage is found where it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from coda.errors import UsageError
from coda.log import CtxSet, Effect, Note, Report, check_trace, open_trace, to_envelope
from tests.support.traces import agent_trace, big_lines_trace, fork_trace, program_trace, started, writer


def edited(path: Path, old: bytes, new: bytes) -> Report:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return check_trace(path)


def test_whole_traces_are_consistent(tmp_path: Path) -> None:
    program = program_trace(tmp_path / "p.jsonl")
    for path, events, blobs in (
        (program, 31, 1),
        (agent_trace(tmp_path / "a.jsonl"), 48, 2),
        (big_lines_trace(tmp_path / "b.jsonl", 50_000), 50_004, 0),
        (fork_trace(tmp_path / "f.jsonl", program, 12), 19, 0),
    ):
        report = check_trace(path)
        assert report.consistent, report.damage
        assert (report.events, report.blobs, report.finished) == (events, blobs, True)
        assert (report.authentic, report.torn_offset, report.unsealed_bytes) == (None, None, 0)
        assert report.bytes == path.stat().st_size
        assert report.head == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("old", "new", "seq", "words"),
    [
        (b'"message":"done"', b'"message":"gone"', None, "seal"),
        (b'"seq":26', b'"seq":27', 27, "event 27 at byte"),
        (b'"cause":23', b'"cause":99', 24, "caused by event 99"),
        (b'"n":15,', b'"n":14,', 4, "says 14 events"),
        (b'"size":46', b'"size":"46"', 19, "malformed"),
        (b'"digest":"4322', b'"digest":"0000', 19, "missing"),
        (b'"digest":"4322', b'"digest":"../x', 19, "not the name of a blob"),
        (b'"events":31', b'"events":32', None, "counts 32 events"),
    ],
)  # fmt: skip
def test_damage_is_found_where_it_is(
    tmp_path: Path, old: bytes, new: bytes, seq: int | None, words: str
) -> None:
    report = edited(program_trace(tmp_path / "t.jsonl"), old, new)
    assert not report.consistent
    first = report.damage[0]
    assert (first.seq, words in first.what) == (seq, True), report.damage


def test_a_blob_that_was_changed_or_lost_is_found(tmp_path: Path) -> None:
    path = program_trace(tmp_path / "t.jsonl")
    digest = str(open_trace(path).event(19).fields["digest"])
    blob = open_trace(path).blobs.path(digest)
    blob.write_bytes(b"API_KEY=other")
    assert "damaged: its content has another digest" in check_trace(path).damage[0].what
    blob.unlink()
    report = check_trace(path)
    assert (report.damage[0].seq, "is missing" in report.damage[0].what) == (19, True)


def test_blobs_inside_values_count(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with writer(path) as out:
        out.append(started())
        value = to_envelope(["x" * 200_000], store=out.blobs)
        out.append(CtxSet(name="big", value={"deep": [value]}))
    assert check_trace(path).blobs == 1
    open_trace(path).blobs.path(value["d"]).unlink()
    assert not check_trace(path).consistent


def test_a_removed_record_a_repeated_one_and_a_swapped_pair_are_found(tmp_path: Path) -> None:
    path = program_trace(tmp_path / "t.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    for changed in (
        lines[:3] + lines[4:],
        lines[:4] + lines[3:],
        [*lines[:2], lines[3], lines[2], *lines[4:]],
        lines + lines[:1],
        [lines[0], *lines[2:]],
    ):
        path.write_bytes(b"".join(changed))
        assert not check_trace(path).consistent


def test_after_damage_the_rest_is_still_judged(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with writer(path) as out:
        out.append(started())
        out.append_many(Note(text=str(index)) for index in range(100))
    data = path.read_bytes()
    for index in (10, 50, 90):
        data = data.replace(b'"text":"%d"}' % index, b'"text":%d}' % index)
    path.write_bytes(data)
    report = check_trace(path)
    assert [damage.seq for damage in report.damage] == [11, 51, 91, None]
    path.write_bytes(data.replace(b'"type":"note"', b'"type":note'))
    report = check_trace(path)
    assert len(report.damage) == 20
    assert report.more_damage == 81


def test_authentic_needs_a_digest_from_outside(tmp_path: Path) -> None:
    path = program_trace(tmp_path / "t.jsonl")
    head = check_trace(path).head
    assert check_trace(path, head=head).authentic is True
    assert check_trace(path, head=head.upper()).authentic is True
    assert check_trace(path, head="0" * 64).authentic is False
    [seal] = open_trace(path).records(types={"seal"})
    assert check_trace(path, head=str(getattr(seal.record, "sha256"))).authentic is True
    # An editor who writes new seals is consistent, and found out.
    forged = tmp_path / "forged.jsonl"
    program_trace(forged, run="20260314T150926-ffffff")
    report = check_trace(forged, head=head)
    assert (report.consistent, report.authentic) == (True, False)


def test_a_seal_of_an_earlier_part_does_not_vouch_for_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with writer(path) as out:
        out.append(started())
        out.seal()
        out.append(Note(text="later"))
    first, last = [str(getattr(p.record, "sha256")) for p in open_trace(path).records(types={"seal"})]
    assert check_trace(path, head=first).authentic is False
    assert check_trace(path, head=last).authentic is True


def test_a_torn_tail_is_said_and_is_no_damage(tmp_path: Path) -> None:
    path = program_trace(tmp_path / "t.jsonl", finish=False)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"type":"no')
    report = check_trace(path)
    assert report.consistent
    assert (report.torn_offset, report.torn_bytes, report.finished) == (size, 11, False)
    assert report.bytes == size


def test_a_fork_vouches_for_what_it_took_from_its_parent(tmp_path: Path) -> None:
    parent = program_trace(tmp_path / "p.jsonl")
    fork = fork_trace(tmp_path / "f.jsonl", parent, 12)
    data = parent.read_bytes()
    parent.write_bytes(data.replace(b'"t":2000', b'"t":2001'))
    assert "changed since the fork" in check_trace(fork).damage[0].what
    parent.unlink()
    report = check_trace(fork)
    assert not report.consistent
    assert "is a fork of run" in report.damage[0].what


def test_files_that_are_no_traces_are_damaged_and_missing_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("hello\n")
    report = check_trace(path)
    assert (report.consistent, report.damage[0].offset) == (False, 0)
    with pytest.raises(UsageError, match="there is no trace"):
        check_trace(tmp_path / "missing.jsonl")
    with writer(path, force=True) as out:
        assert not check_trace(path).consistent
        out.append(Effect(name="x"))
    assert check_trace(path).events == 1
