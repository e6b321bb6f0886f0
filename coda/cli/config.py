"""`coda config`: the settings in force, and where each comes from."""

from __future__ import annotations

import os
from typing import Any

import click
import msgspec

from coda.cli.options import json_option, secrets_option
from coda.cli.render import Printer, Styled, say, width
from coda.cli.settings import given, setting_option
from coda.config import InForce, Loaded, load, verbs
from coda.errors import UsageError

_MASK = "***"
_WIDEST = 48


class SettingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One setting in force."""

    name: str
    value: Any
    """null: no limit, or nothing; sizes in bytes, durations in seconds."""
    text: str
    """The value as one would write it."""
    source: str
    """`default`, `project`, `user`, `variable` or `flag`."""
    where: str | None
    """Path of the file, name of the variable, or the flag."""
    line: int | None
    """Line of the file, from 1."""
    default: str
    """As one would write it."""
    variable: str
    """Name of its variable."""
    verbs: tuple[str, ...]
    """The verbs that have it."""
    words: str
    """What it means."""


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was looked for."""

    path: str
    found: bool


class ConfigAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What `coda config` shows."""

    verb: str | None
    """The verb for which they are in force; null: for those that have no table of their own."""
    settings: tuple[SettingRow, ...]
    files: tuple[FileRow, ...]
    notes: tuple[str, ...]


@click.command(short_help="Show the settings in force, and where each comes from.")
@click.argument("verb", metavar="[VERB]", required=False)
@secrets_option
@setting_option("color")
@json_option
@click.pass_context
def command(ctx: click.Context, verb: str | None, show_secrets: bool, color: str, as_json: bool) -> int:
    """Show every setting, its value, and where that comes from: file and line, variable, flag or default.

    With VERB, as that verb takes them: only its own settings, its tables in the files included. Exit status:
    0; 2 when a file or a variable holds what is no setting, or a value of the wrong type.
    """
    if verb is not None and verb not in verbs():
        raise UsageError(f"`coda {verb}` has no settings; {', '.join(sorted(verbs()))} have", verb=verb)
    loaded = load(verb=verb, flags=given(ctx))
    printer = Printer(show_secrets=show_secrets, color=color)
    rows = [row for row in loaded.rows.values() if verb is None or verb in row.setting.verbs]
    if as_json:
        printer.json("config", _answer(verb, loaded, rows, show_secrets=show_secrets))
        return 0
    _print(printer, rows, show_secrets=show_secrets)
    for path, found in loaded.files:
        say(f"coda: {'read' if found else 'there is no'} {_short(path)}")
    return 0


def _print(printer: Printer, rows: list[InForce], *, show_secrets: bool) -> None:
    texts = [_text(row, show_secrets=show_secrets) for row in rows]
    name_width = max(len(row.setting.name) for row in rows)
    text_width = min(_WIDEST, max(width(text) for text in texts))
    for row, text in zip(rows, texts, strict=True):
        gap = " " * max(text_width - width(text), 0)
        is_default = row.source.kind == "default"
        printer.line(
            f"{row.setting.name:<{name_width}}  ",
            Styled(text, "dim" if is_default else "bold"),
            f"{gap}  ",
            Styled(str(row.source), "dim" if is_default else "cyan"),
        )


def _text(row: InForce, *, show_secrets: bool) -> str:
    if row.setting.secret and row.value is not None and not show_secrets:
        return _MASK
    return row.setting.show(row.value)


def _answer(verb: str | None, loaded: Loaded, rows: list[InForce], *, show_secrets: bool) -> ConfigAnswer:
    return ConfigAnswer(
        verb=verb,
        settings=tuple(_row(row, show_secrets=show_secrets) for row in rows),
        files=tuple(FileRow(path=path, found=found) for path, found in loaded.files),
        notes=loaded.notes,
    )


def _row(row: InForce, *, show_secrets: bool) -> SettingRow:
    setting, source = row.setting, row.source
    text = _text(row, show_secrets=show_secrets)
    return SettingRow(
        name=setting.name,
        value=_MASK if text == _MASK else row.value,
        text=text,
        source=source.kind,
        where=source.name or None,
        line=source.line,
        default=setting.show(setting.default),
        variable=setting.variable,
        verbs=setting.verbs,
        words=setting.words,
    )


def _short(path: str) -> str:
    home = os.path.expanduser("~")
    relative = os.path.relpath(path)
    if not relative.startswith(".."):
        return relative
    return "~" + path[len(home) :] if path.startswith(home + os.sep) else path
