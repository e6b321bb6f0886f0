"""The settings: one typed definition, the files and variables that give them, and what is in force.

See docs/configuration.md.
"""

from __future__ import annotations

from coda.config.kinds import Kind
from coda.config.load import InForce, Loaded, Source, load, load_config, read_text, setting_of
from coda.config.settings import Config, Setting, settings, verbs

__all__ = [
    "Config",
    "InForce",
    "Kind",
    "Loaded",
    "Setting",
    "Source",
    "load",
    "load_config",
    "read_text",
    "setting_of",
    "settings",
    "verbs",
]
