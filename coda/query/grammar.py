r"""The grammar of queries, and the parser that lark makes of it.

    query:     VERB [PATTERN] [at RANGE] [where CONDITION] ("|" STAGE)*
             | why NAME [at POSITION]
    PATTERN:   a word without spaces, quotes, bars or parentheses; or a quoted text
    RANGE:     FIRST..LAST, FIRST.., ..LAST or one position; both ends belong to it
    CONDITION: CONDITION or CONDITION | CONDITION and CONDITION | not CONDITION
             | "(" CONDITION ")" | FIELD OP VALUE
    OP:        = != < <= > >= ~        (~ is a glob)
    VALUE:     a number with or without a unit (10kb, 5s), true, false, null, a word, a quoted text
    STAGE:     count | count by FIELD | first N | last N | lines

`not` binds tighter than `and`, `and` tighter than `or`.

Guarantee: every text gives a tree or a `QuerySyntax` with a 1-based column and what was expected
there; no other exception leaves. This module is imported only when `quick` could not answer.
"""

from __future__ import annotations

import difflib
import functools
import itertools
from typing import Any

import lark

from coda.errors import QuerySyntax
from coda.query import literals
from coda.query.tree import (
    RESERVED,
    VERBS,
    And,
    Compare,
    Condition,
    Literal,
    Not,
    Or,
    Pattern,
    Query,
    Range,
    Stage,
    Why,
)

_END = r"""(?![^\s|"'()])"""

GRAMMAR = rf"""
start: query | why
query: VERB pattern? at? where? ("|" stage)*
why: WHY WORD (AT POSITION)?
pattern: WORD | STRING
at: AT POSITION
where: WHERE any
?any: all (OR all)*
?all: one (AND one)*
?one: NOT one -> negation
    | "(" any ")"
    | FIELD OP value -> compare
value: WORD | STRING
stage: COUNT (BY FIELD)? -> count
     | (FIRST | LAST) NUMBER -> take
     | LINES -> lines

VERB.3: /({"|".join(VERBS)}){_END}/
WHY.3: /why{_END}/
AT.2: /at{_END}/
WHERE.2: /where{_END}/
AND.2: /and{_END}/
OR.2: /or{_END}/
NOT.2: /not{_END}/
BY.2: /by{_END}/
COUNT.2: /count{_END}/
FIRST.2: /first{_END}/
LAST.2: /last{_END}/
LINES.2: /lines{_END}/
OP: "!=" | "<=" | ">=" | "=" | "<" | ">" | "~"
FIELD: /[A-Za-z_]\w*(\.[\w-]+)*/
NUMBER: /[0-9]{{1,9}}{_END}/
POSITION: /[^\s|"'()]+/
WORD: /[^\s|"'()]+/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/s
%ignore /\s+/
"""

_EXPECTED = {
    "VERB": "a verb (" + ", ".join(VERBS) + ")",
    "WHY": "why",
    "AT": "at",
    "WHERE": "where",
    "AND": "and",
    "OR": "or",
    "NOT": "not",
    "BY": "by",
    "COUNT": "count",
    "FIRST": "first",
    "LAST": "last",
    "LINES": "lines",
    "OP": "a comparison (= != < <= > >= ~)",
    "FIELD": "a field",
    "NUMBER": "a number",
    "POSITION": "a position",
    "WORD": "a word",
    "STRING": "a quoted text",
    "VBAR": "|",
    "LPAR": "(",
    "RPAR": ")",
    "$END": "the end",
}


@functools.cache
def _parser() -> lark.Lark:
    return lark.Lark(GRAMMAR, parser="lalr", lexer="contextual", propagate_positions=False)


def parse_full(text: str) -> Query | Why:
    """Gives the tree of a query.

    Raises:
        QuerySyntax: the text does not parse; `column` is 1-based, `expected` says what could stand there.
    """
    try:
        tree = _parser().parse(text)
        answer = _Builder().transform(tree)
    except lark.exceptions.VisitError as error:
        if isinstance(error.orig_exc, QuerySyntax):
            raise _with_text(error.orig_exc, text) from None
        if isinstance(error.orig_exc, RecursionError):
            raise _too_deep(text) from None
        raise
    except RecursionError:
        raise _too_deep(text) from None
    except lark.exceptions.UnexpectedCharacters as error:
        raise _unexpected(text, error.pos_in_stream or 0, set(error.allowed or ())) from None
    except lark.exceptions.UnexpectedToken as error:
        at = len(text) if error.token.type == "$END" else (error.token.start_pos or 0)
        raise _unexpected(text, at, set(error.accepts or error.expected or ())) from None
    assert isinstance(answer, Query | Why)
    return answer


def _unexpected(text: str, at: int, names: set[str]) -> QuerySyntax:
    """Builds the error for what stands at an offset, with the word that may have been meant."""
    order = {name: place for place, name in enumerate(_EXPECTED)}
    wanted = [_EXPECTED.get(name, name.lower()) for name in sorted(names, key=lambda n: order.get(n, 99))]
    found = "".join(text[at:].split(maxsplit=1)[:1])
    if found[:1] in ('"', "'") and "STRING" in names:
        return syntax(f"a quoted text is not closed: {found!r}", at + 1, f"a closing {found[0]}", text)
    expected = ", ".join(wanted[:-1]) + (" or " if wanted[:-1] else "") + "".join(wanted[-1:])
    near = difflib.get_close_matches(found, VERBS, n=1) if "VERB" in names else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    what = f"unexpected {found!r}" if found else "the query ends too early"
    return syntax(f"{what}: expected {expected}{hint}", at + 1, expected, text)


def syntax(message: str, column: int, expected: str, text: str = "") -> QuerySyntax:
    """Builds a syntax error that points at a column."""
    return QuerySyntax(f"query, column {column}: {message}", column=column, expected=expected, text=text)


def _with_text(error: QuerySyntax, text: str) -> QuerySyntax:
    return QuerySyntax(error.message, **{**error.facts, "text": text})


def _too_deep(text: str) -> QuerySyntax:
    return syntax("the conditions are nested too deeply", 1, "fewer parentheses and nots", text)


def _column(token: lark.Token) -> int:
    return (token.start_pos or 0) + 1


def _free(token: lark.Token, what: str) -> str:
    if str(token) in RESERVED:
        raise syntax(
            f"{str(token)!r} is a word of the language: quote it to use it as {what}", _column(token), what
        )
    return str(token)


class _Builder(lark.Transformer[lark.Token, Any]):
    """Turns lark's tree into ours."""

    def start(self, parts: list[Any]) -> Query | Why:
        answer: Query | Why = parts[0]
        return answer

    def why(self, parts: list[lark.Token]) -> Why:
        name = _free(parts[1], "a name")
        at = _free(parts[3], "a position") if len(parts) > 3 else None
        return Why(name, _column(parts[1]), at)

    def query(self, parts: list[Any]) -> Query:
        stages = tuple(part for part in parts if isinstance(part, Stage))
        _check_stages(stages)
        return Query(
            str(parts[0]),
            next((part for part in parts if isinstance(part, Pattern)), None),
            next((part for part in parts if isinstance(part, Range)), None),
            next((part for part in parts if isinstance(part, Compare | Not | And | Or)), None),
            stages,
        )

    def pattern(self, parts: list[lark.Token]) -> Pattern:
        token = parts[0]
        if token.type == "STRING":
            return Pattern(literals.unquote(str(token)), _column(token), quoted=True)
        return Pattern(_free(token, "a pattern"), _column(token))

    def at(self, parts: list[lark.Token]) -> Range:
        return literals.span(_free(parts[1], "a position"), _column(parts[1]))

    def where(self, parts: list[Any]) -> Condition:
        condition: Condition = parts[1]
        return condition

    def any(self, parts: list[Any]) -> Or:
        return Or(tuple(parts[::2]))

    def all(self, parts: list[Any]) -> And:
        return And(tuple(parts[::2]))

    def negation(self, parts: list[Any]) -> Not:
        return Not(parts[1])

    def compare(self, parts: list[Any]) -> Compare:
        field, op, token = _free(parts[0], "a field"), str(parts[1]), parts[2]
        if token.type == "STRING":
            text = literals.unquote(str(token))
            literal = Literal(text, text)
        else:
            literal = literals.bare(_free(token, "a value"))
        _check_number(field, op, literal, token)
        return Compare(field, op, literal, _column(parts[0]))

    def value(self, parts: list[lark.Token]) -> lark.Token:
        return parts[0]

    def count(self, parts: list[lark.Token]) -> Stage:
        return Stage("count", _column(parts[0]), field=str(parts[2]) if len(parts) > 2 else None)

    def take(self, parts: list[lark.Token]) -> Stage:
        return Stage(str(parts[0]), _column(parts[0]), n=int(parts[1]))

    def lines(self, parts: list[lark.Token]) -> Stage:
        return Stage("lines", _column(parts[0]))


def _check_number(field: str, op: str, literal: Literal, token: lark.Token) -> None:
    """Refuses what can be no number where only one makes sense: no event could ever match it."""
    if op == "~" or (isinstance(literal.value, int | float) and not isinstance(literal.value, bool)):
        return
    order = op not in ("=", "!=")
    if field in literals.NUMBERS and (order or literal.value is not None):
        raise syntax(f"{field!r} is a number, {token!s} is none; expected {_NUMBER}", _column(token), _NUMBER)
    if order and token.type == "WORD" and literals.has_unknown_unit(literal.text):
        raise syntax(f"{str(token)!r} has an unknown unit; expected {_NUMBER}", _column(token), _NUMBER)


_NUMBER = "a number, with a unit of " + ", ".join(literals.UNITS) + " or none"


def _check_stages(stages: tuple[Stage, ...]) -> None:
    """Refuses a stage that would have nothing to work on."""
    for before, after in itertools.pairwise(stages):
        if before.kind == "lines":
            raise syntax("nothing can follow 'lines'", after.column, "the end")
        if before.kind == "count" and after.kind in ("count", "lines"):
            raise syntax(f"{after.kind!r} cannot follow 'count'", after.column, "first, last or the end")
