"""Finds files by name and lines by content below a root.

Guarantee: a search never leaves the root (links to folders outside are not followed, links to files
outside are not read), never returns a cut answer as if it were whole, and does not search what is no
text. Folders of tools and environments (`.git`, `node_modules`, `.venv` ...) are left out unless the
caller names them.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections.abc import Callable, Iterator

from coda.runtime.places import FileAccess, OnFile, Places
from coda.runtime.workspace import JUNK_DIRS

MAX_PATHS = 100_000
_BINARY_PROBE_BYTES = 8192
_MAX_LINE_CHARS = 2_000
_CHUNK_BYTES = 1 << 20
_MAGIC = re.compile(r"[*?\[]")
# Builds of the project itself: found by glob, but noise in a search for text.
_GREP_JUNK = JUNK_DIRS | {"dist", "build"}
_Match = Callable[[str], object]


def find(places: Places, pattern: str, folder: str) -> list[str]:
    """Gives the paths below `folder` that match a pattern, relative to the root, sorted.

    Args:
        places: the root.
        pattern: `*`, `?`, `[...]` within a name, `**` for any number of folders; hidden names match.
        folder: where to begin, as `Places.resolve` gives it.

    Raises:
        ValueError: the pattern is empty, absolute or has `..`, or more than 100,000 paths match.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts or pattern.startswith("/") or ".." in parts:
        raise ValueError(
            f"{pattern!r} is not a pattern below a folder: it must be relative and without '..'; "
            "name another folder with root="
        )
    found: set[str] = set()
    for path in _expand(places, folder, tuple(parts)):
        found.add(path)
        if len(found) > MAX_PATHS:
            raise ValueError(f"more than {MAX_PATHS} paths match {pattern!r}: narrow the pattern")
    return sorted(found)


def _expand(places: Places, folder: str, parts: tuple[str, ...]) -> Iterator[str]:
    """Yields the matches of pattern parts below a folder; may repeat itself."""
    pending = [(folder, parts)]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while pending:
        here, rest = pending.pop()
        if (here, rest) in seen:
            continue
        seen.add((here, rest))
        part, after = rest[0], rest[1:]
        deep = part == "**"
        if deep and after:
            pending.append((here, after))
        match = re.compile(fnmatch.translate(part)).match
        for name, is_folder, is_link in _listing(places, here):
            magic = deep or _MAGIC.search(part)
            if (magic and is_folder and name in JUNK_DIRS) or (not deep and not match(name)):
                continue
            path = name if here == "." else f"{here}/{name}"
            if is_folder and is_link and not _stays_inside(places, path):
                continue
            if deep and is_folder and not is_link:
                pending.append((path, rest))
            if not after:
                yield path
            elif not deep and is_folder:
                pending.append((path, after))


def _listing(places: Places, folder: str) -> list[tuple[str, bool, bool]]:
    try:
        return places.list_folder(places.resolve(folder))
    except (OSError, ValueError):
        return []  # Unreadable, gone, or a link that leads out.


def _stays_inside(places: Places, path: str) -> bool:
    try:
        places.resolve(path)
    except (OSError, ValueError):
        return False
    return True


def matcher(pattern: str, *, regex: bool, ignore_case: bool) -> _Match:
    """Gives a function that tells whether a line matches.

    Raises:
        ValueError: the pattern is not a regular expression; names the place.
    """
    flags = re.IGNORECASE if ignore_case else 0
    try:
        return re.compile(pattern if regex else re.escape(pattern), flags).search
    except re.error as error:
        where = f" at position {error.pos}" if error.pos is not None else ""
        raise ValueError(
            f"{pattern!r} is not a regular expression: {error.msg}{where}; "
            "use regex=False to search for the text itself"
        ) from None


def search(
    places: Places,
    matches: _Match,
    start: str,
    *,
    name_glob: str | None,
    max_results: int,
    on_file: OnFile | None,
) -> list[tuple[int, str, str]]:
    """Gives (line number, path, line) of the lines that match, by path.

    Files that are binary or cannot be read are left out. With more than `max_results` matches the last
    row is a notice: line number 0, path "", and a sentence that says how many more there are.
    """
    rows: list[tuple[int, str, str]] = []
    more = 0
    for path in _files(places, start, name_glob):
        for number, line in _lines(places, path, on_file):
            if not matches(line):
                continue
            if len(rows) < max_results:
                rows.append((number, path, _cut(line)))
            else:
                more += 1
    if more:
        notice = f"[{more} more lines match: narrow the path, the pattern or glob=, or raise max_results]"
        rows.append((0, "", notice))
    return rows


def _files(places: Places, start: str, name_glob: str | None) -> Iterator[str]:
    """Yields the files to search, by path; a file that was named is always one of them."""
    full = os.path.join(places.root, start)
    if not os.path.isdir(full):
        if not os.path.lexists(full):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", start)
        yield start
        return
    wanted = re.compile(fnmatch.translate(name_glob)).match if name_glob is not None else None
    pending = [(start, True)]
    while pending:
        path, is_folder = pending.pop()
        if not is_folder:
            yield path
            continue
        below: list[tuple[str, bool]] = []
        for name, holds, is_link in _listing(places, path):
            inner = name if path == "." else f"{path}/{name}"
            if holds:
                wants = name not in _GREP_JUNK and not is_link
            else:
                wants = (
                    wanted is None or wanted(inner if name_glob and "/" in name_glob else name) is not None
                )
            if wants:
                below.append((inner, holds))
        pending.extend(reversed(below))


def _lines(places: Places, path: str, on_file: OnFile | None) -> Iterator[tuple[int, str]]:
    """Yields the numbered lines of a text file; nothing for what is not one."""
    try:
        rel = places.resolve(path)
        fd = places.open_file(rel)
    except (OSError, ValueError):
        return
    with open(fd, "rb") as file:
        size = os.fstat(fd).st_size
        if b"\0" in file.read(_BINARY_PROBE_BYTES):
            return
        if on_file is not None:
            on_file(FileAccess("read", rel, "grep", size=size))
        file.seek(0)
        number = 1
        # A line beyond the chunk is searched in pieces: it may be as long as the file.
        while line := file.readline(_CHUNK_BYTES):
            yield number, line.rstrip(b"\r\n").decode("utf-8", "replace")
            number += line.endswith(b"\n")


def _cut(line: str) -> str:
    if len(line) <= _MAX_LINE_CHARS:
        return line
    return f"{line[:_MAX_LINE_CHARS]} [... {len(line) - _MAX_LINE_CHARS} characters left out]"
