"""What a workspace held at one moment: every path with its kind, size, times and mode.

Guarantee: a manifest never holds a path that could lead out of its root. Paths are relative, use
`/`, and are normalised; `check_path` refuses everything else, because manifests and events are also
read from traces that somebody else wrote. What a scan could not list is counted, not hidden.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import msgspec

from coda.errors import LogError

FILE = "file"
DIR = "dir"
LINK = "link"
_KINDS = frozenset((FILE, DIR, LINK))


class Entry(NamedTuple):
    """One path of a workspace.

    `ctime_ns` and `inode` tell a change that size and `mtime_ns` hide; they mean nothing on another
    machine, so they are not in the JSON form and are 0 in a manifest that was read back.
    """

    kind: str
    size: int
    mtime_ns: int
    mode: int
    target: str | None = None
    ctime_ns: int = 0
    inode: int = 0


class Manifest(msgspec.Struct, kw_only=True):
    """The entries of a workspace by relative path.

    Attributes:
        entries: path to entry; `.` is not in it.
        truncated: there were more files than the limit, the rest is unknown.
        skipped: what could not be listed, one sentence each (unreadable folder, name that is not text).
        taken_ns: wall clock when the scan began.
        unknown: paths that could not be looked at; nothing is known of them or of what is below them.
        hashes: SHA-256 of the files that were so young that a later write might not change their times.
    """

    entries: dict[str, Entry] = msgspec.field(default_factory=dict)
    truncated: bool = False
    skipped: tuple[str, ...] = ()
    taken_ns: int = 0
    unknown: set[str] = msgspec.field(default_factory=set)
    hashes: dict[str, str] = msgspec.field(default_factory=dict)

    def set_before(self, path: str, digest: str | None) -> None:
        """Takes a file for changed since, whatever it is now; what it held is in a blob, or not known."""
        entry = self.entries.pop(path, None)
        self.hashes.pop(path, None)
        if entry is not None and digest is not None:
            self.entries[path] = entry._replace(size=-1)  # as no file ever is
            self.hashes[path] = digest

    def to_json(self) -> bytes:
        """Gives the blob form: path to `[kind, size, mtime_ns, mode]`, for a link also its target.

        Equal workspaces give equal bytes. A manifest that is not whole says so under the key `""`,
        which is no path: `{"truncated": true, "skipped": [...]}`.
        """
        data: dict[str, object] = {}
        if self.truncated or self.skipped:
            data[""] = {"truncated": self.truncated, "skipped": list(self.skipped)}
        for path in sorted(self.entries):
            entry = self.entries[path]
            row: list[object] = [entry.kind, entry.size, entry.mtime_ns, entry.mode]
            if entry.target is not None:
                row.append(entry.target)
            data[path] = row
        return json.dumps(data, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Reads the blob form.

        Raises:
            LogError: it is not a manifest, or a path in it is not one of a workspace.
        """
        try:
            rows = json.loads(data)
            marks = rows.pop("", {})
            entries = {check_path(path): _entry(row) for path, row in rows.items()}
            skipped = tuple(str(text) for text in marks.get("skipped", ()))
            truncated = bool(marks.get("truncated", False))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise LogError(f"the trace's manifest of the workspace is damaged: {error}") from error
        return cls(entries=entries, truncated=truncated, skipped=skipped)


def _entry(row: list[object]) -> Entry:
    """Reads one row of the blob form; raises ValueError when it is not one."""
    if not isinstance(row, list) or not 4 <= len(row) <= 5:
        raise ValueError(f"{row!r} is not an entry")
    kind, size, mtime_ns, mode = row[:4]
    target = row[4] if len(row) == 5 else None
    if kind not in _KINDS or (kind == LINK) != isinstance(target, str):
        raise ValueError(f"{row!r} is not an entry")
    for number in (size, mtime_ns, mode):
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError(f"{row!r} is not an entry")
    return Entry(str(kind), int(size), int(mtime_ns), int(mode) & 0o7777, target)  # type: ignore[call-overload, arg-type]


def check_path(path: str) -> str:
    """Gives `path` back if it is relative, normalised and stays below its root.

    Raises:
        LogError: it is absolute, empty, has `.`, `..` or empty parts, or holds a NUL.
    """
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise LogError(f"the trace names the path {path!r}, which is not inside a workspace", path=path)
    return path


class Changed(NamedTuple):
    """A file that agent code has changed since the last look at the workspace."""

    seq: int
    """Number of the event."""
    before: str | None
    """Blob of what it held at that look; None: it was not there, or its content is not known."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One path that is not as it was.

    Attributes:
        op: `wrote` (content or mode of a file), `deleted`, `made` (a folder) or `linked` (a symbolic link).
        path: relative to the root.
        digest: blob of the content now; None when it was not kept (too large, unreadable).
        before: blob of the content before; None when there was none or it was not known.
        target: what a link points to.
    """

    op: str
    path: str
    digest: str | None = None
    size: int = 0
    before: str | None = None
    mode: int | None = None
    mtime_ns: int | None = None
    target: str | None = None
