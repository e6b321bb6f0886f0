"""Lines of recorded code are counted as Python counts them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from coda.log import open_trace, source_lines, source_text
from tests.support.programs import record

ODD = 'a = "\x1c\u2028\x85"\n\x0c\nb = 1\nc = b\n'


def test_only_line_ends_of_python_end_a_line() -> None:
    assert source_lines("a\r\nb\rc\n\x0cd\x1ce\u2028f") == ["a", "b", "c", "\x0cd\x1ce\u2028f"]
    assert source_lines("") == []
    assert source_lines("\n\n") == ["", ""]
    lines = source_lines(ODD)
    assert [lines[node.lineno - 1] for node in ast.parse(ODD).body] == [lines[0], "b = 1", "c = b"]


def test_a_source_file_is_decoded_by_its_mark() -> None:
    assert source_text("# coding: latin-1\na = 'é'\n".encode("latin-1")) == "# coding: latin-1\na = 'é'\n"
    assert source_text("\ufeffa = 1\r\n".encode()) == "a = 1\n"
    assert source_text(b"a = '\xff'\n") == "a = '\ufffd'\n"
    assert source_text(b"# coding: nonsense\n") == "# coding: nonsense\n"


@pytest.mark.slow
def test_each_line_is_shown_with_its_own_source(tmp_path: Path) -> None:
    trace = open_trace(record(f"import odd\n{ODD}", tmp_path, files={"odd.py": ODD}))
    shown = [(event.file, event.source) for event in trace.events(types={"line"})]
    assert [source for _, source in shown] == [
        "import odd", 'a = "\x1c\u2028\x85"', "b = 1", "c = b", 'a = "\x1c\u2028\x85"', "b = 1", "c = b",
    ]  # fmt: skip
