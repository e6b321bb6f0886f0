"""A small validator: the part of JSON Schema 2020-12 that docs/schemas uses, and not a keyword more.

A keyword that it does not know is an error, so that no part of a schema goes unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda data: isinstance(data, dict),
    "array": lambda data: isinstance(data, list),
    "string": lambda data: isinstance(data, str),
    "boolean": lambda data: isinstance(data, bool),
    "null": lambda data: data is None,
    "integer": lambda data: isinstance(data, int) and not isinstance(data, bool),
    "number": lambda data: isinstance(data, int | float) and not isinstance(data, bool),
}
_WORDS = {"$schema", "$defs", "title", "description", "default"}


def problems(schema: dict[str, Any], data: Any) -> list[str]:
    """Gives what is wrong with data, each with its path; empty when it is valid."""
    return list(_problems(schema, data, schema, "$"))


def _problems(schema: dict[str, Any], data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    for keyword, rule in schema.items():
        if keyword in _WORDS:
            continue
        yield from _CHECKS[keyword](rule, data, root, path)


def _ref(rule: str, data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    assert rule.startswith("#/$defs/"), rule
    yield from _problems(root["$defs"][rule.removeprefix("#/$defs/")], data, root, path)


def _type(rule: str | list[str], data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    names = [rule] if isinstance(rule, str) else rule
    if not any(_TYPES[name](data) for name in names):
        yield f"{path}: {data!r} is no {' or '.join(names)}"


def _const(rule: Any, data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    if data != rule:
        yield f"{path}: {data!r} is not {rule!r}"


def _enum(rule: list[Any], data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    if data not in rule:
        yield f"{path}: {data!r} is none of {rule!r}"


def _not(rule: dict[str, Any], data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    if not list(_problems(rule, data, root, path)):
        yield f"{path}: {data!r} is what it must not be"


def _any_of(rule: list[dict[str, Any]], data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    tried = [list(_problems(one, data, root, path)) for one in rule]
    if all(tried):
        yield f"{path}: none of {len(rule)} forms: {min(tried, key=len)}"


def _properties(rule: dict[str, Any], data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(data, dict):
        for name in rule.keys() & data.keys():
            yield from _problems(rule[name], data[name], root, f"{path}.{name}")


def _additional(rule: dict[str, Any], data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    # Only ever used for mappings, which name no property of their own.
    if isinstance(data, dict):
        for name, member in data.items():
            yield from _problems(rule, member, root, f"{path}.{name}")


def _required(rule: list[str], data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(data, dict) and (missing := set(rule) - data.keys()):
        yield f"{path}: without {', '.join(sorted(missing))}"


def _items(rule: dict[str, Any] | bool, data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(data, list) and isinstance(rule, dict):
        for number, member in enumerate(data):
            yield from _problems(rule, member, root, f"{path}[{number}]")


def _prefix_items(rule: list[dict[str, Any]], data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(data, list):
        for number, (one, member) in enumerate(zip(rule, data, strict=False)):
            yield from _problems(one, member, root, f"{path}[{number}]")


def _min_items(rule: int, data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(data, list) and len(data) < rule:
        yield f"{path}: {len(data)} members, fewer than {rule}"


def _max_items(rule: int, data: Any, root: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(data, list) and len(data) > rule:
        yield f"{path}: {len(data)} members, more than {rule}"


_CHECKS: dict[str, Callable[[Any, Any, dict[str, Any], str], Iterator[str]]] = {
    "$ref": _ref,
    "type": _type,
    "const": _const,
    "enum": _enum,
    "not": _not,
    "anyOf": _any_of,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
    "items": _items,
    "prefixItems": _prefix_items,
    "minItems": _min_items,
    "maxItems": _max_items,
}
