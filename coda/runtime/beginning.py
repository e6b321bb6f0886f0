"""The event with which a run begins: all that a replay must know of its surroundings."""

from __future__ import annotations

import datetime
import os
import platform
import sys

import coda
from coda.log import RunStarted
from coda.runtime.limits import Limits
from coda.runtime.program import LOCALE_NAMES, Program
from coda.runtime.protocol import Configure
from coda.runtime.startup import startup_here
from coda.runtime.surroundings import temp_of, umask_here, zone_of

HASH_SEED = 0
"""`PYTHONHASHSEED` of every worker."""


def run_started(
    configure: Configure,
    program: Program,
    *,
    aslr: bool,
    fidelity: str,
    limits: Limits,
    line_limit: int,
    task: str | None,
    model: str | None,
    manifest: str,
) -> RunStarted:
    """Gives the event.

    Args:
        configure: what the first worker was told.
        program: the program, or what stands for one.
        aslr: whether the worker's addresses are random.
        fidelity: `full` or `observed`.
        limits: of the blocks.
        line_limit: line events of a block after which the rest are elided.
        task: what the run is for.
        model: who writes the blocks.
        manifest: blob of the workspace as it is now.
    """
    env = configure.env or {}
    startup = startup_here()
    return RunStarted(
        wall=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        kind=configure.kind,
        coda=coda.__version__,
        python=platform.python_version(),
        implementation=sys.implementation.name,
        platform=f"{sys.platform}-{platform.machine()}",
        level=configure.level,
        value_limit=configure.value_limit,
        line_limit=line_limit,
        hash_seed=HASH_SEED,
        random_seed=configure.random_seed,
        aslr=aslr,
        threads=configure.threads,
        cwd=configure.cwd,
        root=configure.root,
        argv=tuple(program.argv),
        main=program.main,
        module=program.module,
        env=tuple(env),
        locale={name: env[name] for name in LOCALE_NAMES if name in env},
        zone=zone_of(env),
        temp=temp_of(env),
        umask=umask_here(),
        tty=program.tty,
        encoding=program.encoding,
        closed=program.closed,
        path=program.path if configure.kind == "exec" else None,
        options=startup.options,
        variables=startup.variables,
        fidelity=fidelity,
        limits=limits.in_force(),
        task=task,
        model=model,
        traceparent=os.environ.get("TRACEPARENT"),
        manifest=manifest,
        frames=configure.frames,
    )
