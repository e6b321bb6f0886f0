"""How an interpreter was started: its options, and the variables that it reads for itself.

Guarantee: a worker is started as the interpreter that coda itself runs in, or as the log says of a recorded
one, so that `sys.flags`, `sys.warnoptions`, the encodings and what follows from them are the same. Where code
is found is not a trace's to say: nothing of a log makes a worker load a file before it is isolated.

`-E` and `-I` would keep a worker from its hash seed: it is started without any `PYTHON` variable instead, and
for `-I` with `-s -P`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_SETTINGS = frozenset((
    "PYTHONASYNCIODEBUG", "PYTHONBREAKPOINT", "PYTHONCOERCECLOCALE", "PYTHONDEBUG", "PYTHONDEVMODE",
    "PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "PYTHONINTMAXSTRDIGITS", "PYTHONIOENCODING",
    "PYTHONMALLOC", "PYTHONNODEBUGRANGES", "PYTHONNOUSERSITE", "PYTHONOPTIMIZE", "PYTHONPROFILEIMPORTTIME",
    "PYTHONSAFEPATH", "PYTHONTRACEMALLOC", "PYTHONUNBUFFERED", "PYTHONUTF8", "PYTHONVERBOSE",
    "PYTHONWARNDEFAULTENCODING", "PYTHONWARNINGS", "PYTHON_COLORS", "PYTHON_CPU_COUNT",
    "PYTHON_FROZEN_MODULES", "LANG", "LANGUAGE",
))  # fmt: skip
_SEARCH = "PYTHONPATH"
_NEVER = ("PYTHONSTARTUP", "PYTHONINSPECT")  # a worker is no prompt
_LETTERS = frozenset("BOPRSbdqsuv")
_EXTRAS = frozenset((
    "cpu_count", "dev", "faulthandler", "frozen_modules", "importtime", "int_max_str_digits",
    "no_debug_ranges", "showrefcount", "tracemalloc", "utf8", "warn_default_encoding",
))  # fmt: skip


class Startup(NamedTuple):
    """How an interpreter was started."""

    options: tuple[str, ...]
    """One word each, `-X` and `-W` with their value: `-O`, `-Xdev`."""
    variables: dict[str, str]
    """What it read of its environment; the folders of `PYTHONPATH` are absolute."""

    @property
    def search(self) -> list[str]:
        """The folders of `PYTHONPATH`."""
        return folders_of(self.variables)

    def restricted(self, *, trusted: bool) -> tuple[Startup, list[str]]:
        """What of this may come from a log, and what is left out of it.

        Args:
            trusted: the log is the user's own: warning filters may name a category to import.
        """
        left_out = [option for option in self.options if not _is_harmless(option, trusted=trusted)]
        options = tuple(option for option in self.options if option not in left_out)
        variables = {
            name: value for name, value in self.variables.items() if name == _SEARCH or _is_read(name)
        }
        filters = variables.get("PYTHONWARNINGS", "")
        kept = [each for each in filters.split(",") if trusted or _names_no_module(each)]
        if filters and ",".join(kept) != filters:
            left_out.append(f"PYTHONWARNINGS={filters}")
            variables["PYTHONWARNINGS"] = ",".join(kept)
        return Startup(options, variables), left_out


def startup_here() -> Startup:
    """How this process was started; `-E` and `-I` as what they come to."""
    options = _options(sys.orig_argv[1:])
    if "-I" in options:
        options += ["-s", "-P"]
    if sys.flags.ignore_environment:
        variables = {name: value for name, value in os.environ.items() if _is_read(name, locale_only=True)}
    else:
        variables = {name: value for name, value in os.environ.items() if _is_read(name)}
        if folders := folders_of(os.environ):
            variables[_SEARCH] = os.pathsep.join(folders)
    return Startup(tuple(option for option in options if option not in ("-E", "-I", "-i")), variables)


def environment_for(startup: Startup, *, hash_seed: int) -> dict[str, str]:
    """The environment of a process that is to start so; where it finds code is as in this process."""
    drops_all = sys.flags.ignore_environment
    env = {
        name: value
        for name, value in os.environ.items()
        if not (_is_read(name) or name in _NEVER or (drops_all and name.startswith("PYTHON")))
    }
    env.update((name, value) for name, value in startup.variables.items() if name != _SEARCH)
    return {**env, "PYTHONHASHSEED": str(hash_seed)}


def folders_of(environ: Mapping[str, str]) -> list[str]:
    """The folders of `PYTHONPATH`, absolute, each once, as `sys.path` has them."""
    given = environ.get(_SEARCH)
    return list(dict.fromkeys(map(os.path.abspath, given.split(os.pathsep)))) if given else []


def _options(words: Sequence[str]) -> list[str]:
    """The options of a command line, up to what is to be run."""
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            break
        if word.startswith("--"):
            found += [word, *(next(rest, "") for _ in range(word == "--check-hash-based-pycs"))]
            continue
        for place, letter in enumerate(word[1:], 2):
            if letter in "cm":
                return found
            if letter in "WX":
                found.append(f"-{letter}{word[place:] or next(rest, '')}")
                break
            found.append(f"-{letter}")
    return found


def _is_read(name: str, *, locale_only: bool = False) -> bool:
    """Whether the interpreter reads a variable, other than to find code."""
    if locale_only and name.startswith("PYTHON"):
        return False
    return name in _SETTINGS or name.startswith("LC_")


def _is_harmless(option: str, *, trusted: bool) -> bool:
    kind, value = option[:2], option[2:]
    if kind == "-W":
        return trusted or _names_no_module(value)
    if kind == "-X":
        return value.partition("=")[0] in _EXTRAS
    return not value and kind[1:] in _LETTERS


def _names_no_module(warning_filter: str) -> bool:
    """Whether a filter's category is a builtin one: any other is imported when the interpreter starts."""
    parts = warning_filter.split(":")
    return len(parts) < 3 or "." not in parts[2]
