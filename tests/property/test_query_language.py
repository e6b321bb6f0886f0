"""The two parsers agree, and no text whatever gets anything but a tree or an error with a column."""

from __future__ import annotations

import fnmatch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from coda.errors import QuerySyntax
from coda.query.globs import path_glob, text_glob
from coda.query.grammar import parse_full
from coda.query.parse import parse
from coda.query.quick import parse_quick
from coda.query.tree import VERBS, Query, Why

_words = st.text(
    st.characters(exclude_characters="|\"'()", exclude_categories=["Z", "C"]), min_size=1, max_size=12
)
_patterns = st.one_of(
    _words,
    st.sampled_from(["where", "at", "and", "by", "17", "*.env", "src/**", "not", "count"]),
    st.text(st.characters(exclude_characters='"'), max_size=12).map(lambda text: f'"{text}"'),
    st.text(st.characters(exclude_characters="'"), max_size=12).map(lambda text: f"'{text}'"),
)
_spaces = st.sampled_from([" ", "  ", "\t", "\n", "\u00a0"])
_short = st.builds(
    lambda verb, space, pattern, end: f"{verb}{space}{pattern}{end}",
    st.sampled_from([*VERBS, "why"]),
    _spaces,
    _patterns,
    st.sampled_from(["", " ", " at 3", " at 3:1"]),
)
_fragments = st.lists(
    st.sampled_from(
        [*VERBS, "why", "where", "at", "and", "or", "not", "(", ")", "|", "count", "by", "first", "last",
         "lines", "x", "x.y", "=", "!=", "~", ">=", "3", "10kb", '"a b"', "'", '"', "\\", "3..9", "é"]
    ),
    max_size=14,
).map(" ".join)  # fmt: skip


@given(_short)
def test_quick_parser_agrees_with_the_grammar(text: str) -> None:
    quick = parse_quick(text)
    if quick is not None:
        assert parse_full(text) == quick


@given(st.one_of(_fragments, _short, st.text(max_size=40)))
@settings(max_examples=400)
@example("read \x00")
@example("read where x = 1e999")
@example("read where x = " + "9" * 5000)
def test_any_text_is_a_tree_or_an_error_with_a_column(text: str) -> None:
    try:
        answer: Query | Why | QuerySyntax = parse(text)
    except QuerySyntax as error:
        answer = error
    if isinstance(answer, QuerySyntax):
        assert 1 <= answer.facts["column"] <= len(text) + 1
        assert answer.facts["expected"]


@given(st.text("ab.*?[]!-/\n", max_size=8), st.text("ab.-[]\n", min_size=1, max_size=8))
def test_text_globs_are_those_of_fnmatch(pattern: str, text: str) -> None:
    assert text_glob(pattern)(text) is fnmatch.fnmatchcase(text, pattern)


@given(st.text("ab.*?[]!-/", min_size=1, max_size=10), st.text("ab./[]-!", min_size=1, max_size=10))
def test_a_star_never_crosses_a_slash(pattern: str, path: str) -> None:
    found = path_glob(pattern)(path, "/r")
    assert isinstance(found, bool)
    if (
        found
        and "**" not in pattern
        and "/" in pattern.removeprefix("./").rstrip("/")
        and not pattern.startswith("/")
    ):
        trimmed = pattern.removeprefix("./").rstrip("/")
        assert path.removeprefix("/r/").removeprefix("./").count("/") == trimmed.count("/")
