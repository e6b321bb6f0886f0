"""Content-addressed storage beside a trace: `NAME.blobs/ab/cdef...`, named by SHA-256.

Guarantee: a blob is complete on disk under its name before `put` returns, is never changed after,
and what `get` gives has the digest that was asked for. Names come from traces, so they are checked to
be 64 hex digits before they are joined to a path, and links are not followed.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from coda.errors import LogError, MissingBlob
from coda.log.appending import sync_folder

# Kept by name: agent code in the same process may replace what the module holds.
_open, _write, _fsync, _close = os.open, os.write, os.fsync, os.close
_rename, _mkdir = os.rename, os.mkdir

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """The blobs of one trace; reading falls through to the stores of the runs that it was forked from.

    Args:
        folder: the `NAME.blobs` folder; made with the first blob.
        ancestors: stores to ask when a blob is not here, nearest first.
        durable: sync each blob to the disk before it is named.
    """

    def __init__(self, folder: Path, *, ancestors: tuple[BlobStore, ...] = (), durable: bool = False) -> None:
        self.folder = folder
        self.ancestors = ancestors
        self.durable = durable

    @classmethod
    def beside(
        cls, trace: Path, *, ancestors: tuple[BlobStore, ...] = (), durable: bool = False
    ) -> BlobStore:
        """Gives the store that belongs to a trace file: `run.jsonl` has `run.blobs`."""
        return cls(trace.with_suffix(".blobs"), ancestors=ancestors, durable=durable)

    def path(self, digest: str) -> Path:
        """Gives where this store keeps a blob, whether or not it is there.

        Raises:
            MissingBlob: the name is not a digest.
        """
        if not _DIGEST.fullmatch(digest):
            raise MissingBlob(f"{digest[:80]!r} is not the name of a blob: 64 hex digits are", digest=digest)
        return self.folder / digest[:2] / digest[2:]

    def put(self, data: bytes) -> str:
        """Stores bytes, mode 0600, and gives their digest. The same bytes again cost a hash and a look.

        Raises:
            LogError: the folder cannot be written, or the disk is full.
        """
        digest = hashlib.sha256(data).hexdigest()
        target = self.path(digest)
        try:
            if not target.exists():  # looked for each time: somebody may have emptied the folder since
                self._write(target, data)
        except OSError as error:
            raise LogError(f"cannot write blob {target}: {error.strerror}", path=str(target)) from error
        return digest

    def begin(self) -> BlobWriter:
        """Begins a blob that is written piece by piece, by one thread.

        Raises:
            LogError: the folder cannot be written.
        """
        return BlobWriter(self)

    def _write(self, target: Path, data: bytes) -> None:
        made = self.make_folders(target.parent)
        scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        fd = _open(scratch, _NEW, 0o600)
        try:
            try:
                _write_all(fd, data)
                if self.durable:
                    _fsync(fd)
            finally:
                _close(fd)
            self.name(scratch, target, made)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise

    def make_folders(self, *below: Path) -> list[Path]:
        """Makes the store's folder and others in it; gives those that were not there."""
        made = [folder for folder in (self.folder, *below) if not folder.is_dir()]
        for folder in made:
            try:  # not their parents: the folder of the trace itself is there, or the trace is lost
                _mkdir(folder, 0o700)
            except FileExistsError:
                continue  # another thread was faster
        return made

    def name(self, scratch: Path, target: Path, made: list[Path]) -> None:
        """Gives a file that is complete its name; `made` are the folders that were made for it."""
        _rename(scratch, target)
        if self.durable:
            for folder in (target.parent, *(folder.parent for folder in reversed(made))):
                sync_folder(folder)

    def has(self, digest: str) -> bool:
        """Tells whether the blob is here or with an ancestor; its content is not read."""
        return self._find(digest) is not None

    def get(self, digest: str) -> bytes:
        """Gives the content.

        Raises:
            MissingBlob: no store has it, or its content no longer has that digest.
        """
        found = self._find(digest)
        if found is None:
            raise MissingBlob(f"blob {digest} is missing from {self.folder}", digest=digest)
        try:
            fd = os.open(found, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                data = file.read()
        except OSError as error:
            raise MissingBlob(f"blob {found} cannot be read: {error.strerror}", digest=digest) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise MissingBlob(f"blob {found} is damaged: its content has another digest", digest=digest)
        return data

    def _find(self, digest: str) -> Path | None:
        own = self.path(digest)
        if own.is_file() and not own.is_symlink():
            return own
        return next((found for store in self.ancestors if (found := store._find(digest)) is not None), None)

    def __iter__(self) -> Iterator[str]:
        """Digests of the blobs in this store's own folder, in no particular order."""
        if self.folder.is_dir():
            for path in self.folder.glob("??/*"):
                if _DIGEST.fullmatch(path.parent.name + path.name):
                    yield path.parent.name + path.name


class BlobWriter:
    """A blob that is being written; it has no name, and nobody sees it, until it is finished."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        self._scratch = store.folder / f".{secrets.token_hex(8)}"
        with self._as_log_error():
            self._made = store.make_folders()
            self._fd = _open(self._scratch, _NEW, 0o600)

    def write(self, data: bytes) -> None:
        """Writes a piece; LogError when it cannot be written, and all of it is gone then."""
        with self._as_log_error():
            _write_all(self._fd, data)
        self._hash.update(data)

    def finish(self) -> str:
        """Gives the digest, under which the store has the blob now.

        Raises:
            LogError: it cannot be written.
        """
        digest = self._hash.hexdigest()
        target = self._store.path(digest)
        with self._as_log_error():
            if self._store.durable:
                _fsync(self._fd)
            made = self._made + self._store.make_folders(target.parent)
            self._store.name(self._scratch, target, made)
        _close(self._fd)
        return digest

    def discard(self) -> None:
        """Leaves nothing of it."""
        _close(self._fd)
        self._scratch.unlink(missing_ok=True)

    @contextmanager
    def _as_log_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if hasattr(self, "_fd"):
                self.discard()
            where = self._store.folder
            raise LogError(f"cannot write a blob in {where}: {error.strerror}", path=str(where)) from error


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[_write(fd, view) :]
