"""Answers: skimming equals reading, every query that parses can be answered, `not` never overlaps."""

from __future__ import annotations

import fnmatch
import functools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda.errors import CodaError, QueryError, QuerySyntax, UsageError
from coda.log import (
    BlockFinished,
    BlockStarted,
    Event,
    FileRead,
    Lines,
    Output,
    ToolCalled,
    TurnFinished,
    TurnStarted,
)
from coda.query import VERBS, Hit, query
from coda.query.verbs import known_fields
from tests.unit.query.recorder import write
from tests.unit.query.test_events import busy

_paths = st.text('ab.env/é"\\\n ', min_size=1, max_size=8)
_records = st.one_of(
    st.builds(
        FileRead,
        path=_paths,
        given=st.none() | _paths,
        line=st.none() | st.integers(1, 3),
        file=st.just("<b>"),
    ),
    st.builds(
        BlockStarted, block=st.integers(1, 9), source=st.just("x = 1\n"), file=st.just("<b>"), turn=st.none()
    ),
    st.builds(BlockFinished, block=st.integers(1, 9), outcome=st.just("ok")),
    st.builds(TurnStarted, turn=st.integers(1, 3)),
    st.builds(TurnFinished, turn=st.integers(1, 3)),
    st.builds(ToolCalled, name=st.just("t"), args=st.tuples(_paths), line=st.just(2), file=st.just("<b>")),
    st.builds(Output, stream=st.just("stdout"), text=_paths),
    st.builds(lambda text: Lines(n=1, ids=(-1,), vals=(text,)), _paths),
)
_patterns = st.sampled_from(["*.env", "a.env", "*a*", "**/b.env", "ab", "*.en?", "**", "é.env", "a/*.env"])


@given(st.lists(_records, max_size=25), _patterns)
@settings(max_examples=120, deadline=None)
def test_skimming_gives_what_reading_gives(records: list[Event], pattern: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trace = write(Path(folder) / "t.jsonl", records)
        skimmed = [row for row in query(f'read "{pattern}"', [trace]).rows if isinstance(row, Hit)]
        asked = f'read where path ~ "{pattern}" or given ~ "{pattern}"'
        read = [row for row in query(asked, [trace]).rows if isinstance(row, Hit)]
        assert skimmed == read
        if "/" not in pattern:
            last = [record for record in records if isinstance(record, FileRead) and _found(record, pattern)]
            assert len(skimmed) == len(last)


def _found(record: FileRead, pattern: str) -> bool:
    names = [
        path.rstrip("/").rpartition("/")[2] or path
        for path in (record.path, record.given)
        if path is not None
    ]
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


@functools.cache
def _busy_trace() -> Path:
    folder = Path(tempfile.mkdtemp())
    return write(folder / "busy.jsonl", busy()).path


_members = st.sampled_from(["", ".to", ".0", ".count", ".type", ".x.y"])
_values = st.sampled_from(
    ["3", "10kb", "5s", "null", "true", "*a*", '"a b"', "''", "-1.5", "KeyError", "[", "src/*"]
)


@st.composite
def _queries(draw: st.DrawFn) -> str:
    verb = draw(st.sampled_from(VERBS))
    pattern = draw(
        st.sampled_from(["", " *", ' "pip *"', " total", " *.env"]) if verb != "line" else st.just(" 2..3")
    )
    fields = st.sampled_from(known_fields(verb))
    parts = draw(
        st.lists(
            st.tuples(fields, _members, st.sampled_from("= != < <= > >= ~".split()), _values), max_size=3
        )
    )
    where = draw(st.sampled_from([" and ", " or ", " and not "])).join(
        f"{f}{m} {op} {v}" for f, m, op, v in parts
    )
    stage = draw(st.sampled_from(["", " | count", " | first 2", " | last 2", f" | count by {draw(fields)}"]))
    return f"{verb}{pattern}{' where ' + where if where else ''}{stage}"


@pytest.mark.slow
@given(_queries())
@settings(max_examples=300, deadline=None)
def test_every_query_that_parses_is_answered(text: str) -> None:
    try:
        rows = list(query(text, [_busy_trace()]).rows)
    except QuerySyntax as refused:  # a word where only a number makes sense
        assert refused.facts["column"] >= 1
        return
    for row in rows:
        if isinstance(row, Hit):
            assert row.to_json()["verb"] == text.split()[0]


@pytest.mark.slow
@given(st.sampled_from(VERBS), st.data())
@settings(max_examples=150, deadline=None)
def test_a_condition_and_its_opposite_share_no_row(verb: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(known_fields(verb)))
    condition = (
        f"{field}{data.draw(_members)} {data.draw(st.sampled_from(['=', '<', '~']))} {data.draw(_values)}"
    )
    try:
        every, yes, no = (
            {row.seq for row in query(f"{verb}{where}", [_busy_trace()]).rows if isinstance(row, Hit)}
            for where in ("", f" where {condition}", f" where not ({condition})")
        )
    except QuerySyntax as refused:  # a word where only a number makes sense
        assert refused.facts["column"] >= 1
        return
    if verb != "read" or not {"error", "via"} & {field}:
        assert yes & no == set()
        assert yes | no <= every


@given(st.text(max_size=30))
@settings(max_examples=100, deadline=None)
def test_any_text_is_answered_or_refused(text: str) -> None:
    refused: CodaError | None = None
    try:
        list(query(f"read {text}", [_busy_trace()]).rows)
    except (QueryError, UsageError) as error:
        refused = error
    if isinstance(refused, QueryError):
        assert refused.facts["column"] >= 1
