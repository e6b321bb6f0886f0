"""A reader written from docs/log-format.md alone tells the golden traces as coda does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.test_golden import TRACES
from tests.support.page_comparison import assert_told_alike


@pytest.mark.parametrize("path", TRACES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_reader_written_from_the_page_tells_the_same(path: Path) -> None:
    assert_told_alike(path)
