"""The kinds of values that settings have: how each is written, read and shown.

Guarantee: one grammar for files, variables and flags: what `--timeout 2m` means, `CODA_TIMEOUT=2m` and
`timeout = "2m"` mean too. A value that is not of its kind is refused with what was expected and what was
found; nothing is rounded, clipped or guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

NONE: Final = "none"
"""How "no limit" and "nothing" are written for a setting that may be without a value."""

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_FACTORS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+", re.IGNORECASE)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)", re.IGNORECASE)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


class Kind(NamedTuple):
    """How a setting is written."""

    metavar: str
    """What stands for the value in a synopsis."""
    expected: str
    """What is expected, in words, with an example."""
    from_text: Callable[[str], Any]
    """Reads a variable or a flag; raises ValueError."""
    from_toml: Callable[[Any], Any]
    """Reads a value of a file; raises ValueError."""
    show: Callable[[Any], str]
    """Gives the text from which the value would be read again."""


def size(text: str) -> int:
    """Gives bytes: `512M`, `1.5G`, `64K`, `100`; K, M, G and T are powers of 1024.

    Raises:
        ValueError: it is not a size, or none at all.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    number = float(found[1]) * _FACTORS[found[2].upper()]
    if number < 1 or number != int(number):
        raise ValueError(text)
    return int(number)


def duration(text: str) -> float:
    """Gives seconds: `90`, `1.5s`, `200ms`, `2m`, `1h30m`.

    Raises:
        ValueError: it is not a duration, or none at all.
    """
    text = text.strip()
    if re.fullmatch(r"\d+(?:\.\d+)?|\.\d+", text):
        seconds = float(text)
    elif _DURATION.fullmatch(text):
        seconds = sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PART.findall(text))
    else:
        raise ValueError(text)
    if seconds <= 0:
        raise ValueError(text)
    return seconds


def show_size(value: int) -> str:
    """Gives a number of bytes in the greatest unit that divides it: `512M`."""
    for unit in "TGMK":
        if value % _FACTORS[unit] == 0:
            return f"{value // _FACTORS[unit]}{unit}"
    return str(value)


def show_duration(seconds: float) -> str:
    """Gives a duration in the greatest unit that divides it: `2m`, `1.5s`."""
    for unit in ("h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds:g}s"


def _number(value: Any) -> str:
    """A TOML number as the text that it was written as; anything else is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(value)
    return str(value) if isinstance(value, int) else f"{value:f}"


def _text_or_number(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: read(value) if isinstance(value, str) else read(_number(value))


def _string(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    return value


def _count(least: int, most: int | None = None) -> Kind:
    def check(value: int) -> int:
        if value < least or (most is not None and value > most):
            raise ValueError(value)
        return value

    def from_text(text: str) -> int:
        return check(int(text))

    def from_toml(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(value)
        return check(value)

    expected = f"a whole number from {least} " + ("on" if most is None else f"to {most}")
    return Kind("N", expected, from_text, from_toml, str)


def choice(words: tuple[str, ...]) -> Kind:
    """Gives the kind of a setting that is one of some words."""

    def check(value: Any) -> str:
        if value not in words:
            raise ValueError(value)
        return str(value)

    return Kind("|".join(words), f"one of {', '.join(words)}", check, check, str)


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ValueError(text)
    return word in _YES


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def _list_of(pattern: re.Pattern[str]) -> tuple[Callable[[str], Any], Callable[[Any], Any]]:
    def check(items: list[Any]) -> tuple[str, ...]:
        if not all(isinstance(item, str) and pattern.fullmatch(item) for item in items):
            raise ValueError(items)
        return tuple(items)

    def from_toml(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError(value)
        return check(value)

    return lambda text: check([part.strip() for part in text.split(",") if part.strip()]), from_toml


def _line_spans(text: str) -> str:
    if text not in ("all", "none") and not (text.isascii() and text.isdigit() and len(text) < 12):
        raise ValueError(text)
    return text


def _folder(value: Any) -> str:
    return os.path.expanduser(_string(value))


def _token(value: Any) -> str:
    """A token must survive a header and a cookie."""
    text = _string(value)
    if len(text) < 8 or not text.isascii() or not text.isprintable() or set(text) & set(' ;,"\\'):
        raise ValueError(value)
    return text


def _joined(items: Any) -> str:
    return ",".join(items) or "(none)"


KINDS: Final[dict[str, Kind]] = {
    "count": _count(1),
    "port": _count(0, 65535),
    "size": Kind("SIZE", 'a size such as "512M", "1.5G" or 4096', size, _text_or_number(size), show_size),
    "duration": Kind(
        "TIME", 'a duration such as 90, "1.5s" or "2m"', duration, _text_or_number(duration), show_duration
    ),
    "folder": Kind("DIR", "the path of a folder", _folder, _folder, str),
    "text": Kind("TEXT", "a text", _string, _string, str),
    "url": Kind("URL", 'an address such as "http://localhost:4318"', _string, _string, str),
    "token": Kind(
        "T",
        "at least 8 printable ASCII characters without spaces, quotes, commas, semicolons and backslashes",
        _token,
        _token,
        str,
    ),
    "switch": Kind("yes|no", "true or false", _switch, _truth, lambda value: "true" if value else "false"),
    "variables": Kind(
        "NAME", 'a list of names of variables, such as ["PATH", "LANG"]', *_list_of(_NAME), _joined
    ),
    "hosts": Kind(
        "NAME", 'a list of host names, such as ["example.org"]', *_list_of(re.compile(r"[^\s,]+")), _joined
    ),
    "line spans": Kind("N|all|none", "a number, all or none", _line_spans, _text_or_number(_line_spans), str),
}
