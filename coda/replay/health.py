"""What this machine offers, found out by doing it: a recording of one block, and its replay.

Guarantee: nothing is concluded from versions or settings. What is called working was done just now, in a
temporary folder that is gone afterwards.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from pathlib import Path

import msgspec

import coda
from coda.errors import CodaError
from coda.log import open_trace
from coda.replay.session import LAYERS_OF_KERNEL
from coda.replay.state import Verdict, replay
from coda.runtime import Sandbox

_BLOCK = """\
import os, subprocess, threading, time
with open("made.txt", "w") as file:
    file.write(str(time.time()))
print(os.getpid(), subprocess.run(["true"]).returncode, {None, "a", 1.5})
"""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What works here."""

    coda: str
    python: str
    implementation: str
    platform: str
    recording: str | None
    """Why nothing can be recorded here; null when it works."""
    replay: str | None
    """Why a recording could not be replayed faithfully; null when it was."""
    isolation: str
    """What keeps a replay in: `kernel`, `partial` or `none`."""
    layers: tuple[str, ...]
    """The layers that held."""
    missing: tuple[str, ...]
    """The layers that did not."""
    problems: tuple[str, ...]
    """Why, in the system's words."""
    addresses_fixed: bool
    """Whether addresses, and so hashes of objects without one of their own, are the same in each worker."""

    @property
    def is_well(self) -> bool:
        """Whether everything works, behind every fence."""
        return self.recording is None and self.replay is None and self.isolation == "kernel"


def examine() -> Health:
    """Records a block and replays it, and says how that went.

    Cost: about a second.
    """
    recording = failed = None
    verdict: Verdict | None = None
    fixed = False
    with tempfile.TemporaryDirectory(prefix="coda-doctor-") as name:
        folder = Path(name)
        (folder / "work").mkdir()
        trace = folder / "trace.jsonl"
        try:
            with Sandbox(root=folder / "work", trace=trace, primitives=False) as sandbox:
                result = sandbox.execute(_BLOCK)
            if result.error is not None:
                recording = f"{result.error.kind}: {result.error.message}"
        except CodaError as error:
            recording = str(error)
        if recording is None:
            opened = open_trace(trace)
            fixed = not opened.started.aslr
            try:
                verdict = replay(opened, trust=True)
            except CodaError as error:
                failed = str(error)
            else:
                failed = None if verdict.diverged is None else str(verdict.diverged)
    layers = verdict.layers if verdict is not None else ()
    return Health(
        coda=coda.__version__,
        python=platform.python_version(),
        implementation=sys.implementation.name,
        platform=f"{sys.platform}-{platform.machine()}",
        recording=recording,
        replay=failed if recording is None else "nothing was recorded",
        isolation=verdict.isolation if verdict is not None else "none",
        layers=layers,
        missing=tuple(sorted(LAYERS_OF_KERNEL - set(layers))),
        problems=verdict.notes if verdict is not None else (),
        addresses_fixed=fixed,
    )
