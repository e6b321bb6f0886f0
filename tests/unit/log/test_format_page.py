"""The example of docs/log-format.md is a sound trace, and its table is what the trace says."""

from __future__ import annotations

from pathlib import Path

from coda.log import CODES, check_trace, open_trace
from tests.support.field_tables import page_with_tables

PAGE = Path(__file__).resolve().parents[3] / "docs" / "log-format.md"


def test_the_example_reads_as_the_page_says(tmp_path: Path) -> None:
    _, _, rest = PAGE.read_text().partition("```jsonl\n")
    text, _, table = rest.partition("```")
    path = tmp_path / "example.jsonl"
    path.write_text(text)
    assert check_trace(path).consistent
    trace = open_trace(path)
    assert trace.header.codes == CODES
    said = [
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in table.strip().partition("\n\n")[0].splitlines()[2:]
    ]
    assert said == [
        [
            str(event.seq),
            event.type,
            str(event.line or ""),
            event.function or "",
            event.source if event.type == "line" else "",
            ", ".join(f"{name} = {value}" for name, value in event.bound),
        ]
        for event in trace.events()
    ]


def test_the_field_tables_are_those_of_the_records() -> None:
    page = PAGE.read_text()
    assert page == page_with_tables(page), "run python -m tests.support.field_tables"
