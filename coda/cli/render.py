"""What the verbs print: JSON, lines and tables, with secrets masked and terminals kept safe.

Guarantee: no text of a trace reaches stdout or stderr except through `mask` (unless the user said
`--show-secrets`) and through `sanitise` or JSON's own escapes, so neither a recorded token nor a
recorded escape sequence comes out by accident. Colour is added after that, on a terminal only.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

import msgspec

from coda.errors import CodaError
from coda.log import mask, mask_data, sanitise

STYLES = {
    "bold": "1", "dim": "2", "italic": "3", "underline": "4",
    "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36",
}  # fmt: skip

# Characters that JSON may hold as they are, and that a terminal may obey: DEL, C1 controls, and those
# that turn the direction of writing. They only ever occur inside strings, where an escape is equal.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Styled(NamedTuple):
    """A piece of a line with a look: words of STYLES, separated by spaces."""

    text: str
    style: str


def schema_of(name: str) -> str:
    """Gives the `schema` word of a JSON output, as in docs/schemas: `coda.runs/1`."""
    return f"coda.{name}/1"


def wants_colour(color: str, stream: TextIO) -> bool:
    """Tells whether to colour.

    Args:
        color: `auto`, `always` or `never`, as from `--color`.
        stream: where the text goes.

    Source: no-color.org (any non-empty NO_COLOR means no).
    """
    if color != "auto":
        return color == "always"
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def plain(value: Any, *, show_secrets: bool = False) -> Any:
    """Gives a copy of JSON-like data that is safe to print: secrets masked, lone surrogates spelled out.

    Args:
        value: built-in data, or structs and named tuples, which become objects; the rest becomes text.
        show_secrets: leave out the masking.
    """
    return _builtin(value) if show_secrets else _hide(mask_data(_builtin(value)))


def _hide(data: Any) -> Any:
    """Masks the keys of objects, which the log's `mask_data` takes for names of fields."""
    if isinstance(data, dict):
        return {mask(key): _hide(member) for key, member in data.items()}
    if isinstance(data, list):
        return [_hide(member) for member in data]
    return data


def _builtin(value: Any) -> Any:
    """Makes built-in data of anything."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_builtin(str(key)): _builtin(member) for key, member in value.items()}
    if isinstance(value, msgspec.Struct):
        return _builtin(msgspec.to_builtins(value))
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _builtin(value._asdict())
    if isinstance(value, list | tuple | set | frozenset):
        return [_builtin(member) for member in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _builtin(str(value))


def encode(schema: str, data: Mapping[str, Any] | msgspec.Struct, *, show_secrets: bool = False) -> str:
    """Gives one JSON object as a line of text, `schema` first.

    Args:
        schema: the short name of the output, e.g. `runs`.
        data: the rest of the object; NaN and infinities must already be in the value envelope.
        show_secrets: leave out the masking.
    """
    body = plain(data, show_secrets=show_secrets)
    return _safe(msgspec.json.encode({"schema": schema_of(schema), **body}).decode())


def _safe(text: str) -> str:
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class Printer:
    """Prints what a verb found.

    Args:
        show_secrets: print what looks like a secret as it is.
        color: `auto`, `always` or `never`.
        stream: where to; None is this process's stdout.
    """

    def __init__(
        self, *, show_secrets: bool = False, color: str = "auto", stream: TextIO | None = None
    ) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.show_secrets = show_secrets
        self.colour = wants_colour(color, self.stream)

    def json(self, schema: str, data: Mapping[str, Any] | msgspec.Struct) -> None:
        """Prints one object, `schema` first: a row, or the whole answer."""
        self.stream.write(encode(schema, data, show_secrets=self.show_secrets) + "\n")

    def raw_json(self, row: bytes) -> None:
        """Prints one object that is encoded, and masked, already (`TraceEvent.to_json`)."""
        self.stream.write(_safe(row.decode("utf-8", "backslashreplace")).rstrip("\n") + "\n")

    def line(self, *pieces: str | Styled) -> None:
        """Prints one line made of plain and styled pieces; a line break within them is spelled out."""
        self.stream.write(self.text(*pieces) + "\n")

    def text(self, *pieces: str | Styled) -> str:
        """Gives the line that `line` would print, without its end."""
        whole = "".join([piece.text if isinstance(piece, Styled) else piece for piece in pieces])
        masked = whole if self.show_secrets else mask(whole)
        if not self.colour or masked != whole:
            return _one_line(masked)  # a secret may span pieces: better without colour than told
        return "".join(
            [
                self.paint(_one_line(piece.text), piece.style)
                if isinstance(piece, Styled)
                else _one_line(piece)
                for piece in pieces
            ]
        )

    def paint(self, text: str, style: str) -> str:
        """Colours text that is safe already; gives it as it is when there is no colour."""
        if not self.colour or not text or not style:
            return text
        return f"\x1b[{';'.join([STYLES[word] for word in style.split()])}m{text}\x1b[0m"

    def table(
        self, headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = ()
    ) -> None:
        """Prints rows in columns as wide as they need, with the headers dim above them.

        Args:
            headers: one for each column.
            rows: read to the end before the first is printed; use JSON for endless ones.
            right: columns, from 0, whose cells stand at the right (numbers).
        """
        cells = [[_one_line(self._masked("" if cell is None else str(cell))) for cell in row] for row in rows]
        widths = [max(width(row[i]) for row in [headers, *cells]) for i in range(len(headers))]
        at_right = frozenset(right)

        def lay(row: Sequence[str]) -> str:
            padded = []
            for i, cell in enumerate(row):
                gap = " " * (widths[i] - width(cell))
                padded.append(gap + cell if i in at_right else cell + gap)
            return "  ".join(padded).rstrip()

        self.stream.write(self.paint(lay(headers), "dim") + "\n")
        for row in cells:
            self.stream.write(lay(row) + "\n")

    def _masked(self, text: str) -> str:
        return text if self.show_secrets else mask(text)


def _one_line(text: str) -> str:
    """Makes text safe for a terminal and keeps it on one line."""
    if text.isprintable():
        return text
    return sanitise(text.replace("\r", "\\r").replace("\n", "\\n"))


def width(text: str) -> int:
    """Gives the number of terminal columns that a printable text takes.

    Source: Unicode Standard Annex 11 (wide and full-width characters take two).
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def error_object(error: CodaError) -> str:
    """Gives an error as the one JSON object that a failing `--json` command prints."""
    facts = {name: fact for name, fact in error.facts.items() if name not in ("kind", "message")}
    return encode("error", {"error": {"kind": type(error).__name__, "message": error.message, **facts}})


def say(text: str) -> None:
    """Prints a sentence for the user on stderr; further lines stay lines (a query with its caret)."""
    for part in text.splitlines() or [""]:
        print(_one_line(mask(part)), file=sys.stderr)
