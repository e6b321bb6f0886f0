"""The source of a code unit as rows: line numbers, what ran and how often, the current line, values.

Guarantee: the text is the recorded one; a line counts as run only when the log says so; colours come from
the words of the text alone, so that source that does not compile is shown all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pygments.lexers.python import PythonLexer  # type: ignore[import-untyped,unused-ignore]
from pygments.token import Token, _TokenType  # type: ignore[import-untyped,unused-ignore]

from coda.viewer.moments import Unit
from coda.viewer.text import Line, Span, clean, cut

_TONES: Final[tuple[tuple[_TokenType, str], ...]] = (
    (Token.Comment, "comment"),
    (Token.Keyword.Constant, "number"),
    (Token.Keyword, "keyword"),
    (Token.Literal.Number, "number"),
    (Token.Literal.String.Interpol, "name"),
    (Token.Literal.String, "string"),
    (Token.Name.Builtin, "builtin"),
    (Token.Name.Exception, "builtin"),
    (Token.Name.Function, "definition"),
    (Token.Name.Class, "definition"),
    (Token.Name.Decorator, "definition"),
    (Token.Operator.Word, "keyword"),
    (Token.Operator, "operator"),
    (Token.Punctuation, "operator"),
)


def highlight(text: str) -> list[Line]:
    """Gives each line of Python text in the tones of its words; one for each line of it."""
    rows: list[list[Span]] = [[]]
    lexer = PythonLexer(stripnl=False, ensurenl=False)
    for kind, value in lexer.get_tokens(text):
        tone = _tone(kind)
        for number, piece in enumerate(value.split("\n")):
            if number:
                rows.append([])
            if piece:
                rows[-1].append(Span(piece, tone))
    return [tuple(row) for row in rows]


def _tone(kind: _TokenType) -> str:
    for family, tone in _TONES:
        if kind in family:
            return tone
    return "text"


class Source(NamedTuple):
    """A code unit, coloured."""

    unit: Unit
    lines: tuple[Line, ...]
    digits: int
    """Width of the largest line number."""

    def row_of(self, line: int) -> int:
        """Row of a line of the file."""
        return line - self.unit.first_line


def colour(unit: Unit) -> Source:
    """Gives the unit's source in tones. Cost: once for each unit; some 2 ms for a hundred lines."""
    text = "\n".join(_masked(unit.source))
    lines = highlight(text) if unit.source else []
    last = unit.first_line + max(0, len(lines) - 1)
    return Source(unit, tuple(lines), max(2, len(str(last))))


def _masked(lines: Sequence[str]) -> Iterator[str]:
    """Each line masked; a key that spans lines is masked on all of them, so that no line moves."""
    inside = False
    for line in lines:
        begins = "-----BEGIN" in line and "PRIVATE KEY-----" in line
        yield "***" if inside else clean(line)
        inside = (inside or begins) and "-----END" not in line


def line_hits(unit: Unit, hits: Mapping[int, int]) -> dict[int, int]:
    """How often each line of the unit was begun, from the counts by statement."""
    found: dict[int, int] = {}
    for index, statement in enumerate(unit.table.statements):
        times = hits.get(unit.table.base + index, 0)
        if times:
            found[statement.line] = max(found.get(statement.line, 0), times)
    return found


def statement_lines(unit: Unit) -> frozenset[int]:
    """The lines on which a statement begins: the others cannot have run."""
    return frozenset(statement.line for statement in unit.table.statements)


def source_row(
    source: Source,
    row: int,
    *,
    hits: Mapping[int, int] | None,
    current: int | None,
    failed: bool = False,
    values: Mapping[int, str] | None = None,
    width: int,
) -> Line:
    """Gives one row of the source pane.

    Args:
        source: the unit.
        row: 0-based row.
        hits: how often each line ran; None while it is not known.
        current: the line that is about to run.
        failed: the current line is where an exception arose.
        values: recorded values to show behind a line.
        width: cells of the pane; values are cut to it.
    """
    line = source.unit.first_line + row
    here = line == current
    times = (hits or {}).get(line, 0)
    arrow = Span("▶" if here else " ", "error" if failed else "accent")
    number = Span(f"{line:>{source.digits}} ", "accent" if here else "gutter" if times else "faint")
    count = Span(f"{_times(times):>5} ", "hits") if hits is not None else Span(" " * 6)
    bar = Span("┃ " if times else "│ ", "ok" if times else "faint")
    code = source.lines[row]
    value = (values or {}).get(line)
    if not value:
        return (arrow, number, count, bar, *code)
    used = 9 + source.digits + sum(len(span.text) for span in code)
    note = cut(value, max(0, width - used - 4))
    return (arrow, number, count, bar, *code, Span("  "), Span(note, "value"))


def _times(times: int) -> str:
    if times <= 1:
        return ""
    if times < 10_000:
        return f"×{times}"
    return f"×{times // 1000}k" if times < 10_000_000 else f"×{times // 1_000_000}M"
