"""Sets a worker up, in the one order that works, and serves the host.

Isolation, then shims, then streams and the audit hook, then the flusher thread, then agent code: namespaces
can only be entered while no thread exists, and a shim must be there before what binds the real function.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from coda.runtime.protocol import (
    Channel,
    Configure,
    Crashed,
    Exit,
    Inspect,
    Prepare,
    Ready,
    Resume,
    Run,
    ToWorker,
)  # fmt: skip
from coda.runtime.startup import folders_of
from coda.runtime.worker.audit import Audit
from coda.runtime.worker.baton import Baton
from coda.runtime.worker.blocks import Blocks
from coda.runtime.worker.circumstances import Circumstances
from coda.runtime.worker.descriptors import hide
from coda.runtime.worker.elsewhere import others
from coda.runtime.worker.endings import plain_traceback
from coda.runtime.worker.inbox import Clock, Inbox, LoopClock
from coda.runtime.worker.inspector import Inspector
from coda.runtime.worker.interpreter import Interpreter, set_switch_interval
from coda.runtime.worker.interrupts import Interrupts
from coda.runtime.worker.isolation import Isolation, fence, isolate
from coda.runtime.worker.loop import Loops, on_our_loop
from coda.runtime.worker.main_module import new_main_module
from coda.runtime.worker.modules import PACKAGE_FOLDER, AgentFinder, write_no_bytecode
from coda.runtime.worker.names import Ctx, Stub, describe_exception, note_mutations
from coda.runtime.worker.ownership import Finder, Ownership
from coda.runtime.worker.processes import Processes
from coda.runtime.worker.readiness import Readiness
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.returning import WayBack, isolate_for_now
from coda.runtime.worker.shims import AfterImport, Shims
from coda.runtime.worker.signals import Signals
from coda.runtime.worker.sockets import Sockets
from coda.runtime.worker.standins import ENV_CODE, Feed
from coda.runtime.worker.streams import OutputControl, install_streams
from coda.runtime.worker.threads import Threads
from coda.runtime.worker.tls import Tls
from coda.runtime.worker.units import Units
from coda.runtime.worker.watch import Watch

_SWITCH_SECONDS = 0.001
_HIGHEST_FD, _OWN_FDS = 1024, 32
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 32 << 20
_FIRST_BYTES = 2 << 20
_PAGE_BYTES = 4096
_MADV_POPULATE_WRITE = 23


def serve(read_fd: int, write_fd: int, control_fd: int, finder: Finder) -> NoReturn:
    """Runs the worker until the host says to exit or goes away; never returns.

    Args:
        read_fd: where the host's messages arrive.
        write_fd: where ours go.
        control_fd: where it asks that a block be interrupted.
        finder: gives coda's modules their builtins.
    """
    read_fd, write_fd, control_fd = (_out_of_the_way(fd) for fd in (read_fd, write_fd, control_fd))
    channel = Channel(read_fd, write_fd, ToWorker)
    try:
        configure = channel.receive()
        assert isinstance(configure, Configure)
        Worker(channel, configure, control_fd, Ownership(finder)).loop()
    except EOFError:
        os._exit(70)
    except BaseException as error:  # noqa: BLE001  our own failure: tell the host, which reports it with status 125
        described = describe_exception(error)
        detail = plain_traceback(described, error.__traceback__)
        channel.send(Crashed(f"{described['type']}: {described['message']}", detail))
        os._exit(70)


class Worker:
    """Everything of this process, wired together once."""

    def __init__(self, channel: Channel, config: Configure, control_fd: int, ownership: Ownership) -> None:
        self.config = config
        replaying = config.mode == "replay"
        held, self._way_back = _isolated(config)
        self.recorder = Recorder(channel, origin_ns=config.origin_ns, level=config.level)
        self.units = Units()
        self.module = new_main_module(file=config.main, program=config.argv[0] if config.argv else "")
        self.ctx = Ctx(self.recorder, self.units)
        self.inspector = Inspector(self.recorder, self.units, self.module.__dict__, self.ctx)
        self.recorder.handle = self.inspector.handle
        self.feed = Feed(self.recorder, self.inspector.stop, replaying=replaying)
        real_clock = time.monotonic
        self.inbox = Inbox(self.recorder, Clock(), real_clock)
        self.baton = Baton(self.recorder, self.inbox)
        self.interpreter = Interpreter((self.recorder.lines, self.recorder.values))
        self.recorder.collects = lambda: self.interpreter.collects
        self.shims = Shims(self.recorder, self.feed, self.baton, seed=config.random_seed, replaying=replaying)
        self.circumstances = Circumstances(self.recorder, root=config.root)
        self.processes = Processes(self.recorder, self.units, self.feed, self.circumstances)
        self.sockets = Sockets(self.recorder, self.feed, self.units, replaying=replaying)
        self._control_fd = control_fd
        self.interrupts = Interrupts(self.recorder, self.units, control_fd)
        self.recorder.on_broken_off = self.interrupts.in_call
        self.blocks = Blocks(
            self.recorder,
            self.units,
            self.module,
            self.interrupts,
            level=config.level,
            value_limit=config.value_limit,
            frames=config.frames,
            pristine=ownership.pristine,
            baton=self.baton,
            interpreter=self.interpreter,
        )
        self.inspector.steps = self.blocks.steps_so_far
        self.inspector.others = lambda: others(self.baton, self.units)
        self.inspector.on_watch = lambda statements, count: self.blocks.watch(statements, count=count)
        self.signals = Signals(self.recorder, self.feed, self.units, replaying=replaying)
        self.watch = Watch(self.recorder, self.baton, self.units.is_statement)
        self.blocks.set_actions(
            {
                "stop": self.inspector.stop,
                "gc": self.recorder.collect,
                "preempt": self.watch.preempt,
                "signal": self.signals.at_statement,
            }
        )
        with self.recorder.quiet():  # what we look at to set ourselves up is nobody's observation
            self._install(replaying)
        names = self._bind()
        ownership.freeze()
        gc.freeze()  # a collection looks at what agent code made, not at coda and the modules that it needs
        channel.send(Ready(names, held.layers, _has_aslr(), held.problems))

    def _install(self, replaying: bool) -> None:
        config = self.config
        own = folders_of(os.environ)
        gc.disable()
        if not config.observed:
            self._stand_in()
        self.control = OutputControl(self.recorder, self.inspector.stop)
        stdin = install_streams(
            self.recorder, self.control, tty=config.tty, encoding=config.encoding, closed=config.closed
        )
        self.audit = Audit(
            self.recorder,
            self.units,
            root=config.root,
            max_blob_bytes=config.max_blob_bytes,
            replaying=replaying,
        )
        self.audit.on_change = self.circumstances.note_file
        self.sockets.mark = self.audit.mark
        if replaying:
            stdin.answer = self.feed.answer
        self.inspector.on_live = self._fork
        self.inspector.on_return = self._return
        self.inspector.on_pause = self._pause
        self._stdin = stdin
        if not config.observed:
            self._find_modules()
        write_no_bytecode()
        sys.argv = list(config.argv)
        sys.orig_argv = _command_line(config)
        sys.path[:] = _search_path(config, own)
        self._limit_memory()
        self.interrupts.start()
        self.audit.install()
        # The flusher must get its turn while agent code computes, or all of it is sent after the end.
        set_switch_interval(_SWITCH_SECONDS)
        _keep_memory()
        self.recorder.start_flusher()

    def _stand_in(self) -> None:
        """What agent code asks of the world is recorded or answered."""
        config = self.config
        self.interpreter.install()
        self.shims.install()
        hide({*self.recorder.channel.fds, self._control_fd})
        self.shims.install_environment(config.env, zone=config.zone)
        if config.umask is not None:
            os.umask(config.umask)
        self.circumstances.install()
        self.processes.install()
        if "subprocess" in sys.modules:
            self.processes.adapt(sys.modules["subprocess"])
        if "socket" in sys.modules:
            self.sockets.adapt(sys.modules["socket"])

    def _find_modules(self) -> None:
        """Modules of the workspace are agent code; some of the library's are adapted."""
        config = self.config
        sys.meta_path.insert(
            0,
            AfterImport(
                self.shims,
                {
                    "subprocess": self.processes.adapt,
                    "socket": self.sockets.adapt,
                    "ssl": Tls(self.sockets, self.audit.native_read).adapt,
                    **self._waiting_modules(),
                },
            ),
        )
        folders = [config.root]
        if config.main is not None:
            folders.append(os.path.dirname(os.path.abspath(config.main)))
        sys.meta_path.insert(
            0,
            AgentFinder(folders, self.blocks.compile_module, self.audit.library_import, self.recorder.quiet),
        )

    def _waiting_modules(self) -> dict[str, Callable[[Any], None]]:
        """Puts threads and event loops on the baton; gives what is to be done with modules to come."""
        baton = self.baton
        baton.mark = self.signals.mark = self.audit.mark
        self.signals.install()
        self.recorder.on_tick = self._look
        self.sockets.on_loop = on_our_loop
        readiness = Readiness(self.recorder, self.feed, baton, self.sockets, self.processes.children)
        loops = Loops(baton, LoopClock(self.inbox.clock, _recorded_clock), readiness, self.audit.mark)
        if self.config.threads != "serial":
            self.audit.watch_threads()
            baton.open()
            return loops.hooks()
        threads = Threads(baton, self.recorder, self.units.where)
        threads.install()
        self.shims.wait_by(self.inbox.clock.now, baton.pause)
        self.recorder.on_parallel.append(self.shims.go_parallel)
        os.register_at_fork(after_in_child=baton.detach)
        return {**loops.hooks(), **threads.hooks()}

    def _look(self) -> bool:
        return any([self.watch.look(), self.signals.look()])

    def _limit_memory(self) -> None:
        if self.config.memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (self.config.memory_bytes, self.config.memory_bytes))

    def _go_live(self, wall_ns: int) -> None:
        """From here on answers no longer come from the log."""
        self.shims.go_on_from(wall_ns)
        self.feed.live = True
        self.audit.replaying = False
        self.watch.active = True
        self._stdin.answer = None
        self.recorder.allow_collection(True)

    def _fork(self, wall_ns: int, given: tuple[int, Any] | None = None) -> None:
        """At a fork's position; one answer may be given for the first that is asked for."""
        if given is not None:
            self._give(*given)
        self._go_live(wall_ns)
        self.processes.children.go_live()

    def _give(self, code: int, answer: Any) -> None:
        """Takes the fork's own answer: a variable is set at once, the others are asked for."""
        if code != ENV_CODE:
            self.feed.given = [answer]
            return
        with self.recorder.quiet():
            os.environ[answer[0]] = answer[1]
        self.circumstances.note_variable(answer[0], answer[1])

    def _return(self) -> list[str]:
        """After the replay of a run that goes on: the world is the real one again."""
        with self.recorder.quiet():
            problems = self._way_back.take() if self._way_back is not None else []
        self._go_live(0)
        self.shims.go_real()
        self.sockets.go_real()
        return problems

    def _pause(self, paused: bool) -> None:
        """While the state is looked at, clocks and streams of agent code are not the run's."""
        self.feed.paused = paused
        self.control.muted = paused

    def _bind(self) -> list[str]:
        """Puts coda's names into the namespace."""
        if self.config.kind == "exec":
            return []
        space = self.module.__dict__
        for declared in self.config.tools:
            space[declared["name"]] = Stub(declared, self.recorder, self.units, self.baton)
        space["ctx"] = self.ctx
        names = [declared["name"] for declared in self.config.tools] + ["ctx"]
        self.inspector.bound.update(names)
        return names

    def loop(self) -> NoReturn:
        """Serves the host's messages for ever."""
        while True:
            message = self.recorder.receive()
            if isinstance(message, Prepare):
                if not self.config.observed:
                    self.shims.urandom.worker = message.worker
                self.recorder.send(self.blocks.prepare(message))
            elif isinstance(message, Run):
                self._run(message)
            elif isinstance(message, (Inspect, Resume)):
                self.inspector.handle(message)
            elif isinstance(message, Exit):
                os._exit(0)
            else:
                raise RuntimeError(f"message out of turn: {type(message).__name__}")

    def _run(self, message: Run) -> None:
        self.feed.load(message.feed, message.feed_stop)
        self.control.begin(message.output_stop)
        self.audit.active = True
        self.recorder.allow_collection(self.config.mode == "record" or self.feed.live)
        self.watch.active = self.config.mode == "record" or self.feed.live
        self.recorder.begin()
        try:
            done: Any = self.blocks.run(message)
        finally:
            self.audit.active = False
            self.recorder.end()
            self.recorder.allow_collection(False)
        note_mutations(self.ctx)
        self.recorder.send(done)


def _isolated(config: Configure) -> tuple[Isolation, WayBack | None]:
    """Enters what is to keep this process in, while it has one thread; stands in the folder afterwards."""
    way_back: WayBack | None = None
    if config.isolate == "namespaces":
        mounts = [(mount.source, mount.target) for mount in config.mounts]
        held = isolate(mounts, writable=config.writable, cwd=config.cwd)
    elif config.isolate == "returnable":
        mounts = [(mount.source, mount.target) for mount in config.mounts]
        held, way_back = isolate_for_now(mounts, writable=config.writable, cwd=config.cwd)
    elif config.isolate == "fence":
        held = fence(writable=config.writable, cwd=config.cwd)
    else:
        held = Isolation([], [])
    os.chdir(config.cwd)
    return held, way_back


def _recorded_clock() -> float:
    # Looked up when it is asked: what the module holds now is not the shim yet.
    return time.monotonic()


def _search_path(config: Configure, own: list[str]) -> list[str]:
    """`sys.path` of the program; `own` are the folders of this process's `PYTHONPATH`."""
    if config.search is None:
        return [*config.path, *sys.path]
    ours = {*own, *config.search} - ({PACKAGE_FOLDER} - set(config.search))
    return [*config.path, *config.search, *(entry for entry in sys.path if entry not in ours)]


def _command_line(config: Configure) -> list[str]:
    """`sys.orig_argv` of a plain run: the interpreter, its flags, and what it was to run."""
    flags = sys.orig_argv[1 : sys.orig_argv.index("-c")] if "-c" in sys.orig_argv else []
    program = ["-m", config.module, *config.argv[1:]] if config.module is not None else config.argv
    return [sys.executable, *flags, *program]


def _keep_memory() -> None:
    """Lets the C library keep what it freed: buffers that grow and go again and again cost no page faults."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        # And let it have the first of them now, in one call instead of a fault for each page.
        libc.malloc.restype = ctypes.c_void_p
        place = libc.malloc(_FIRST_BYTES)
        if place is not None:
            page = -(-place // _PAGE_BYTES) * _PAGE_BYTES
            libc.madvise(ctypes.c_void_p(page), _FIRST_BYTES - _PAGE_BYTES, _MADV_POPULATE_WRITE)
            libc.free(ctypes.c_void_p(place))
    except (AttributeError, OSError):
        return  # another C library: it decides by itself


def _has_aslr() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    return not ctypes.CDLL(None).personality(0xFFFFFFFF) & 0x0040000


def _out_of_the_way(fd: int) -> int:
    """Moves a descriptor to a high number: the agent's first is 3, as in a plain program, also on replay."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    top = _HIGHEST_FD if limit == resource.RLIM_INFINITY else min(limit, _HIGHEST_FD)
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(3, top - _OWN_FDS))
    os.close(fd)
    return moved
