"""The audit hook: tells the host of files, processes and connections of agent code. It is no fence.

Guarantee: an act that another process could see (opening for writing, renaming, deleting, starting,
connecting) is asked of the host, and so on disk, before it happens. Content is read before the open
goes on, since the open itself may destroy it. What the import machinery opens of libraries is left out by
its caller, never by path alone; modules of the workspace are told by their loader.
"""

from __future__ import annotations

import _thread
import os
import stat as stat_module
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import FrameType
from typing import Any

from coda.runtime.protocol import Leaving
from coda.runtime.versions import version_of
from coda.runtime.worker.interpreter import set_switch_interval
from coda.runtime.worker.modules import is_library
from coda.runtime.worker.openable import refusal
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.units import OWN_FOLDER, Units

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MACHINERY = ("<frozen importlib", "<frozen zipimport")
_QUIET_READERS = (os.sep + "linecache.py", os.sep + "tokenize.py")
_CHUNK = 1 << 20
_FORKING = ("multiprocessing", "concurrent.futures.process")


class Audit:
    """Handlers of audit events, by name."""

    def __init__(
        self,
        recorder: Recorder,
        units: Units,
        *,
        root: str,
        max_blob_bytes: int,
        replaying: bool,
    ) -> None:
        self._recorder = recorder
        self._units = units
        self._root = root
        self._max_blob_bytes = max_blob_bytes
        self.replaying = replaying
        self._open = os.open
        self._read = os.read
        self._close = os.close
        self._fstat = os.fstat
        self._seen: dict[str, tuple[int, int, int, int]] = {}
        self._threads = False
        self._marked: set[str] = set()
        self._handlers: dict[str, Callable[..., None]] = {
            "open": self._on_open,
            "os.listdir": self._on_list,
            "os.scandir": self._on_list,
            "os.remove": self._on_delete,
            "os.rmdir": self._on_delete,
            "os.rename": self._on_rename,
            "os.mkdir": self._on_make,
            "os.truncate": self._on_truncate,
            "os.symlink": self._on_link,
            "os.link": self._on_link,
            "subprocess.Popen": partial(self._on_process, "subprocess.Popen"),
            "os.posix_spawn": partial(self._on_process, "os.posix_spawn"),
            "os.exec": self._on_exec,
            "os.fork": self._on_fork,
            "os.kill": self._on_kill,
            "os.killpg": self._on_kill_group,
            "socket.connect": self._on_connect,
            "socket.sendto": self._on_connect,
            "socket.bind": self._on_bind,
            "sqlite3.connect": self._on_sqlite,
        }
        self.active = False
        self.on_change: Callable[[Any], object] = bool
        """Told the path of each file that is about to be changed."""
        self._pid, self._group = os.getpid(), os.getpgrp()

    def install(self) -> None:
        """Adds the hook to this interpreter; it is inert until `active`."""
        handlers = self._handlers
        busy = self._recorder.busy

        def hook(event: str, args: tuple[Any, ...]) -> None:
            handler = handlers.get(event)
            if handler is not None and self.active and not busy():
                with self._recorder.quiet():
                    handler(*args)

        sys.addaudithook(hook)

    def handler(self, event: str) -> Callable[..., None] | None:
        """What to call for an event; None when there is nothing to tell now."""
        found = self._handlers.get(event)
        return found if found is not None and self.active and not self._recorder.busy() else None

    def quiet(self) -> AbstractContextManager[None]:
        """Context in which what this thread does is not told."""
        return self._recorder.quiet()

    def watch_threads(self) -> None:
        """Wraps what starts threads: older interpreters raise no audit event for it."""
        for module, name in (
            (_thread, "start_new_thread"),
            (_thread, "start_joinable_thread"),
            (threading, "_start_new_thread"),
            (threading, "_start_joinable_thread"),
        ):
            real = getattr(module, name, None)
            if real is not None:
                setattr(module, name, _Watched(real, self._on_thread))

    # --- files ---------------------------------------------------------------------------------

    def _on_open(self, path: Any, mode: Any, flags: int) -> None:
        if isinstance(path, int) or path is None:
            return
        caller = sys._getframe(2).f_code.co_filename
        if caller.startswith(OWN_FOLDER):
            return
        given, full = self._names(path)
        if caller.startswith(_MACHINERY) and not self._is_workspace(full):
            return
        if caller.endswith(_QUIET_READERS) and not full.startswith(self._root):
            return
        writing = bool(flags & _WRITING)
        if not writing or ((flags & os.O_RDWR or flags & os.O_APPEND) and not flags & os.O_TRUNC):
            self.read(full, given, via="open", quiet=writing)
        if writing:
            self._seen.pop(full, None)
            self._open_for_writing(full, given, mode=str(mode or _mode_of(flags)))
            # `os.open` may name a file in a folder that it has open, of which the hook hears nothing.
            refused = refusal(full, flags) if mode is not None or os.path.isabs(path) else None
            if refused is not None:
                self._recorder.fail(refused)

    def native_read(self, path: Any, via: str) -> None:
        """Tells of a file that a C library is about to read by its name, which raises no audit event."""
        if self.active and not self._recorder.busy():
            given, full = self._names(path)
            with self._recorder.quiet():
                self.read(full, given, via=via)

    def read(self, full: str, given: str | None, *, via: str, quiet: bool = False) -> None:
        """Tells of a readable open: content, or why there is none."""
        data: dict[str, Any] = {
            "path": self._relative(full),
            "given": given,
            "resolved": self._resolved(full),
            "via": via,
            **self._units.where(),
        }
        if self.replaying:
            self._recorder.request("file.read", {**data, "quiet": quiet})
            return
        try:
            data.update(self._content(full))
        except OSError as error:
            if quiet:
                return
            data["error"] = type(error).__name__
        self._recorder.observe("file.read", data)

    def _open_for_writing(self, full: str, given: str | None, *, mode: str) -> None:
        names = {"path": self._relative(full), "given": given, "resolved": self._resolved(full)}
        self._act("file.opened", {**names, "mode": mode})

    def _content(self, full: str) -> dict[str, Any]:
        try:
            fd = self._open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except IsADirectoryError:
            return {"error": "IsADirectoryError"}
        try:
            info = self._fstat(fd)
            if stat_module.S_ISDIR(info.st_mode):
                return {"error": "IsADirectoryError"}
            if not stat_module.S_ISREG(info.st_mode) or full.startswith(("/proc/", "/dev/")):
                return {"size": 0, "special": True}
            if full.startswith("/sys/"):
                return self._of_system(fd)
            key = (info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size)
            if info.st_size > self._max_blob_bytes:
                return {"size": info.st_size, "special": True}
            if self._seen.get(full) == key:
                return {"size": info.st_size, "same": True}
            content = self._all_of(fd)
            self._seen[full] = key
            return {"size": len(content), "content": content}
        finally:
            self._close(fd)

    def _of_system(self, fd: int) -> dict[str, Any]:
        """A setting of the system; one that changes from look to look is not what the program will see."""
        content = self._all_of(fd)
        os.lseek(fd, 0, os.SEEK_SET)
        if self._all_of(fd) != content:
            return {"size": 0, "special": True}
        return {"size": len(content), "content": content}

    def _all_of(self, fd: int) -> bytes:
        parts = []
        while chunk := self._read(fd, _CHUNK):
            parts.append(chunk)
        return b"".join(parts)

    def _on_list(self, path: Any) -> None:
        if isinstance(path, int) or self._caller().startswith(_MACHINERY):
            return
        _, full = self._names("." if path is None else path)
        self._note("file.listed", {"path": self._relative(full)})

    def _on_delete(self, path: Any, _dir_fd: int = -1) -> None:
        _, full = self._names(path)
        self._seen.pop(full, None)
        self._act("file.deleted", {"path": self._relative(full)})

    def _on_rename(self, source: Any, target: Any, _src_fd: int = -1, _dst_fd: int = -1) -> None:
        _, old = self._names(source)
        _, new = self._names(target)
        self._seen.pop(old, None)
        self._seen.pop(new, None)
        self._act("file.renamed", {"path": self._relative(old), "to": self._relative(new)})

    def _on_make(self, path: Any, _mode: int = 0, _dir_fd: int = -1) -> None:
        _, full = self._names(path)
        self._act("file.made", {"path": self._relative(full)})

    def _on_truncate(self, path: Any, _length: int = 0) -> None:
        if isinstance(path, int):
            return
        given, full = self._names(path)
        self._seen.pop(full, None)
        self._open_for_writing(full, given, mode="truncate")

    def _on_link(self, _source: Any, target: Any, *_dir_fds: int) -> None:
        _, full = self._names(target)
        self._act("file.opened", {"path": self._relative(full), "mode": "link"})

    def _on_sqlite(self, database: Any) -> None:
        if isinstance(database, (str, bytes, os.PathLike)) and os.fspath(database) not in (
            ":memory:",
            b":memory:",
            "",
        ):
            given, full = self._names(database)
            self.read(full, given, via="sqlite3")
            self._open_for_writing(full, given, mode="sqlite3")

    # --- everything else -----------------------------------------------------------------------

    def library_import(self, name: str) -> None:
        """Tells of a library that agent code itself imports; what libraries import is their own affair."""
        if not self.active or self._recorder.busy():
            return
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename.startswith((*_MACHINERY, OWN_FOLDER)):
            frame = frame.f_back
        if frame is not None and self._units.owns(frame):
            with self._recorder.quiet():
                version = version_of(name, sys.path)
            self._note("import", {"module": name, "version": version})

    def _on_process(self, via: str, executable: Any, args: Any = (), *_: Any) -> None:
        if isinstance(args, (str, bytes)):
            args = [args]
        argv = [os.fsdecode(part) for part in (args or [executable])]
        self._act("process.started", {"argv": argv, "via": via, "shell": False, "opaque": True})

    def _on_exec(self, executable: Any, args: Any = (), *_: Any) -> None:
        self._on_process("os.exec", executable, args)
        self._recorder.send(Leaving(-1))

    def _on_fork(self) -> None:
        via = _forking_library() or "os.fork"
        self._act("process.started", {"argv": ["<fork>"], "via": via, "shell": False, "opaque": True})

    def _on_kill(self, pid: int, number: int) -> None:
        if pid != self._pid:  # a signal to the program itself is an event where it is handled
            self._act("process.signaled", {"pid": pid, "number": number, "group": False})

    def _on_kill_group(self, group: int, number: int) -> None:
        if group != self._group:
            self._act("process.signaled", {"pid": group, "number": number, "group": True})

    def _on_bind(self, sock: Any, address: Any) -> None:
        if sock.type & 0xF == 1:
            return  # a stream serves nobody before it listens: some libraries only try whether they could
        self.mark("network", f"agent code waits for others at {address}: a replay cannot answer who comes")

    def _on_connect(self, _socket: Any, address: Any) -> None:
        if isinstance(address, tuple) and len(address) >= 2:
            text = f"{address[0]}:{address[1]}"
        else:
            text = os.fsdecode(address) if isinstance(address, (str, bytes)) else str(type(address).__name__)
        self._act("net.connected", {"address": text})

    def mark(self, what: str, detail: str) -> None:
        """Tells, once for each thing, that a replay will not be faithful from here on."""
        if self.active and what not in self._marked:
            self._marked.add(what)
            with self._recorder.quiet():
                self._note("limit.hit", {"what": what, "detail": detail})

    def _on_thread(self, function: Any) -> None:
        if not self.active or self._recorder.busy():
            return
        name = getattr(getattr(function, "__self__", None), "name", None)
        self._note("thread.started", {"name": name if isinstance(name, str) else ""})
        if not self._threads:
            self._threads = True
            # The interpreter's own interval: the fewer switches between agent threads, the closer a replay.
            set_switch_interval(0.005)
            detail = "agent code started a thread: lines of threads interleave and may differ on replay"
            self._note("limit.hit", {"what": "threads", "detail": detail})

    def _note(self, kind: str, data: dict[str, Any]) -> None:
        self._recorder.observe(kind, {**data, **self._units.where()})

    def _act(self, kind: str, data: dict[str, Any]) -> None:
        for path in (data.get("resolved") or data.get("path"), data.get("to")):
            self.on_change(path)
        answer = self._recorder.request(kind, {**data, **self._units.where()})
        if not answer.ok:
            raise PermissionError(str(answer.value))
        if type(answer.value) is int:
            self._recorder.act = (answer.value, data["path"])

    @staticmethod
    def _caller() -> str:
        """File of the code that listed a folder: above our sorting stand-in."""
        frame: FrameType | None = sys._getframe(3)
        while frame is not None and frame.f_code.co_filename.startswith(OWN_FOLDER):
            frame = frame.f_back
        return frame.f_code.co_filename if frame is not None else ""

    # --- names ---------------------------------------------------------------------------------

    def _names(self, path: Any) -> tuple[str | None, str]:
        """(as given when it differs from the normal form, absolute)."""
        text = os.fsdecode(path)
        full = os.path.normpath(os.path.join(os.getcwd(), text))
        return (text if text != self._relative(full) else None), full

    def _resolved(self, full: str) -> str | None:
        """Where a path leads, when a link is on the way; None: to itself."""
        real = os.path.realpath(full)
        return None if real == full else self._relative(real)

    def _is_workspace(self, full: str) -> bool:
        """Whether what the import machinery opens is the agent's: a plug-in, an archive; no library."""
        inside = full.startswith(self._root.rstrip(os.sep) + os.sep)
        return inside and not is_library(os.path.dirname(full), self._root)

    def _relative(self, full: str) -> str:
        if full == self._root:
            return "."
        prefix = self._root if self._root.endswith(os.sep) else self._root + os.sep
        return full[len(prefix) :] if full.startswith(prefix) else full


class _Watched:
    """A builtin that tells before it acts; it does not bind as a method would."""

    def __init__(self, real: Any, tell: Callable[[Any], None]) -> None:
        self._real = real
        self._tell = tell
        self.__name__ = self.__qualname__ = real.__name__
        self.__doc__ = real.__doc__

    def __call__(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Tells, and acts."""
        self._tell(function)
        return self._real(function, *args, **kwargs)


def _forking_library() -> str | None:
    """What forks on behalf of agent code: the outermost of the libraries that are for that."""
    found = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        found = next((name for name in _FORKING if module.startswith(name)), found)
        frame = frame.f_back
    return found


def _mode_of(flags: int) -> str:
    mode = {os.O_WRONLY: "w", os.O_RDWR: "r+"}.get(flags & 3, "w")
    return "a" if flags & os.O_APPEND else mode
