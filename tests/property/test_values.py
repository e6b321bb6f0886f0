"""For any value: an exact envelope gives it back, an inexact one says so, and nothing ever raises."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import struct
import zoneinfo
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coda.errors import SchemaMismatch
from coda.log import Opaque, RecordValue, from_envelope, is_exact, mask_data, render, to_envelope, type_name

pytestmark = pytest.mark.slow


class Point(NamedTuple):
    """A named tuple."""

    x: Any
    y: Any = ()


@dataclasses.dataclass
class Plain:
    """A dataclass that is compared by its fields, and cannot be hashed."""

    name: Any
    items: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    """A dataclass that can be a key."""

    a: Any


@dataclasses.dataclass(eq=False)
class Alone:
    """A dataclass that is equal to itself only, and can be a key."""

    a: Any


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


BUILTINS: tuple[type, ...] = (
    int, float, str, bytes, bytearray, complex, list, tuple, dict, set, frozenset,
    datetime.datetime, datetime.date, datetime.timedelta, decimal.Decimal, pathlib.PurePosixPath,
)  # fmt: skip
SUBCLASSES = {kind: type(f"My{kind.__name__}", (kind,), {}) for kind in BUILTINS}

text = st.text(st.characters(), max_size=20)  # lone surrogates included
zones = (
    st.just(datetime.UTC)
    | st.timezones()
    | st.builds(datetime.timezone, _offsets := st.timedeltas(
        datetime.timedelta(hours=-23), datetime.timedelta(hours=23)
    ))
    | st.builds(datetime.timezone, _offsets, text)
)  # fmt: skip
folded = st.sampled_from([0, 1])
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.builds(lambda bits, less: (1 << bits) - less, st.integers(0, 20_000), st.integers(-2, 2))
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats()
    | st.complex_numbers()
    | text
    | st.binary(max_size=20)
    | st.dates()
    | st.builds(lambda when, fold: when.replace(fold=fold), st.times(timezones=st.none() | zones), folded)
    | st.builds(lambda when, fold: when.replace(fold=fold), st.datetimes(timezones=st.none() | zones), folded)
    | st.timedeltas()
    | st.decimals()
    | st.decimals().filter(lambda number: not number.is_snan()).map(decimal.Decimal.normalize)
    | st.uuids()
    | st.builds(pathlib.Path, text.map(lambda name: name.replace("\0", "")))
    | st.builds(pathlib.PurePosixPath, text)
    | st.builds(pathlib.PureWindowsPath, text)
)


@st.composite
def scalars(draw: st.DrawFn) -> Any:
    """A composite, whose own name is short: hypothesis writes out what a strategy is made of."""
    return draw(_scalars)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:  # a signalling NaN
        return False
    return True


_keys = st.recursive(
    scalars().filter(_hashable),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Slotted, inner)
    ),
    max_leaves=4,
)


@st.composite
def keys(draw: st.DrawFn) -> Any:
    """What can be a key."""
    return draw(_keys)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Every kind of container that is stored whole."""
    return (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(keys(), inner, max_size=5)
        | st.dictionaries(st.sampled_from(["$", "$x", "a", "v", "t"]), inner)
        | st.sets(keys(), max_size=5)
        | st.builds(Point, inner, inner)
        | st.builds(Plain, inner, inner)
        | st.builds(Slotted, inner)
    )


values = st.recursive(scalars() | st.binary(max_size=5).map(bytearray), containers, max_leaves=20)

# What is not stored. Each has a class of its own, by which its place is known.
opaque = (
    st.sampled_from([Colour.RED, Level.LOW, Word.YES, object(), len, iter(()), {1}.add, NotImplemented, ...])
    | st.sampled_from(list(SUBCLASSES.items())).map(lambda both: both[1](*_arguments(both[0])))
    | st.builds(collections.OrderedDict, st.dictionaries(text, st.integers(), max_size=2))
    | st.builds(collections.Counter, text)
    | st.builds(collections.deque, st.lists(st.integers(), max_size=2))
    | st.builds(range, st.integers(-5, 5))
    | st.binary(max_size=3).map(lambda data: memoryview(data))
    | st.just({Alone(1): "a", Alone(1): "b"})
    | st.just({(Alone(1),), (Alone(1),)})
)


def _arguments(kind: type) -> tuple[Any, ...]:
    if issubclass(kind, datetime.date):
        return (2024, 2, 29)
    return ()


def canonical(value: Any) -> Any:
    """A form in which equality also sees types, bits of floats, order of dictionaries, zones and folds."""
    kind = type(value)
    match value:
        case Opaque():
            return ("opaque", value.type)
        case float():
            form: Any = "nan" if value != value else struct.pack(">d", value)
        case int() if kind is int:
            form = hex(value)
        case complex():
            form = canonical(value.real), canonical(value.imag)
        case RecordValue():
            return ("record", value.type, canonical(value.fields))
        case Point():
            return ("record", type_name(kind), canonical(value._asdict()))
        case Plain() | Slotted() | Alone():
            names = [field.name for field in dataclasses.fields(value)]
            return ("record", type_name(kind), canonical({name: getattr(value, name) for name in names}))
        case decimal.Decimal():
            form = tuple(value.as_tuple())
        case datetime.datetime() | datetime.time():
            form = value.replace(tzinfo=None), value.fold, _zone(value.tzinfo)
        case list() | tuple():
            form = [canonical(item) for item in value]
        case dict():
            form = [(canonical(key), canonical(item)) for key, item in value.items()]
        case set() | frozenset():
            form = sorted((canonical(item) for item in value), key=repr)
        case _:
            form = value
    return (kind, form)


def _zone(zone: Any) -> Any:
    if isinstance(zone, zoneinfo.ZoneInfo):
        return zone.key
    return None if zone is None else zone.__getinitargs__()


@given(values)
@example(float("-inf"))
@example(datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1))
def test_values_come_back_through_json_and_msgpack(value: Any) -> None:
    data = to_envelope(value)
    assert is_exact(data)
    for codec in (msgspec.json, msgspec.msgpack):
        again = codec.decode(codec.encode(data))
        assert again == data
        assert canonical(from_envelope(again)) == canonical(value)
        assert to_envelope(from_envelope(again)) == data


@given(st.lists(values, max_size=3), opaque, st.lists(values, max_size=3))
def test_what_is_not_stored_is_known_to_be_so_and_the_rest_comes_back(
    before: list[Any], odd: Any, after: list[Any]
) -> None:
    for value in ([*before, odd, *after], (before, {"k": odd}, after), {"a": Point(before, odd), "b": after}):
        data = msgspec.json.decode(msgspec.json.encode(to_envelope(value)))
        assert not is_exact(data)
        assert canonical(from_envelope(data)) == _without(canonical(value), canonical(odd), odd)


def _without(form: Any, part: Any, odd: Any) -> Any:
    """A canonical form with another where a part was."""
    if form == part:
        return ("opaque", type_name(type(odd)))
    if isinstance(form, list | tuple):
        return type(form)(_without(item, part, odd) for item in form)
    return form


@given(values, st.integers(0, 3), st.sampled_from(["list", "dict", "record"]))
def test_a_value_that_contains_itself_is_cut_where_it_does(value: Any, depth: int, kind: str) -> None:
    loop: Any = {"list": [value], "dict": {"k": value}, "record": Plain(value)}[kind]
    inner: Any = loop
    for _ in range(depth):
        inner = (inner, value)
    if kind == "list":
        loop.append(inner)
    elif kind == "dict":
        loop["self"] = inner
    else:
        loop.items = inner
    data = to_envelope(loop)
    assert not is_exact(data)
    found: Any = from_envelope(msgspec.json.decode(msgspec.json.encode(data)))
    found = found[1] if kind == "list" else found["self"] if kind == "dict" else found.fields["items"]
    for _ in range(depth):
        found, beside = found
        assert canonical(beside) == canonical(value)
    assert canonical(found) == ("opaque", type_name(type(loop)))


@given(st.sets(keys(), max_size=6), st.randoms(use_true_random=False))
def test_equal_sets_have_equal_envelopes(value: set[Any], random: Any) -> None:
    items = list(value)
    random.shuffle(items)
    again: set[Any] = set()
    for item in items:
        again.add(item)
    left, right = msgspec.json.encode(to_envelope(value)), msgspec.json.encode(to_envelope(again))
    assert left == right


@given(values, st.integers(min_value=0, max_value=300))
def test_bounded_envelopes_stay_near_their_bound(value: Any, limit: int) -> None:
    data = to_envelope(value, max_bytes=limit)
    assert len(msgspec.json.encode(data)) <= 20 * limit + 2000
    from_envelope(data)


TAGS = (
    "str int float bytes bytearray complex tuple set frozenset dict datetime time date timedelta decimal "
    "path uuid record opaque summary blob new"
).split()


def envelopes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Plain containers, and tagged objects whose tag and fields may be anything."""
    fields = dict.fromkeys(("v", "t", "r", "n", "h", "d", "z", "f"), inner)
    tagged = st.fixed_dictionaries({"$": st.sampled_from(TAGS) | inner}, optional=fields)
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4) | tagged


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.sampled_from(
        ["", "0", "-1", "0x1f", "nan", "1e999999", "AAAA", "2026-01-01", "00:00", "PurePosixPath"]
    )
    | st.sampled_from(["Europe/Berlin", "Europe", "../x", "a\0b", "x" * 300])
)
json_values = st.recursive(leaves, envelopes, max_leaves=12)


@given(json_values, json_values)
@example({"$": "datetime", "v": "2026-01-01T00:00:00", "z": []}, None)
@example({"$": []}, None)
@example({"$": "blob", "d": "x", "n": 1}, {"$": "blob", "d": "x", "n": 1})
def test_any_json_is_decoded_or_refused_and_can_be_shown(data: Any, kept: Any) -> None:
    for load in (None, lambda _: msgspec.json.encode(kept), lambda _: b"\xff"):
        try:
            from_envelope(data, load=load)
        except SchemaMismatch:
            pass
    is_exact(data)
    assert len(render(data, width=40)) <= 40
    mask_data(data)
