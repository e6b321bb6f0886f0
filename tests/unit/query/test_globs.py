"""Globs: what a pattern finds and what it must not find."""

from __future__ import annotations

import pytest

from coda.query.globs import path_glob, text_glob

ROOT = "/home/ann/job"


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("*.env", ".env", True),
        ("*.env", "config/prod.env", True),
        ("*.env", "/etc/app.env", True),
        ("*.env", "config.env/readme", False),
        ("*.env", "x.envelope", False),
        ("*.ENV", "x.env", False),
        ("notes.txt", "a/b/notes.txt", True),
        ("notes.txt", "a/b/my-notes.txt", False),
        ("src/*", "src/a.py", True),
        ("src/*", "src/a/b.py", False),
        ("src/**", "src/a/b.py", True),
        ("src/**", "lib/src/a.py", False),
        ("src/**/t.py", "src/t.py", True),
        ("src/**/t.py", "src/a/b/t.py", True),
        ("./src/*", "src/a.py", True),
        ("src/*.py", f"{ROOT}/src/a.py", True),
        ("**/src/*.py", "deep/src/a.py", True),
        ("**/job/src/*.py", "src/a.py", True),
        ("/home/ann/job/src/*", "src/a.py", True),
        ("/etc/*", "/etc/passwd", True),
        ("/etc/*", "etc/passwd", False),
        ("/etc/**", "/etc/ssl/certs/a.pem", True),
        ("**", "any/thing", True),
        ("*", "any/thing", True),
        ("src/[ab].py", "src/a.py", True),
        ("src/[!ab].py", "src/a.py", False),
        ("src[!a]x.py", "src/x.py", False),
        ("a/src[!a]x.py", "a/src/x.py", False),
        ("data/", "data", True),
        ("src/?.py", "src/ab.py", False),
        ("src/a+b(1).py", "src/a+b(1).py", True),
        ("line/*", "line/new\nline", True),
    ],
)
def test_path(pattern: str, path: str, found: bool) -> None:
    assert path_glob(pattern)(path, ROOT) is found


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("pip *", "pip install x", True),
        ("pip *", "pip", False),
        ("*", "", True),
        ("gmail.*", "gmail.send", True),
        ("gmail.*", "gmailxsend", False),
        ("Traceback*", "Traceback (most\nrecent", True),
        ("a[0]", "a0", True),
        ("key[[]0]", "key[0]", True),
        ("exact", "exactly", False),
    ],
)
def test_text(pattern: str, text: str, found: bool) -> None:
    assert text_glob(pattern)(text) is found
