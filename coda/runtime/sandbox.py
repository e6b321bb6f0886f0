"""Blocks of Python in a persistent namespace, recorded: the engine that agents and programs run in.

Guarantee: everything that `execute` did is in the trace when it returns; the worker holds the objects, the
host holds the log, the tools and the secrets. A block that fails, exits or is stopped is an outcome, not
an exception of ours.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from coda.config import Config
from coda.errors import CodaError, SandboxError, UsageError
from coda.log import (
    BlockFinished,
    BlockStarted,
    Event,
    ExceptionRaised,
    FileRead,
    LimitHit,
    RunFinished,
    SandboxStarted,
)
from coda.runtime.apart import Apart
from coda.runtime.beginning import HASH_SEED, run_started
from coda.runtime.beside import Beside
from coda.runtime.coroutines import AsyncRunner
from coda.runtime.distrust import checked, failed
from coda.runtime.engine import Engine
from coda.runtime.limits import Limits, limits_in_force
from coda.runtime.places import FileAccess
from coda.runtime.primitives import Primitives
from coda.runtime.program import Program, environment_of
from coda.runtime.protocol import Configure, Done, Prepare, Prepared, Run
from coda.runtime.recording import Echo, Recording
from coda.runtime.restoring import Restorer
from coda.runtime.results import BlockResult, CtxChange, ErrorInfo, out_of_memory
from coda.runtime.stopping import NotCompiled
from coda.runtime.tools import Outcome, Tool, as_tools, declared_data, invoke
from coda.runtime.traces import create_trace, own_files
from coda.runtime.workspace import Workspace

if TYPE_CHECKING:
    from coda.runtime.inprocess import InProcessEngine

LEVELS = ("effects", "lines", "values")
_DEFAULTS = Config()
VALUE_LIMIT = _DEFAULTS.value_limit
LINE_LIMIT = _DEFAULTS.line_limit
MAX_BLOB_BYTES = _DEFAULTS.max_blob
_COMPILE_SECONDS = 10.0  # at least: compiling is not what the limit of a block is meant for


class Sandbox:
    """Runs blocks in a worker process and records them.

    Args:
        root: the workspace; the working directory when None.
        trace: path of the trace; None makes `<run id>/trace.jsonl` in the run directory.
        level: `effects`, `lines` or `values`.
        tools: functions that blocks can call; see `coda.tool`.
        primitives: bind `ls glob grep read write edit bash`.
        runs: the run directory; None: `.coda/runs` below the root.
        env: environment of the blocks; None: an allow-listed part of the host's.
        env_names: variables that join the allow list.
        timeout_s: wall time of a block; None: as `limits` say.
        memory_bytes: address space of the worker; None: as `limits` say.
        limits: what blocks may use; see `Limits`; a mapping of its fields does as well.
        force: replace an existing trace.
        task: what the run is for; shown in lists.
        model: name of the model that writes the blocks.
        kind: `sandbox`, `run` or `exec`.
        program: facts of a program (`exec`): argv, main, module, path, stdin, tty.
        value_limit: first bindings of a site in a block that are kept.
        line_limit: line events of a block after which the rest are counted only.
        max_blob_bytes: largest content of a file that is kept in the trace.
        durability: `write` or `fsync`.
        threads: `serial`: threads of the blocks run one at a time, and replay; `real`: as the system
            schedules them, and a replay may take another way (marked).
        echo: shows output as it comes.
        restorer: gives the variables back after a worker was lost (`coda.Sandbox` has one by itself); None:
            the next block then starts without any.
        inprocess: run blocks in this process, for notebooks; what that costs is in `coda.runtime.inprocess`.

    Raises:
        UsageError: the root is no folder, the level is unknown, the trace exists.
        SandboxError: the worker did not start.
    """

    def __init__(
        self,
        *,
        root: str | os.PathLike[str] | None = None,
        trace: str | os.PathLike[str] | None = None,
        level: str = "values",
        tools: Iterable[Any] = (),
        primitives: bool = True,
        runs: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        env_names: Iterable[str] = (),
        timeout_s: float | None = None,
        memory_bytes: int | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        force: bool = False,
        task: str | None = None,
        model: str | None = None,
        kind: str = "sandbox",
        program: Program | None = None,
        value_limit: int = VALUE_LIMIT,
        line_limit: int = LINE_LIMIT,
        max_blob_bytes: int = MAX_BLOB_BYTES,
        durability: str = "write",
        threads: str = "serial",
        echo: Echo | None = None,
        on_append: Any = None,
        restorer: Restorer | None = None,
        inprocess: bool = False,
    ) -> None:
        if level not in LEVELS:
            raise UsageError(f"record level {level!r} is not one of {', '.join(LEVELS)}")
        self.root = Path(os.path.realpath(root if root is not None else os.getcwd()))
        if not self.root.is_dir():
            raise UsageError(f"the workspace {self.root} is not a folder")
        self.level = level
        given = Limits(**limits) if isinstance(limits, Mapping) else limits or Limits()
        self.inprocess = inprocess
        self.engine: Engine | InProcessEngine
        self.limits = limits_in_force(given, timeout_s, memory_bytes, inprocess=inprocess)
        self.timeout_s = self.limits.wall_s
        self.program = program
        self.kind = kind
        if threads not in ("serial", "real"):
            raise UsageError(f"threads {threads!r} is not one of serial, real")
        self.threads = threads
        self._value_limit = value_limit
        self._random_seed = secrets.randbits(63)
        self._env = dict(env) if env is not None else environment_of(kind, env_names)
        self._max_blob_bytes = max_blob_bytes
        self._tools: dict[str, Tool] = {tool.name: tool for tool in as_tools(tools)}
        self._runner = AsyncRunner()
        self._beside = Beside()
        self._apart = Apart(self._cancel_call)
        self.writer = create_trace(
            self.root, trace, runs=runs, force=force, durability=durability, on_append=on_append
        )
        self._primitives: Primitives | None = None
        if primitives and kind != "exec":
            self._primitives = Primitives(
                self.root,
                env=self._env,
                on_file=self._note_file,
                hidden=self._own_files(),
                max_kept_bytes=max_blob_bytes,
                spool=self.writer.blobs.begin,
            )
            for tool in self._primitives.tools():
                self._tools.setdefault(tool.name, tool)
        try:
            self._start(task, model, line_limit, echo)
        except BaseException:
            self.writer.close()
            raise
        self._block = 0
        self._flags = 0
        self._dropped = 0
        self._restorer = None if inprocess else restorer
        self._running = False
        self._stopped: Done | None = None
        self._ended: str | None = None
        self._is_lost = False

    def _own_files(self) -> list[Path]:
        return own_files(self.writer.path, self.program.outside if self.program is not None else ())

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What blocks can call: the user's tools, then the primitives."""
        return tuple(self._tools.values())

    def _start(
        self,
        task: str | None,
        model: str | None,
        line_limit: int,
        echo: Echo | None,
    ) -> None:
        writer = self.writer
        workspace = Workspace(
            self.root,
            blobs=writer.blobs,
            exclude=self._own_files(),
            max_blob_bytes=self._max_blob_bytes,
        )
        program = self.program or Program()
        self.recording = Recording(
            writer,
            workspace,
            run_tool=self._run_tool,
            run_beside=self._run_beside,
            effects={name: tool.effect for name, tool in self._tools.items()},
            apart=None if self.inprocess else self._apart,
            may_hang=frozenset(
                name for name, tool in self._tools.items() if tool.origin == "tool" or name == "bash"
            ),
            line_limit=line_limit,
            echo=echo,
            encoding=program.encoding,
            limits=self.limits,
            on_flood=lambda reason: self.engine.interrupt(reason, "LimitExceeded"),
        )
        manifest = writer.blobs.put(self.recording.manifest.to_json())
        self._worker = 0
        self._launch()
        ready = self.engine.ready
        writer.append(
            run_started(
                self.engine.configure,
                program,
                aslr=ready.aslr,
                fidelity="observed" if self.inprocess else "full",
                limits=self.limits,
                line_limit=line_limit,
                task=task,
                model=model,
                manifest=manifest,
            )
        )
        for tool in self._tools.values():
            writer.append(tool.declaration())
        writer.append(SandboxStarted(names=tuple(ready.names)))

    def _launch(self) -> None:
        """Starts a worker with an empty namespace."""
        if self.inprocess:
            # Imported when it is wanted: it brings the worker's side into this process.
            from coda.runtime.inprocess import InProcessEngine

            self.engine = InProcessEngine(self._configure())
            return
        self.engine = Engine(
            self._configure(),
            hash_seed=HASH_SEED,
            stdin=self.program.stdin if self.program is not None else None,
            apart=self.program.apart if self.program is not None else "session",
        )

    def _configure(self) -> Configure:
        program = self.program or Program()
        return Configure(
            mode="record",
            kind=self.kind,
            level=self.level,
            value_limit=self._value_limit,
            random_seed=self._random_seed + self._worker,
            root=str(self.root),
            cwd=program.cwd or str(self.root),
            argv=list(program.argv) or [""],
            main=program.main,
            module=program.module,
            path=list(program.path) if self.program else [str(self.root)],
            tools=[declared_data(tool) for tool in self._tools.values()],
            env=self._env,
            tty=list(program.tty),
            encoding=program.encoding,
            closed=list(program.closed),
            origin_ns=time.monotonic_ns() - self.writer.now_ns,
            max_blob_bytes=self._max_blob_bytes,
            memory_bytes=self.limits.memory_bytes,
            threads=self.threads,
            frames=self.level == "values" and self._value_limit > 0,
        )

    # --- running -------------------------------------------------------------------------------

    def execute(self, code: str, *, turn: int | None = None) -> BlockResult:
        """Runs one block to its end, whatever that is.

        Raises:
            SandboxError: the sandbox was closed, or it runs a block already (a tool cannot run another one
                in the sandbox that called it).
            LogError: the trace cannot be written any more; the worker is ended.
        """
        self._block += 1
        message = Prepare(
            block=self._block,
            source=code,
            # Several sandboxes of one process share its cache of source lines.
            file=f"<block {self._block}{' of ' + self.writer.header.run if self.inprocess else ''}>",
            first_line=1,
            flags=self._flags,
            top_level_await=True,
        )
        return self.run_prepared(message, self.prepare(message), turn=turn)

    def prepare(self, message: Prepare) -> Prepared:
        """Compiles a block in the worker; in a new one if the last block took it along."""
        if self._ended is not None:
            raise SandboxError(f"the sandbox has ended: {self._ended}; start a new one")
        if self._running:
            raise SandboxError(
                f"the sandbox runs block {self._block}: another block, from a tool or a thread, needs a "
                "sandbox of its own"
            )
        if self._is_lost:
            self._begin_anew()
        self._block = max(self._block, message.block)
        message = msgspec.structs.replace(message, worker=self._worker, base=self.recording.next_id)
        try:
            prepared = self._compile(message)
        except (EOFError, OSError, SandboxError):  # it died while nothing ran, or talks nonsense
            self.engine.kill()
            if self._replace_worker(before=self.writer.next_seq) == "lost":
                self._begin_anew()
            else:
                self._say_restored()
            try:
                prepared = self._compile(msgspec.structs.replace(message, worker=self._worker))
            except (EOFError, OSError, SandboxError):
                reason = SandboxError("it ended twice while the block was compiled")
                prepared = self._not_compiled(failed(message.block, reason))
        self._flags = prepared.flags
        return prepared

    def _compile(self, message: Prepare) -> Prepared:
        self._stopped = None
        wall_s = self.limits.wall_s
        timeout_s = None if wall_s is None else max(wall_s, _COMPILE_SECONDS)
        try:
            return self.engine.prepare(message, self.recording, timeout_s=timeout_s)
        except NotCompiled as stopped:
            return self._not_compiled(stopped.done(message.block))

    def _not_compiled(self, done: Done) -> Prepared:
        """A block whose worker did not live to compile it: its end is known before it begins."""
        self._stopped = done
        return Prepared(done.block, table=b"", flags=self._flags, note=None, error=done.error)

    def _begin_anew(self) -> None:
        """A worker with an empty namespace takes the place of one that was lost."""
        self._is_lost = False
        self._launch()
        self.writer.append(SandboxStarted(names=tuple(self.engine.ready.names), worker=self._worker))

    def run_prepared(
        self, message: Prepare, prepared: Prepared, *, turn: int | None = None, last: bool = False
    ) -> BlockResult:
        """Runs a block that was compiled; `last` ends a program with it."""
        recording, writer = self.recording, self.writer
        distrust: SandboxError | None = None
        try:
            table = recording.add_table(prepared.table)
        except SandboxError as error:
            table, distrust = None, error
        first = writer.append(
            BlockStarted(
                block=message.block,
                source=message.source,
                file=message.file,
                first_line=message.first_line,
                turn=turn,
                table=table,
                note=prepared.note,
            )
        )
        recording.begin_block(message.block)
        if self._stopped is not None:
            done, self._stopped = self._stopped, None
        elif distrust is not None:
            self.engine.kill()
            done = failed(message.block, distrust)
        elif prepared.error is not None:
            done = Done(message.block, "error", None, prepared.error, 0, self._dropped)
        else:
            done = self._run(Run(block=message.block, program=self.kind == "exec", last=last))
        return self._finish(message.block, first, done)

    def _run(self, message: Run) -> Done:
        self._running = True
        try:
            heard = self.engine.run(message, self.recording, limits=self.limits)
            assert isinstance(heard, Done)
            return checked(heard)
        except SandboxError as error:
            # What it says cannot be believed any more; what it had announced is in the log.
            self.engine.kill()
            return failed(message.block, error)
        except BaseException as error:
            # The log cannot be written, or the user has enough: nothing more happens here.
            self._ended = f"it was stopped by {type(error).__name__}"
            self._apart.cancel()
            self.engine.kill()
            raise
        finally:
            self._running = False

    def _finish(self, block: int, first: int, done: Done) -> BlockResult:
        recording, writer = self.recording, self.writer
        recording.end_block()
        self._dropped = done.dropped or self._dropped
        error = None
        exhausted = out_of_memory(done, self.limits.memory_bytes)
        if exhausted is not None:
            self._mark("memory", exhausted)
            done = msgspec.structs.replace(done, broken=True)
        if done.error is not None:
            error = ErrorInfo(
                str(done.error.get("type", "Exception")),
                str(done.error.get("message", "")),
                str(done.error.get("traceback", "")),
            )
            writer.append(
                ExceptionRaised(
                    kind=error.kind,
                    message=error.message,
                    traceback=error.traceback,
                    mro=tuple(str(name) for name in done.error.get("mro", ())),
                )
            )
        state = "kept"
        if done.broken:
            state = self._replace_worker(before=first)
        last = writer.append(
            BlockFinished(
                block=block,
                outcome=done.outcome,
                state=state,
                lines=recording.lines_in_block,
                code=done.code,
                pending=tuple(done.pending),
            )
        )
        recording.block = None
        if state == "rolled_back":
            self._say_restored()
        return BlockResult(
            block=block,
            outcome=done.outcome,
            state=state,
            stdout=recording.output.text("stdout"),
            stderr=recording.output.text("stderr"),
            error=error,
            lines=recording.lines_in_block,
            ctx=tuple(CtxChange(*change) for change in recording.ctx_changes),
            first_seq=first,
            last_seq=last,
            code=done.code,
            left_out_bytes=recording.output.left_out_bytes,
            acts=recording.acts.all(),
        )

    def interrupt(self, reason: str = "interrupted") -> None:
        """Asks that the block that runs is stopped; from any thread, and without waiting.

        Its `execute` returns soon, with the outcome `interrupted` (or `killed`, if it will not be stopped).
        When no block runs, nothing happens.
        """
        self.engine.interrupt(reason)

    def _replace_worker(self, *, before: int) -> str:
        """The worker is gone, with the objects in it: gives the state, `rolled_back` or `lost`."""
        self.engine.kill()
        self.recording.new_worker()
        self._worker += 1
        self._flags = 0
        self._is_lost = True
        if self._restorer is None or self.kind == "exec":
            return "lost"
        try:
            restored = self._restorer.restore(
                self.writer.path,
                before=before,
                configure=self._configure(),
            )
        except CodaError as error:
            self._mark("restore", f"the variables could not be rebuilt: {error.message}")
            return "lost"
        self.engine, self._flags = restored.engine, restored.flags
        self._is_lost = False
        for note in restored.notes:
            self._mark("restore", note)
        return "rolled_back"

    def _mark(self, what: str, detail: str) -> None:
        self.writer.append(LimitHit(what=what, detail=detail))

    def _say_restored(self) -> None:
        names = tuple(self.engine.ready.names)
        self.writer.append(SandboxStarted(names=names, worker=self._worker, state="restored"))

    def locate(self, module: str) -> dict[str, Any]:
        """Finds a module's `file` and `source` in the worker, as `python -m` would.

        When a package on the way to it fails: `outcome` and exit `status` of the program.
        """
        found: dict[str, Any] = self.engine.inspect("locate", boundary=self.recording, module=module)
        return found

    def read_main(self, path: str, content: bytes) -> None:
        """Notes that the program's own file was read."""
        shown = os.path.relpath(path, self.root) if _is_below(path, self.root) else os.path.abspath(path)
        digest = self.writer.blobs.put(content)
        self.writer.append(FileRead(path=shown, digest=digest, size=len(content), via="main"))

    def emit(self, record: Event) -> int:
        """Writes an event of the layer above (turns, model calls); gives its seq."""
        return self.writer.append(record)

    # --- tools ---------------------------------------------------------------------------------

    def _run_tool(self, name: str, args: list[Any], kwargs: dict[str, Any], recording: Recording) -> Outcome:
        self._call = recording.writer.next_seq - 1
        return invoke(self._tools[name], args, kwargs, runner=self._runner)

    def _run_beside(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
        return self._beside.perform(self._tools[name], args, kwargs, self._runner)

    def _cancel_call(self, thread: int) -> bool:
        """Ends the shell commands and the coroutine of a call; False when it has none."""
        stopped = self._primitives is not None and self._primitives.stop()
        return self._runner.cancel(thread) or stopped

    def _note_file(self, access: FileAccess) -> None:
        if not self._beside.note(access):
            self.recording.note_file(access, self._call)

    # --- the end -------------------------------------------------------------------------------

    def close(self, outcome: str = "ok", text: str | None = None, code: int | None = None) -> None:
        """Ends the worker and closes the trace. Closing twice is harmless."""
        if self.writer.closed:
            return
        try:
            if self._primitives is not None:
                self._primitives.close()
            self._apart.close()
            self._runner.close()
            self.recording.arrivals.close()
            self._ended = "it was closed"
            self.engine.close()
            self.writer.append(RunFinished(outcome=outcome, text=text, code=code, dropped=self._dropped))
        finally:
            self.writer.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            interrupted = issubclass(kind, KeyboardInterrupt)
            self.close("interrupted" if interrupted else "error", text=f"{kind.__name__}: {error}")


def _is_below(path: str, root: Path) -> bool:
    return os.path.realpath(path).startswith(str(root).rstrip(os.sep) + os.sep)
