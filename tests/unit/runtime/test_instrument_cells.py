"""Cells of a script."""

from __future__ import annotations

import pytest

from coda.runtime.cells import Cell, split_cells


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", [1]),
        ("x = 1\n", [1]),
        ("# %%\nx = 1\n", [1]),
        ("#%% title\nx = 1\n# %% other\ny = 2\n", [1, 3]),
        ("x = 1\n# %%\n# %%\n", [1, 2, 3]),
        ("\n\n# %%\nx\n# %%\ny", [1, 5]),
        ("x = '''\n# %%\n'''\n", [1]),
        ("x = f'''\n# %%\n'''\n# %%\ny", [1, 4]),
        ("if x:\n    y\n# %%\n    z\n# %%\nw\n", [1, 5]),
        ("if x:\n    y\n# %%\nelse:\n    z\n", [1]),
        ("@a\n# %%\ndef f(): pass\n", [1]),
        ("x = [\n# %%\n1]\n", [1]),
        ("if x:\n    # %%\n    y\n", [1]),
        ("x = 1 # %%\ny = 2\n", [1]),
        ("x = 1\n#  %%\n## %%\n# % %\n", [1]),
        ("x = (\n# %%\n", [1]),
        ("x = 1\n# %%\ny = $\n", [1]),
        ("x = 1\r\n# %%\r\ny = 2\r\n", [1, 2]),
        ("x = '\\d'\n\x0c\n# %%\ny\n", [1, 3]),
        ("# %%\nfrom __future__ import annotations\n# %%\nx\n", [1, 3]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_cells_begin_at_markers_between_statements(source: str, lines: list[int]) -> None:
    cells = split_cells(source)
    assert [cell.first_line for cell in cells] == lines
    assert "".join(cell.source for cell in cells) == source.replace("\r\n", "\n")


def test_a_marker_is_the_first_line_of_its_cell() -> None:
    assert split_cells("a\n# %% two\nb\n") == [Cell(1, "a\n"), Cell(2, "# %% two\nb\n")]
