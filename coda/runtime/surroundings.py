"""What a machine decides without being asked: its time zone, its temporary folder, its file mode mask.

Guarantee: what is found here is what the C library and the standard library of a program in that environment
use, so that a replay elsewhere can be given the same. The wrong alternative is to let the replaying machine
decide: local times, names of temporary files and modes would be its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_LOCALTIME = "/etc/localtime"
_ZONES = "/zoneinfo/"
_VARIANTS = ("posix/", "right/")
_NO_ZONE = "UTC0"


def zone_of(env: Mapping[str, str], *, localtime: str = _LOCALTIME) -> str:
    """The time zone in force, as `TZ` would give it; "" when `TZ` does.

    Args:
        env: the program's environment.
        localtime: the system's own zone: a link to a zone's file, or such a file.

    Returns:
        The zone's name; where it has none, its present rule (POSIX form); UTC where the system says nothing.
    """
    if "TZ" in env:
        return ""
    path = os.path.realpath(localtime)
    _, found, name = path.rpartition(_ZONES)
    if found and os.path.exists(path):
        for variant in _VARIANTS:
            name = name.removeprefix(variant)
        return name
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return _NO_ZONE
    # The last line of a TZif file of version 2 and later (RFC 9636, 3.3).
    footer = content.rstrip(b"\n").rpartition(b"\n")[2]
    rule = footer.decode("ascii", "replace")
    return rule if content.startswith(b"TZif") and rule.isprintable() and rule else _NO_ZONE


def is_known_zone(zone: str) -> bool:
    """Whether this machine can tell the time of a zone: a rule, or a name that it has a file for."""
    if any(letter.isdigit() for letter in zone) and "/" not in zone:
        return True
    return any(os.path.exists(f"{folder}/{zone}") for folder in _zone_folders())


def _zone_folders() -> tuple[str, ...]:
    return (os.environ.get("TZDIR") or "/usr/share/zoneinfo", "/usr/share/zoneinfo")


def temp_of(env: Mapping[str, str]) -> str:
    """The temporary folder that `tempfile` takes, resolved; "" when there is none."""
    for folder in (env.get("TMPDIR"), env.get("TEMP"), env.get("TMP"), "/tmp", "/var/tmp", "/usr/tmp"):
        if folder and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return os.path.realpath(folder)
    return ""


def umask_here() -> int:
    """The mask of modes that this process gives to its children.

    Cost: it can only be read by setting it: for an instant the process has another.
    """
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
