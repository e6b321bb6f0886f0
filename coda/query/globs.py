"""Globs over paths, names and texts, compiled once to a regular expression.

Guarantee: `*`, `?`, `[abc]` and `[!abc]` mean what they mean in `fnmatch`, case counts, and a leading
dot is nothing special, so `*.env` finds `.env`. For paths: a pattern without a slash matches the last
component; one with a slash matches the whole path, relative to the root or absolute, `*` stops at a
slash and `**` crosses. The wrong alternative is `fnmatch` on the whole path, where `src/*` also
matches `src/a/b` and `*.env` matches `x/.env` only by luck.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable

Matcher = Callable[[str], bool]


@functools.lru_cache(maxsize=512)
def text_glob(pattern: str) -> Matcher:
    """Gives a test for a whole text; `*` crosses everything, line ends too."""
    if pattern == "*":
        return _anything
    if not any(mark in pattern for mark in "*?["):
        return pattern.__eq__
    match = re.compile(fnmatch.translate(pattern)).match
    return lambda text: match(text) is not None


def _anything(_text: str) -> bool:
    return True


def path_glob(pattern: str) -> Callable[[str, str], bool]:
    """Gives a test of (path, root); a relative path is taken as relative to the root."""
    pattern = pattern.removeprefix("./")
    if len(pattern) > 1:
        pattern = pattern.rstrip("/")
    if "/" not in pattern:
        last = text_glob(pattern)
        return lambda path, _root: last(path.rstrip("/").rpartition("/")[2] or path)
    match = re.compile(_translate(pattern)).fullmatch
    if pattern.startswith("/"):
        return lambda path, root: match(_absolute(path, root)) is not None
    if pattern.startswith("**"):
        return lambda path, root: match(path) is not None or match(_absolute(path, root)[1:]) is not None
    return lambda path, root: match(_relative(path, root)) is not None


def _absolute(path: str, root: str) -> str:
    return path if path.startswith("/") else f"{root.rstrip('/')}/{path}"


def _relative(path: str, root: str) -> str:
    prefix = root.rstrip("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) else path.removeprefix("./")


_BRACKET = re.compile(r"\[!?\]?[^\]/]*\]")


def _translate(pattern: str) -> str:
    """Gives the regular expression of a path pattern with a slash in it."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        bracket = _BRACKET.match(pattern, at)
        if pattern.startswith("**/", at):
            parts.append("(?:[^/]*/)*")
            at += 3
        elif pattern.startswith("**", at):
            parts.append(".*")
            at += 2
        elif pattern[at] == "*":
            parts.append("[^/]*")
            at += 1
        elif pattern[at] == "?":
            parts.append("[^/]")
            at += 1
        elif bracket:
            parts.append(_bracket(bracket[0]))
            at = bracket.end()
        else:
            parts.append(re.escape(pattern[at]))
            at += 1
    return "(?s:" + "".join(parts) + ")"


def _bracket(text: str) -> str:
    """Gives a set; a slash is never in it, also when it is negated."""
    # fnmatch knows which sets are empty or reversed ranges; only the slash is ours to add.
    inner = fnmatch.translate(text).removeprefix("(?s:").removesuffix(r")\Z").removesuffix(r")\z")
    return f"(?!/)(?:{inner})"
