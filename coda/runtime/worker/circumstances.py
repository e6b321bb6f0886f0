"""What a child process may depend on beside its arguments: environment, folder, standard input, other files.

Guarantee: each fact follows from what the program itself did and read, never from what only this machine
knows, so a replay of the same program finds the same facts, and a fork that changed one of them finds others.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import sys
from typing import Any

from coda.log import UNKEPT
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import Shim

_HASHED_BYTES = 1 << 26
_CHUNK = 1 << 20


class Circumstances:
    """The facts of one worker.

    Args:
        recorder: says whether it is agent code that acts.
        root: the workspace.
    """

    def __init__(self, recorder: Recorder, *, root: str) -> None:
        self._recorder = recorder
        self._root = root
        self._began = os.getcwd()
        self._set: dict[bytes, bytes | None] = {}
        self._outside: set[str] = set()
        # Kept here: agent code may replace what the module holds.
        self._getcwd, self._open, self._read, self._close = os.getcwd, os.open, os.read, os.close
        self._fstat, self._lseek, self._readlink = os.fstat, os.lseek, os.readlink

    def install(self) -> None:
        """Takes note from here on of the variables that the program sets; `os.environ` sets them so too."""
        for name in ("putenv", "unsetenv"):
            setattr(os, name, _Setter(getattr(os, name), self._set, self._recorder))

    def note_variable(self, name: str, value: str) -> None:
        """The user of a fork has set a variable."""
        self._set[os.fsencode(name)] = os.fsencode(value)

    def note_file(self, path: Any) -> None:
        """The program is about to change a file; one outside of the workspace has an absolute path."""
        if isinstance(path, str) and path.startswith(os.sep):
            self._outside.add(path)

    def facts(self, stdin: int | None) -> dict[str, str | None]:
        """Fields of `process.started`.

        Args:
            stdin: the descriptor that becomes its standard input; None: the program's own, or what it is fed.
        """
        return {
            "folder": self._folder(),
            "environ": self._environ(),
            "source": None if stdin is None else self._source(stdin),
            "outside": self._contents(),
        }

    def _folder(self) -> str | None:
        try:
            here = self._getcwd()
        except OSError:
            return UNKEPT  # it was deleted
        return os.path.relpath(here, self._began) if here != self._began else None

    def _environ(self) -> str | None:
        if not self._set:
            return None
        digest = hashlib.sha256()
        for name, value in sorted(self._set.items()):
            digest.update(name + (b"\0" if value is None else b"=" + value + b"\0"))
        return digest.hexdigest()

    def _source(self, fd: int) -> str:
        try:
            mode = self._fstat(fd).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISCHR(mode):
                return UNKEPT
            place = self._path_of(fd)
            return place if stat.S_ISCHR(mode) else f"{place} from {self._lseek(fd, 0, os.SEEK_CUR)}"
        except OSError:
            return UNKEPT

    def _path_of(self, fd: int) -> str:
        if sys.platform == "darwin":
            path = fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
        else:
            path = self._readlink(f"/proc/self/fd/{fd}")
        inside = path.startswith(self._root.rstrip(os.sep) + os.sep)
        return os.path.relpath(path, self._root) if inside else path

    def _contents(self) -> str | None:
        """What the files outside of the workspace hold that the program has changed."""
        digest = None
        for path in sorted(self._outside):
            content = self._digest_of(path)
            if content == UNKEPT:
                return UNKEPT
            if content is not None:
                digest = digest or hashlib.sha256()
                digest.update(os.fsencode(path) + b"\0" + content.encode())
        return digest.hexdigest() if digest is not None else None

    def _digest_of(self, path: str) -> str | None:
        """None for what is no file with content of its own; a file that is gone has the digest of nothing."""
        try:
            fd = self._open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return "-"
        try:
            found = self._fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return None
            if found.st_size > _HASHED_BYTES:
                return UNKEPT
            digest = hashlib.sha256()
            while piece := self._read(fd, _CHUNK):
                digest.update(piece)
            return digest.hexdigest()
        finally:
            self._close(fd)


class _Setter(Shim):
    """`os.putenv` and `os.unsetenv`, taking note of what they set."""

    __slots__ = ("_real", "_recorder", "_set")

    def __init__(self, real: Any, noted: dict[bytes, bytes | None], recorder: Recorder) -> None:
        super().__init__(real)
        self._real = real
        self._set = noted
        self._recorder = recorder

    def __call__(self, *args: Any) -> None:
        """Acts as the builtin would."""
        self._real(*args)
        if not self._recorder.busy():
            name, *value = map(os.fsencode, args)
            self._set[name] = value[0] if value else None
