"""Names that the recorded program was shown in folders, and that no scan of its workspace holds.

Guarantee: a fork that lists a folder again sees what its parent saw there, as far as the log tells it: the
trace itself, `.coda`, what lies in `.git` and in caches. Such names stand in the private copy as empty
folders and as files of unknown content, which nobody may read. A folder that is known not to be whole, and
that the parent never listed, is named (`PrivateCopy.unlisted`): the wrong alternative is to show it empty.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from coda.errors import SchemaMismatch
from coda.log import Trace, from_envelope
from coda.replay.private import PrivateCopy

_LISTINGS = ("listdir", "scandir")
# As in what `os.scandir` is answered: bits for a folder or file, a link, a link to either.
_FOLDER, _FILE = 1, 2
_FOLDERS, _FILES = 1 | 8, 2 | 4 | 16
_TOLD = frozenset({"file.opened", "file.wrote", "file.deleted", "file.renamed", "file.made"})


def show_listed(copy: PrivateCopy, trace: Trace, before: int) -> None:
    """Adds to a private copy, as it is before event `before`, the names that the run listed and it lacks."""
    listings, kinds = _listings(trace, before)
    told = _told(trace)
    for folder in sorted(listings):  # a folder before what it holds
        if not copy.holds_folder(folder):
            continue
        for name in listings[folder]:
            path = os.path.join(folder, name)
            if path not in told and not os.path.lexists(copy.folder / path):
                _add(copy, path, _FOLDER if path in listings else kinds.get(path, _FILE))
    copy.unlisted -= listings.keys()


def _listings(trace: Trace, before: int) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Names in each folder, as last listed before the event, else as first after it; kinds of paths."""
    found: dict[str, list[str]] = {}
    kinds: dict[str, int] = {}
    folder, at = "", -1
    if next(trace.records(own=False, types={"file.listed"}), None) is None:
        return found, kinds
    for event in trace.events(types={"file.listed", "effect"}):
        if event.type == "file.listed":
            folder, at = str(event.fields["path"]), event.seq
            folder = "" if folder == "." else folder
        elif event.seq == at + 1 and event.name == "host" and not os.path.isabs(folder):
            entries = _entries(event.value)
            if entries is None:
                continue
            if event.seq < before or folder not in found:
                found[folder] = [name for name, _ in entries]
            kinds.update((os.path.join(folder, name), kind) for name, kind in entries if type(kind) is int)
    return found, kinds


def _entries(value: Any) -> list[tuple[str, int | None]] | None:
    """The names in a recorded answer, each with its kind where it is known; None: it is no listing."""
    if not isinstance(value, list) or len(value) != 2 or value[0] not in _LISTINGS:
        return None
    try:
        answer = from_envelope(value[1])
        names, kinds = answer if value[0] == "scandir" else (answer, [None] * len(answer))
        return [(name, kind) for name, kind in zip(names, kinds, strict=True) if _is_name(name)]
    except (SchemaMismatch, TypeError, ValueError):
        return None


def _is_name(name: Any) -> bool:
    """Whether it can be a name in a folder: the log may be somebody else's."""
    return isinstance(name, str) and "/" not in name and "\0" not in name and name not in ("", ".", "..")


def _told(trace: Trace) -> set[str]:
    """Paths that came or went during the run: whether they are there now follows from the log."""
    told: set[str] = set()
    for placed in trace.records(own=False, types=_TOLD):
        if getattr(placed.record, "error", None) is None:
            told.update(str(getattr(placed.record, name, "")) for name in ("path", "to"))
    return told


def _add(copy: PrivateCopy, path: str, kind: int) -> None:
    place = copy.folder / path
    try:
        if kind & _FOLDERS:
            place.mkdir()
            copy.unlisted.add(path)
        elif kind & _FILES:
            place.touch(mode=0)
            copy.placeholders.add(path)
        else:
            os.mknod(place, stat.S_IFSOCK)  # neither file nor folder, and nothing that could be read
    except OSError:
        return  # a name that this system does not take
