"""A line that says how far a long verb is: on stderr, and on a terminal only.

Guarantee: nothing of it is left when the verb has ended, and nothing of it is ever in a file or a pipe.
"""

from __future__ import annotations

import sys

_ERASE = "\r\x1b[K"
_FIRST_SECONDS = 0.5  # what is done sooner needs no line


class Progress:
    """The line of one verb."""

    def __init__(self) -> None:
        self._is_wanted = sys.stderr is not None and sys.stderr.isatty()
        self._is_shown = False

    def show(self, seconds: float, events: int) -> None:
        """Says how long it has run live, and how many events there are."""
        if self._is_wanted and seconds >= _FIRST_SECONDS:
            self._is_shown = True
            text = f"running live for {seconds:.0f} s, {events:,} events; Ctrl-C ends it"
            print(f"{_ERASE}{text}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """Takes the line away."""
        if self._is_shown:
            self._is_shown = False
            print(_ERASE, end="", file=sys.stderr, flush=True)
