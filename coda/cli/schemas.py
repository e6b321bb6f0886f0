"""The JSON schemas of everything that `--json` prints: `python -m coda.cli.schemas [DIR]` writes them.

Guarantee: a schema is made from the types that are printed, so it can not say something else. Each is whole
in itself (JSON Schema 2020-12, no reference to another file) and open: a field that it does not name may be
added within the same number, and readers must pass over it.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from coda.cli.answers import ForkAnswer, ReplayAnswer
from coda.cli.config import ConfigAnswer
from coda.cli.export import ExportAnswer
from coda.cli.render import schema_of
from coda.cli.run import RunAnswer
from coda.cli.serve import Serving
from coda.forking import Diff
from coda.log import CODES, TYPES, Report, RunInfo
from coda.query import Chain, Group, Hit
from coda.replay import Health, State

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = "#/$defs/{name}"


class Answer(NamedTuple):
    """One kind of output: its type, and the fields of that which are not printed as such."""

    kind: type[msgspec.Struct]
    left_out: frozenset[str] = frozenset()


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What every event of `coda log --json` begins with."""

    seq: int
    """Number of the event in its run, from 0."""
    type: str
    t: int
    """Nanoseconds since the run began; of a line interpolated."""
    run: str
    """Run id; of a fork's prefix the parent's."""
    block: int | None
    turn: int | None
    file: str | None
    line: int | None
    function: str | None
    """Path of the function, "" at module level."""
    cause: int | None
    """The event that this one belongs to."""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a statement bound, known by this event."""

    name: str
    value: Any
    """The value envelope of docs/log-format.md."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong; further fields are its facts: path, seq, offset, column and so on."""

    kind: str
    """Name of the class in coda/errors.py."""
    message: str
    """One sentence."""


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a verb prints instead of its answer when it fails."""

    error: Failure


def answers() -> dict[str, Answer]:
    """Gives the outputs that carry `schema`, by their short names."""
    from coda.collector import Span  # brings the web framework: only who makes schemas pays for it

    return {
        "check": Answer(Report),
        "config": Answer(ConfigAnswer),
        "diff": Answer(Diff),
        "doctor": Answer(Health),
        "error": Answer(ErrorAnswer),
        "export": Answer(ExportAnswer),
        "fork": Answer(ForkAnswer),
        "query.count": Answer(Group),
        "query.hit": Answer(Hit, frozenset({"fields", "detail"})),
        "query.why": Answer(Chain),
        "replay": Answer(ReplayAnswer),
        "run": Answer(RunAnswer),
        "runs": Answer(RunInfo),
        "serve": Answer(Serving),
        "span": Answer(Span),
        "state": Answer(State),
    }


def schemas() -> dict[str, dict[str, Any]]:
    """Gives every schema by the name of its file, without `.json`."""
    made = {name: _answer_schema(name, answer) for name, answer in answers().items()}
    return dict(sorted({**made, "log": _log_schema()}.items()))


def _components(kinds: list[type]) -> dict[str, Any]:
    """Definitions of types and of all that they hold, with the words beside their fields."""
    _, found = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    for kind in _structs(kinds):
        if kind.__name__ in found:
            _describe(found[kind.__name__], kind)
    return found


def _structs(kinds: list[type]) -> list[type[msgspec.Struct]]:
    """The structs among types and what they hold."""
    found: dict[type[msgspec.Struct], None] = {}

    def visit(info: Any) -> None:
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in found:
                return
            found[info.cls] = None
            for field in info.fields:
                visit(field.type)
        for name in ("types", "item_types"):
            for part in getattr(info, name, ()):
                visit(part)
        for name in ("item_type", "key_type", "value_type"):
            if (part := getattr(info, name, None)) is not None:
                visit(part)

    for info in msgspec.inspect.multi_type_info(kinds):
        visit(info)
    return list(found)


def _describe(schema: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """Adds the docstrings that stand below a struct's fields, and what is always printed."""
    words: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, msgspec.Struct) and base is not msgspec.Struct:
            words |= _field_words(base)
    if "properties" not in schema:
        return  # a struct that is printed as an array
    for name, text in words.items():
        if name in schema["properties"]:
            schema["properties"][name]["description"] = text
    if not kind.__struct_config__.omit_defaults:
        schema["required"] = list(schema["properties"])


def _field_words(kind: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    words: dict[str, str] = {}
    if not isinstance(body, ast.ClassDef):
        return words
    for field, below in zip(body.body, body.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                words[name] = " ".join(text.split())
            case _:
                pass
    return words


def _answer_schema(name: str, answer: Answer) -> dict[str, Any]:
    definitions = _components([answer.kind])
    own = definitions.pop(answer.kind.__name__)
    properties = {key: value for key, value in own["properties"].items() if key not in answer.left_out}
    word = schema_of(name)
    return {
        "$schema": DIALECT,
        "title": word,
        "description": own.get("description", ""),
        "type": "object",
        "properties": {"schema": {"const": word}, **properties},
        "required": ["schema", *[key for key in own["required"] if key not in answer.left_out]],
        **({"$defs": definitions} if definitions else {}),
    }


def _log_schema() -> dict[str, Any]:
    """The rows of `coda log`: one alternative for each type of event, and one for types of later versions."""
    kinds = {name: kind for name, kind in TYPES.items() if name not in ("header", "seal", "lines")}
    definitions = _components([Place, Bound, *kinds.values()])
    common = definitions["Place"]["properties"]
    known: dict[str, dict[str, Any]] = {
        "line": {
            "id": {"type": "integer", "description": "The statement's number in the run."},
            "source": {"type": ["string", "null"], "description": "Text of the statement's first line."},
        }
    }
    for name, kind in kinds.items():
        own = definitions.pop(kind.__name__)["properties"]
        known[name] = {key: own[key] for key in own if key not in (*common, "type")}
    batched: dict[str, Any] = {"name": {"type": "string"}, "value": {}}
    for name in sorted({name for name, _ in CODES.values()} - known.keys()):
        known[name] = batched
    rows = [_event_schema(name, own) for name, own in sorted(known.items())]
    later = {
        "title": "another",
        "description": "An event of a type that this version does not know, with all its fields.",
        "properties": {"type": {"not": {"enum": sorted(known)}}},
    }
    return {
        "$schema": DIALECT,
        "title": "coda log",
        "description": "One event, a line of `coda log --json`. Rows carry no `schema` field.",
        "$ref": _REFERENCE.format(name="Place"),
        "anyOf": [*rows, later],
        "$defs": definitions,
    }


def _event_schema(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    bound = {"type": "array", "items": {"$ref": _REFERENCE.format(name="Bound")}}
    return {"title": name, "properties": {"type": {"const": name}, **properties, "bound": bound}}


def text_of(schema: dict[str, Any]) -> str:
    """Gives a schema as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def main(arguments: list[str]) -> int:
    """Writes the schemas into a folder, `docs/schemas` unless one is named.

    Args:
        arguments: the folder, or nothing.
    """
    folder = Path(arguments[0]) if arguments else Path("docs/schemas")
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (folder / f"{name}.json").write_text(text_of(schema), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
