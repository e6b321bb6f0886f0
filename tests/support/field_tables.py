"""The field tables of docs/log-format.md, made from the records: `python -m tests.support.field_tables`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from typing import Any

import msgspec

from coda.log import TYPES, Binding, Body, Event, Parent, Statement, Table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "log-format.md"
BEGIN, END = "<!-- fields -->\n", "<!-- end of fields -->\n"
PARTS: dict[str, type[msgspec.Struct]] = {
    "parent (in a header)": Parent,
    "table": Table,
    "statement (an array)": Statement,
    "binding (an array)": Binding,
    "body (an array)": Body,
}

_SHORTER = {
    "coda.log.records.": "", "coda.log.tables.": "", "typing.": "", "NoneType": "null", "None": "null",
    "str": "text", " | ": " or ", "tuple": "array", "dict": "object", ", ...": "", "Any": "any",
    "Statement": "statement", "Binding": "binding", "Body": "body", "Table": "table", "Parent": "parent",
}  # fmt: skip


def tables() -> str:
    """All tables as Markdown."""
    parts = [_table(f"`{tag}`", kind) for tag, kind in TYPES.items()]
    parts += [_table(name, kind) for name, kind in PARTS.items()]
    return "\n".join(parts)


def _table(title: str, kind: type[msgspec.Struct]) -> str:
    said = _said(kind)
    common = ("seq", "t") if issubclass(kind, Event) else ()
    fields = [field for field in msgspec.structs.fields(kind) if field.encode_name not in common]
    lines = [f"### {title}", "", inspect.cleandoc(kind.__doc__ or "").replace("\n", " "), ""]
    if fields:
        lines += ["| field | type | when left out | meaning |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{field.encode_name}` | {_type(field.type)} | {_default(field, kind)} |"
            f" {said.get(field.name, '')} |"
            for field in fields
        ]
        lines.append("")
    return "\n".join(lines)


def undescribed() -> list[str]:
    """The fields that no sentence describes."""
    missing = []
    for kind in [*TYPES.values(), *PARTS.values()]:
        said = _said(kind)
        missing += [f"{kind.__name__}.{name}" for name in kind.__struct_fields__ if not said.get(name)]
    return missing


def _said(kind: type[msgspec.Struct]) -> dict[str, str]:
    """What stands below each field in its class and the classes that it is made from."""
    said: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not issubclass(base, msgspec.Struct) or base is msgspec.Struct:
            continue
        [node] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(node, ast.ClassDef)
        for field, after in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                text = ast.literal_eval(after.value) if isinstance(after.value, ast.Constant) else ""
                assert isinstance(field.target, ast.Name)
                said[field.target.id] = " ".join(str(text).split()).replace("|", "\\|")
    return said


def _type(kind: Any) -> str:
    name = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    for long, short in _SHORTER.items():
        name = name.replace(long, short)
    return name


def _default(field: msgspec.structs.FieldInfo, kind: type[msgspec.Struct]) -> str:
    if field.required:
        return "never"
    if not kind.__struct_config__.omit_defaults and not kind.__struct_config__.array_like:
        return "never"
    if field.default is msgspec.NODEFAULT:
        factory: Any = field.default_factory
        return f"`{_json(factory())}`"
    return f"`{_json(field.default)}`"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def page_with_tables(page: str) -> str:
    """The page with its tables made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text()))
