"""Live objects as text: `repr` itself, in the object's own order, or a text that says that it is cut."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from typing import Any

import pytest

from coda.runtime.worker.showing import SHORT_BYTES, show

LOOP: list[Any] = [1]
LOOP.append({"me": LOOP})


class Named(dict[str, int]):
    """A container with a text of its own."""

    def __repr__(self) -> str:
        return "<named>"


WHOLE: list[Any] = [
    {"b": 1, "a": 2, 3: None}, {"z", "a", "m", "k"}, frozenset({5, 1}), set(), frozenset(), {}, (), (1,),
    (1, [2, {3: (4,)}]), [], deque([3, 1]), deque([3, 1], 4), LOOP, Named(x=1), "it's ...", b"\x00...",
    10**50,
    Counter("abca"), OrderedDict(b=1, a=2), [float("nan"), -0.0, 1j, True, ..., NotImplemented], range(3),
]  # fmt: skip


@pytest.mark.parametrize(
    "value", WHOLE, ids=[type(value).__name__ + str(number) for number, value in enumerate(WHOLE)]
)
def test_what_fits_is_what_repr_gives(value: object) -> None:
    shown = show(value, limit=SHORT_BYTES)
    assert (shown["repr"], shown["truncated"], shown["exact"]) == (repr(value), False, True)


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


CUT: list[tuple[Any, str]] = [
    (list(range(100)), "[0, 1, 2, "),
    ({n: -n for n in range(100, 0, -1)}, "{100: -100, 99: -99, "),
    ("x" * 5000, "'xxx"),
    (["y" * 900] * 4, "['yyy"),
    (_nested(20), "[[[[[[[[[...]"),
    (7 ** 40_000, "<int of 112295 bits>"),
    (Counter(range(5000)), "Counter({0: 1, 1: 1, "),
]  # fmt: skip


@pytest.mark.parametrize(("value", "begins"), CUT, ids=[begins for _, begins in CUT])
def test_what_does_not_fit_says_so(value: object, begins: str) -> None:
    shown = show(value, limit=SHORT_BYTES)
    assert shown["repr"].startswith(begins)
    assert len(shown["repr"]) <= SHORT_BYTES
    assert (shown["truncated"], shown["exact"]) == (True, False)


class Hostile:
    """Objects of this class fail when they are looked at."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __repr__(self) -> str:
        if self.how == "loop":
            while True:
                pass
        if self.how == "exit":
            raise SystemExit(3)
        raise ValueError(self.how)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "says"), [("loop", "takes longer"), ("exit", "SystemExit"), ("x", "ValueError")]
)
def test_a_text_that_is_not_to_be_had(how: str, says: str) -> None:
    shown = show([Hostile(how)], limit=SHORT_BYTES)
    assert says in shown["repr"]
    assert (shown["truncated"], shown["exact"]) == (False, False)
