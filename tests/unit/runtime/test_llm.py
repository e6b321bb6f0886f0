from __future__ import annotations

from pathlib import Path

import pytest

from coda.errors import SandboxError, UsageError
from coda.runtime.llm import Reply, ScriptedLLM


def script(tmp_path: Path, text: str) -> ScriptedLLM:
    path = tmp_path / "script.md"
    path.write_bytes(text.encode())
    return ScriptedLLM.from_file(path)


def test_gives_replies_in_order_and_keeps_what_it_was_asked() -> None:
    llm = ScriptedLLM(["one", Reply("two", "length", 3, 4, "m")])
    messages = [{"role": "user", "content": "hi"}]
    assert llm.complete(messages, system="s", model="x") == Reply("one")
    messages.append({"role": "assistant", "content": "one"})
    assert llm.complete(messages, system="s", model="x") == Reply("two", "length", 3, 4, "m")
    assert [len(call) for call in llm.calls] == [1, 2]


def test_running_out_is_an_error_that_says_what_to_do() -> None:
    llm = ScriptedLLM(["one"])
    llm.complete([])
    with pytest.raises(SandboxError, match=r"has 1 reply and the agent asked for number 2: add"):
        llm.complete([])


@pytest.mark.parametrize(
    ("text", "replies"),
    [
        ("just one", [Reply("just one")]),
        ("<!-- reply -->\na\n\n<!-- reply -->\nb\n", [Reply("a"), Reply("b")]),
        ("first\n<!--reply-->\nsecond", [Reply("first"), Reply("second")]),
        ("\n\n<!-- reply -->\na", [Reply("a")]),
        ("<!-- reply finish_reason=length output_tokens=7 input_tokens=2 -->\n```python\nx", None),
        (
            "<!-- reply -->\n```python\nx = '<!-- reply -->'\n```\n",
            [Reply("```python\nx = '<!-- reply -->'\n```")],
        ),
        ("<!-- reply -->\r\na\r\nb\r\n", [Reply("a\nb")]),
        ("<!-- reply -->\na\x0cb\u2028c", [Reply("a\x0cb\u2028c")]),
        ("<!-- replying -->", [Reply("<!-- replying -->")]),
    ],
)
def test_reads_a_script(tmp_path: Path, text: str, replies: list[Reply] | None) -> None:
    expected = replies or [Reply("```python\nx", "length", 2, 7)]
    assert script(tmp_path, text).replies == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: write at least one reply"),
        (
            "<!-- reply -->\na\n<!-- reply -->\n\n<!-- reply -->\nb",
            "line 3: the reply that begins here is empty",
        ),
        (
            "a\n<!-- reply -->\n```python\nx",
            "line 2: the reply that begins here does not close its last fence",
        ),
        ("<!-- reply temperature=1 -->\na", "line 1: 'temperature=1' is not an option"),
        ("a\n<!-- reply input_tokens=-1 -->\na", "line 2: 'input_tokens=-1' is not an option"),
    ],
)
def test_says_where_a_script_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        script(tmp_path, text)


def test_names_the_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the script .*nowhere\.md: No such file"):
        ScriptedLLM.from_file(tmp_path / "nowhere.md")
    (tmp_path / "bytes.md").write_bytes(b"abc\xff")
    with pytest.raises(UsageError, match=r"not UTF-8 text \(byte 3\)"):
        ScriptedLLM.from_file(tmp_path / "bytes.md")
