"""Lines of text with a tone for each piece: what the pure parts of the viewer hand to the widgets.

Guarantee: every text of a trace passes `clean` before it reaches a screen: secrets are masked and nothing
in it can steer the terminal. A tone names a meaning ("error", "name"), never a colour; the
style sheet gives it one, so that the pure parts know nothing of themes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size

from coda.log import mask, mask_data, render, sanitise

TONES = (
    "text", "strong", "muted", "faint", "title", "name", "value", "string", "number", "keyword", "builtin",
    "comment", "definition", "operator", "error", "warn", "ok", "accent", "call", "effect", "ctx", "talk",
    "changed", "gutter", "hits",
)  # fmt: skip


class Span(NamedTuple):
    """A piece of text in one tone."""

    text: str
    tone: str = "text"


Line = tuple[Span, ...]


def clean(text: str) -> str:
    """Gives one line of a trace's text, masked, harmless to a terminal, tabs and newlines made visible."""
    return sanitise(mask(text)).replace("\r", "").replace("\n", "⏎").replace("\t", "    ")


def clean_lines(text: str) -> list[str]:
    """Gives the lines of a trace's text, each as `clean` does."""
    masked = sanitise(mask(text)).replace("\r\n", "\n")
    return [clean(line) for line in masked.split("\n")]


def capped(text: str, characters: int) -> str:
    """Gives the beginning of a long text, and says how much is left out.

    What looks like a secret is masked before the cut, so that none is cut into something that does not.
    """
    if len(text) <= characters:
        return text
    head = mask(text[: characters + 4000])[:characters]
    return f"{head}\n… {len(text) - characters:,} more characters"


def shown(value: Any, *, width: int = 80, under: str = "") -> str:
    """Gives a value of the envelope as one line of Python-like text.

    Args:
        value: the envelope.
        width: greatest number of cells.
        under: name that holds the value; the value of a secret's name is masked whatever its shape.
    """
    return cut(clean(render(mask_data(value, under=under), width=max(8, width))), width)


def cut(text: str, width: int) -> str:
    """Gives the text in at most `width` cells, with an ellipsis when it was longer."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def plain(line: Line) -> str:
    """The text of a line, without its tones."""
    return "".join(span.text for span in line)


def width_of(line: Line) -> int:
    """Cells that a line takes."""
    return sum(cell_len(span.text) for span in line)


def fit(left: Line, right: Line, width: int) -> Line:
    """Gives a line of exactly `width` cells: left part cut to what the right part leaves."""
    tail = width_of(right)
    if tail >= width:
        right, tail = (), 0
    room = width - tail
    kept: list[Span] = []
    used = 0
    for span in left:
        size = cell_len(span.text)
        if used + size > room - (1 if right else 0):
            kept.append(Span(cut(span.text, max(0, room - used - (1 if right else 0))), span.tone))
            used = sum(cell_len(piece.text) for piece in kept)
            break
        kept.append(span)
        used += size
    return (*kept, Span(" " * max(0, room - used)), *right)


def wrap(line: Line, width: int, *, indent: int = 0) -> Iterator[Line]:
    """Gives a line as rows of at most `width` cells, broken at spaces where there are any."""
    width = max(width, indent + 8)
    row: list[Span] = []
    used = 0
    for piece in _words(line):
        size = cell_len(piece.text)
        if used + size > width and used > (indent if row and row[0].text.isspace() else 0):
            yield tuple(row)
            row, used = ([Span(" " * indent)], indent) if indent else ([], 0)
            if piece.text.isspace():
                continue
        while used + size > width:
            head = _prefix(piece.text, width - used)
            yield (*row, Span(head, piece.tone))
            piece = Span(piece.text[len(head) :], piece.tone)
            size = cell_len(piece.text)
            row, used = ([Span(" " * indent)], indent) if indent else ([], 0)
        row.append(piece)
        used += size
    yield tuple(row)


def _prefix(text: str, width: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[: max(1, index)]
    return text


def _words(line: Iterable[Span]) -> Iterator[Span]:
    for span in line:
        start = 0
        for index, character in enumerate(span.text):
            if character == " ":
                if index > start:
                    yield Span(span.text[start:index], span.tone)
                yield Span(" ", span.tone)
                start = index + 1
        if start < len(span.text):
            yield Span(span.text[start:], span.tone)


def duration(ns: int) -> str:
    """A length of time in at most six characters: 812µs, 3.2ms, 1.4s, 2m05s."""
    if ns < 1_000_000:
        return f"{ns // 1000}µs"
    if ns < 1_000_000_000:
        return f"{ns / 1e6:.1f}ms" if ns < 10_000_000 else f"{ns // 1_000_000}ms"
    seconds = ns / 1e9
    if seconds < 60:
        return f"{seconds:.1f}s"
    if seconds < 3600:
        return f"{int(seconds) // 60}m{int(seconds) % 60:02}s"
    return f"{int(seconds) // 3600}h{int(seconds) % 3600 // 60:02}m"
