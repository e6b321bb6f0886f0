"""Envelopes as short Python-like text for people.

Guarantee: the text is bounded by `width`, and the work by the text; a value that was not stored
whole never looks as if it were: opaque values and summaries stand in angle brackets.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any, Final

from coda.log.values import LEAF_CHARACTERS

_BRACKETS: Final = {"tuple": ("(", ")"), "set": ("{", "}"), "frozenset": ("frozenset({", "})")}
_WORDS: Final = {
    "datetime": "datetime",
    "date": "date",
    "time": "time",
    "timedelta": "timedelta",
    "decimal": "Decimal",
    "path": "Path",
    "uuid": "UUID",
}


def render(data: Any, *, width: int | None = 80) -> str:
    """Gives the text of an envelope: 'abc', [1, 2], (3,), <DataFrame ...>.

    Args:
        data: an envelope.
        width: greatest length of the text, at least 2; what is cut off shows as an ellipsis. None
            gives all of it.
    """
    pieces: list[str] = []
    length = 0
    for piece in _pieces(data, width or 1 << 62):
        pieces.append(piece)
        length += len(piece)
        if width is not None and length > width:
            return "".join(pieces)[: max(width - 1, 1)] + "…"
    return "".join(pieces)


def _pieces(data: Any, room: int) -> Iterator[str]:
    if isinstance(data, str):
        yield repr(data if len(data) <= room else data[: room + 1])
    elif isinstance(data, list | tuple):
        yield "["
        yield from _joined(data, room)
        yield "]"
    elif not isinstance(data, dict):
        yield repr(data)
    elif "$" in data:
        yield from _tagged(str(data["$"]), data, room)
    else:
        yield "{"
        yield from _pairs(data.items(), room)
        yield "}"


def _joined(items: Iterable[Any], room: int) -> Iterator[str]:
    for index, item in enumerate(items):
        if index:
            yield ", "
        yield from _pieces(item, room)


def _pairs(pairs: Iterable[Any], room: int) -> Iterator[str]:
    for index, (key, value) in enumerate(pairs):
        if index:
            yield ", "
        yield from _pieces(key, room)
        yield ": "
        yield from _pieces(value, room)


def _tagged(tag: str, data: dict[str, Any], room: int) -> Iterator[str]:
    value = data.get("v")
    if tag in _BRACKETS and isinstance(value, list):
        if not value:
            yield "()" if tag == "tuple" else f"{tag}()"
            return
        left, right = _BRACKETS[tag]
        yield left
        yield from _joined(value, room)
        yield ("," + right) if tag == "tuple" and len(value) == 1 else right
    elif tag == "dict" and isinstance(value, list):
        yield "{"
        yield from _pairs((pair for pair in value if isinstance(pair, list) and len(pair) == 2), room)
        yield "}"
    elif tag == "record" and isinstance(value, dict):
        yield str(data.get("t", "?")).rpartition(".")[2] + "("
        for index, (name, item) in enumerate(value.items()):
            yield f"{', ' if index else ''}{name}="
            yield from _pieces(item, room)
        yield ")"
    elif tag in ("str", "bytes", "bytearray"):
        yield _binary(tag, value, room)
    elif tag in ("float", "int"):
        yield str(value)
    elif tag == "complex" and isinstance(value, list):
        yield "complex("
        yield from _joined(value, room)
        yield ")"
    elif tag in _WORDS:
        zone = data.get("z")
        yield f"{_WORDS[tag]}({value!r}{'' if zone is None else f', {zone!r}'})"
    else:
        yield from _inexact(tag, data, room)


def _inexact(tag: str, data: dict[str, Any], room: int) -> Iterator[str]:
    name, size = data.get("t"), data.get("n")
    if tag == "summary":
        head = data.get("h")
        items = head if isinstance(head, list) and len(head) == size else None
        if items is not None and name in ("list", "tuple", "dict") and all(map(_is_whole, items)):
            yield from _pieces(items if name == "list" else {"$": name, "v": items}, room)
            return
        yield f"<{name}" + ("" if size is None else f" of {size}")
        if head is not None and size != 0:
            yield ": "
            yield from _pieces({"$": "dict", "v": head} if name == "dict" else head, room)
            yield "…" if items is None else ""
        yield ">"
    elif tag == "opaque":
        text = data.get("r")
        yield f"<{name}" + (f" {text}" if text else "") + ("" if size is None else f" of {size}") + ">"
    elif tag == "blob":
        yield f"<{size} bytes in blob {str(data.get('d'))[:12]}>"
    else:
        yield f"<{tag} value of a newer version>"


def _is_whole(leaf: Any) -> bool:
    """Whether an item in the head of a summary, or a pair of such, is all of what it stands for."""
    if isinstance(leaf, list):
        return (
            len(leaf) == 2 and not any(isinstance(item, list) for item in leaf) and all(map(_is_whole, leaf))
        )
    if isinstance(leaf, dict):
        return leaf.get("$") == "float"
    return not isinstance(leaf, str) or len(leaf) < LEAF_CHARACTERS


def _binary(tag: str, value: Any, room: int) -> str:
    text = str(value)
    cut = text[: (room + 3) // 3 * 4] if room < len(text) else text
    try:
        data = base64.b64decode(cut)
        if tag == "str":
            return repr(data.decode("utf-8", "surrogatepass" if cut == text else "replace"))
    except (ValueError, binascii.Error):
        return f"<damaged {tag}>"
    return repr(data) if tag == "bytes" else f"bytearray({data!r})"
