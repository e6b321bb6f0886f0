"""The words of the language: numbers with units, quoted texts, ranges.

Guarantee: a literal means the same wherever it stands, and keeps the text it was written as, so that
`name = 17` can still match the text "17". A size is counted in bytes (kb is 1000, kib is 1024), a
duration in nanoseconds, as the log counts them.
"""

from __future__ import annotations

import re

from coda.query.tree import Literal, Range

UNITS: dict[str, int] = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
    "ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
NUMBERS = frozenset({
    "block", "cause", "code", "duration", "finished", "input_tokens", "known", "line", "mtime_ns", "opened",
    "output_tokens", "responded", "returned", "seq", "size", "statement", "t", "times", "turn",
})  # fmt: skip
"""Fields that are numbers in every event that has them."""
_NUMBER = re.compile(r"([+-]?(?:\d[\d_]*)(?:\.\d+)?(?:e[+-]?\d{1,3})?)([a-z]*)", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def unquote(text: str) -> str:
    r"""Gives the content of a quoted text: `\"`, `\'`, `\\`, `\n`, `\t` are escapes, nothing else is."""
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[0]), text[1:-1])


def bare(text: str) -> Literal:
    """Gives the meaning of a word that is not quoted: a number, `true`, `false`, `null` or a text."""
    if text in _WORDS:
        return Literal(text, _WORDS[text])
    return Literal(text, number(text, text))


def number(text: str, otherwise: str) -> int | float | str:
    """Gives the number that a text is, with its unit applied, or `otherwise` when it is none."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return otherwise
    scale = UNITS.get(found[2].lower(), 0) if found[2] else 1
    digits = found[1].replace("_", "")
    if not scale:
        return otherwise
    if digits.lstrip("+-").isdecimal():
        # int() refuses very long texts, which no field of an event can equal anyway.
        return int(digits) * scale if len(digits) < 4000 else otherwise
    value = float(digits) * scale
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def has_unknown_unit(text: str) -> bool:
    """Tells whether a word is a number with letters behind it that are no unit: `5x`."""
    found = _NUMBER.fullmatch(text)
    return found is not None and bool(found[2]) and found[2].lower() not in UNITS


def span(text: str, column: int) -> Range:
    """Gives the range that `40..90`, `40..`, `..90` or `40` is."""
    first, dots, last = text.partition("..")
    if not dots:
        return Range(first, first, column)
    return Range(first or None, last or None, column)
