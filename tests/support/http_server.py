"""A real HTTP and HTTPS server on loopback, in a process of its own.

    python tests/support/http_server.py

prints its two ports on one line, and then a line for each request that arrived.
"""

from __future__ import annotations

import http.server
import itertools
import ssl
import sys
import threading
from pathlib import Path

TLS = Path(__file__).with_name("tls")
_count = itertools.count(1)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers no two requests alike."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = 300_000 if "big" in self.path else 1
        self.answer(f"{self.path} {next(_count)} ".encode() * size)

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"]))[::-1])

    def answer(self, body: bytes) -> None:
        print(f"{self.command} {self.path}", flush=True)
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def main() -> None:
    plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    safe = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    safe.socket = context.wrap_socket(safe.socket, server_side=True)
    print(plain.server_address[1], safe.server_address[1], flush=True)
    threading.Thread(target=safe.serve_forever, daemon=True).start()
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
