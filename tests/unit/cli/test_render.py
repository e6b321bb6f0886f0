"""What is printed: JSON with its schema first, masked and safe text, colour and tables."""

from __future__ import annotations

import io
import json
from typing import NamedTuple

import msgspec
import pytest

from coda.cli.render import Printer, Styled, encode, plain, wants_colour, width

KEY = "sk-" + "a1B2" * 12


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


class Pair(NamedTuple):
    left: int
    right: object


class Row(msgspec.Struct):
    run: str
    events: int


def test_json_puts_the_schema_first_and_takes_structs() -> None:
    assert encode("runs", Row(run="r1", events=3)) == '{"schema":"coda.runs/1","run":"r1","events":3}'
    assert encode("runs", {"a": None, "b": [1.5, True, ("x",)]}) == (
        '{"schema":"coda.runs/1","a":null,"b":[1.5,true,["x"]]}'
    )


@pytest.mark.parametrize(
    "data",
    [
        {"text": f"key {KEY} here"},
        {"deep": [{"x": (KEY,)}]},
        {KEY: 1, "other": Row(run=KEY, events=1)},
        {"password": "hunter22"},
    ],
)
def test_json_masks_secrets_wherever_they_stand(data: dict[str, object]) -> None:
    for secret in (KEY, "hunter22"):
        assert secret not in encode("x", data)
    shown = encode("x", data, show_secrets=True)
    assert KEY in shown or "hunter22" in shown


@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "\x9b31m", "a\u202eb", "\x7f", "line\u2028end", "plain é 漢"]
)
def test_json_is_exact_and_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    line = encode("x", {"text": text})
    assert json.loads(line)["text"] == text
    assert all(char.isprintable() for char in line)


def test_json_survives_lone_surrogates_and_strange_objects() -> None:
    assert json.loads(encode("x", {"a": "\ud800", "b": object}))["a"] == "\\ud800"
    assert plain({1: {2}, "pair": Pair(left=1, right=Row("r", 2))}) == {
        "1": [2],
        "pair": {"left": 1, "right": {"run": "r", "events": 2}},
    }


def test_a_line_is_one_line_and_disarmed() -> None:
    stream = io.StringIO()
    Printer(stream=stream).line("a\nb\r", Styled("\x1b]0;title\x07c", "red"), " é")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().endswith("c é\n")


def test_a_secret_that_spans_pieces_is_masked() -> None:
    printer = Printer(stream=Terminal(), color="always")
    assert "hunter22" not in printer.text(Styled("password", "bold"), "=", "hunter22")
    open_printer = Printer(stream=Terminal(), color="always", show_secrets=True)
    assert open_printer.text(Styled("password", "bold"), "=", "hunter22") == "\x1b[1mpassword\x1b[0m=hunter22"


@pytest.mark.parametrize(
    ("color", "environment", "terminal", "wanted"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {}, True, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    color: str, environment: dict[str, str], terminal: bool, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(color, Terminal() if terminal else io.StringIO()) is wanted


def test_a_table_is_aligned_also_with_wide_characters() -> None:
    stream = io.StringIO()
    Printer(stream=stream).table(
        ["run", "events", "task"],
        [["r1", 5, "漢字"], ["run-22", 12345, None], ["x", 1, f"use {KEY}"]],
        right=[1],
    )
    assert stream.getvalue().splitlines() == [
        "run     events  task",
        "r1           5  漢字",
        "run-22   12345",
        "x            1  use ***",
    ]


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("", 0)])
def test_width_counts_columns(text: str, columns: int) -> None:
    assert width(text) == columns
