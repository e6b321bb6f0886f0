"""Another place than that of a recording: other folder, mask and variables, as a process inherits them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path


def environment_of(home: Path) -> Mapping[str, str]:
    """Variables unlike those of any recording: zone, locale, hash seed, home, temporary folder, user."""
    return {
        "TZ": "Pacific/Apia",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "77",
        "HOME": str(home),
        "TMPDIR": str(home),
        "USER": "eve",
        "LOGNAME": "eve",
    }


@contextlib.contextmanager
def elsewhere(folder: Path) -> Iterator[None]:
    """This process stands in `folder`, under another mask and other variables, until the context ends."""
    folder.mkdir(parents=True, exist_ok=True)
    mask, cwd, variables = os.umask(0o077), os.getcwd(), dict(os.environ)
    try:
        os.chdir(folder)
        os.environ.update(environment_of(folder))
        yield
    finally:
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(cwd)
        os.umask(mask)
