"""The two files that settings come from: where they are, and on which line each setting stands.

Guarantee: a file of somebody else is never obeyed: the project's file is looked for in the current folder and
upwards to the top of the repository, or below the home folder when there is no repository, and the search
ends at the first folder or file that belongs to another user (a folder that everybody may write to, such as
the system's temporary one, would otherwise give everyone's programs their settings).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from coda.errors import UsageError

PROJECT_NAME: Final = "coda.toml"
USER_NAME: Final = "config.toml"


class SettingsFile(NamedTuple):
    """A file of settings as it was read."""

    path: Path
    project: bool
    text: str
    data: dict[str, Any]

    @property
    def shown(self) -> str:
        """The path as messages name it: relative when it is below the current folder."""
        return shown(self.path)

    def line_of(self, *keys: str) -> int:
        """Gives the line, from 1, on which the statement begins that gives a key; 1 when none does."""
        return _line_of(self.text, keys)


def shown(path: Path) -> str:
    """Gives a path as messages name it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def user_file(environ: Mapping[str, str]) -> Path | None:
    """Gives where the user's file is, whether or not there is one; None without a home.

    Source: XDG Base Directory Specification (a relative path is to be ignored).
    """
    base = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):
        home = os.path.expanduser("~")
        if not os.path.isabs(home):
            return None
        base = os.path.join(home, ".config")
    return Path(base) / "coda" / USER_NAME


def project_file(folder: Path) -> tuple[Path | None, str | None]:
    """Finds the project's file from a folder upwards.

    Returns:
        Its path, or None; and, when a file was found but is not the user's own, why it is not read.
    """
    for place in _upwards(folder):
        path = place / PROJECT_NAME
        try:
            owner = path.stat().st_uid
        except OSError:
            continue
        if owner not in (os.geteuid(), 0):
            return None, f"{shown(path)} belongs to another user and is not read"
        return path, None
    return None, None


def _upwards(folder: Path) -> Iterator[Path]:
    """The folders that are searched; the one that coda stands in is always the first."""
    folder = Path(os.path.realpath(folder))
    home = Path(os.path.realpath(os.path.expanduser("~")))
    places = [folder, *folder.parents]
    tops = [index for index, place in enumerate(places) if (place / ".git").exists()]
    if tops:
        yield from places[: tops[0] + 1]
        return
    yield folder
    if home in folder.parents:
        yield from places[1 : places.index(home)]


def read_file(path: Path, *, project: bool) -> SettingsFile | None:
    """Reads a file of settings; None when there is none.

    Raises:
        UsageError: it cannot be read, or is not TOML.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"cannot read {shown(path)}: {error.strerror}", path=str(path)) from error
    import tomllib  # takes its time, and most folders have no such file

    try:
        text = data.decode("utf-8")
        found = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{shown(path)} is not TOML: {error}", path=str(path)) from error
    return SettingsFile(path, project, text, found)


def _line_of(text: str, keys: tuple[str, ...]) -> int:
    """By reading ever more of the file: a part that ends within a statement does not parse."""
    import tomllib

    lines = text.splitlines(keepends=True)
    begin = 1
    for count in range(1, len(lines) + 1):
        try:
            data: Any = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        for key in keys:
            data = data.get(key) if isinstance(data, dict) else None
        if data is not None:
            return begin
        begin = count + 1
    return 1
