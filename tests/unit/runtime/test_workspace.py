from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coda.errors import LogError, MissingBlob
from coda.log import BlobStore
from coda.runtime.manifest import Change, Entry, Manifest
from coda.runtime.rebuild import apply, materialise
from coda.runtime.workspace import Delta, Workspace


class Place:
    """A workspace in a folder of its own, with a store beside it."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "box"
        self.root.mkdir()
        self.blobs = BlobStore(tmp_path / "t.blobs")
        self.workspace = Workspace(self.root, blobs=self.blobs)

    def put(self, path: str, data: bytes = b"x") -> Path:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data)
        return full

    def digest(self, data: bytes) -> str:
        return self.blobs.put(data)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def told(delta: Delta) -> list[tuple[str, str]]:
    return [(change.op, change.path) for change in delta.changes]


def test_lists_files_folders_and_links_but_no_environments(place: Place) -> None:
    place.put("a/b.txt", b"hello")
    place.put(".git/config")
    place.put("src/node_modules/x.js")
    place.put("env/pyvenv.cfg")
    place.put("env/lib/site.py")
    place.put("__pycache__/x.pyc")
    (place.root / "out").symlink_to("/etc")
    os.mkfifo(place.root / "pipe")
    manifest = place.workspace.scan()
    kinds = {path: entry.kind for path, entry in manifest.entries.items()}
    # Of what is left out the folder itself is listed: whoever makes it finds that it is there.
    junk = {".git": "dir", "__pycache__": "dir", "src/node_modules": "dir"}
    assert kinds == {"a": "dir", "a/b.txt": "file", "env": "dir", "out": "link", "src": "dir", **junk}
    entry = manifest.entries["a/b.txt"]
    found = (place.root / "a/b.txt").stat()
    assert (entry.size, entry.mtime_ns, entry.mode) == (5, found.st_mtime_ns, stat.S_IMODE(found.st_mode))
    assert manifest.entries["out"].target == "/etc"
    assert (manifest.truncated, manifest.skipped) == (False, ())


def test_leaves_out_the_trace_and_says_what_it_cannot_list(tmp_path: Path, place: Place) -> None:
    place.put("t.jsonl")
    place.put("t.blobs/ab/c")
    with open(os.fsencode(place.root) + b"/bad\xff", "wb"):
        pass
    workspace = Workspace(
        place.root, blobs=place.blobs, exclude=[place.root / "t.jsonl", place.root / "t.blobs"]
    )
    manifest = workspace.scan()
    assert manifest.entries == {}
    assert [text.rpartition("/")[2] for text in manifest.skipped] == [
        "bad\\udcff': the name is not valid text"
    ]


def test_a_truncated_scan_says_so_and_proves_nothing_missing(place: Place) -> None:
    for number in range(5):
        place.put(f"f{number}")
    workspace = Workspace(place.root, blobs=place.blobs, max_files=3)
    manifest = workspace.scan()
    assert (len(manifest.entries), manifest.truncated) == (3, True)
    for path in manifest.entries:
        (place.root / path).write_bytes(b"changed")
    delta = workspace.delta(manifest)
    assert {op for op, _ in told(delta)} == {"wrote"}
    assert {path for _, path in told(delta)} <= set(manifest.entries)
    assert delta.after.truncated


def test_tells_what_changed_with_contents(place: Place) -> None:
    place.put("keep")
    place.put("old/deep/file")
    changed = place.put("changed", b"before")
    place.put("read", b"seen")
    place.workspace.keep("read")
    before = place.workspace.scan()
    changed.write_bytes(b"after!")
    os.chmod(place.root / "keep", 0o640)
    for path in ("old/deep/file", "read"):
        (place.root / path).unlink()
    (place.root / "old/deep").rmdir()
    place.put("new/a.txt", b"")
    (place.root / "link").symlink_to("keep")
    delta = place.workspace.delta(before)
    assert told(delta) == [
        ("deleted", "read"),
        ("deleted", "old/deep/file"),
        ("deleted", "old/deep"),
        ("wrote", "changed"),
        ("wrote", "keep"),
        ("linked", "link"),
        ("made", "new"),
        ("wrote", "new/a.txt"),
    ]
    by_path = {change.path: change for change in delta.changes}
    assert by_path["read"].before == place.digest(b"seen")
    assert by_path["changed"].digest == place.digest(b"after!")
    assert by_path["changed"].mtime_ns == changed.stat().st_mtime_ns
    assert by_path["keep"].mode == 0o640
    assert by_path["link"].target == "keep"
    assert place.workspace.delta(delta.after).changes == []


def test_what_is_known_of_a_file_is_the_before_of_its_next_change(place: Place) -> None:
    path = place.put("a", b"one")
    first = place.workspace.delta(Manifest())
    path.write_bytes(b"two")
    second = place.workspace.delta(first.after)
    assert [(change.before, change.digest) for change in second.changes] == [
        (place.digest(b"one"), place.digest(b"two"))
    ]
    path.unlink()
    place.put("a/b")
    third = place.workspace.delta(second.after)
    assert told(third) == [("deleted", "a"), ("made", "a"), ("wrote", "a/b")]
    assert third.changes[0].before == place.digest(b"two")


def test_a_change_that_keeps_size_and_times_is_found(place: Place) -> None:
    # What a second write within one tick of the kernel's clock leaves: the same entry, other bytes.
    path = place.put("a", b"one")
    before = place.workspace.scan()
    assert set(before.hashes) == {"a"}
    path.write_bytes(b"two")
    now = place.workspace.scan().entries["a"]
    before.entries["a"] = now
    assert told(place.workspace.delta(before)) == [("wrote", "a")]


def test_an_old_time_set_by_hand_is_a_change(place: Place) -> None:
    path = place.put("a", b"one")
    os.utime(path, ns=(1, 1))
    before = place.workspace.scan()
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert told(place.workspace.delta(before)) == [("wrote", "a")]


def test_a_change_with_an_event_of_its_own_is_not_told_again(place: Place) -> None:
    place.put("a", b"one")
    place.put("b", b"one")
    manifest = place.workspace.scan()
    place.put("a", b"two")
    place.put("c", b"new")
    (place.root / "b").unlink()
    for path in "abc":
        place.workspace.refresh(manifest, path)
    place.workspace.remember("a", place.digest(b"two"))
    assert place.workspace.delta(manifest).changes == []
    place.put("a", b"six")
    [change] = place.workspace.delta(manifest).changes
    assert (change.before, change.digest) == (place.digest(b"two"), place.digest(b"six"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
@pytest.mark.parametrize("mode", [0o000, 0o600, 0o300])
def test_what_cannot_be_looked_at_is_not_deleted(place: Place, mode: int) -> None:
    place.put("dir/sub/f", b"one")
    before = place.workspace.scan()
    (place.root / "dir").chmod(mode)
    try:
        hidden = place.workspace.delta(before)
        assert (hidden.changes, len(hidden.after.skipped)) == ([], 1)
    finally:
        (place.root / "dir").chmod(0o755)
    place.put("dir/sub/f", b"two")
    assert told(place.workspace.delta(hidden.after)) == [("wrote", "dir/sub/f")]


def test_large_contents_are_not_kept_and_that_is_told(place: Place) -> None:
    workspace = Workspace(place.root, blobs=place.blobs, max_blob_bytes=10, max_delta_bytes=15)
    before = workspace.scan()
    place.put("a", b"x" * 11)
    for name in "bcd":
        place.put(name, b"y" * 7)
    delta = workspace.delta(before)
    assert [(change.path, change.size, change.digest is None) for change in delta.changes] == [
        ("a", 11, True),
        ("b", 7, False),
        ("c", 7, False),
        ("d", 7, True),
    ]


def test_keep_takes_regular_files_only(tmp_path: Path, place: Place) -> None:
    (tmp_path / "secret").write_text("s")
    (place.root / "link").symlink_to(tmp_path / "secret")
    (place.root / "up").symlink_to(tmp_path)
    os.mkfifo(place.root / "pipe")
    (place.root / "dir").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(place.root)  # the path of a socket may have 107 bytes only
        server.bind("sock")
        os.chdir(here)
        for path in ("link", "up/secret", "pipe", "dir", "sock", "absent", "absent/x"):
            assert place.workspace.keep(path) is None, path


def test_a_manifest_survives_its_json_form(place: Place) -> None:
    place.put("a/é.txt", b"hello")
    (place.root / "l").symlink_to("a")
    manifest = place.workspace.scan()
    manifest.skipped = ("x: gone",)
    back = Manifest.from_json(manifest.to_json())
    assert back.to_json() == manifest.to_json()
    assert back.skipped == ("x: gone",)
    assert back.entries["l"].target == "a"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"a":["file",1,2]}',
        b'{"a":["door",1,2,3]}',
        b'{"a":["file","1",2,3]}',
        b'{"a":["link",0,0,511]}',
        b'{"a":["file",0,0,511,"b"]}',
        b'{"/etc/passwd":["file",0,0,420]}',
        b'{"../x":["file",0,0,420]}',
        b'{"a/../../x":["file",0,0,420]}',
        b'{"a//b":["file",0,0,420]}',
        b'{"a\\u0000":["file",0,0,420]}',
        b'{"":3}',
    ],
)
def test_a_manifest_that_is_not_one_is_refused(data: bytes) -> None:
    with pytest.raises(LogError):
        Manifest.from_json(data)


# --- rebuilding --------------------------------------------------------------------------------


def listing(root: Path) -> dict[str, tuple[object, ...]]:
    rows: dict[str, tuple[object, ...]] = {}
    for path in root.rglob("*"):
        found = path.lstat()
        if path.is_symlink():
            rows[str(path.relative_to(root))] = ("link", os.readlink(path), found.st_mtime_ns)
        elif path.is_dir():
            rows[str(path.relative_to(root))] = ("dir", stat.S_IMODE(found.st_mode), found.st_mtime_ns)
        else:
            mode = stat.S_IMODE(found.st_mode)
            rows[str(path.relative_to(root))] = (path.read_bytes(), mode, found.st_mtime_ns)
    return rows


def test_a_copy_is_the_same_to_the_nanosecond(tmp_path: Path, place: Place) -> None:
    place.put("a/b/c.txt", b"hello")
    place.put("run.sh", b"#!").chmod(0o755)
    place.put("empty", b"")
    (place.root / "a/link").symlink_to("../run.sh")
    (place.root / "ro").mkdir()
    place.put("ro/f", b"r").chmod(0o400)
    (place.root / "ro").chmod(0o555)
    for path in ("a", "a/b", "a/b/c.txt", "ro", "run.sh"):
        os.utime(place.root / path, ns=(5, 1_234_567_890_123_456_789))
    manifest = Manifest.from_json(place.workspace.scan().to_json())
    target = tmp_path / "copy"
    target.mkdir()
    contents: dict[str, bytes | str] = {"a/b/c.txt": b"hello", "run.sh": place.digest(b"#!"), "ro/f": b"r"}
    assert materialise(manifest, contents, target, blobs=place.blobs) == []
    assert listing(target) == listing(place.root)
    apply(Change(op="wrote", path="ro/f", digest=place.digest(b"w"), size=1), target, blobs=place.blobs)
    assert (target / "ro/f").read_bytes() == b"w"


def test_unknown_contents_are_placeholders_of_the_right_size(tmp_path: Path) -> None:
    rows = {"big": Entry("file", 1 << 40, 7, 0o644), "known": Entry("file", 2, 7, 0o600)}
    assert materialise(Manifest(entries=rows), {"known": b"ok"}, tmp_path) == ["big"]
    found = (tmp_path / "big").stat()
    assert (found.st_size, found.st_mtime_ns) == (1 << 40, 7)
    assert found.st_blocks < 100


@pytest.mark.parametrize("path", ["/x", "../x", "a/../../x", "", ".", "a/./b", "a//b", "x\0"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, path: str) -> None:
    target = tmp_path / "t"
    target.mkdir()
    with pytest.raises(LogError, match="not inside a workspace"):
        materialise(Manifest(entries={path: Entry("file", 1, 1, 0o644)}), {}, target)
    for op in ("wrote", "deleted", "made", "linked"):
        with pytest.raises(LogError, match="not inside a workspace"):
            apply(Change(op=op, path=path, target="x"), target)
    assert list(tmp_path.iterdir()) == [target]


def test_no_link_is_followed(tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "t"
    outside.mkdir()
    target.mkdir()
    (outside / "f").write_text("safe")
    manifest = Manifest(
        entries={
            "l": Entry("link", 0, 1, 0o777, str(outside)),
            "l/f": Entry("file", 3, 1, 0o644),
        }
    )
    with pytest.raises(LogError, match="cannot be rebuilt"):
        materialise(manifest, {"l/f": b"bad"}, target)
    other = tmp_path / "u"
    other.mkdir()
    (other / "l").symlink_to(outside)
    (other / "f").symlink_to(outside / "f")
    for op in ("wrote", "deleted", "linked"):
        with pytest.raises(LogError, match="cannot be applied"):
            apply(Change(op=op, path="l/f", target="x"), other)
    with pytest.raises(LogError, match="cannot be applied"):
        apply(Change(op="made", path="l/d"), other)
    apply(Change(op="wrote", path="f", size=0), other)
    assert not (other / "f").is_symlink()
    apply(Change(op="deleted", path="l"), other)
    assert (outside / "f").read_text() == "safe"
    assert [path.name for path in outside.iterdir()] == ["f"]


def test_set_id_bits_are_not_restored(tmp_path: Path) -> None:
    materialise(Manifest(entries={"f": Entry("file", 0, 1, 0o6755)}), {}, tmp_path)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o755


@pytest.mark.parametrize("entry", [Entry("file", -1, 1, 0o644), Entry("file", 1 << 70, 1, 0o644)])
def test_sizes_that_cannot_be_are_an_error(tmp_path: Path, entry: Entry) -> None:
    with pytest.raises(LogError, match="cannot be rebuilt"):
        materialise(Manifest(entries={"f": entry}), {}, tmp_path)


def test_contents_that_are_not_there_and_targets_in_use(tmp_path: Path, place: Place) -> None:
    manifest = Manifest(entries={"f": Entry("file", 1, 1, 0o644)})
    with pytest.raises(MissingBlob):
        materialise(manifest, {"f": "0" * 64}, place.root, blobs=place.blobs)
    place.put("g")
    with pytest.raises(LogError, match="is not empty"):
        materialise(manifest, {}, place.root)
    with pytest.raises(LogError, match="does not know: moved"):
        apply(Change(op="moved", path="a"), tmp_path)


def test_a_file_that_is_open_sees_what_is_applied(tmp_path: Path, place: Place) -> None:
    target = tmp_path / "t"
    target.mkdir()
    (target / "log").write_bytes(b"one\n")
    with open(target / "log", "rb") as reader:
        assert reader.readline() == b"one\n"
        change = Change(op="wrote", path="log", digest=place.digest(b"one\ntwo\n"), size=8)
        apply(change, target, blobs=place.blobs)
        assert reader.readline() == b"two\n"


_NAMES = st.sampled_from(["a", "b", "a/c", "a/d", "b/e", "b/e/f"])
_STEPS = st.tuples(
    st.sampled_from(["write", "delete", "link", "folder", "chmod"]), _NAMES, st.binary(max_size=3)
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(_STEPS, max_size=6), min_size=1, max_size=4))
def test_a_copy_that_follows_the_deltas_is_the_workspace(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[tuple[str, str, bytes]]]
) -> None:
    base = tmp_path_factory.mktemp("follow")
    place = Place(base)
    copy = base / "copy"
    copy.mkdir()
    manifest = place.workspace.scan()
    for steps in rounds:
        for step in steps:
            _disturb(place.root, *step)
        delta = place.workspace.delta(manifest)
        manifest = delta.after
        for change in delta.changes:
            apply(change, copy, blobs=place.blobs)
        assert _without_folder_times(listing(copy)) == _without_folder_times(listing(place.root))


def _without_folder_times(rows: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    # The entries of a folder change its time; deltas tell those, not the time.
    return {path: row[:1] if row[0] == "dir" else row for path, row in rows.items()}


def _disturb(root: Path, step: str, name: str, data: bytes) -> None:
    path = root / name
    try:
        if step == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        elif step == "folder":
            path.mkdir(parents=True)
        elif step == "link":
            path.symlink_to("nowhere")
        elif step == "chmod":
            path.chmod((0o700 if path.is_dir() else 0o600) + len(data))
        elif path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    except OSError:
        pass  # Not possible as things are: no step.


def test_a_huge_file_is_not_hashed(place: Place) -> None:
    path = place.put("huge")
    os.truncate(path, 1 << 40)
    before = place.workspace.scan()
    assert before.hashes == {}
    assert place.workspace.delta(before).changes == []
    os.truncate(path, (1 << 40) + 1)
    (change,) = place.workspace.delta(before).changes
    assert (change.op, change.path, change.size, change.digest) == ("wrote", "huge", (1 << 40) + 1, None)
