"""The value envelope: exact where it says so, bounded and silent about everything else."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import uuid
import zoneinfo
from typing import Any, NamedTuple

import msgspec
import pytest

from coda.errors import SchemaMismatch
from coda.log import (
    BlobRef,
    BlobStore,
    Opaque,
    RecordValue,
    Summary,
    from_envelope,
    is_exact,
    render,
    summarise,
    to_envelope,
)

UTC = datetime.UTC


def through_json(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(to_envelope(value)))


EXACT = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**40, -(10**40),
    1 << 20_000,
    0.0, -0.0, 1.5, 1e300, 5e-324, math.inf, -math.inf, "", "abc", "é\n\0\u2028", "\ud800", "a\udcffb",
    b"", b"\x00\xff", bytearray(b"xy"), 1 + 2j, complex(math.inf, -0.0), (), (1,), (1, (2, "x")), [],
    [1, [2]],
    {1, 2}, frozenset({"a", (1, 2)}), set(), {}, {"a": 1}, {"$": 1}, {"$x": {"y": ()}}, {1: "a", "1": "b"},
    {(1, 2): [3]}, {"\ud800": 1}, {None: 0, True: 1}, datetime.date(2024, 2, 29), datetime.time(1, 2, 3, 4),
    datetime.time(1, 2, fold=1), datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
    datetime.datetime(2024, 1, 2, tzinfo=UTC),
    datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30), "IST")),
    datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1),
    datetime.timedelta(days=-3, microseconds=7), datetime.timedelta.max, decimal.Decimal("1.10"),
    decimal.Decimal("-Infinity"), uuid.UUID(int=5), pathlib.Path("/a/b"), pathlib.PurePosixPath("x"),
    pathlib.PureWindowsPath("c:\\x"), pathlib.Path("\udcff"),
]  # fmt: skip


def same(left: Any, right: Any) -> bool:
    """Equality that looks at types, at the sign of zero and at fold."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, datetime.datetime | datetime.time):
        return bool(left == right) and left.fold == right.fold and left.tzname() == right.tzname()
    return bool(left == right)


@pytest.mark.parametrize("value", EXACT, ids=lambda value: type(value).__name__)
def test_exact_values_come_back_through_json(value: object) -> None:
    data = through_json(value)
    assert is_exact(data)
    assert same(from_envelope(data), value)


def test_nan_comes_back() -> None:
    assert math.isnan(from_envelope(through_json(math.nan)))


class Point(NamedTuple):
    x: int
    y: Any


@dataclasses.dataclass
class Plain:
    name: str
    items: list[int]


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    a: int
    b: tuple[int, ...] = ()


class Trap:
    """Every hook of the language raises."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"touched {name}")

    __repr__ = __str__ = __eq__ = __hash__ = __len__ = __iter__ = __reduce__ = __bool__ = None  # type: ignore[assignment]


class TrapMeta(type):
    def __getattribute__(cls, name: str) -> Any:
        raise AssertionError(f"touched {name} of the class")


class MetaTrap(metaclass=TrapMeta):
    pass


class Colour(enum.IntEnum):
    RED = 1


class TextSubclass(str):
    pass


@dataclasses.dataclass
class Sneaky:
    x: int

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("touched")


def test_records_keep_their_fields_and_the_name_of_their_type() -> None:
    data = through_json([Point(1, (2,)), Plain("n", [1]), Slotted(3)])
    assert is_exact(data)
    here = __name__
    assert from_envelope(data) == [
        RecordValue(f"{here}.Point", {"x": 1, "y": (2,)}),
        RecordValue(f"{here}.Plain", {"name": "n", "items": [1]}),
        RecordValue(f"{here}.Slotted", {"a": 3, "b": ()}),
    ]
    assert to_envelope(from_envelope(data)) == data


def test_records_may_be_members_of_sets() -> None:
    [value] = from_envelope(through_json({Slotted(1, (2,))}))
    assert value == RecordValue(f"{__name__}.Slotted", {"a": 1, "b": (2,)})


def test_no_code_of_the_value_runs() -> None:
    hidden: list[Any] = [Trap(), MetaTrap(), {"k": Trap()}]
    data = through_json(hidden)
    assert not is_exact(data)
    assert data[0] == {"$": "opaque", "t": f"{__name__}.Trap", "r": "", "n": None}
    assert data[1]["t"] == f"{__name__}.MetaTrap"
    # The fields of a dataclass are read from its storage, past its own attribute access.
    sneaky = object.__new__(Sneaky)
    object.__setattr__(sneaky, "x", 4)
    assert through_json(sneaky) == {"$": "record", "t": f"{__name__}.Sneaky", "v": {"x": 4}}


@pytest.mark.parametrize(
    "value", [Colour.RED, TextSubclass("x"), collections.OrderedDict(a=1), object(), len, {1}.add]
)
def test_subclasses_and_objects_are_opaque_not_almost_right(value: object) -> None:
    data = through_json(value)
    assert data["$"] == "opaque"
    opaque = from_envelope(data)
    assert isinstance(opaque, Opaque)
    assert to_envelope(opaque) == data


def test_cycles_end_and_shared_parts_do_not_count_as_cycles() -> None:
    shared = [1]
    assert from_envelope(to_envelope([shared, shared])) == [[1], [1]]
    loop: list[Any] = [1]
    loop.append({"self": loop})
    data = to_envelope(loop)
    assert data[0] == 1
    assert data[1]["self"]["$"] == "opaque"
    assert not is_exact(data)


def test_depth_is_bounded() -> None:
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]
    data = through_json(deep)
    assert not is_exact(data)
    pairs: Any = ()
    for _ in range(90):
        pairs = {(1, 2): pairs}
    assert same(from_envelope(through_json(pairs)), pairs)


def test_size_is_bounded_also_when_shared_parts_multiply() -> None:
    value: Any = ["x"] * 10
    for _ in range(40):
        value = [value, value]
    data = to_envelope(value, max_bytes=10_000)
    assert data["$"] == "summary"
    assert data["n"] == 2
    text = to_envelope("é" * 100_000, max_bytes=1000)
    assert text == {"$": "summary", "t": "str", "n": 100_000, "h": "é" * 64}
    assert isinstance(from_envelope(text), Summary)
    assert len(msgspec.json.encode(to_envelope(b"\xff" * 10**6, max_bytes=1000))) < 400


def test_large_values_go_to_the_store(tmp_path: pathlib.Path) -> None:
    store = BlobStore(tmp_path / "t.blobs")
    value = {"text": "word " * 50_000}
    data = to_envelope(value, store=store)
    assert data["$"] == "blob"
    assert from_envelope(data) == BlobRef(data["d"], data["n"])
    assert from_envelope(data, load=store.get) == value
    assert to_envelope([1], store=store) == [1]


@pytest.mark.parametrize(
    "data",
    [
        {"$": "bytes", "v": "***"}, {"$": "bytes"}, {"$": "int", "v": "x"}, {"$": "int", "v": "9" * 5000},
        {"$": "float", "v": "1.0"}, {"$": "complex", "v": [1]}, {"$": "dict", "v": [[[], 1]]},
        {"$": "set", "v": [[1]]}, {"$": "tuple", "v": 3}, {"$": "datetime", "v": "yesterday"},
        {"$": "decimal", "v": "one"}, {"$": "uuid", "v": "0"}, {"$": "record", "t": "X", "v": [1]},
        {"$": "str", "v": "gICA="}, {"$": "path", "v": "x", "t": "os.system"},
        {"$": "datetime", "v": "2024-01-01", "z": "../../etc/passwd"}, {"$": "timedelta", "v": "9" * 40},
    ],
    ids=str,
)  # fmt: skip
def test_malformed_envelopes_are_refused(data: Any) -> None:
    with pytest.raises(SchemaMismatch, match="not a value envelope"):
        from_envelope(data)
    render(data)  # shown all the same


def test_tags_of_a_newer_version_are_opaque() -> None:
    data = {"$": "quaternion", "v": [1, 2, 3, 4]}
    assert not is_exact(data)
    assert isinstance(from_envelope(data), Opaque)
    assert render(data) == "<quaternion value of a newer version>"


RENDERED = [
    ("abc", "'abc'"), (3, "3"), ([1, 2], "[1, 2]"), ((3,), "(3,)"), ((), "()"), ({1}, "{1}"),
    (set(), "set()"),
    ({"a": None}, "{'a': None}"), ({1: 2}, "{1: 2}"), (b"x\xff", "b'x\\xff'"), (math.nan, "nan"),
    (10**30, "1" + "0" * 30), (frozenset({1}), "frozenset({1})"), (Point(1, 2), "Point(x=1, y=2)"),
    (pathlib.Path("/a"), "Path('/a')"), (1j, "complex(0.0, 1.0)"), ("\ud800", "'\\ud800'"),
    (object(), "<object>"), (len, "<builtin_function_or_method len>"),
    (datetime.date(2024, 1, 2), "date('2024-01-02')"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), RENDERED, ids=lambda value: type(value).__name__)
def test_values_are_shown_as_python_writes_them(value: object, text: str) -> None:
    assert render(to_envelope(value)) == text


def test_shown_text_is_bounded_and_says_what_was_cut() -> None:
    assert render(list(range(1000)), width=20) == "[0, 1, 2, 3, 4, 5, …"
    assert len(render("x" * 10**6, width=50)) == 50
    assert render(to_envelope(["x"] * 10**6, max_bytes=1000), width=200).startswith(
        "<list of 1000000: ['x', "
    )
    assert render({"$": "blob", "d": "ab" * 32, "n": 99}) == "<99 bytes in blob abababababab>"
    assert render(list(range(100)), width=None).endswith("99]")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "[]"),
        ([1, "a", None, 2.5, math.nan], "[1, 'a', None, 2.5, nan]"),
        ((1,), "(1,)"),
        ({"a": 1, 2: True}, "{'a': 1, 2: True}"),
        (["x" * 31], f"['{'x' * 31}']"),
        (["x" * 32], f"<list of 1: ['{'x' * 32}']>"),
        ([1, [2]], "<list of 2: [1, <list>]>"),
        ({"a": (1,)}, "<dict of 1: {'a': <tuple>}>"),
        (list(range(9)), "<list of 9: [0, 1, 2, 3, 4, 5, 6, 7]…>"),
        ({n: n for n in range(5)}, "<dict of 5: {0: 0, 1: 1, 2: 2, 3: 3}…>"),
    ],
    ids=str,
)
def test_a_summary_is_shown_as_the_value_where_it_holds_all_of_it(value: object, text: str) -> None:
    assert render(summarise(value)) == text
