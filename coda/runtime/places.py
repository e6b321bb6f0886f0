"""Confines paths to a root, and opens the files there.

Guarantee: what `Places` opens lies below its root at the moment it is opened. A path is resolved with
its links, refused with PermissionError when it leads out, and then opened component by component
without following any link, so that a link that is swapped in after the check changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable
from typing import NamedTuple

from coda.runtime.beneath import Beneath, write_whole


class FileAccess(NamedTuple):
    """One access of a primitive to the workspace, for the log."""

    op: str
    """`read`, `wrote`, `made` (a folder), `listed`; `output`: a stream of a command was kept whole."""
    path: str
    """Relative to the root; `.` is the root. Of an output, the stream's name."""
    via: str
    """Name of the primitive."""
    size: int = 0
    before: bytes | None = None
    """Content before a write; None when the file is new, or too large to keep."""
    after: bytes | None = None
    """Content that was read or written; None when it is not kept (large files, searches)."""
    mode: int | None = None
    mtime_ns: int | None = None
    digest: str | None = None
    """Blob of the whole output; None when it could not be kept."""
    kept: int = 0
    """How many bytes of the output are there."""
    error: str | None = None
    """Type of the exception when the access failed."""


OnFile = Callable[[FileAccess], None]


class Places:
    """Paths below one root.

    Args:
        root: an existing folder.
        hidden: paths that no listing shows: the trace that is being written, when it is in the root.
    """

    def __init__(
        self, root: str | os.PathLike[str], *, hidden: Iterable[str | os.PathLike[str]] = ()
    ) -> None:
        self.root = os.path.realpath(root)
        self._hidden = frozenset(os.path.realpath(path) for path in hidden)

    def resolve(self, path: str | os.PathLike[str]) -> str:
        """Gives a path relative to the root, with all links resolved; `.` for the root itself.

        Raises:
            PermissionError: it leads out of the root.
            TypeError, ValueError: it is not a path.
        """
        text = os.fspath(path)
        if not isinstance(text, str):
            raise TypeError(f"a path is text; got {type(path).__name__}")
        if not text or "\0" in text:
            raise ValueError(f"{text!r} is not a path")
        full = os.path.realpath(os.path.join(self.root, text))
        if full == self.root:
            return "."
        prefix = self.root if self.root.endswith("/") else self.root + "/"
        if not full.startswith(prefix):
            raise PermissionError(errno.EACCES, f"the path leads out of the workspace {self.root}", text)
        return full[len(prefix) :]

    def open_file(self, rel: str) -> int:
        """Opens a regular file for reading; the caller closes it.

        Args:
            rel: as `resolve` gives it.

        Raises:
            OSError: IsADirectoryError, FileNotFoundError, PermissionError ... as `open` does;
                ValueError for what is neither file nor folder.
        """
        *above, name = rel.split("/")
        with self._beneath(above) as parent:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                fd = os.open(name, flags, dir_fd=parent.fd)
            except OSError as error:
                raise type(error)(error.errno, error.strerror, rel) from None
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd
        os.close(fd)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", rel)
        raise ValueError(f"{rel} is not a regular file")

    def list_folder(self, rel: str) -> list[tuple[str, bool, bool]]:
        """Gives name, whether it is (or links to) a folder, and whether it is a link; sorted by name.

        Raises:
            OSError: FileNotFoundError, NotADirectoryError, PermissionError.
        """
        parts = [] if rel == "." else rel.split("/")
        with self._beneath(parts) as folder:
            with os.scandir(folder.fd) as rows:
                found = [(row.name, _is_folder(row), row.is_symlink()) for row in rows]
        if self._hidden:
            above = os.path.join(self.root, *parts)
            found = [row for row in found if os.path.join(above, row[0]) not in self._hidden]
        return sorted(found)

    def replace(self, rel: str, data: bytes) -> tuple[list[str], os.stat_result]:
        """Gives a file new content, all or nothing; the mode of an old file stays.

        Folders that are missing are made.

        Returns:
            The folders that were made, and what the file is now.

        Raises:
            OSError: IsADirectoryError, PermissionError, no space ...
        """
        *above, name = rel.split("/")
        # Hidden, so that a listing by another thread of the agent is not likely to show it.
        scratch = f".{name[:100]}.{secrets.token_hex(6)}.tmp"
        with self._beneath(above, make=True) as parent:
            mode = _mode_of(parent.fd, name, rel)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(scratch, flags, 0o666 if mode is None else 0o600, dir_fd=parent.fd)
            try:
                try:
                    write_whole(fd, data)
                    if mode is not None:
                        os.fchmod(fd, mode)
                    found = os.fstat(fd)
                finally:
                    os.close(fd)
                os.rename(scratch, name, src_dir_fd=parent.fd, dst_dir_fd=parent.fd)
            except BaseException:
                # It is gone when an interrupt came right after the rename.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(scratch, dir_fd=parent.fd)
                raise
            return parent.made, found

    def _beneath(self, parts: list[str], *, make: bool = False) -> Beneath:
        try:
            return Beneath(self.root, parts, make=make)
        except PermissionError as error:
            raise PermissionError(error.errno, error.strerror, "/".join(parts)) from None


def _is_folder(row: os.DirEntry[str]) -> bool:
    try:
        return row.is_dir()
    except OSError:
        return False  # A link that cannot be followed.


def _mode_of(parent_fd: int, name: str, rel: str) -> int | None:
    """Gives the mode of a file that is to be replaced, None when there is none yet."""
    try:
        found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", rel)
    if not stat.S_ISREG(found.st_mode):
        raise PermissionError(errno.EACCES, "not a regular file", rel)
    return stat.S_IMODE(found.st_mode)
