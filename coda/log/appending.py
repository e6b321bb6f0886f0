"""The file under a trace's writer: whole pieces at its end, or nothing.

Guarantee: `mark` tells how far the file is sound, and moves by one assignment after all bytes of a piece were
handed to the system; whatever interrupts a piece (a full disk, Ctrl-C, an error) is taken back. A file that
was deleted, moved, cut or written to by another is noticed before the next piece goes into it: an intent in
a file that nobody can open is no intent. After that, or a failed sync, no piece is accepted any more.

The system calls are kept by name here, so that agent code which replaces them in the same process is
recorded, not obeyed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from coda.errors import LogError, UsageError

_open, _write, _fsync, _ftruncate, _lseek = os.open, os.write, os.fsync, os.ftruncate, os.lseek
_close, _stat, _fstat, _unlink, _getpid = os.close, os.stat, os.fstat, os.unlink, os.getpid
_flock, _sleep = fcntl.flock, time.sleep

_LOCK_TRIES: Final = 40
_LOCK_SECONDS: Final = 0.005


class Mark(NamedTuple):
    """How far a file is sound: so many bytes, their running digest, and the number of the next event."""

    offset: int
    sha256: Any
    seq: int


class AppendFile:
    """A locked file that grows by whole pieces. See `create_file` and `reopen_file`.

    Args:
        path: where it is.
        fd: open for reading and writing, locked, at its end.
        mark: what it holds.
    """

    def __init__(self, path: Path, fd: int, mark: Mark) -> None:
        self.path = path
        self.mark = mark
        self._fd = fd
        self._place = os.path.abspath(path)  # the process may change its folder
        found = _fstat(fd)
        self._identity = found.st_dev, found.st_ino
        self._pid = _getpid()
        self._partial = False
        self._ended = f"trace {path} is closed"

    @property
    def closed(self) -> bool:
        """Whether no piece is accepted any more."""
        return self._fd < 0

    def put(self, data: bytes, seq: int) -> None:
        """Appends a piece, after which the next event has number `seq`.

        Raises:
            LogError: it could not be written, and nothing of it is in the file.
        """
        self._check()
        offset, sha256, _ = self.mark
        sha256 = sha256.copy()
        sha256.update(data)
        try:
            self._partial = True
            view = memoryview(data)
            while view:
                view = view[_write(self._fd, view) :]
            self.mark = Mark(offset + len(data), sha256, seq)
            self._partial = False
        except OSError as error:
            self._take_back()
            raise LogError(
                f"cannot write {self.path}: {error.strerror}; what happened before event {self.mark.seq} "
                "is in it, and whole",
                path=str(self.path), offset=offset,
            ) from error  # fmt: skip
        except BaseException:  # Ctrl-C: what was written of the piece must not stay
            self._take_back()
            raise

    def sync(self) -> None:
        """Waits until the file is on the disk.

        Raises:
            LogError: it cannot be told whether it is; no piece is accepted any more.
        """
        try:
            _fsync(self._fd)
        except OSError as error:
            # The system forgets what it could not write: a second sync would succeed and mean nothing.
            self._give_up(f"cannot sync {self.path}: {error.strerror}")

    def cut(self) -> None:
        """Cuts off what is behind the mark: the torn tail of a file that was reopened."""
        self._take_back()

    def close(self) -> None:
        """Lets go of the file. Closing twice is harmless."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            _close(fd)

    def discard(self) -> None:
        """Lets go of a file that was just made, and removes it."""
        self.close()
        try:
            _unlink(self._place)
        except OSError:
            return

    @property
    def is_ours(self) -> bool:
        """False in a fork of the process that opened it."""
        return _getpid() == self._pid

    def _check(self) -> None:
        """The file must still be what, and where, it was."""
        if self._fd < 0:
            raise LogError(self._ended, path=str(self.path))
        if not self.is_ours:
            raise LogError(
                f"{self.path} is written by process {self._pid}, of which this one is a fork: "
                "only that one may append to it",
                path=str(self.path),
            )
        if self._partial:
            self._take_back()
        try:
            found = _stat(self._place)
        except OSError:
            self._give_up(f"{self.path} was deleted or moved while it was being written")
        if (found.st_dev, found.st_ino) != self._identity:
            self._give_up(f"{self.path} was replaced by another file while it was being written")
        if found.st_size != self.mark.offset:
            self._give_up(
                f"{self.path} was changed by somebody else while it was being written: it has "
                f"{found.st_size} bytes, not {self.mark.offset}"
            )

    def _give_up(self, reason: str) -> NoReturn:
        self._ended = reason
        self.close()
        raise LogError(reason, path=str(self.path), offset=self.mark.offset)

    def _take_back(self) -> None:
        """Cuts a partial piece off; if even that fails no more may follow it."""
        try:
            _ftruncate(self._fd, self.mark.offset)
            _lseek(self._fd, self.mark.offset, os.SEEK_SET)
            self._partial = False
        except OSError:
            self._ended = f"{self.path} ends with a torn record that could not be removed"
            self.close()


def create_file(path: Path, *, force: bool, seq: int, durable: bool) -> AppendFile:
    """Makes a file with mode 0600 and locks it; an old one that nobody writes is replaced with `force`.

    Args:
        path: its name.
        force: replace an existing file.
        seq: number of the first event.
        durable: the new name is on the disk before this returns.

    Raises:
        UsageError: there is one, it is being written, or none can be made there.
    """
    try:
        if force:
            _remove_old(path)
        fd = _open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} exists; give --force to replace it", path=str(path)) from error
    except FileNotFoundError as error:
        raise UsageError(f"cannot make {path}: there is no folder {path.parent}", path=str(path)) from error
    except OSError as error:
        raise UsageError(f"cannot make {path}: {error.strerror}", path=str(path)) from error
    file = AppendFile(path, fd, Mark(0, hashlib.sha256(), seq))
    try:
        _lock(fd)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        file.discard()
        raise UsageError(f"cannot lock {path}: {error.strerror}", path=str(path)) from error
    return file


def open_locked(path: Path) -> int:
    """Opens an existing file for appending and locks it.

    Raises:
        UsageError: there is none, it is no regular file, or it is being written.
    """
    try:
        fd = _open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", path=str(path)) from error
    try:
        if not stat.S_ISREG(_fstat(fd).st_mode):
            raise UsageError(f"{path} is not a regular file", path=str(path))
        _lock(fd)
    except BlockingIOError as error:
        _close(fd)
        raise UsageError(f"{path} is being written by a run in progress", path=str(path)) from error
    except BaseException:
        _close(fd)
        raise
    return fd


def _lock(fd: int) -> None:
    """Takes the writer's lock; readers hold it for an instant when they ask whether a run is live."""
    for _ in range(_LOCK_TRIES):
        try:
            _flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            _sleep(_LOCK_SECONDS)
    _flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_old(path: Path) -> None:
    try:
        fd = _open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISREG(_fstat(fd).st_mode):
            raise UsageError(f"{path} is not a regular file; a trace cannot replace it", path=str(path))
        _lock(fd)
    except BlockingIOError as error:
        raise UsageError(f"{path} is being written by a run in progress", path=str(path)) from error
    finally:
        _close(fd)
    # Unlinked, not truncated: whoever reads the old trace keeps a whole one.
    _unlink(path)


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    fd = _open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        _fsync(fd)
    finally:
        _close(fd)
