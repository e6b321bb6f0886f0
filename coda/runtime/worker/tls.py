"""TLS of agent code's connections: what passes is recorded in clear, and replayed without any handshake.

A handshake is made of chance that no log can answer, so nothing of it is replayed: its outcome (version,
cipher, certificate, protocol, or the error) is one observation, and `SSLSocket` gets an object that answers
from there. Reads and writes are those of a plain connection (`sockets.py`).

Where a library moves the bytes itself (`SSLObject` on a `MemoryBIO`: event loops, a proxy behind TLS), each
step is an observation: the text in clear, and the bytes that go out, which chance has shaped.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

from coda.runtime.worker.sockets import Connection, Sockets
from coda.runtime.worker.standins import HOST_CODE


class Tls:
    """Adapts the module `ssl`.

    Args:
        sockets: knows the connections.
        on_read: told of each file that OpenSSL is about to read, and by what.
    """

    def __init__(self, sockets: Sockets, on_read: Callable[[Any, str], None]) -> None:
        self._sockets = sockets
        self._on_read = on_read

    def adapt(self, module: Any) -> None:
        """Gives sockets of recorded connections an object of ours."""
        context = module.SSLContext
        real = context._wrap_socket
        sockets = self._sockets

        def _wrap_socket(
            own: Any, sock: Any, server_side: bool, server_hostname: Any = None, **more: Any
        ) -> Any:
            connection = sockets.of(sock)
            if connection is None or server_side:
                return real(own, sock, server_side, server_hostname, **more)
            inner = None
            if not connection.is_answered:
                with sockets.recorder.quiet():
                    inner = real(own, sock, server_side, server_hostname, **more)
            return Session(sockets, connection, inner, own, more.get("owner"), server_hostname)

        _wrap_socket.__qualname__ = "SSLContext._wrap_socket"
        context._wrap_socket = _wrap_socket
        self._adapt_memory(module)
        for name in ("load_verify_locations", "load_cert_chain"):
            self._tell_of_files(context, name)

    def _adapt_memory(self, module: Any) -> None:
        real, real_bio, sockets = module.SSLContext._wrap_bio, module.MemoryBIO, self._sockets

        class MemoryBIO(Memory):
            def __init__(self) -> None:
                super().__init__(real_bio(), sockets)

        MemoryBIO.__qualname__, MemoryBIO.__module__ = "MemoryBIO", "ssl"
        MemoryBIO.__doc__ = real_bio.__doc__

        def _wrap_bio(
            own: Any,
            incoming: Any,
            outgoing: Any,
            server_side: bool,
            server_hostname: Any = None,
            **more: Any,
        ) -> Any:
            if sockets.recorder.busy():
                return real(own, incoming.bio, outgoing.bio, server_side, server_hostname, **more)
            inner = None
            if sockets.asks:
                inner = real(own, incoming.bio, outgoing.bio, server_side, server_hostname, **more)
            session = MemorySession(sockets, None, inner, own, more.get("owner"), server_hostname)
            session.server_side = bool(server_side)
            return session

        _wrap_bio.__qualname__ = "SSLContext._wrap_bio"
        module.SSLContext._wrap_bio = _wrap_bio
        module.MemoryBIO = MemoryBIO

    def _tell_of_files(self, context: Any, name: str) -> None:
        real, on_read = getattr(context, name), self._on_read

        def load(own: Any, *files: Any, **named: Any) -> Any:
            for file in (*files[:2], *(named.get(key) for key in ("cafile", "certfile", "keyfile"))):
                if isinstance(file, (str, bytes, os.PathLike)) and not os.path.isdir(file):
                    on_read(file, "ssl")
            return real(own, *files, **named)

        load.__name__, load.__qualname__ = name, f"SSLContext.{name}"
        load.__doc__ = real.__doc__
        setattr(context, name, load)


class Session:
    """What `SSLSocket` works with: the C object's methods, recorded or answered."""

    session: Any = None
    session_reused: Any = False
    server_side = False

    def __init__(
        self,
        sockets: Sockets,
        connection: Connection | None,
        inner: Any,
        context: Any,
        owner: Any,
        hostname: Any,
    ) -> None:
        self._sockets = sockets
        self._connection = connection
        self._inner = inner
        self._facts: dict[str, Any] = {}
        self.context = context
        self.owner = owner
        self.server_hostname = hostname

    def do_handshake(self) -> None:
        """Shakes hands, or does not, as recorded."""

        def perform() -> dict[str, Any]:
            inner = self._inner
            inner.do_handshake()
            return {
                "version": inner.version(),
                "cipher": inner.cipher(),
                "alpn": inner.selected_alpn_protocol(),
                "certificate": inner.getpeercert(True),
                "fields": inner.getpeercert(False),
                "compression": inner.compression(),
            }

        self._facts = self._sockets.fact("tls.handshake", perform)

    def read(self, size: int = 1024, buffer: Any = None) -> Any:
        """The next piece, in clear."""
        data = self._receive(size)
        if buffer is None:
            return data
        memoryview(buffer).cast("B")[: len(data)] = data
        return len(data)

    def _receive(self, size: int) -> bytes:
        assert self._connection is not None
        return self._sockets.received(self._connection, lambda: self._inner.read(size))

    def write(self, data: Any) -> int:
        """Sends a piece, given in clear."""
        assert self._connection is not None
        count: int = self._sockets.sent(self._connection, data, lambda: self._inner.write(data))
        return count

    def pending(self) -> int:
        """Bytes that can be read without waiting."""
        count: int = self._sockets.fact("tls.pending", self._pending)
        return count

    def _pending(self) -> Any:
        return self._inner.pending()

    def shutdown(self) -> Any:
        """Ends TLS, and gives the socket back."""
        self._sockets.fact("tls.shutdown", lambda: self._inner.shutdown() and None)
        return self.owner

    def getpeercert(self, binary_form: bool = False, /) -> Any:
        """The other side's certificate."""
        return self._facts.get("certificate" if binary_form else "fields")

    def cipher(self) -> Any:
        """(name, version of the protocol, bits)."""
        return self._facts.get("cipher")

    def version(self) -> Any:
        """Version of the protocol."""
        return self._facts.get("version")

    def selected_alpn_protocol(self) -> Any:
        """What both sides want to speak."""
        return self._facts.get("alpn")

    def compression(self) -> Any:
        """Method of compression."""
        return self._facts.get("compression")

    def shared_ciphers(self) -> Any:
        """Known to servers alone."""
        return None

    def get_channel_binding(self, cb_type: str = "tls-unique", /) -> Any:
        """Facts of the handshake that nobody can compute again."""
        return self._sockets.fact("tls.binding", lambda: self._inner.get_channel_binding(cb_type))

    def get_verified_chain(self) -> Any:
        """Certificates up to the root, as the C object gives them; none when answered."""
        return [] if self._inner is None else self._inner.get_verified_chain()

    def get_unverified_chain(self) -> Any:
        """Certificates as they were sent; none when answered."""
        return [] if self._inner is None else self._inner.get_unverified_chain()


class MemorySession(Session):
    """The same, of an `SSLObject`: who moves the bytes that it makes and takes is not known here."""

    def _receive(self, size: int) -> bytes:
        data: bytes = self._sockets.fact("tls.read", lambda: self._inner.read(size))
        return data

    def write(self, data: Any) -> int:
        """Takes a piece that is to be sent, given in clear; on replay it must be the recorded one."""
        digest = hashlib.sha256(data).hexdigest()
        count, recorded = self._sockets.fact("tls.write", lambda: [self._inner.write(data), digest])
        if recorded != digest:
            self._sockets.feed.differs(HOST_CODE)
        written: int = count
        return written


class Memory:
    """What `ssl.MemoryBIO` is to agent code: what is taken out of it is an observation."""

    def __init__(self, bio: Any, sockets: Sockets) -> None:
        self.bio = bio
        self._sockets = sockets

    def read(self, size: int = -1, /) -> bytes:
        """Takes bytes out."""
        if self._sockets.recorder.busy():
            taken: bytes = self.bio.read(size)
        else:
            taken = self._sockets.fact("tls.out", lambda: self.bio.read(size))
        return taken

    def write(self, data: Any, /) -> int:
        """Puts bytes in."""
        count: int = self.bio.write(data)
        return count

    def write_eof(self) -> None:
        """Says that no more will be put in."""
        self.bio.write_eof()

    @property
    def pending(self) -> int:
        """Bytes that can be taken out."""
        count: int = self._sockets.fact("tls.out.pending", lambda: self.bio.pending)
        return count

    @property
    def eof(self) -> bool:
        """Whether all was taken out, and no more will be put in."""
        ended: bool = self._sockets.fact("tls.out.eof", lambda: self.bio.eof)
        return ended
