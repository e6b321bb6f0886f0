"""Buffers, capture sites and summaries, as instrumented code uses them."""

from __future__ import annotations

import gc
import math
import pickle
import threading
import weakref
from collections import deque
from typing import Any

import msgspec
import pytest

from coda.runtime.instrument_hooks import Budget, Buffer, Site, Values, summary


def test_buffers_are_constants_of_hashable_code() -> None:
    first, second = Buffer([1]), Buffer([1])
    assert first != second
    assert {first: 1, second: 2}[first] == 1


@pytest.mark.parametrize("kind", [Buffer, Values])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_buffer_is_an_empty_sink(kind: type[Buffer], protocol: int) -> None:
    copy = pickle.loads(pickle.dumps(kind([1, 2, 3]), protocol))
    assert type(copy) is deque
    copy.append(1)
    assert len(copy) == 0


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_site_is_spent_and_lets_values_through(protocol: int) -> None:
    copy = pickle.loads(pickle.dumps(Site((1,), 5, Buffer(), Values()), protocol))
    assert copy.left is None
    assert copy.keep([1]) == [1]
    assert hash(copy) == hash(copy)


def test_swapping_the_class_changes_what_append_does() -> None:
    class Loud(Buffer):
        __slots__ = ()

        def append(self, item: Any, /) -> None:
            super().append(-item)

    buffer = Buffer()
    append = "append"
    getattr(buffer, append)(1)
    buffer.__class__ = Loud
    getattr(buffer, append)(2)
    buffer.__class__ = Buffer
    getattr(buffer, append)(3)
    assert list(buffer) == [1, -2, 3]


def test_a_budget_lets_the_first_values_through_and_is_refilled() -> None:
    lines, values = Buffer(), Values()
    site = Site((7, 8), None, lines, values)
    budget = Budget([site])
    assert [site.keep(n) for n in (1, 2)] == [1, 2]
    budget.refill(2)
    assert [site.keep(n) for n in (3, 4, 5)] == [3, 4, 5]
    budget.refill(1)
    site.keep(6)
    budget.refill(0)
    site.keep(9)
    assert list(lines) == [7, 8, 7, 8, 7, 8]
    assert list(values) == [3, 3, 4, 4, 6, 6]


class Hostile:
    """Everything that a summary could be tempted to call."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")

    def __len__(self) -> int:
        raise AssertionError

    def __repr__(self) -> str:
        raise AssertionError

    def __bool__(self) -> bool:
        raise AssertionError

    def __hash__(self) -> int:
        raise AssertionError

    def __eq__(self, other: object) -> bool:
        raise AssertionError


class HostileMeta(type):
    def __getattribute__(cls, name: str) -> Any:
        raise AssertionError(f"asked for {name}")

    def __repr__(cls) -> str:
        raise AssertionError


class OfHostileMeta(metaclass=HostileMeta):
    pass


class HostileList(list[Any]):
    def __len__(self) -> int:
        raise AssertionError

    def __iter__(self) -> Any:
        raise AssertionError


HERE = __name__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({1, 2, 3}, ("set", 3, None)),
        ([1, 2.5, None, True, "a"], ("list", 5, [1, 2.5, None, True, "a"])),
        (list(range(1000)), ("list", 1000, list(range(8)))),
        ({i: str(i) for i in range(9)}, ("dict", 9, [[i, str(i)] for i in range(4)])),
        ("x" * 65, ("str", 65, "x" * 64)),
    ],
)
def test_summaries(value: Any, expected: tuple[str, int | None, Any]) -> None:
    kind, size, head = expected
    assert summary(value) == {"$": "summary", "t": kind, "n": size, "h": head}


def test_summaries_call_nothing_of_the_users() -> None:
    for value, name in [
        (Hostile(), "Hostile"),
        (OfHostileMeta(), "OfHostileMeta"),
        (OfHostileMeta, "HostileMeta"),
        (HostileList([1]), "HostileList"),
    ]:
        assert summary(value) == {"$": "summary", "t": f"{HERE}.{name}", "n": None, "h": None}
    found = summary([Hostile(), OfHostileMeta])
    assert [leaf["t"] for leaf in found["h"]] == [f"{HERE}.Hostile", f"{HERE}.HostileMeta"]


@pytest.mark.parametrize("value", [0, 1 << 5000, 1.5, math.inf, True, None, "", "x" * 64, "\ud800"])
def test_scalars_and_short_texts_are_themselves(value: Any) -> None:
    assert summary(value) is value


@pytest.mark.parametrize(
    "value",
    [
        [object(), [1], {"a": 1}, math.nan, -math.inf, 1 << 70, "\ud800", "y" * 500, b"x"],
        {object: math.nan, "\ud800": 1 << 70, ("a",): b"\xff", 2: 3},
        b"\xff" * 1000,
        bytearray(10),
        "\ud800" * 200,
        "é" * 100_000,
        range(10**30),
        print,
        math,
        complex(1, math.nan),
        type("N" * 3000, (), {})(),
    ],
    ids=lambda value: type(value).__name__[:20],
)
def test_summaries_are_small_and_encodable(value: Any) -> None:
    data = msgspec.json.encode(summary(value))
    assert len(data) < 4000
    assert b'"$":"summary"' in data


def test_a_summary_holds_nothing_of_the_value() -> None:
    class Item:
        pass

    item = Item()
    alive = weakref.ref(item)
    kept = [summary([item]), summary({"k": item}), summary(item), summary({item: (item,)})]
    del item
    gc.collect()
    assert alive() is None
    assert len(kept) == 4


def test_a_dictionary_that_others_resize_never_raises() -> None:
    shared: dict[int, int] = {n: n for n in range(100)}
    stop = threading.Event()

    def resize() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            shared[n % 5000 + 1000] = n
            if n % 7 == 0:
                shared.clear()

    thread = threading.Thread(target=resize)
    thread.start()
    try:
        found = [summary(shared) for _ in range(5000)]
    finally:
        stop.set()
        thread.join()
    assert {entry["$"] for entry in found} == {"summary"}


def test_a_summary_near_the_recursion_limit_never_raises() -> None:
    found: list[Any] = []

    def dive(n: int) -> None:
        try:
            found.append(summary([[1], [2]]))
        except RecursionError:
            # Only the call of the summariser itself may find no room, never its inside.
            found.append("no room")
            raise
        dive(n + 1)

    with pytest.raises(RecursionError):
        dive(0)
    assert set(map(type, found)) <= {dict, str}
    assert found.count("no room") <= 1
