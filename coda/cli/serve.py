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
from coda.cli.settings import setting_option
from coda.errors import UsageError


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """Where `coda serve` serves; printed before it begins."""

    url: str
    token: str | None
    """The random token; null when the caller gave one, which is not repeated."""
    runs: str
    """The run directory."""


@click.command(short_help="Serve the recorded runs over HTTP.")
@setting_option("host")
@setting_option("port")
@setting_option("runs", words="The run directory; otherwise `.coda/runs` of this folder.")
@setting_option("token")
@setting_option("allow-host")
@json_option
def command(
    host: str, port: int, runs: str | None, token: str | None, allow_host: tuple[str, ...], as_json: bool
) -> int:
    """Serve the runs of a run directory: API, live events, metrics and a page that lists them.

    Everything under /api needs the token, as `Authorization: Bearer TOKEN`. On the loopback /metrics is
    open; on any other address it needs the token too. Ends on Ctrl-C.

    Exit status: 0 ended, 2 it could not be started.
    """
    from coda.collector import RunStore, address_of, bind, create_app, is_loopback, new_token, run_server
    from coda.log import run_directory

    folder = run_directory() if runs is None else Path(runs)
    if runs is not None and not folder.is_dir():
        raise UsageError(f"there is no directory {runs}.", path=runs)
    secret = token or new_token()
    bound = bind(host, port)
    app = create_app(
        RunStore(folder),
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
        printer.json("serve", Serving(url=address, token=None if token else secret, runs=str(folder)))
    else:
        printer.line(f"serving {folder} at {address}")
        if not token:
            printer.line(f"token: {secret}")
    printer.stream.flush()
    if not is_loopback(host):
        say("other machines can reach this server: whoever has the token reads every run.")
    run_server(app, bound)
    return 0
