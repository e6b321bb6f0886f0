"""Serving the collector: the application's front door, the socket, the server's life.

Guarantee: the port is bound before anything is printed, so the address that is printed works, and an
occupied port is one sentence. FastAPI and uvicorn cost half a second; they are imported when a server is
made, not with the package, which `coda export` and every recorded run use too.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from coda.collector.service import RunStore
from coda.errors import CollectorError

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(
    store: RunStore,
    *,
    clock: Callable[[], float],
    token: str,
    version: str,
    hosts: Collection[str] = (),
    open_metrics: bool = True,
) -> FastAPI:
    """Gives the collector's ASGI application.

    Args:
        store: the runs to serve.
        clock: monotonic seconds, for uptime and for how long a scrape may take.
        token: what clients must know for everything under `/api`.
        version: of coda, for the description.
        hosts: names, beside `localhost` and addresses, under which the server may be asked.
        open_metrics: `/metrics` needs no token.
    """
    from coda.collector.app import build_app

    return build_app(store, clock=clock, token=token, version=version, hosts=hosts, open_metrics=open_metrics)


def bind(host: str, port: int) -> socket.socket:
    """Binds a listening socket; port 0 takes a free one.

    Raises:
        CollectorError: the port is occupied, not allowed, or the host is not an address of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CollectorError(f"{host!r} is not an address of this machine; use --host 127.0.0.1.") from error
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        bound.close()
        raise CollectorError(
            f"cannot serve on {host} port {port}: {error.strerror}; choose another with --port.",
            host=host, port=port,
        ) from error  # fmt: skip
    return bound


def address_of(bound: socket.socket) -> str:
    """Gives the URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_server(app: FastAPI, bound: socket.socket) -> None:
    """Serves until interrupted; open streams and WebSockets get two seconds to end."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False
    )
    uvicorn.Server(config).run(sockets=[bound])
