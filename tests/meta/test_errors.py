"""Every error of coda's tree pickles with its attributes and stands in the drawing of the tree."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Iterator

import pytest

import coda.errors
from coda.errors import CodaError


def family(kind: type[CodaError]) -> Iterator[type[CodaError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


ALL = sorted(
    {kind for kind in family(CodaError) if kind.__module__ == "coda.errors"}, key=lambda k: k.__name__
)


@pytest.mark.parametrize("kind", ALL)
def test_pickles_and_copies_with_its_facts(kind: type[CodaError]) -> None:
    error = kind("run r7 seq 42: log holds a, replay called b", seq=42, expected=("a",), found={"b": None})
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert str(twin) == str(error) == twin.message
        assert twin.facts == error.facts
        assert [getattr(twin, name) for name in error.facts] == [42, ("a",), {"b": None}]


def test_the_drawing_names_every_class() -> None:
    drawing = inspect.getdoc(coda.errors) or ""
    assert {kind.__name__ for kind in ALL} == {
        word
        for word in drawing.replace("─", " ").split()
        if word.isidentifier() and hasattr(coda.errors, word)
    }


def test_no_room_grows_a_tree_of_its_own() -> None:
    assert {kind.__module__ for kind in family(CodaError)} == {"coda.errors"}
