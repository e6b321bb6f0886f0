"""How values are written: read, refused, and shown so that they can be read again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda.config import settings
from coda.config.kinds import duration, show_duration, show_size, size

GOOD = [
    ("memory", "512M", 512 << 20), ("memory", "1.5G", 3 << 29), ("memory", "64k", 64 << 10),
    ("memory", "100", 100), ("memory", "2GiB", 2 << 30), ("memory", "10MB", 10 << 20),
    ("memory", "none", None), ("memory", "NONE", None),
    ("timeout", "90", 90.0), ("timeout", "1.5s", 1.5), ("timeout", "2m", 120.0), ("timeout", "200ms", 0.2),
    ("timeout", "1h30m", 5400.0), ("timeout", ".5", 0.5),
    ("max-turns", "7", 7), ("port", "0", 0), ("port", "65535", 65535),
    ("env", "A, B_2", ("A", "B_2")), ("env", "", ()), ("allow-host", "a.example,b", ("a.example", "b")),
    ("quiet", "yes", True), ("quiet", "0", False), ("line-spans", "all", "all"), ("line-spans", "12", "12"),
    ("record", "lines", "lines"), ("token", "0123456789", "0123456789"),
]  # fmt: skip
BAD = [
    ("memory", "0"), ("memory", "-1"), ("memory", "5X"), ("memory", "0.3"), ("memory", "M"), ("memory", ""),
    ("timeout", "0"), ("timeout", "-2"), ("timeout", "2 minutes"), ("timeout", "nan"), ("timeout", "inf"),
    ("timeout", "1s1"), ("timeout", "0ms"),
    ("max-turns", "0"), ("max-turns", "1.5"), ("max-turns", "none"), ("port", "65536"), ("port", "-1"),
    ("env", "A B"), ("env", "A=1"), ("quiet", "perhaps"), ("line-spans", "-3"), ("record", "line"),
    ("token", "short"), ("token", "with a space"), ("model", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_text_is_read_and_what_is_shown_is_read_again(name: str, text: str, value: Any) -> None:
    setting = settings()[name]
    assert setting.from_text(text) == value
    if value != ():
        assert setting.from_text(setting.show(value)) == value


@pytest.mark.parametrize(("name", "text"), BAD)
def test_what_is_no_value_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError):
        settings()[name].from_text(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory", True), ("memory", 1.5), ("memory", -1), ("memory", ["1G"]), ("timeout", True),
        ("timeout", 0),
        ("max-turns", "7"), ("max-turns", True), ("max-turns", 7.0), ("env", "A"), ("env", [1]),
        ("quiet", "yes"), ("quiet", 1), ("record", 3), ("model", 3), ("root", 3), ("line-spans", True),
    ],
)  # fmt: skip
def test_a_file_s_value_has_the_type_of_its_setting(name: str, value: Any) -> None:
    with pytest.raises(ValueError):
        settings()[name].from_toml(value)


def test_a_file_s_numbers_are_numbers() -> None:
    assert settings()["timeout"].from_toml(90) == 90.0
    assert settings()["timeout"].from_toml(1.5) == 1.5
    assert settings()["memory"].from_toml(1 << 40) == 1 << 40
    assert settings()["line-spans"].from_toml(12) == "12"
    assert settings()["memory"].from_toml("none") is None


@given(st.integers(1, 1 << 50))
def test_every_size_is_read_again_from_what_is_shown(value: int) -> None:
    assert size(show_size(value)) == value


@given(st.integers(1, 10**7))
def test_every_duration_is_read_again_from_what_is_shown(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert duration(show_duration(seconds)) == pytest.approx(seconds, rel=1e-5)
