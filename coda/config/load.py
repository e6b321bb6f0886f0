"""Which settings are in force, and where each comes from.

Guarantee: later wins: defaults, the project's `coda.toml`, the user's file, `CODA_*` variables, flags; within
a file its table for a verb (`[run]`) wins over what stands above it. An unknown name or a value of the wrong
type is one sentence that names the place, the key and the nearest known one. Nothing is read unless somebody
asks: the library's classes take arguments, and `load_config()` is the way to take them from here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from coda.config.files import SettingsFile, project_file, read_file, user_file
from coda.config.settings import PREFIX, Config, Setting, settings, verbs
from coda.errors import UsageError

OTHER_VARIABLES = frozenset({"CODA_DEBUG"})
"""Variables of coda that are no settings."""


class Source(NamedTuple):
    """Where a value comes from."""

    kind: str
    """`default`, `project`, `user`, `variable` or `flag`."""
    name: str
    """Path of the file, name of the variable or flag; "" for a default."""
    line: int | None = None
    """Line of the file, from 1."""

    def __str__(self) -> str:
        if self.kind == "default":
            return "default"
        return f"{self.name}:{self.line}" if self.line is not None else self.name


class InForce(NamedTuple):
    """One setting with its value."""

    setting: Setting
    value: Any
    source: Source


class Loaded(NamedTuple):
    """All settings, each with its source."""

    config: Config
    rows: dict[str, InForce]
    """By name, in the order of `Config`."""
    files: tuple[tuple[str, bool], ...]
    """The files that were looked at: path, and whether there is one."""
    notes: tuple[str, ...]
    """What the user should know: a file that was not read, a variable that is no setting."""


def load_config(folder: str | os.PathLike[str] | None = None, *, verb: str | None = None) -> Config:
    """Gives the settings that the command line would use in a folder.

    Args:
        folder: where the project's file is looked for, upwards; the current folder when None.
        verb: also take the tables for this verb (`[run]`) into account.

    Raises:
        UsageError: a file or a variable holds what is no setting, or a value of the wrong type.
    """
    return load(folder, verb=verb).config


def load(
    folder: str | os.PathLike[str] | None = None,
    *,
    verb: str | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, tuple[Any, str]] | None = None,
) -> Loaded:
    """Gives the settings with their sources.

    Args:
        folder: as in `load_config`.
        verb: as in `load_config`.
        environ: the environment; that of this process when None.
        flags: values that win over all others, by name, each with the flag that gave it.

    Raises:
        UsageError: as in `load_config`.
    """
    environ = os.environ if environ is None else environ
    project, skipped = project_file(Path(folder) if folder is not None else Path.cwd())
    user = user_file(environ)
    notes = [skipped] if skipped is not None else []
    rows = {
        name: InForce(setting, setting.default, Source("default", "")) for name, setting in settings().items()
    }
    looked: list[tuple[str, bool]] = []
    for path, own in ((project, True), (user, False)):
        if path is None or (not own and path == project):
            continue
        found = read_file(path, project=own)
        looked.append((str(path), found is not None))
        if found is not None:
            rows.update(_from_file(found, verb))
    rows.update(_from_environment(environ))
    notes += _strangers(environ)
    for name, (value, flag) in (flags or {}).items():
        rows[name] = InForce(settings()[name], value, Source("flag", flag))
    config = Config(**{row.setting.field: row.value for row in rows.values()})
    return Loaded(config, rows, tuple(looked), tuple(notes))


def setting_of(name: str, where: str) -> Setting:
    """Gives a setting by name.

    Raises:
        UsageError: there is none; `where` says who named it.
    """
    found = settings().get(name)
    if found is None:
        raise UsageError(f"{where}: there is no setting {name!r}; {_near(name, list(settings()))}", key=name)
    return found


def read_text(setting: Setting, text: str, where: str) -> Any:
    """Reads the value of a variable or a flag.

    Raises:
        UsageError: it is no such value.
    """
    try:
        return setting.from_text(text)
    except ValueError:
        got = "what was given" if setting.secret else repr(text)
        raise UsageError(f"{where} takes {setting.expected}; {got} is not that", key=setting.name) from None


def _from_file(file: SettingsFile, verb: str | None) -> Iterator[tuple[str, InForce]]:
    """The settings of a file: those of its top, then those of the verb's table; all tables are checked."""
    later: list[tuple[str, InForce]] = []
    for key, value in file.data.items():
        if isinstance(value, dict):
            for name, row in _from_table(file, key, value):
                later += [(name, row)] if key == verb else []
        else:
            yield key, _from_key(file, (key,), value)
    yield from later


def _from_table(file: SettingsFile, table: str, data: dict[str, Any]) -> Iterator[tuple[str, InForce]]:
    if table not in verbs():
        where = f"{file.shown}:{file.line_of(table)}"
        raise UsageError(
            f"{where}: there is no table [{table}]; {_near(table, sorted(verbs()))}",
            path=str(file.path), key=table,
        )  # fmt: skip
    for key, value in data.items():
        row = _from_key(file, (table, key), value)
        if table not in row.setting.verbs:
            own = [name for name, setting in settings().items() if table in setting.verbs]
            raise UsageError(
                f"{row.source}: `coda {table}` has no setting {key!r}; it has {', '.join(own)}",
                path=str(file.path), line=row.source.line, key=key,
            )  # fmt: skip
        yield key, row


def _from_key(file: SettingsFile, keys: tuple[str, ...], value: Any) -> InForce:
    key, line = keys[-1], file.line_of(*keys)
    where = f"{file.shown}:{line}"
    facts = {"path": str(file.path), "line": line, "key": key}
    try:
        setting = setting_of(key, where)
    except UsageError as error:
        raise UsageError(error.message, **facts) from None
    if file.project and not setting.project:
        raise UsageError(
            f"{where}: a project's file may not set {key}, which guards you from the project's code: put it "
            "into your own settings, a variable or a flag",
            **facts,
        )
    try:
        read = setting.from_toml(value)
    except ValueError:
        got = "what was given" if setting.secret else f"{type(value).__name__} {value!r}"
        raise UsageError(f"{where}: {key} takes {setting.expected}; {got} is not that", **facts) from None
    if setting.kind.metavar == "DIR" and read is not None:
        read = _placed(file, read, where, facts)
    return InForce(setting, read, Source("project" if file.project else "user", file.shown, line))


def _placed(file: SettingsFile, folder: str, where: str, facts: dict[str, Any]) -> str:
    """A folder that a file names, from where the file stands; a project's stays below the project."""
    base = file.path.parent
    placed = os.path.normpath(base / folder)
    if not file.project:
        if not os.path.isabs(folder):
            raise UsageError(f"{where}: {folder!r} must begin with / or ~ in a user's file", **facts)
        return placed
    inside = os.path.realpath(placed)
    top = os.path.realpath(base)
    if inside != top and not inside.startswith(top.rstrip(os.sep) + os.sep):
        raise UsageError(f"{where}: {folder!r} lies outside of the project: only a user's file, a variable "
                         "or a flag may name it", **facts)  # fmt: skip
    return placed


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, InForce]]:
    for name, setting in settings().items():
        text = environ.get(setting.variable, "")
        if text:  # an empty variable is one that was taken back
            value = read_text(setting, text, setting.variable)
            yield name, InForce(setting, value, Source("variable", setting.variable))


def _strangers(environ: Mapping[str, str]) -> Iterator[str]:
    """Variables that look like a setting misspelt; others may well be those of another program."""
    known = {setting.variable for setting in settings().values()} | OTHER_VARIABLES
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and environ[name]:
            near = _nearest(name, sorted(known))
            if near:
                yield f"{name} is no setting; did you mean {' or '.join(near)}?"


def _nearest(name: str, known: list[str]) -> list[str]:
    import difflib  # only a mistake needs it

    return difflib.get_close_matches(name, known, n=2, cutoff=0.75)


def _near(name: str, known: list[str]) -> str:
    import difflib  # only a mistake needs it

    near = difflib.get_close_matches(name.replace("_", "-"), known, n=2)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
