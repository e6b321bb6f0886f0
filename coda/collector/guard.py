"""Who may ask: token, Host and Origin.

Guarantee: everything under `/api` needs the token, on the loopback too, since any web page can make a
browser send requests there; a token is taken from a header or a cookie, for a WebSocket also from its first
message, and never from a query string, which ends in logs and histories. A foreign Host (DNS rebinding) or
Origin (another site's page) is refused before anything else is looked at. Tokens are compared in constant
time.
"""

from __future__ import annotations

import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "coda_token"
_OPEN = ("/", "/session", "/health")
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    # Not "no-referrer": a browser then sends the page's own form with the origin "null", which is refused.
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
)


class Guard(NamedTuple):
    """The rules of one server.

    Args:
        token: what a client must know.
        hosts: names, beside `localhost` and addresses, under which the server may be asked.
        open_metrics: `/metrics` needs no token (a server that only the own machine reaches).
    """

    token: str
    hosts: frozenset[str] = frozenset()
    open_metrics: bool = True

    def knows(self, token: str | None) -> bool:
        """Tells whether a token is the right one."""
        return token is not None and secrets.compare_digest(token.encode(), self.token.encode())

    def admits(self, headers: Headers) -> bool:
        """Tells whether a request carries the token, in its header or cookie."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.knows(token.strip()):
            return True
        return self.knows(_cookie(headers))

    def host_is_ours(self, host: str) -> bool:
        """Tells whether a Host header names this server: an address, localhost, or an allowed name.

        An address cannot be rebound to another machine, so every one is ours.
        """
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not name:
            return False
        if name == "localhost" or name.endswith(".localhost") or name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def origin_is_ours(self, headers: Headers) -> bool:
        """Tells whether a request comes from our own page, or from no page at all."""
        origin = headers.get("origin")
        if origin is None:
            return True
        return urlsplit(origin).netloc == headers.get("host", "") and origin != "null"


class Gate:
    """ASGI middleware that applies a `Guard`; the token of a WebSocket is asked for by its route."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what is refused; hands the rest on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers)
        if refused is None:
            await self._app(scope, receive, _secured(send) if scope["type"] == "http" else send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403, "reason": refused[1]})
        else:
            status, message = refused
            extra = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            body = {"error": {"kind": "Refused", "message": message}}
            await JSONResponse(body, status, headers=extra)(scope, receive, _secured(send))

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        if not self._guard.host_is_ours(headers.get("host", "")):
            return 421, "this server is not known by that name; start it with --allow-host NAME"
        if not self._guard.origin_is_ours(headers):
            return 403, "requests from other sites are refused"
        if scope["type"] == "websocket":
            return None
        path = scope["path"]
        is_open = path in _OPEN or (path == "/metrics" and self._guard.open_metrics)
        if not is_open and not self._guard.admits(headers):
            return 401, "the token is missing or wrong; send it as: Authorization: Bearer TOKEN"
        return None


def _secured(send: Send) -> Send:
    async def sending(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers") or ())  # type: ignore[call-overload]
            message = {**message, "headers": [*headers, *_SECURITY]}
        await send(message)

    return sending  # type: ignore[return-value]


def _cookie(headers: Headers) -> str | None:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    found = cookies.get(COOKIE)
    return found.value if found else None
