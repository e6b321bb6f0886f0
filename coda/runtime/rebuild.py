"""Builds a private copy of a recorded workspace, and changes it as the log says.

Guarantee: whatever a manifest or a change says, nothing outside the target folder is made, changed
or removed: paths are checked, folders are opened component by component without following links,
links are made last, and modes lose their set-id bits. Known contents are exact; a file whose content
the trace does not hold is a sparse placeholder of the right size and time, never a guess.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from coda.errors import LogError, MissingBlob
from coda.runtime.beneath import Beneath, write_whole
from coda.runtime.manifest import DIR, FILE, LINK, Change, Entry, Manifest, check_path
from coda.runtime.workspace import Blobs

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def materialise(
    manifest: Manifest,
    contents: Mapping[str, bytes | str],
    target: str | Path,
    *,
    blobs: Blobs | None = None,
) -> list[str]:
    """Fills an empty folder with a workspace.

    Args:
        manifest: what there was.
        contents: what is known of the files, by path: the bytes, or the digest of a blob.
        target: an existing, empty folder.
        blobs: where digests are looked up.

    Returns:
        The files that are placeholders, sorted.

    Raises:
        LogError: the manifest holds a path or a size that cannot be, or the target is not empty.
        MissingBlob: a digest is in no store.
    """
    target = os.fspath(target)
    if os.listdir(target):
        raise LogError(f"the folder for the private copy of the workspace, {target}, is not empty")
    placeholders: list[str] = []
    rows = sorted((check_path(path), entry) for path, entry in manifest.entries.items())
    try:
        for path, entry in rows:
            if entry.kind == DIR:
                with Beneath(target, path.split("/"), make=True):
                    pass
            elif entry.kind == FILE:
                data = _content(contents.get(path), blobs)
                if data is None and entry.size:
                    placeholders.append(path)
                _make_file(target, path, entry, data)
        # Links come after all files, so that no file can be made through one.
        for path, entry in rows:
            if entry.kind == LINK:
                _make_link(target, path, entry.target or "", entry.mtime_ns)
        # The deepest folders first: filling a folder would change its time again.
        for path, entry in reversed(rows):
            if entry.kind == DIR:
                _finish_folder(target, path, entry)
    except (OSError, OverflowError, ValueError) as error:
        raise LogError(f"the recorded workspace cannot be rebuilt in {target}: {error}") from error
    return placeholders


def apply(change: Change, target: str | Path, *, blobs: Blobs | None = None) -> None:
    """Does to a private copy what a recorded change did to the workspace.

    A file that was written without its content being kept becomes a placeholder.

    Raises:
        LogError: the change names a path that is not in a workspace, or it cannot be applied.
        MissingBlob: its content is in no store.
    """
    target = os.fspath(target)
    path = check_path(change.path)
    data = _content(change.digest, blobs)
    try:
        if change.op == "deleted":
            _remove(target, path)
        elif change.op == "made":
            with Beneath(target, path.split("/"), make=True):
                pass
            if change.mode is not None and change.mtime_ns is not None:
                _finish_folder(target, path, Entry(DIR, 0, change.mtime_ns, change.mode))
        elif change.op == "linked":
            _remove(target, path)
            _make_link(target, path, change.target or "", change.mtime_ns)
        elif change.op == "wrote":
            size = change.size if data is None else len(data)
            mode = 0o644 if change.mode is None else change.mode
            _replace_file(target, path, Entry(FILE, size, change.mtime_ns or 0, mode), data)
        else:
            raise LogError(f"the trace holds a change of files that this version does not know: {change.op}")
    except (OSError, OverflowError, ValueError) as error:
        raise LogError(f"the change of {path!r} cannot be applied in {target}: {error}") from error


def _content(known: bytes | str | None, blobs: Blobs | None) -> bytes | None:
    if known is None or isinstance(known, bytes):
        return known
    if blobs is None:
        raise MissingBlob(f"no blob store was given for the content {known}", digest=known)
    return blobs.get(known)


def _parent(target: str, path: str, *, make: bool = True) -> tuple[Beneath, str]:
    """Opens the folder of a path for changing it, and gives the last component."""
    *above, name = path.split("/")
    parent = Beneath(target, above, make=make)
    mode = stat.S_IMODE(os.fstat(parent.fd).st_mode)
    if mode & 0o300 != 0o300:
        # A recorded read-only folder; the copy is ours, and the end state is set by its own entry.
        os.fchmod(parent.fd, mode | 0o300)
    return parent, name


def _make_file(target: str, path: str, entry: Entry, data: bytes | None) -> None:
    parent, name = _parent(target, path)
    with parent:
        _fill(os.open(name, _NEW_FILE, 0o600, dir_fd=parent.fd), entry, data)


def _replace_file(target: str, path: str, entry: Entry, data: bytes | None) -> None:
    """Gives a file new content, in place where it can: code may hold it open."""
    parent, name = _parent(target, path)
    with parent:
        try:
            is_file = stat.S_ISREG(os.stat(name, dir_fd=parent.fd, follow_symlinks=False).st_mode)
            fd = os.open(name, _OLD_FILE, dir_fd=parent.fd) if is_file else -1
        except OSError:
            fd = -1
    if fd < 0:
        _remove(target, path)
        _make_file(target, path, entry, data)
    else:
        _fill(fd, entry, data)


def _fill(fd: int, entry: Entry, data: bytes | None) -> None:
    """Writes a file that is open, sets its mode and time, and closes it."""
    try:
        if data is None:
            os.ftruncate(fd, 0)  # What stood there would be a guess.
            os.ftruncate(fd, entry.size)
        else:
            write_whole(fd, data)
            os.ftruncate(fd, len(data))
        os.fchmod(fd, entry.mode & 0o777)
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
    finally:
        os.close(fd)


def _make_link(target: str, path: str, points_to: str, mtime_ns: int | None) -> None:
    parent, name = _parent(target, path)
    with parent:
        os.symlink(points_to, name, dir_fd=parent.fd)
        if mtime_ns is not None and os.utime in os.supports_follow_symlinks:
            os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=parent.fd, follow_symlinks=False)


def _finish_folder(target: str, path: str, entry: Entry) -> None:
    with Beneath(target, path.split("/")) as folder:
        os.fchmod(folder.fd, entry.mode & 0o777)
        os.utime(folder.fd, ns=(entry.mtime_ns, entry.mtime_ns))


def _remove(target: str, path: str) -> None:
    """Removes what is at a path, if anything; a folder with all that it holds."""
    try:
        parent, name = _parent(target, path, make=False)
    except FileNotFoundError:
        return
    with parent:
        try:
            found = os.lstat(name, dir_fd=parent.fd)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(name, dir_fd=parent.fd)
        else:
            os.unlink(name, dir_fd=parent.fd)
