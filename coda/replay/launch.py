"""Starts a worker that replays: on a private copy, kept in by the kernel, as the run's log tells it.

Guarantee: a worker that nothing keeps in is not started unless the caller trusts the trace, and what keeps it
in is named. A worker that is to go on for real afterwards (`live`) is kept from the real workspace by its
mounts alone, and can leave them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from coda.errors import UsageError
from coda.log import RunStarted, ToolDeclared, Trace, is_own
from coda.replay.private import PrivateCopy
from coda.runtime import MAX_BLOB_BYTES, Configure, Engine, Startup, is_known_zone

OBSERVED = (
    "was recorded in the caller's own process (fidelity: observed): clock, chance, environment, hash order, "
    "host facts and imported modules are not in its log, and nothing kept the run apart"
)


def check_fidelity(trace: Trace, *, best_effort: bool) -> None:
    """Refuses a run that was only observed, unless it is to be tried all the same.

    Raises:
        UsageError: what is missing in its log.
    """
    if trace.started.fidelity == "observed" and not best_effort:
        raise UsageError(f"{trace.path} {OBSERVED}; say --best-effort to try all the same")


class Launched(NamedTuple):
    """A worker, and what keeps it in."""

    engine: Engine
    layers: list[str]
    notes: list[str]


def launch(
    trace: Trace,
    copy: PrivateCopy,
    tools: Iterable[ToolDeclared],
    *,
    trust: bool,
    live: Configure | None = None,
    number: int = 0,
) -> Launched:
    """Starts a worker.

    Args:
        trace: the run.
        copy: what it sees as the workspace.
        tools: that are bound in it.
        trust: start it even where mounts are refused and the trace is not the user's own.
        live: what a worker is told that goes on for real.
        number: how many workers the run had before this one.

    Raises:
        UsageError: the system does not let it be kept in.
        SandboxError: it did not start.
    """
    told = list(tools)
    startup, notes = _startup(trace, trust=trust)
    isolate = "returnable" if live is not None else "namespaces"
    engine = _start(trace, copy, told, startup, isolate, live, number)
    if "mount" not in engine.ready.layers:
        engine.close()
        notes += engine.ready.problems
        if live is not None:
            raise UsageError(f"this system does not let coda keep a replay from the workspace: {_why(notes)}")
        if not trust and not is_own(trace):
            raise UsageError(
                f"this system does not let coda isolate a replay ({_why(notes)}); and no key of yours "
                "vouches for this trace: say --trust to run its code without the kernel's protection"
            )
        engine = _start(trace, copy, told, startup, "fence", None, number)
    notes += engine.ready.problems
    notes += [f"{path}, outside of the workspace, is not there any more" for path in copy.missing]
    zone = trace.started.zone
    if zone and not is_known_zone(zone):
        notes.append(f"the time zone {zone} is not known here: it is taken for UTC")
    return Launched(engine, list(engine.ready.layers), notes)


def _startup(trace: Trace, *, trust: bool) -> tuple[Startup | None, list[str]]:
    """How the recorded interpreter was started, as far as that may be repeated, and notes of what may not."""
    started = trace.started
    if started.options is None:
        return None, []
    recorded = Startup(started.options, started.variables)
    startup, left_out = recorded.restricted(trusted=trust or is_own(trace))
    return startup, [
        f"the interpreter is started without {word}, with which it was recorded" for word in left_out
    ]


def _why(notes: list[str]) -> str:
    return "; ".join(notes) or "no namespaces"


def _start(
    trace: Trace,
    copy: PrivateCopy,
    tools: list[ToolDeclared],
    startup: Startup | None,
    isolate: str,
    live: Configure | None,
    number: int,
) -> Engine:
    started = trace.started
    mounted = isolate != "fence"
    configure = live if live is not None else _configure(trace, copy, tools, mounted=mounted)
    configure = msgspec.structs.replace(
        configure,
        mode="replay",
        random_seed=started.random_seed + number,
        isolate=isolate,
        mounts=copy.mounts() if mounted else [],
        writable=copy.writable(mounted=mounted),
        search=startup.search if startup is not None else None,
    )
    return Engine(configure, hash_seed=started.hash_seed, startup=startup)


def _configure(trace: Trace, copy: PrivateCopy, tools: list[ToolDeclared], *, mounted: bool) -> Configure:
    started = trace.started
    root = started.root if mounted else str(copy.folder)
    return Configure(
        mode="replay",
        kind=started.kind,
        level=started.level,
        value_limit=started.value_limit,
        random_seed=started.random_seed,
        threads=started.threads,
        root=root,
        cwd=started.cwd if mounted else _moved(started.cwd, started.root, root),
        argv=list(started.argv) or [""],
        main=started.main,
        module=started.module,
        path=_import_path(started, root),
        tools=[{"name": tool.name, "signature": tool.signature, "doc": tool.doc} for tool in tools],
        env=_environment(trace),
        tty=list(started.tty),
        encoding=started.encoding,
        closed=list(started.closed),
        observed=started.fidelity == "observed",
        zone=started.zone,
        umask=started.umask,
        origin_ns=0,
        max_blob_bytes=MAX_BLOB_BYTES,
        memory_bytes=int(started.limits["memory_bytes"]) if "memory_bytes" in started.limits else None,
        frames=started.frames,
    )


def _import_path(started: RunStarted, root: str) -> list[str]:
    if started.kind != "exec":
        return [root]
    if started.path is not None:
        return list(started.path)
    if started.module is not None:
        return [started.cwd]
    return [os.path.dirname(os.path.realpath(started.main or "."))]


def _environment(trace: Trace) -> dict[str, str]:
    """The recorded names; values where they were read, and of those that C code reads.

    What a name had at the start is what was read of it first: later the program may have set it.
    """
    env = dict.fromkeys(trace.started.env, "")
    seen: set[str] = set()
    for event in trace.events(types={"effect"}):
        if event.name == "env" and isinstance(event.value, (list, tuple)):
            key, value = event.value
            if key in env and key not in seen and isinstance(value, str):
                env[key] = value
            seen.add(key)
    env.update(trace.started.locale)
    return env


def _moved(path: str, root: str, to: str) -> str:
    return to + path[len(root) :] if path == root or path.startswith(root + os.sep) else to
