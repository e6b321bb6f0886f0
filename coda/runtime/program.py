"""A program that runs as if by `python`, and what it gets of the host's environment.

Guarantee: facts alone; nothing here reads the program or starts anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal

import msgspec

LOCALE_NAMES = ("TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_TIME", "LC_NUMERIC", "LC_COLLATE")
# What agent code gets of the host's environment; a program (`coda exec`) gets all of it.
ALLOWED_ENV = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TEMP", "TMP", *LOCALE_NAMES)


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of a program that runs as if by `python`."""

    argv: tuple[str, ...] = ("",)
    main: str | None = None
    module: str | None = None
    path: tuple[str, ...] = ()
    cwd: str | None = None
    stdin: int | None = None
    tty: tuple[bool, bool, bool] = (False, False, False)
    encoding: str = "utf-8"
    closed: tuple[int, ...] = ()
    """Which of the descriptors 0, 1 and 2 are closed."""
    apart: Literal["session", "group", "none"] = "session"
    """Whether signals to our session or process group are kept from it; see `Engine`."""
    outside: tuple[str, ...] = ()
    """Files that are no part of the workspace though they lie in it: where output is redirected to."""


def environment_of(kind: str, further: Iterable[str]) -> dict[str, str]:
    """The environment of agent code: a program's is the whole of ours, an agent's what is allowed."""
    if kind == "exec":
        return dict(os.environ)
    allowed = {*ALLOWED_ENV, *further}
    return {name: value for name, value in os.environ.items() if name in allowed}
