"""Opens what lies below a folder, component by component, through directory handles.

Guarantee: no link is followed on the way, so neither a path from a hostile trace nor a link that
was swapped in between a check and its use can lead an access out of the root. Checking a
resolved path first and then opening it by name would leave that gap.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from types import TracebackType

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Beneath:
    """The folder that holds a path, open as a handle.

    Args:
        root: an existing folder; links in its own path are followed.
        parts: components of the folder below it, without `.` and `..`.
        make: whether folders that are missing are made; `made` then lists them, relative to the root.

    Raises:
        NotADirectoryError: a component is a link or not a folder.
        FileNotFoundError: a component is missing and `make` is false.
    """

    def __init__(self, root: str, parts: Sequence[str], *, make: bool = False) -> None:
        self.made: list[str] = []
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for index, part in enumerate(parts):
                fd = self._descend(fd, part, "/".join(parts[: index + 1]), make)
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd

    def _descend(self, fd: int, part: str, path: str, make: bool) -> int:
        """Gives a handle of one folder further down and closes the one above."""
        try:
            below = os.open(part, _DIRECTORY, dir_fd=fd)
        except FileNotFoundError:
            if not make:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
            os.mkdir(part, dir_fd=fd)
            self.made.append(path)
            below = os.open(part, _DIRECTORY, dir_fd=fd)
        except OSError as error:
            # Linux says ENOTDIR for a link here, others ELOOP: one answer for both.
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
            raise
        os.close(fd)
        return below

    def __enter__(self) -> Beneath:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.fd)


def read_whole(fd: int, limit_bytes: int) -> bytes | None:
    """Reads an open file from where it stands to its end.

    Returns:
        The content, or None when there is more than `limit_bytes`.
    """
    chunks: list[bytes] = []
    left = limit_bytes + 1
    while left > 0:
        chunk = os.read(fd, min(left, 1 << 20))
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        left -= len(chunk)
    return None


def write_whole(fd: int, data: bytes) -> None:
    """Writes all of `data` to an open file."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
