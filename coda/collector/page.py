"""The collector's one page: the runs as a table, or the form that asks for the token.

Guarantee: no script and nothing from outside; every text from a trace is escaped, and the content security
policy would stop what was not. A form and a cookie do for signing in what a script would do, without
allowing scripts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from coda.collector.service import RunSummary
from coda.log import sanitise

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid #8884; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
code { font-family: ui-monospace, monospace; }
.error { color: #c33; } .live { color: #2a7; } .dim { opacity: .65; }
input { font: inherit; padding: .3rem .5rem; width: 22rem; } button { font: inherit; padding: .3rem .8rem; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy of the page."""


def sign_in(*, wrong: bool = False) -> str:
    """Gives the page that asks for the token."""
    said = '<p class="error">That is not the token.</p>' if wrong else ""
    return _page(
        "<p>This server shows recorded runs. <code>coda serve</code> printed its token when it started.</p>"
        f'{said}<form method="post" action="/session"><input name="token" type="password" autofocus '
        'autocomplete="off" aria-label="token"> <button>Open</button></form>'
    )


def run_list(runs: Iterable[RunSummary], total: int) -> str:
    """Gives the page that lists runs."""
    rows = "".join(_row(run) for run in runs)
    if not rows:
        return _page("<p>No runs yet. Record one: <code>coda exec program.py</code></p>")
    return _page(
        "<table><thead><tr><th>run<th>started<th>what<th>outcome<th>events<th>forked from</tr></thead>"
        f'<tbody>{rows}</tbody></table><p class="dim">{total} runs. '
        'Data: <a href="/api/runs">/api/runs</a>, <a href="/metrics">/metrics</a></p>'
    )


def _row(run: RunSummary) -> str:
    link = f'<a href="/api/runs/{_text(run.id)}"><code>{_text(run.id)}</code></a>'
    if run.error is not None:
        return f'<tr><td>{link}<td colspan="5" class="error">{_text(run.error)}</tr>'
    outcome = '<span class="live">running</span>' if run.live else _text(run.outcome or "cut short")
    parent = f"<code>{_text(run.parent)}</code> at {run.parent_seq}" if run.parent else ""
    what = _text(f"{run.kind or ''} {run.what or ''}"[:200])
    started = _text((run.started or "")[:19].replace("T", " "))
    return f'<tr><td>{link}<td>{started}<td>{what}<td>{outcome}<td class="n">{run.events:,}<td>{parent}</tr>'


def _text(text: str) -> str:
    return escape(sanitise(text).encode("utf-8", "replace").decode())


def _page(body: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>coda</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><body><h1>coda</h1>{body}</body></html>"
    )
