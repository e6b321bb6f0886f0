"""The text of recorded code and its lines, as Python counts them.

Guarantee: line `n` here is line `n` of a traceback. `str.splitlines` would also break at form feeds and
at the separators of Unicode, where Python does not, and show another line than the one that ran.
"""

from __future__ import annotations

import importlib.util
import re
from typing import Final

_END: Final = re.compile("\r\n|\r|\n")


def source_lines(source: str) -> list[str]:
    """Gives the lines of a program's text, without their ends."""
    lines = _END.split(source)
    return lines if lines[-1] else lines[:-1]


def source_text(data: bytes) -> str:
    """Gives the text of a source file: by its byte order mark or coding comment, else UTF-8 (PEP 263).

    What cannot be decoded so is decoded as UTF-8 with replacements.
    """
    try:
        return importlib.util.decode_source(data)
    except (SyntaxError, UnicodeDecodeError):
        return data.decode("utf-8", "replace")
