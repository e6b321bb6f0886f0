"""The language: what each text means, and where each mistake is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from coda.errors import QuerySyntax
from coda.query.parse import parse
from coda.query.tree import VERBS, And, Compare, Literal, Not, Or, Pattern, Query, Range, Stage, Why


def _literal(text: str) -> Literal:
    query = parse(f"read where x = {text}")
    assert isinstance(query, Query)
    assert isinstance(query.where, Compare)
    return query.where.literal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("read *.env", Query("read", Pattern("*.env", 6))),
        ("  llm ", Query("llm")),
        ('run "pip *"', Query("run", Pattern("pip *", 5, quoted=True))),
        ("run 'say \\'hi\\''", Query("run", Pattern("say 'hi'", 5, quoted=True))),
        ("line 17", Query("line", Pattern("17", 6))),
        ("connect *:443", Query("connect", Pattern("*:443", 9))),
        ("write src/**", Query("write", Pattern("src/**", 7))),
        ("read 'where'", Query("read", Pattern("where", 6, quoted=True))),
        ("line 17 at 40..90", Query("line", Pattern("17", 6), Range("40", "90", 12))),
        ("line at 3:0..", Query("line", None, Range("3:0", None, 9))),
        ("line at 12+2", Query("line", None, Range("12+2", "12+2", 9))),
        (
            "set limit where value>10",
            Query("set", Pattern("limit", 5), None, Compare("value", ">", Literal("10", 10), 17)),
        ),
        (
            "tool where a=1 or b=2 and not c=3",
            Query(
                "tool",
                where=Or(
                    (
                        Compare("a", "=", Literal("1", 1), 12),
                        And(
                            (
                                Compare("b", "=", Literal("2", 2), 19),
                                Not(Compare("c", "=", Literal("3", 3), 31)),
                            )
                        ),
                    )
                ),
            ),
        ),
        ("read | count by path", Query("read", stages=(Stage("count", 8, field="path"),))),
        ("read | count | first 3", Query("read", stages=(Stage("count", 8), Stage("first", 16, n=3)))),
        ("read | lines", Query("read", stages=(Stage("lines", 8),))),
        ("why total at 120", Why("total", 5, "120")),
        ("why ctx.total", Why("ctx.total", 5)),
    ],
)
def test_meaning(text: str, expected: Query | Why) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("-3", -3),
        ("1_000", 1000),
        ("2.5", 2.5),
        ("1e3", 1000),
        ("10kb", 10_000),
        ("10KiB", 10_240),
        ("5s", 5_000_000_000),
        ("1.5ms", 1_500_000),
        ("2min", 120_000_000_000),
        ("true", True),
        ("null", None),
        ("word", "word"),
        ("10x", "10x"),
        ('"10"', "10"),
        ("'a\\nb\\d'", "a\nb\\d"),
    ],
)
def test_literal(text: str, value: object) -> None:
    found = _literal(text)
    assert found.value == value
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "a verb"),
        ("raed *.env", 1, "did you mean 'read'"),
        ("readme", 1, "a verb"),
        ("read where", 11, "a field"),
        ("read x where size", 18, "a comparison"),
        ("read x where size >", 20, "a word or a quoted text"),
        ("read x where size > and", 21, "quote it"),
        ("read x where (size > 3", 23, ")"),
        ("read x where size ! 3", 19, "a comparison"),
        ("read 'abc", 6, "not closed"),
        ("read x y", 8, "unexpected 'y'"),
        ("read x |", 9, "count"),
        ("read x | frob", 10, "count, first, last or lines"),
        ("read x | first", 15, "a number"),
        ("read x | first -2", 16, "a number"),
        ("read x | count by", 18, "a field"),
        ("read x | lines | count", 18, "nothing can follow"),
        ("read x | count | count", 18, "cannot follow"),
        ("why", 4, "a word"),
        ("why at at 3", 5, "quote it"),
        ("read at where", 9, "quote it"),
        ("tool where duration > 5x", 23, "expected a number, with a unit of b, kb"),
        ("tool where duration > soon", 23, "'duration' is a number, soon is none"),
        ("run where code = 'one'", 18, "'code' is a number"),
        ("read where size != true", 20, "'size' is a number"),
        ("tool where ok = true and result.count >= 3q", 42, "unknown unit"),
    ],
)
def test_mistake(text: str, column: int, words: str) -> None:
    with pytest.raises(QuerySyntax) as caught:
        parse(text)
    assert caught.value.facts["column"] == column
    assert f"column {column}:" in str(caught.value)
    assert words in str(caught.value)
    assert caught.value.facts["text"] == text


@pytest.mark.parametrize(
    "text", ["code = null", "duration ~ 5*", "version >= 'v5x'", "version = 5x", "path > abc"]
)
def test_a_text_may_stand_where_no_number_is_meant(text: str) -> None:
    assert isinstance(parse(f"run where {text}"), Query)


def test_deep_nesting_is_a_syntax_error() -> None:
    with pytest.raises(QuerySyntax, match="nested too deeply"):
        parse("read where " + "not " * 50_000 + "x = 1")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_stands_alone(verb: str) -> None:
    assert parse(verb) == Query(verb)


def test_plain_question_imports_no_parser_generator() -> None:
    code = (
        "import sys\n"
        "from coda.query import parse\n"
        "parse('read *.env'); parse('run \"pip *\"'); parse('why total at 12')\n"
        "heavy = ('lark', 'textual', 'fastapi', 'opentelemetry', 'rich')\n"
        "print(sorted(m for m in heavy if m in sys.modules))\n"
        "parse('read x | count')\n"
        "print('lark' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True"]
