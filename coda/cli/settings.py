"""Options that are settings: what a flag gives, else what variables, files and defaults say.

Guarantee: a command gets the value that is in force under the parameter's name and need not know where it
came from; the files are read once for each run of the command, and not at all for `--help`. Words, names
and types of the options come from `coda.config`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from coda.cli.options import SETTINGS_KEY
from coda.cli.render import say
from coda.config import Config, Loaded, Setting, load, read_text, setting_of, settings
from coda.errors import UsageError
from coda.log import find_run, is_run_id, run_directory

_LOADED_KEY = "coda.loaded"
_SWITCH = "yes|no"

F = TypeVar("F", bound=Callable[..., Any])


class _SettingType(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on
    """Reads a flag as the setting reads a variable."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.name = setting.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Gives the value; fails with what was expected."""
        if not isinstance(value, str):
            return value
        try:
            return self.setting.from_text(value)
        except ValueError:
            got = "what was given" if self.setting.secret else repr(value)
            # Not `fail`: its "'--token': ..." looks to our own masking like a secret.
            said = f"{self.setting.flag} takes {self.setting.expected}; {got} is not that"
            raise click.UsageError(said, ctx) from None


def setting_option(name: str, *names: str, words: str | None = None) -> Callable[[F], F]:
    """Adds the option of a setting.

    Args:
        name: of the setting; the option's own name unless others are given.
        *names: as for `click.option`.
        words: help, when it is not the setting's.
    """
    setting = settings()[name]
    shown = f" [default: {setting.show(setting.default)}]" if setting.default not in ((), None, False) else ""
    about = (words or setting.words).rstrip(".") + "." + shown
    is_list = isinstance(setting.default, tuple)

    def take(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if ctx.resilient_parsing:
            return value
        if ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE:
            return tuple(item for part in value for item in part) if is_list else value
        return getattr(in_force(ctx).config, setting.field)

    kind: dict[str, Any] = {"type": _SettingType(setting), "metavar": setting.kind.metavar}
    if setting.kind.metavar == _SWITCH:
        kind = {"default": None}
        names = names or (f"{setting.flag}/--no-{setting.name}",)
    elif "|" in setting.kind.metavar and not setting.kind.metavar.startswith("N"):
        kind = {"type": click.Choice(setting.kind.metavar.split("|"))}
    if is_list:
        kind |= {"multiple": True}
        about += " May be given again."
    names = (*(names or (setting.flag,)), setting.field)
    return click.option(*names, callback=take, help=about, **kind)


def in_force(ctx: click.Context | None = None) -> Loaded:
    """Gives the settings for the verb that runs, read when they are first asked for.

    Raises:
        UsageError: one of them is wrong.
    """
    ctx = ctx or click.get_current_context()
    loaded = ctx.meta.get(_LOADED_KEY)
    if loaded is None:
        loaded = load(verb=ctx.info_name, flags=given(ctx))
        ctx.meta[_LOADED_KEY] = loaded
        for note in loaded.notes:
            say(f"coda: {note}")
    assert isinstance(loaded, Loaded)
    return loaded


def given(ctx: click.Context) -> dict[str, tuple[Any, str]]:
    """Gives what `coda -c NAME=VALUE` set, by name, each with the flag as it was given.

    Raises:
        UsageError: it names no setting, or the value is of the wrong kind.
    """
    found: dict[str, tuple[Any, str]] = {}
    for text in ctx.meta.get(SETTINGS_KEY, ()):
        name, sign, value = text.partition("=")
        flag = f"-c {name}"
        if not sign:
            raise UsageError(f"-c takes NAME=VALUE, for example -c timeout=2m; {text!r} is not that")
        setting = setting_of(name, "-c")
        found[setting.name] = (read_text(setting, value, flag), flag)
    return found


def config() -> Config:
    """Gives the settings for the verb that runs."""
    return in_force().config


def runs_folder() -> Path:
    """Gives the run directory: the one that the settings name, else that of the current folder."""
    runs = config().runs
    return run_directory() if runs is None else Path(runs)


def trace_named(text: str) -> str:
    """Gives the path of a trace; a run id is looked up in the run directory that the settings name."""
    runs = config().runs
    if runs is None or Path(text).exists() or not is_run_id(text):
        return text
    found = find_run(text, runs)
    return text if found is None else str(found)
