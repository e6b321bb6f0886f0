"""`coda serve`: the recorded runs over HTTP.

Guarantee: what is printed works: the port is bound before, and the token is the one that is asked for.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from coda import __version__
from coda.cli.options import json_option
from coda.cli.render import Printer, say
from coda.errors import UsageError


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """Where `coda serve` serves; printed before it begins."""

    url: str
    token: str | None
    """The random token; null when the caller gave one, which is not repeated."""
    runs: str
    """The run directory."""


def _usable(token: str) -> bool:
    """Whether a token survives a header and a cookie."""
    return len(token) >= 8 and token.isascii() and token.isprintable() and not set(token) & set(' ;,"\\')


@click.command(short_help="Serve the recorded runs over HTTP.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="Port; 0 takes a free one."
)
@click.option("--dir", "directory", metavar="RUNDIR", help="Run directory (default: .coda/runs here).")
@click.option(
    "--token",
    envvar="CODA_TOKEN",
    metavar="T",
    help="Token that clients must send (default: CODA_TOKEN, or a random one that is printed).",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A name under which the server may be asked, beside localhost and addresses.",
)
@json_option
def command(
    host: str, port: int, directory: str | None, token: str | None, allow_host: tuple[str, ...], as_json: bool
) -> int:
    """Serve the runs of a run directory: API, live events, metrics and a page that lists them.

    Everything under /api needs the token, as `Authorization: Bearer TOKEN`. On the loopback /metrics is
    open; on any other address it needs the token too. Ends on Ctrl-C.

    Exit status: 0 ended, 2 it could not be started.
    """
    from coda.collector import RunStore, address_of, bind, create_app, is_loopback, new_token, run_server
    from coda.log import run_directory

    if token is not None and not _usable(token):
        raise UsageError(
            "a token has at least 8 printable ASCII characters without spaces, quotes, commas, semicolons.",
            option="--token",
        )
    runs = Path(directory) if directory is not None else run_directory()
    if directory is not None and not runs.is_dir():
        raise UsageError(f"there is no directory {directory}.", path=directory)
    secret = token or new_token()
    bound = bind(host, port)
    app = create_app(
        RunStore(runs),
        clock=time.monotonic,
        token=secret,
        version=__version__,
        hosts=(host, *allow_host),
        open_metrics=is_loopback(host),
    )
    address = address_of(bound)
    # The user's own secret is not repeated; a random one is shown, or nobody could ever use it.
    printer = Printer(show_secrets=True)
    if as_json:
        printer.json("serve", Serving(url=address, token=None if token else secret, runs=str(runs)))
    else:
        printer.line(f"serving {runs} at {address}")
        if not token:
            printer.line(f"token: {secret}")
    printer.stream.flush()
    if not is_loopback(host):
        say("other machines can reach this server: whoever has the token reads every run.")
    run_server(app, bound)
    return 0
