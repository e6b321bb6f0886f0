"""For any value: an exact envelope gives it back, an inexact one says so, and nothing ever raises."""

from __future__ import annotations

import datetime
import math
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from coda.errors import SchemaMismatch
from coda.log import from_envelope, is_exact, mask_data, render, to_envelope

text = st.text(st.characters(), max_size=20)  # lone surrogates included
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | text
    | st.binary(max_size=20)
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.datetimes(timezones=st.just(datetime.UTC))
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
keys = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner), max_leaves=4
)
values = st.recursive(
    scalars | st.binary(max_size=5).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(keys, inner, max_size=5)
        | st.dictionaries(st.sampled_from(["$", "$x", "a", "v", "t"]), inner)
        | st.sets(keys, max_size=5)
    ),
    max_leaves=20,
)


def canonical(value: Any) -> Any:
    """A form in which equality also sees types, the sign of zero and order of dictionaries."""
    kind = type(value).__name__
    if isinstance(value, float):
        return (kind, value, math.copysign(1, value))
    if isinstance(value, complex):
        return (kind, canonical(value.real), canonical(value.imag))
    if isinstance(value, list | tuple):
        return (kind, [canonical(item) for item in value])
    if isinstance(value, dict):
        return (kind, [(canonical(key), canonical(item)) for key, item in value.items()])
    if isinstance(value, set | frozenset):
        return (kind, sorted((canonical(item) for item in value), key=repr))
    return (kind, value)


@given(values)
def test_values_come_back_through_json_and_msgpack(value: Any) -> None:
    data = to_envelope(value)
    assert is_exact(data)
    for codec in (msgspec.json, msgspec.msgpack):
        again = codec.decode(codec.encode(data))
        assert again == data
        assert canonical(from_envelope(again)) == canonical(value)
        assert to_envelope(from_envelope(again)) == data


@given(st.sets(keys, max_size=6), st.randoms(use_true_random=False))
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
    """Plain containers, and tagged objects whose fields may be anything."""
    fields = dict.fromkeys(("v", "t", "r", "n", "h", "d", "z", "f"), inner)
    tagged = st.fixed_dictionaries({"$": st.sampled_from(TAGS)}, optional=fields)
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4) | tagged


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
)
json_values = st.recursive(leaves, envelopes, max_leaves=12)


@given(json_values)
@example({"$": "datetime", "v": "2026-01-01T00:00:00", "z": []})
def test_any_json_is_decoded_or_refused_and_can_be_shown(data: Any) -> None:
    try:
        from_envelope(data)
    except SchemaMismatch:
        pass
    is_exact(data)
    assert len(render(data, width=40)) <= 40
    mask_data(data)
