"""What is in a folder: `os.listdir` and `os.scandir`, in sorted order and answered from the log.

Guarantee: a replay lists what the recording listed, also folders that no manifest holds (`.git`, caches,
environments, places outside of the workspace), with the kinds of their entries. Names are sorted: the order
in which a system gives them is arbitrary. The wrong alternative is to list the private copy, which lacks all
that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from coda.log import to_envelope
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import LIVE, Feed, HostFact, Shim

_FOLDER, _FILE, _LINK, _LINKED_FOLDER, _LINKED_FILE = 1, 2, 4, 8, 16


def listings(recorder: Recorder, feed: Feed) -> list[tuple[str, Shim]]:
    """The stand-ins for functions of `os`."""
    entry = type("DirEntry", (Entry,), {"__module__": "posix", "__slots__": ()})
    os.DirEntry = entry  # type: ignore[misc, assignment]  # `isinstance` in agent code holds of ours
    return [
        ("listdir", Listing(os.listdir, recorder, feed)),
        ("scandir", Scan(os.scandir, recorder, feed, entry=entry)),
    ]


class _Observed(HostFact):
    """One listing is one observation: names, or what the system said instead."""

    __slots__ = ()

    def __init__(self, real: Any, recorder: Recorder, feed: Feed) -> None:
        super().__init__(real, recorder, feed)
        self._ask = self._look

    def _look(self, path: Any = None) -> Any:
        """Asks the system; a kind of listing says how."""
        raise NotImplementedError

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        if self._feed.live:
            return LIVE
        try:
            self._ask(*args, **kwargs)  # so that it is told as when recording
        except OSError:
            pass  # the log knows better
        answer = super()._answer()
        if answer is LIVE:  # a fork leaves here: that the folder is listed was told before it did
            with self._recorder.quiet():
                answer = self._packed_or_errno(*args, **kwargs)
            self._feed.note(self.__name__, answer)
        return answer

    def _packed_or_errno(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._packed(self._ask(*args, **kwargs))
        except OSError as error:
            return {"errno": error.errno}

    def _packed(self, value: Any) -> Any:
        return to_envelope(value)

    def _named(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        path = args[0] if args else kwargs.get("path")
        return ("." if path is None else path,)


class Listing(_Observed):
    """`os.listdir`."""

    __slots__ = ()

    def _look(self, path: Any = None) -> Any:
        return sorted(self._real(path))


class Scan(_Observed):
    """`os.scandir`."""

    __slots__ = ("_entry",)

    def __init__(self, real: Any, recorder: Recorder, feed: Feed, *, entry: Any) -> None:
        super().__init__(real, recorder, feed)
        self._entry = entry

    def __call__(self, path: Any = None) -> Any:
        """Answers as the builtin would."""
        if self._recorder.busy():
            with self._real(path) as entries:
                return _Entries(sorted(entries, key=_name_of))
        names, kinds = super().__call__(path)
        fd = path if isinstance(path, int) else None
        folder = "." if path is None or fd is not None else os.fspath(path)
        return _Entries(
            [self._entry(folder, name, kind, fd) for name, kind in zip(names, kinds, strict=True)]
        )

    def _look(self, path: Any = None) -> Any:
        with self._real(path) as entries:
            found = sorted(((entry.name, _kind_of(entry)) for entry in entries), key=_first)
        return [[name for name, _ in found], [kind for _, kind in found]]


class Entry:
    """An `os.DirEntry`: kinds as they were when the folder was listed, everything else asked when it is."""

    __slots__ = ("_fd", "_kind", "_stats", "name", "path")

    def __init__(self, folder: Any, name: Any, kind: int, fd: int | None) -> None:
        self.name = name
        self.path = name if fd is not None else os.path.join(folder, name)
        self._kind = kind
        self._fd = fd
        self._stats: dict[bool, Any] = {}

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder."""
        return bool(self._kind & (_FOLDER | _LINKED_FOLDER if follow_symlinks else _FOLDER))

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a regular file."""
        return bool(self._kind & (_FILE | _LINKED_FILE if follow_symlinks else _FILE))

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return bool(self._kind & _LINK)

    def is_junction(self) -> bool:
        """Never: there are none here."""
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """`os.stat` of it, asked once."""
        if follow_symlinks not in self._stats:
            self._stats[follow_symlinks] = os.stat(
                self.path, dir_fd=self._fd, follow_symlinks=follow_symlinks
            )
        found: os.stat_result = self._stats[follow_symlinks]
        return found

    def inode(self) -> int:
        """Its inode."""
        return self.stat(follow_symlinks=False).st_ino

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"


class _Entries:
    """What `os.scandir` gives: an iterator that can be closed."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives no more entries."""
        self._entries = iter(())


def _kind_of(entry: os.DirEntry[Any]) -> int:
    if not entry.is_symlink():
        return _FOLDER if entry.is_dir() else _FILE if entry.is_file() else 0
    try:
        return _LINK | (_LINKED_FOLDER if entry.is_dir() else _LINKED_FILE if entry.is_file() else 0)
    except OSError:
        return _LINK


def _name_of(entry: Any) -> Any:
    return entry.name


def _first(pair: tuple[Any, int]) -> Any:
    return pair[0]
