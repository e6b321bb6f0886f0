"""The sandbox and the agent as `import coda` gives them: wired to a replay that restores what a kill took.

Guarantee: nothing else differs from the classes of `coda.runtime`, which do not know of replaying.
"""

from __future__ import annotations

from typing import Any

from coda import runtime
from coda.replay.restoring import ReplayRestorer


class Sandbox(runtime.Sandbox):
    """Runs blocks in a worker process and records them; see `coda.runtime.Sandbox` for its options.

    After a block that had to be killed the variables are what they were before it.
    """

    def __init__(self, **options: Any) -> None:
        options.setdefault("restorer", ReplayRestorer())
        super().__init__(**options)


class Agent(runtime.Agent):
    """An agent that acts by writing Python; see `coda.runtime.Agent` for its options.

    After a block that had to be killed the variables are what they were before it.
    """

    def __init__(self, **options: Any) -> None:
        if options.get("sandbox") is None:
            given = options.get("sandbox_options") or {}
            options["sandbox_options"] = {"restorer": ReplayRestorer(), **given}
        super().__init__(**options)
