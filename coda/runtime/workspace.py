"""Sees what happened to the files of a workspace between two moments, with their contents.

Guarantee: a change of content is never missed because a file kept its size and time. Entries are
compared by size, mtime, ctime and inode; an entry that was young when it was scanned (so that a later
write may bear the same time) is hashed and compared by content. What is not seen is said: a manifest
can be `truncated` or have `skipped` parts, and a change whose content is not kept has no digest.

Environments and caches (`.git`, `node_modules`, folders with a `pyvenv.cfg` ...) are not part of a
workspace. Links are listed, never followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from coda.runtime.beneath import Beneath, read_whole
from coda.runtime.manifest import DIR, FILE, LINK, Change, Entry, Manifest

JUNK_DIRS = frozenset((
    ".git", ".hg", ".svn", ".coda", ".venv", "node_modules", "__pycache__", ".mypy_cache",
    ".ruff_cache", ".pytest_cache", ".hypothesis", ".tox", ".nox", ".ipynb_checkpoints",
))  # fmt: skip
"""What is in folders of these names is left out, wherever they are."""
_OURS = ".coda"

_KINDS = {stat.S_IFREG: FILE, stat.S_IFDIR: DIR, stat.S_IFLNK: LINK}
_ENVIRONMENT_MARK = "pyvenv.cfg"
# File times come from the kernel's coarse clock: 1 to 10 ms behind on Linux, up to 2 s on FAT.
_YOUNG_NS = 20_000_000
_YOUNG_COARSE_NS = 2_100_000_000


class Blobs(Protocol):
    """Where contents go: the trace's blob store, or a fork's, which falls through to its parents."""

    def put(self, data: bytes) -> str:
        """Stores content; gives its SHA-256."""

    def get(self, digest: str) -> bytes:
        """Gives content back; raises MissingBlob."""

    def has(self, digest: str) -> bool:
        """Tells whether the content is there."""


class Kept(NamedTuple):
    """Content of a file that was looked at."""

    digest: str | None
    """None: it is larger than what is kept."""
    entry: Entry


class Delta(NamedTuple):
    """What changed, and the manifest to compare with next time."""

    changes: list[Change]
    after: Manifest


class Workspace:
    """The files below one root.

    Args:
        root: the folder.
        blobs: where contents are put.
        exclude: paths that are left out, with all below them (the trace, when it is in the root).
        max_files: entries after which a scan stops and is `truncated`.
        max_blob_bytes: contents above this are not kept.
        max_delta_bytes: contents kept of one delta; what comes after has no digest.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        blobs: Blobs,
        exclude: Iterable[str | Path] = (),
        max_files: int = 20_000,
        max_blob_bytes: int = 64 << 20,
        max_delta_bytes: int = 512 << 20,
    ) -> None:
        self.root = os.path.realpath(root)
        self.blobs = blobs
        self.max_files = max_files
        self.max_blob_bytes = max_blob_bytes
        self.max_delta_bytes = max_delta_bytes
        self._exclude = frozenset(os.path.realpath(path) for path in exclude)
        # path -> the entry and the blob that its content had then.
        self._stored: dict[str, tuple[Entry, str]] = {}

    # --- looking ------------------------------------------------------------------------------

    def scan(self) -> Manifest:
        """Lists the workspace as it is now.

        Cost: one `lstat` an entry, about 5 us; entries younger than the clock's step are read.
        """
        manifest = Manifest(taken_ns=time.time_ns())
        skipped: list[str] = []
        entries = manifest.entries
        for path, entry in self._walk(skipped, manifest.unknown):
            if len(entries) >= self.max_files:
                manifest.truncated = True
                break
            entries[path] = entry
            if entry.kind == FILE and _is_young(entry, manifest.taken_ns):
                self._note_young(manifest, path)
        manifest.skipped = tuple(skipped)
        return manifest

    def delta(self, before: Manifest) -> Delta:
        """Tells what is not as it was in `before`, and keeps the new contents.

        Returns:
            Deletions first, the deepest first, then the rest by path. When one of the two manifests is
            truncated only paths that are in both are compared, since a missing path proves nothing.
        """
        after = self.scan()
        whole = not (before.truncated or after.truncated)
        gone = [path for path in before.entries if path not in after.entries] if whole else []
        hidden = {path for path in gone if _is_below(path, after.unknown)} if after.unknown else frozenset()
        gone = [path for path in gone if path not in hidden]
        added: list[Change] = []
        budget = self.max_delta_bytes
        for path in sorted(after.entries):
            old, new = before.entries.get(path), after.entries[path]
            if (old is None and not whole) or not self._differs(path, before, after):
                continue
            if old is not None and old.kind != new.kind:
                gone.append(path)
            change = self._change(path, before, new, budget)
            budget -= change.size if change.digest is not None else 0
            added.append(change)
        deleted = [
            Change(op="deleted", path=path, before=self._content_in(before, path))
            for path in sorted(gone, reverse=True)
        ]
        # What cannot be looked at is not deleted: it stays as it was known, for the next delta.
        for path in hidden:
            after.entries[path] = before.entries[path]
            if path in before.hashes:
                after.hashes[path] = before.hashes[path]
        return Delta(deleted + added, after)

    def keep(self, path: str) -> Kept | None:
        """Puts the content of a file into the store, unless it is known to be there.

        Args:
            path: relative to the root, normalised.

        Returns:
            None when there is no regular file at the path, or it may not be read.
        """
        parts = path.split("/")
        try:
            with Beneath(self.root, parts[:-1]) as parent:
                # Non-blocking: opening a fifo must not wait for a writer.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                fd = os.open(parts[-1], flags, dir_fd=parent.fd)
        except OSError:
            return None
        try:
            entry = _entry_of(os.fstat(fd))
            if entry is None or entry.kind != FILE:
                return None
            known = self._known(path, entry)
            if known is not None and not _is_young(entry, time.time_ns()):
                return Kept(known, entry)
            if entry.size > self.max_blob_bytes:
                return Kept(None, entry)
            data = read_whole(fd, self.max_blob_bytes)
        except OSError:
            return None
        finally:
            os.close(fd)
        if data is None:
            return Kept(None, entry)
        digest = self.blobs.put(data)
        self._stored[path] = (entry, digest)
        return Kept(digest, entry._replace(size=len(data)))

    def keep_before(self, path: str, manifest: Manifest) -> str | None:
        """Keeps what a file holds that is about to be changed; gives the blob, None when there is none.

        If the file is still as it was in `manifest`, the manifest knows its content from now on, however
        often it changes before the next delta.
        """
        kept = self.keep(path)
        if kept is None:
            return None
        if kept.digest is not None and manifest.entries.get(path) == kept.entry:
            manifest.hashes.setdefault(path, kept.digest)
        return kept.digest

    def remember(self, path: str, digest: str) -> None:
        """Notes that the file, as it is now, has the content of this blob (a later `before`)."""
        entry = self._lstat(path)
        if entry is not None and entry.kind == FILE:
            self._stored[path] = (entry, digest)

    def refresh(self, manifest: Manifest, path: str) -> None:
        """Brings one path of a manifest up to date, so that the next delta does not tell it again.

        For changes that have an event of their own: a write of a primitive, a file that agent code closed.
        """
        entry = self._lstat(path)
        if entry is None:
            manifest.entries.pop(path, None)
            return
        manifest.entries[path] = entry
        if entry.kind == FILE:
            self._note_young(manifest, path)

    # --- parts --------------------------------------------------------------------------------

    def _walk(self, skipped: list[str], unknown: set[str]) -> Iterator[tuple[str, Entry]]:
        """Yields all entries; a folder comes before what it holds."""
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(os.path.join(self.root, folder) if folder else self.root) as found:
                    rows = list(found)
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    skipped.append(f"{folder or '.'}: {error.strerror}")
                    unknown.add(folder)
                continue
            if folder and _ENVIRONMENT_MARK in [row.name for row in rows]:
                continue
            prefix = folder + "/" if folder else ""
            for row in rows:
                try:
                    entry = self._listed(row, skipped)
                except FileNotFoundError:
                    continue  # It went away between the listing and the look.
                except OSError as error:
                    skipped.append(f"{prefix}{row.name}: {error.strerror}")
                    unknown.add(prefix + row.name)
                    continue
                if entry is None:
                    continue
                if entry.kind == DIR and row.name not in JUNK_DIRS:
                    pending.append(prefix + row.name)
                yield prefix + row.name, entry

    def _listed(self, row: os.DirEntry[str], skipped: list[str]) -> Entry | None:
        """Gives the entry of one name, None when it is not part of the workspace."""
        name = row.name
        if name == _OURS and row.is_dir(follow_symlinks=False):
            return None
        if self._exclude and row.path in self._exclude:
            return None
        try:
            # A name that is not valid text can be in no event; say so instead of inventing one.
            if not name.isascii():
                name.encode()
            entry = _entry_of(row.stat(follow_symlinks=False))
            if entry is not None and entry.kind is LINK:
                target = os.readlink(row.path)
                target.encode()
                entry = entry._replace(target=target)
        except UnicodeEncodeError:
            skipped.append(f"{row.path!a}: the name is not valid text")
            return None
        return entry

    def _lstat(self, path: str) -> Entry | None:
        full = os.path.join(self.root, path)
        try:
            entry = _entry_of(os.lstat(full))
            if entry is not None and entry.kind == LINK:
                entry = entry._replace(target=os.readlink(full))
        except (OSError, ValueError):
            return None
        return entry

    def _note_young(self, manifest: Manifest, path: str) -> None:
        """Hashes a file whose time may not tell it from its next version.

        What is too large to be kept is not hashed either: a second for each gigabyte, to find a change of the
        same size within one tick of the clock.
        """
        if manifest.entries[path].size > self.max_blob_bytes:
            return
        digest = self._hash(path)
        if digest is not None:
            manifest.hashes[path] = digest

    def _hash(self, path: str) -> str | None:
        try:
            with open(os.path.join(self.root, path), "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None

    def _known(self, path: str, entry: Entry) -> str | None:
        stored = self._stored.get(path)
        return stored[1] if stored is not None and stored[0] == entry else None

    def _content_in(self, manifest: Manifest, path: str) -> str | None:
        """Gives the blob of what a file held when the manifest was made, if it is in the store."""
        entry = manifest.entries.get(path)
        if entry is None or entry.kind != FILE:
            return None
        digest = manifest.hashes.get(path)
        if digest is None:
            return self._known(path, entry)
        return digest if self.blobs.has(digest) else None

    def _differs(self, path: str, before: Manifest, after: Manifest) -> bool:
        old, new = before.entries.get(path), after.entries[path]
        if old is None or old.kind != new.kind:
            return True
        if new.kind == DIR:
            return False
        if new != old:
            return True
        hashed = before.hashes.get(path)
        now = (after.hashes.get(path) or self._hash(path)) if hashed is not None else None
        return now is not None and now != hashed

    def _change(self, path: str, old: Manifest, new: Entry, budget: int) -> Change:
        """Describes one path that is new or other than it was."""
        if new.kind == DIR:
            return Change(op="made", path=path, mode=new.mode, mtime_ns=new.mtime_ns)
        if new.kind == LINK:
            return Change(op="linked", path=path, target=new.target, mtime_ns=new.mtime_ns)
        before = self._content_in(old, path)  # First: `keep` replaces what is known of the path.
        kept = self.keep(path) if new.size <= budget else None
        if kept is not None:
            new = kept.entry
        return Change(
            op="wrote",
            path=path,
            digest=kept.digest if kept is not None else None,
            size=new.size,
            before=before,
            mode=new.mode,
            mtime_ns=new.mtime_ns,
        )


def left_out(manifest: Manifest) -> set[str]:
    """Gives the folders of which a manifest tells that they are there, and nothing of what they hold."""
    entries = manifest.entries.items()
    return {path for path, entry in entries if entry.kind == DIR and path.rpartition("/")[2] in JUNK_DIRS}


def _entry_of(found: os.stat_result) -> Entry | None:
    """Gives the entry of a path without its link target; None for devices, fifos and sockets."""
    mode = found.st_mode
    name = _KINDS.get(mode & 0o170000)
    if name is None:
        return None
    size = found.st_size if name is FILE else 0
    return Entry(name, size, found.st_mtime_ns, mode & 0o7777, None, found.st_ctime_ns, found.st_ino)


def _is_below(path: str, folders: set[str]) -> bool:
    """Tells whether a path or a folder above it is one of these; "" is the root."""
    parts = path.split("/")
    return "" in folders or any("/".join(parts[:depth]) in folders for depth in range(1, len(parts) + 1))


def _is_young(entry: Entry, now_ns: int) -> bool:
    """Tells whether a write at `now_ns` could leave the entry as it is."""
    coarse = entry.ctime_ns % 1_000_000_000 == 0
    return entry.ctime_ns > now_ns - (_YOUNG_COARSE_NS if coarse else _YOUNG_NS)
