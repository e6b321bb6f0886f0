"""Conditions: what is known decides, what is not known leaves the answer open."""

from __future__ import annotations

from typing import Any

import pytest

from coda.query.compare import ready
from coda.query.parse import parse
from coda.query.tree import Query

FIELDS: dict[str, Any] = {
    "size": 12_000,
    "path": "src/app.py",
    "name": "gmail.send",
    "line": 7,
    "ok": True,
    "error": None,
    "argv": ["pip", "install"],
    "args": {
        "to": "ann@corp.com",
        "n": {"$": "int", "v": "99999999999999999999"},
        "pair": {"$": "tuple", "v": [1, 2]},
    },
    "text": {"$": "summary", "t": "str", "n": 500, "h": "Dear Ann"},
    "frame": {"$": "opaque", "t": "DataFrame", "r": "", "n": 10},
    "rows": {"$": "summary", "t": "list", "n": 900, "h": [1, 2]},
    "odd": {"$": "float", "v": "nan"},
    "keyed": {"$": "dict", "v": [[1, "one"]]},
    "point": {"$": "record", "t": "Point", "v": {"x": 3}},
    "version": "17",
    "price": {"$": "decimal", "v": "9.90"},
    "took": {"$": "timedelta", "v": "2000000"},
    "raw": {"$": "bytes", "v": "c2VjcmV0"},
    "huge": {"$": "int", "v": "0x10000000000000000"},
    "broken": {"$": "int", "v": "x"},
}


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ("size > 10kb", True),
        ("size > 12kib", False),
        ("size = 12000", True),
        ("path ~ 'src/*'", True),
        ("path ~ *.py", True),
        ("path ~ 'lib/*'", False),
        ("path ~ /r/src/*", True),
        ("name ~ gmail.*", True),
        ("name != gmail.send", False),
        ("line ~ 7*", True),
        ("ok = true", True),
        ("ok = false", False),
        ("error = null", True),
        ("error != null", False),
        ("missing = null", True),
        ("missing > 3", False),
        ("missing != 3", True),
        ("argv = install", True),
        ("argv ~ inst*", True),
        ("argv = remove", False),
        ("argv.0 = pip", True),
        ("argv.9 = null", True),
        ("args.to ~ *@corp.com", True),
        ("args.n > 5", True),
        ("args.pair.1 = 2", True),
        ("keyed.1 = one", True),
        ("point.x >= 3", True),
        ("version = 17", True),
        ("version > 3", False),
        ("name > a", True),
        ("odd > 1", False),
        ("odd != 1", True),
        ("text = 'Dear Ann'", False),
        ("text ~ 'Dear*'", None),
        ("text = 3", False),
        ("text > 3", False),
        ("text.length > 400", True),
        ("rows > 3", False),
        ("rows.0 = 1", None),
        ("rows.length = 900", True),
        ("frame > 3", None),
        ("frame = 3", None),
        ("frame.type = DataFrame", True),
        ("price < 10", True),
        ("price = 9.9", False),
        ("took = 2s", True),
        ("raw ~ sec*", True),
        ("huge > 5", True),
        ("broken > 5", None),
        ("not text ~ 'D*'", None),
        ("text ~ D* and size < 1", False),
        ("text ~ D* and size > 1", None),
        ("text ~ D* or size > 1", True),
        ("text ~ D* or size < 1", None),
        ("not (size < 1 or line = 8)", True),
    ],
)
def test_answer(condition: str, answer: bool | None) -> None:
    query = parse(f"read where {condition}")
    assert isinstance(query, Query)
    assert query.where is not None
    assert ready(query.where)(FIELDS, "/r") is answer
