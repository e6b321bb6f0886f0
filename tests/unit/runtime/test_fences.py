from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda.runtime.fences import Fence, read_reply

CASES = {
    "plain": ("```python\nx = 1\n```\n", [Fence("x = 1\n", 2, True)]),
    "py and capitals": (
        "```Py\na\n```\ntext\n~~~PYTHON\nb\n~~~",
        [Fence("a\n", 2, True), Fence("b\n", 6, True)],
    ),
    "info after the language": ("```python title='a'\nx\n```", [Fence("x\n", 2, True)]),
    "untagged is not code": ("```\nrm()\n```", []),
    "other language": ("```json\n{}\n```\nrm()\n```bash\nls\n```", []),
    "between two fences of other languages": ("```json\n1\n```\nimport os\n```text\n2\n```", []),
    "python-like word": ("```pythonic\nx\n```\n```python3\ny\n```", []),
    "longer fence holds a shorter one": (
        "````python\ns = '''\n```json\n1\n```\n'''\n````",
        [Fence("s = '''\n```json\n1\n```\n'''\n", 2, True)],
    ),
    "python inside another fence": ("````markdown\n```python\nrm()\n```\n````", []),
    "in a list item": (
        "1. do\n\n   ```python\n   if x:\n       y\n   ```\n",
        [Fence("if x:\n    y\n", 4, True)],
    ),
    "indented by two": ("  ```python\n  x\n    y\n  ```", [Fence("x\n  y\n", 2, True)]),
    "indented code is not a fence": ("    ```python\n    x\n    ```", []),
    "in a quote": ("> ```python\n> rm()\n> ```\n\n```python\nx\n```", [Fence("x\n", 6, True)]),
    "in a comment": ("<!--\n```python\nrm()\n```\n-->", []),
    "blank": ("```python\n\n   \n```", []),
    "open": ("```python\nx = 1", [Fence("x = 1\n", 2, False)]),
    "open after a closed one": ("```py\na\n```\n```py\nb\n", [Fence("a\n", 2, True), Fence("b\n", 5, False)]),
    "other lines of the text": ("a\r\n```python\r\nx\r\n```\r\n", [Fence("x\n", 3, True)]),
}


@pytest.mark.parametrize("name", CASES)
def test_blocks_of_a_reply(name: str) -> None:
    text, blocks = CASES[name]
    assert read_reply(text).blocks == blocks


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("", False),
        ("prose", False),
        ("```python", True),
        ("```json\n{", True),
        ("```json\n{}\n```", False),
        ("```json\n{\n```\n```python\nx\n```", False),
        ("```json\n{}\n```\n\n~~~\nx\n\n\n", True),
        ("- ```python\n  x\n", True),
        ("- ```python\n  x\n  ```\n", False),
    ],
)
def test_open_fence(text: str, is_open: bool) -> None:
    assert read_reply(text).open_fence is is_open


_WORDS = st.text('abcpyton`~#=" \n', max_size=40)
_LANGUAGE = st.text("jsonbaPYT-+.", max_size=8).filter(lambda word: word.lower() not in ("py", "python"))


@given(
    st.lists(st.tuples(_LANGUAGE, st.text("xyz =()\n", max_size=20)), max_size=6),
    st.text("abc .\n", max_size=20),
)
def test_fences_of_other_languages_never_run(fences: list[tuple[str, str]], prose: str) -> None:
    text = "\n".join(f"{prose}\n```{language}\n{body}\n```" for language, body in fences)
    assert read_reply(text) == ([], False)


@given(_WORDS, st.text("xyz =()\n", min_size=1, max_size=30).filter(str.strip))
def test_the_line_is_where_the_source_begins(prose: str, body: str) -> None:
    # A blank line and a tilde fence of 50: nothing before it can swallow or close it, except an open fence.
    head = prose.replace("`", "").replace("~", "")
    text = f"{head}\n\n{'~' * 50}python\n{body}\n{'~' * 50}\n"
    [block] = read_reply(text).blocks
    assert block.closed
    assert text.split("\n")[block.line - 1 :][: body.count("\n") + 1] == body.split("\n")
