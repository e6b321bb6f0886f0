"""Conditions over the fields of an event, with a third answer: not known.

Guarantee: what the log does not hold exactly (a value that was not captured, a text of which only the
head was kept, an object that is only a type name) never counts as a match and never as a mismatch:
it is *undecided*, goes through `and`, `or` and `not` as such (Kleene), and the answer then says that it
is incomplete. The wrong alternative is to compare a summary as if it were the value.
"""

from __future__ import annotations

import base64
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from coda.query.globs import path_glob, text_glob
from coda.query.tree import And, Compare, Condition, Literal, Not


class _NotKnown:
    """The one value for what the log does not hold."""

    def __repr__(self) -> str:
        return "NOT_KNOWN"


NOT_KNOWN: Final = _NotKnown()
Test = Callable[[Mapping[str, Any], str], bool | None]
"""A condition made ready: (fields, root) to yes, no or None for undecided."""

PATH_FIELDS = frozenset({"path", "given", "to", "file"})
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXT_TAGS = frozenset({"datetime", "date", "time", "path", "uuid"})
_CONTAINERS = frozenset({"str", "bytes", "bytearray", "list", "tuple", "dict", "set", "frozenset"})
_LIST_TAGS = frozenset({"tuple", "set", "frozenset"})


def ready(condition: Condition) -> Test:
    """Gives the test that a condition is; the text is interpreted once, here."""
    if isinstance(condition, Compare):
        return _compare(condition)
    if isinstance(condition, Not):
        return _negate(ready(condition.of))
    tests = tuple(ready(part) for part in condition.parts)
    # `and` is decided by the first no, `or` by the first yes; an undecided part waits for one.
    return _join(tests, decisive=not isinstance(condition, And))


def _negate(inner: Test) -> Test:
    def test(fields: Mapping[str, Any], root: str) -> bool | None:
        answer = inner(fields, root)
        return None if answer is None else not answer

    return test


def _join(tests: tuple[Test, ...], *, decisive: bool) -> Test:
    def test(fields: Mapping[str, Any], root: str) -> bool | None:
        answer: bool | None = not decisive
        for one in tests:
            found = one(fields, root)
            if found is decisive:
                return decisive
            if found is None:
                answer = None
        return answer

    return test


def _compare(condition: Compare) -> Test:
    path = tuple(condition.field.split("."))
    literal = condition.literal
    is_path = path[-1] in PATH_FIELDS
    glob = text_glob(literal.text)
    over_paths = path_glob(literal.text)

    def test(fields: Mapping[str, Any], root: str) -> bool | None:
        found = pick(fields, path)
        if condition.op == "~":
            return _like(found, (lambda text: over_paths(text, root)) if is_path else glob)
        if condition.op in _ORDERS:
            return _ordered(found, _ORDERS[condition.op], literal)
        same = _equal(found, literal)
        return same if condition.op == "=" or same is None else not same

    return test


def pick(fields: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Gives the plain value at a dotted path: None when there is none, NOT_KNOWN when it was not kept."""
    found: Any = plain(fields.get(path[0]))
    for part in path[1:]:
        if isinstance(found, Mapping):
            found = plain(found.get(part))
        elif isinstance(found, list | tuple) and part.isdecimal():
            found = plain(found[int(part)]) if int(part) < len(found) else None
        elif found is NOT_KNOWN or isinstance(found, Summary):
            return NOT_KNOWN
        else:
            return None
    return found


class Summary(Mapping[str, Any]):
    """What is known of a value that was not kept whole: its type, length and head."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.type = str(data.get("t", ""))
        self.length = data.get("n")
        self.head = data.get("h", data.get("r"))

    def __getitem__(self, key: str) -> Any:
        return NOT_KNOWN

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0

    def get(self, key: str, default: Any = None) -> Any:
        """Gives the type and the length; nothing else is known."""
        return {"type": self.type, "length": self.length}.get(key, NOT_KNOWN)


def plain(data: Any) -> Any:
    """Gives what an envelope holds as plain data, one level deep: dict, list, text, number, Summary."""
    if not isinstance(data, dict) or "$" not in data:
        return data
    tag, value = data["$"], data.get("v")
    if tag in _LIST_TAGS:
        return value if isinstance(value, list | tuple) else NOT_KNOWN
    if tag == "record":
        return value if isinstance(value, dict) else NOT_KNOWN
    if tag == "dict":
        return _pairs(value)
    if tag in ("opaque", "summary"):
        return Summary(data)
    return _scalar(tag, value) if isinstance(value, str) else NOT_KNOWN


def _scalar(tag: str, value: str) -> Any:
    """Gives a scalar that JSON has no form of; a time span is counted in nanoseconds, as in a query."""
    try:
        if tag == "int":
            return int(value, 0) if value.startswith(("0x", "-0x")) else int(value)
        if tag == "float":
            return float(value)
        if tag == "decimal":
            return Decimal(value)
        if tag == "timedelta":
            return int(value) * 1000
        if tag in ("str", "bytes", "bytearray"):
            errors = "surrogatepass" if tag == "str" else "backslashreplace"
            return base64.b64decode(value).decode("utf-8", errors)
    except (ValueError, ArithmeticError):
        return NOT_KNOWN
    return value if tag in _TEXT_TAGS else NOT_KNOWN


def _pairs(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return NOT_KNOWN
    return {str(plain(key)): item for key, item in value}


def _like(found: Any, glob: Callable[[str], bool]) -> bool | None:
    if found is NOT_KNOWN or isinstance(found, Summary):
        return None
    if isinstance(found, list | tuple):
        answers = [_like(plain(item), glob) for item in found]
        return True if True in answers else (None if None in answers else False)
    if found is None or isinstance(found, Mapping):
        return False
    return glob(found if isinstance(found, str) else text_of(found))


def text_of(value: Any) -> str:
    """Gives a scalar as it is written in a query."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _equal(found: Any, literal: Literal) -> bool | None:
    if found is NOT_KNOWN:
        return None
    if isinstance(found, Summary):
        return _equal_summary(found, literal)
    if found is None or literal.value is None:
        return found is None and literal.value is None
    if isinstance(found, bool) or isinstance(literal.value, bool):
        return found is literal.value or found == literal.text
    if isinstance(found, int | float | Decimal):
        return not isinstance(literal.value, str) and found == literal.value
    if isinstance(found, str):
        return found == literal.text
    if isinstance(found, list | tuple):
        answers = [_equal(plain(item), literal) for item in found]
        return True if True in answers else (None if None in answers else False)
    return False


def _equal_summary(found: Summary, literal: Literal) -> bool | None:
    """A text that was cut is decided by its length or head when those differ, else not at all."""
    if literal.value is None:
        return False
    if found.type != "str":
        # A list is no number; an object that only its type name was kept of may well equal one.
        return False if isinstance(literal.value, int | float) and found.type in _CONTAINERS else None
    if isinstance(literal.value, bool):
        return False
    if isinstance(found.length, int) and found.length != len(literal.text):
        return False
    return None if isinstance(found.head, str) and literal.text.startswith(found.head) else False


def _ordered(found: Any, order: Callable[[Any, Any], bool], literal: Literal) -> bool | None:
    if found is NOT_KNOWN:
        return None
    if isinstance(found, Summary):
        # A container or a text is not above or below a number; two texts may be, other objects too.
        return False if isinstance(literal.value, int | float) and found.type in _CONTAINERS else None
    numbers = isinstance(literal.value, int | float) and not isinstance(literal.value, bool)
    if isinstance(found, Decimal) and found.is_nan():
        return False
    if isinstance(found, int | float | Decimal) and not isinstance(found, bool):
        return order(found, literal.value) if numbers else False
    if isinstance(found, str) and not numbers:
        return order(found, literal.text)
    return False
