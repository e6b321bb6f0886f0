"""coda: a flight recorder and time machine for agents that act by writing Python.

Guarantee: `import coda` imports nothing else of coda; each name below is looked up when it is first
used, so a program pays only for the rooms that it enters.

`coda.replay` and `coda.query` are rooms (packages) and, as `coda.replay(trace)` and
`coda.query(text, traces)`, also their main functions. Python binds a package to its parent when it
is first imported, which would make the meaning of the name depend on who imported what before; so
the name is always the package, and the package can be called.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # By its module: a checker that meets this cycle half way takes `coda.forking.fork` for the module.
    from coda.config import Config, load_config
    from coda.forking.forks import fork
    from coda.log import open_trace
    from coda.query import query
    from coda.replay import replay
    from coda.runtime import Agent, Limits, Sandbox, ScriptedLLM, tool

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "Config",
    "Limits",
    "Sandbox",
    "ScriptedLLM",
    "__version__",
    "fork",
    "load_config",
    "open_trace",
    "query",
    "replay",
    "tool",
]

_HOMES = {
    "Agent": "coda.replay",
    "Config": "coda.config",
    "Limits": "coda.runtime",
    "Sandbox": "coda.replay",
    "ScriptedLLM": "coda.runtime",
    "fork": "coda.forking",
    "load_config": "coda.config",
    "open_trace": "coda.log",
    "query": "coda.query",
    "replay": "coda.replay",
    "tool": "coda.runtime",
}


class _CallableRoom(ModuleType):
    """A room whose name is also its main function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        main = getattr(self, self.__name__.rpartition(".")[2])
        return main(*args, **kwargs)


class _Root(ModuleType):
    """The root package; makes the rooms that share a name with a function callable."""

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds a finished submodule here, whoever imported it and how.
        if isinstance(value, ModuleType) and _HOMES.get(name) == value.__name__:
            value.__class__ = _CallableRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Root


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'coda' has no attribute {name!r}")
    room = import_module(home)
    return room if home == f"coda.{name}" else getattr(room, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
