"""Connections that agent code makes: what went out and what came back, in the log; answered on replay.

Recording, `socket.socket` works as ever, and each piece that passes is an event: what is sent before it
is sent, what is received before agent code sees it. Replaying, nothing is connected: the descriptor is one
end of a pair of our own, what would be sent is compared, and what is received comes from the log, piece by
piece as it came then. Everything that is built on blocking sockets (`http.client`, `urllib`, requests,
httpx, `smtplib`, drivers in pure Python) is covered thereby; what TLS encrypts is in `tls.py`. Sockets of an
event loop do not block: the same, and that nothing could be read or written yet is recorded as it was.

Not covered, and marked when it happens: sockets that do not block and are on no event loop of asyncio,
datagrams, servers, and C libraries with connections of their own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from coda.log import from_envelope, to_envelope
from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import LIVE, Feed, Shim
from coda.runtime.worker.units import Units

_SERVES = "agent code serves others, and not on an event loop: a replay cannot answer who comes"
_ERRORS = ("_socket", "ssl", "builtins")


class Connection:
    """One connection of agent code."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.local: Any = None
        self.peer: Any = None
        self.other_end: Any = None
        """When answered: the end of the pair that nobody writes to."""
        self.is_opening = False
        """Whether it has begun, without waiting, and is not there yet."""

    @property
    def is_answered(self) -> bool:
        """Whether the log plays the other side."""
        return self.other_end is not None


class Sockets:
    """Adapts the module `socket`.

    Args:
        recorder: where events go.
        feed: recorded observations, on replay.
        units: tells which line of agent code it was.
        replaying: nothing is connected; a fork past its position has no network either.
    """

    def __init__(self, recorder: Recorder, feed: Feed, units: Units, *, replaying: bool) -> None:
        self.recorder = recorder
        self.feed = feed
        self._units = units
        self._replaying = replaying
        self._count = 0
        self.mark: Callable[[str, str], None] = lambda what, detail: None
        """Told in a sentence of what cannot be replayed."""
        self.on_loop: Callable[[], bool] = lambda: False
        """Whether the calling thread runs an event loop whose waiting is in the log."""
        self._open: dict[int, Connection] = {}
        """Connections by descriptor."""
        self._bound: dict[int, Any] = {}
        """Names of sockets that were bound and are not connected, by descriptor."""

    def of(self, sock: Any) -> Connection | None:
        """The connection of a socket; None when it has none, or when it is not agent code that asks."""
        return None if self.recorder.busy() else self._open.get(sock.fileno())

    def adapt(self, module: Any) -> None:
        """Puts the recorded forms into the class `socket.socket`; its subclasses have them too."""
        kind, base = module.socket, module._socket.socket
        self._module = module
        for function in (
            *self._opening(kind, base),
            *self._serving(kind, base),
            *self._receiving(base),
            *self._sending(base),
            *self._asking(base),
        ):
            function.__qualname__ = f"socket.{function.__name__}"
            function.__module__ = "socket"
            setattr(kind, function.__name__, function)
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo"):
            real = getattr(module._socket, name)
            lookup = Lookup(real, self)
            for holder in (module._socket, module):
                if getattr(holder, name) is real:
                    setattr(holder, name, lookup)

    # --- the three things that can be done -------------------------------------------------------

    def intent(self, kind: str, data: dict[str, Any]) -> None:
        """Says what is about to go out; in the log, or compared with it, when this returns."""
        answer = self.recorder.request(kind, {**data, **self._units.where()})
        if not answer.ok:
            raise PermissionError(str(answer.value))

    def observation(self, kind: str, connection: Connection, perform: Callable[[], dict[str, Any]]) -> Any:
        """What came from outside, or the error instead of it: asked of the system, or of the log.

        Args:
            kind: type of the event.
            connection: whose.
            perform: does it and gives the fields.
        """
        recorder = self.recorder
        facts: dict[str, Any] = {"conn": connection.number}
        if self._replaying:
            found = recorder.request(kind, {**facts, **self._units.where()}).value
            if found.get("error") is not None:
                raise rebuild_error(found["error"])
            return found
        recorder.drain()
        try:
            with recorder.quiet():
                found = perform()
        except (OSError, ValueError) as error:
            recorder.observe(kind, {**facts, "error": describe_error(error), **self._units.where()})
            raise
        recorder.observe(kind, {**facts, **found, **self._units.where()})
        return found

    @property
    def asks(self) -> bool:
        """Whether answers come from the system, and not from the log."""
        return not self.feed.replaying or self.feed.live

    def go_real(self) -> None:
        """The run itself goes on: the network is there again."""
        self._replaying = False

    def fact(self, name: str, perform: Callable[[], Any]) -> Any:
        """A small answer of the system, as a coded observation."""
        recorder, feed = self.recorder, self.feed
        answer = feed.recorded(name)
        if answer is not LIVE:
            if isinstance(answer, dict) and "error" in answer:
                raise rebuild_error(answer["error"])
            return from_envelope(answer)
        if self._replaying:  # a fork past its position: the host ends it here
            self.intent("net.connected", {"address": name})
        recorder.drain()
        try:
            with recorder.quiet():
                value = perform()
        except (OSError, ValueError) as error:
            feed.note(name, {"error": describe_error(error)})
            raise
        feed.note(name, to_envelope(value))
        return value

    # --- opening and closing ---------------------------------------------------------------------

    def _opening(self, kind: Any, base: Any) -> list[Any]:
        begin, end = kind.__init__, kind._real_close

        def made(sock: Any, family: int = -1, type: int = -1, proto: int = -1, fileno: Any = None) -> None:
            begin(sock, family, type, proto, fileno)
            if fileno is None:
                self._forget(sock.fileno())  # a socket that was never closed, only forgotten

        def connect(sock: Any, address: Any, /) -> None:
            if self._is_ours(sock):
                self._connect(sock, address, base)
            else:
                base.connect(sock, address)

        def connect_ex(sock: Any, address: Any, /) -> Any:
            if not self._is_ours(sock):
                return base.connect_ex(sock, address)
            try:
                self._connect(sock, address, base)
            except OSError as error:
                if error.errno is None:
                    raise
                return error.errno
            return 0

        def bind(sock: Any, address: Any, /) -> None:
            if not self._is_ours(sock):
                base.bind(sock, address)
                return

            def perform() -> Any:
                base.bind(sock, address)
                return base.getsockname(sock)

            self._bound[sock.fileno()] = self.fact("bind", perform)

        def _real_close(sock: Any, *args: Any) -> None:
            self._forget(sock.fileno())
            end(sock, *args)

        made.__name__ = "__init__"

        return [made, connect, connect_ex, bind, _real_close]

    def _forget(self, fd: int) -> None:
        """The descriptor is closed, or another socket's."""
        self._bound.pop(fd, None)
        connection = self._open.pop(fd, None)
        if connection is not None and connection.other_end is not None:
            connection.other_end.close()

    def _serving(self, kind: Any, base: Any) -> list[Any]:
        take = kind.accept

        def listen(sock: Any, *backlog: Any) -> None:
            if not self._is_ours(sock):
                base.listen(sock, *backlog)
                return
            if not self.on_loop():
                self.mark("network", _SERVES)
            self.fact("listen", lambda: base.listen(sock, *backlog))

        def accept(sock: Any) -> Any:
            if not self._is_ours(sock):
                return take(sock)
            came: list[Any] = []

            def perform() -> Any:
                came.extend(take(sock))
                return came[1]

            address = self.fact("accept", perform)
            if not came:
                with self.recorder.quiet():
                    other_end, ours = self._module.socketpair()
                    came.append(kind(sock.family, sock.type, sock.proto, fileno=ours.detach()))
            self._count += 1
            connection = Connection(self._count)
            connection.other_end = None if self.asks else other_end
            self._opened(came[0], connection, base, lambda: None)
            return came[0], address

        return [listen, accept]

    def _is_ours(self, sock: Any) -> bool:
        stream = sock.type & 0xF == self._module.SOCK_STREAM
        return stream and not self.recorder.busy() and (sock.gettimeout() != 0.0 or self.on_loop())

    def _connect(self, sock: Any, address: Any, base: Any) -> None:
        self._count += 1
        connection = Connection(self._count)
        self.intent("net.connected", {"address": address_text(address), "conn": connection.number})
        if sock.gettimeout() != 0.0:
            self._opened(sock, connection, base, lambda: base.connect(sock, address))
            return
        connection.is_opening = True
        self._join(sock, connection)
        self.fact("connect", lambda: base.connect(sock, address))  # as a rule it is under way
        self._opened(sock, connection, base, lambda: None)

    def _opened(self, sock: Any, connection: Connection, base: Any, finish: Callable[[], None]) -> None:
        """The connection is there, or the error instead of it."""

        def perform() -> dict[str, Any]:
            finish()
            return {
                "local": to_envelope(base.getsockname(sock)), "peer": to_envelope(base.getpeername(sock))
            }  # fmt: skip

        found = self.observation("net.opened", connection, perform)
        connection.local, connection.peer = from_envelope(found["local"]), from_envelope(found["peer"])
        connection.is_opening = False
        self._join(sock, connection)

    def _join(self, sock: Any, connection: Connection) -> None:
        """From now on the socket is the connection's; on replay it becomes an end of a pair of ours."""
        self._open[sock.fileno()] = connection
        if self._replaying and not connection.is_answered:
            with self.recorder.quiet():
                connection.other_end, ours = self._module.socketpair()
                timeout = sock.gettimeout()
                os.dup2(ours.fileno(), sock.fileno(), inheritable=False)
                ours.close()
                sock.settimeout(timeout)

    def _how_it_went(self, sock: Any, connection: Connection, base: Any) -> int:
        """What became of a connection that was begun without waiting: 0, or the error."""

        def finish() -> None:
            module = self._module
            code = base.getsockopt(sock, module.SOL_SOCKET, module.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))

        try:
            self._opened(sock, connection, base, finish)
        except OSError as error:
            return error.errno or 0
        return 0

    def wait_for_more(self) -> None:
        """An event loop waits for descriptors: a fork does not, whose connections are its parent's."""
        if self._replaying:
            for connection in self._open.values():
                if connection.is_answered:
                    self.intent("net.connected", {"address": address_text(connection.peer)})

    # --- what passes -----------------------------------------------------------------------------

    def received(self, connection: Connection, read: Callable[[], bytes]) -> bytes:
        """The next piece that came in; empty at the end."""
        found = self.observation("net.received", connection, lambda: {"content": read()})
        content: bytes = found["content"]
        return content

    def sent(self, connection: Connection, data: Any, write: Callable[[], Any]) -> Any:
        """Sends a piece, and gives what `write` gives."""
        content = bytes(data)
        self.intent("net.sent", {"conn": connection.number, "content": content})
        return self.fact("send", write)

    def _receiving(self, base: Any) -> list[Any]:
        def recv(sock: Any, bufsize: int, flags: int = 0, /) -> Any:
            connection = self.of(sock)
            if connection is None:
                return base.recv(sock, bufsize, flags)
            return self.received(connection, lambda: base.recv(sock, bufsize, flags))

        def recv_into(sock: Any, buffer: Any, nbytes: int = 0, flags: int = 0) -> Any:
            connection = self.of(sock)
            if connection is None:
                return base.recv_into(sock, buffer, nbytes, flags)
            view = memoryview(buffer).cast("B")
            size = nbytes or len(view)
            data = self.received(connection, lambda: base.recv(sock, size, flags))
            view[: len(data)] = data
            return len(data)

        def recvfrom(sock: Any, bufsize: int, flags: int = 0, /) -> Any:
            if self.of(sock) is None:
                return base.recvfrom(sock, bufsize, flags)
            return recv(sock, bufsize, flags), None

        return [recv, recv_into, recvfrom]

    def _sending(self, base: Any) -> list[Any]:
        def send(sock: Any, data: Any, flags: int = 0, /) -> Any:
            connection = self.of(sock)
            if connection is None:
                return base.send(sock, data, flags)
            return self.sent(connection, data, lambda: base.send(sock, data, flags))

        def sendall(sock: Any, data: Any, flags: int = 0, /) -> None:
            connection = self.of(sock)
            if connection is None:
                base.sendall(sock, data, flags)
            else:
                self.sent(connection, data, lambda: base.sendall(sock, data, flags))

        def sendmsg(sock: Any, buffers: Any, *more: Any) -> Any:
            if self.of(sock) is None:
                return base.sendmsg(sock, buffers, *more)
            return send(sock, b"".join(bytes(buffer) for buffer in buffers))

        def sendfile(sock: Any, file: Any, offset: int = 0, count: Any = None) -> Any:
            return sock._sendfile_use_send(file, offset, count)

        return [send, sendall, sendmsg, sendfile]

    def _asking(self, base: Any) -> list[Any]:
        def getsockname(sock: Any) -> Any:
            connection = self.of(sock)
            if connection is not None:
                return connection.local
            return self._bound.get(sock.fileno()) or base.getsockname(sock)

        def getpeername(sock: Any) -> Any:
            connection = self.of(sock)
            return base.getpeername(sock) if connection is None else connection.peer

        def shutdown(sock: Any, how: int, /) -> None:
            connection = self.of(sock)
            if connection is None:
                base.shutdown(sock, how)
            else:
                self.fact("shutdown", lambda: base.shutdown(sock, how))

        def setsockopt(sock: Any, *args: Any) -> None:
            connection = self.of(sock)
            if connection is None or not connection.is_answered:
                base.setsockopt(sock, *args)

        def getsockopt(sock: Any, *args: Any) -> Any:
            connection = self.of(sock)
            if connection is None:
                return base.getsockopt(sock, *args)
            if connection.is_opening and args[:2] == (self._module.SOL_SOCKET, self._module.SO_ERROR):
                return self._how_it_went(sock, connection, base)
            return self.fact("getsockopt", lambda: base.getsockopt(sock, *args))

        return [getsockname, getpeername, shutdown, setsockopt, getsockopt]


class Lookup(Shim):
    """A question to the name service."""

    __slots__ = ("_real", "_sockets")

    def __init__(self, real: Any, sockets: Sockets) -> None:
        super().__init__(real)
        self._real = real
        self._sockets = sockets

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answers as the builtin would."""
        if self._sockets.recorder.busy():
            return self._real(*args, **kwargs)
        return self._sockets.fact(self.__name__, lambda: self._real(*args, **kwargs))


def address_text(address: Any) -> str:
    """An address in one word: `host:port`, or a path."""
    if isinstance(address, tuple) and len(address) >= 2:
        host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
        return f"{host}:{address[1]}"
    if isinstance(address, (str, bytes)):
        return os.fsdecode(address)
    return str(type(address).__name__)


def describe_error(error: BaseException) -> dict[str, Any]:
    """What is needed to raise an error of the network again."""
    return {"type": type(error).__name__, "args": [to_envelope(arg) for arg in error.args]}


def rebuild_error(error: dict[str, Any]) -> BaseException:
    """The exception that `describe_error` described."""
    for name in _ERRORS:
        kind = getattr(sys.modules.get(name), error["type"], None)
        if isinstance(kind, type) and issubclass(kind, OSError | ValueError):
            rebuilt: BaseException = kind(*(from_envelope(arg) for arg in error["args"]))
            return rebuilt
    return OSError(error["type"])
