"""docs/log-format.md is kept true: its examples are real recordings, its tables those of the records.

`tests.support.page_reader`, written from the page alone, tells the examples as the page does.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from coda.log import CODES, check_trace, open_trace, render
from tests.support.field_tables import page_with_tables, undescribed
from tests.support.page_comparison import assert_told_alike
from tests.support.page_examples import page_with_examples
from tests.support.page_reader import Reader

PAGE = Path(__file__).resolve().parents[3] / "docs" / "log-format.md"
_FENCE = re.compile(r"```(\w+)\n(.*?)```\n", re.DOTALL)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """All records of the page, as one file."""
    path = tmp_path / "example.jsonl"
    path.write_text("".join(text for word, text in _FENCE.findall(PAGE.read_text()) if word == "jsonl"))
    return path


def test_the_examples_are_a_whole_trace(example: Path) -> None:
    report = check_trace(example)
    assert (report.consistent, report.damage, report.finished) == (True, (), True)
    assert open_trace(example).header.codes == CODES
    assert_told_alike(example)


def test_a_reader_written_from_the_page_tells_the_examples_as_the_page_does(example: Path) -> None:
    page = PAGE.read_text()
    said = [
        _cells(row) for row in re.findall(r"^\| \d.*\|$", page.partition("<!-- fields -->")[0], re.MULTILINE)
    ]
    told = [_row(event) for event in Reader(example).events() if event["block"] is not None]
    assert said == told


def test_each_example_shows_the_source_of_its_records(example: Path) -> None:
    sources = [text for word, text in _FENCE.findall(PAGE.read_text()) if word == "python"]
    assert sources == [block.source for block in open_trace(example).blocks]
    kinds = {type(node) for source in sources for node in ast.walk(ast.parse(source))}
    assert {ast.Call, ast.Raise, ast.Yield} <= kinds


@pytest.mark.slow
def test_the_examples_are_what_a_recording_holds() -> None:
    page = PAGE.read_text()
    assert page == page_with_examples(page), "run python -m tests.support.page_examples"


def test_the_field_tables_are_those_of_the_records() -> None:
    page = PAGE.read_text()
    assert page == page_with_tables(page), "run python -m tests.support.field_tables"
    assert undescribed() == []


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split(" | ")]


def _row(event: dict[str, Any]) -> list[str]:
    """An event as a row of the page's tables."""
    bound = ", ".join(
        f"`{item['name']} = {render(item['value'], width=60)}` (by {item['at']} in {item['frame']})"
        for item in event.get("bound", ())
    )
    place = [event[key] for key in ("seq", "type", "line", "function", "frame")]
    source = f"`{event['source']}`" if event["type"] == "line" else ""
    return [*("" if cell is None else str(cell) for cell in place), source, bound]
