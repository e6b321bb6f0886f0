"""Acts on names in the file system: made, removed, renamed, linked, and what came of it.

Guarantee: whether an act succeeded is an observation of its own. A replay repeats on its private copy what
succeeded, raises what was refused without trying it, and so goes the recorded way also where the copy lacks
what decided it: folders that no manifest holds, rights, other file systems. The act itself is asked of the
host first, as ever (see `audit`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from coda.runtime.worker.recorder import Recorder
from coda.runtime.worker.standins import HOST_CODE, LIVE, Feed, HostFact, Shim

# Name to its audit event; None: it has none that anybody hears.
ACTS: dict[str, str | None] = {
    "mkdir": "os.mkdir", "rmdir": "os.rmdir", "remove": "os.remove", "unlink": "os.remove",
    "rename": "os.rename", "replace": "os.rename", "symlink": "os.symlink", "link": "os.link",
    "truncate": "os.truncate", "chmod": None, "lchmod": None, "chown": None, "lchown": None, "utime": None,
    "mkfifo": None, "mknod": None,
}  # fmt: skip
_OF_TWO = ("rename", "replace", "symlink", "link")


def acts(recorder: Recorder, feed: Feed) -> list[tuple[str, Shim]]:
    """The stand-ins for functions of `os`."""
    return [(name, Act(getattr(os, name), recorder, feed)) for name in ACTS if hasattr(os, name)]


class Act(HostFact):
    """One act: done, and then told how it went."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answers as the builtin would."""
        self._recorder.act = None  # what fails is the act that the host is asked for from here on
        return super().__call__(*args, **kwargs)

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        """What came of it, after it was done to the copy."""
        feed = self._feed
        if feed.live:
            return LIVE
        coming = feed.coming(self.__name__)
        self._repeat(coming, args, kwargs)
        feed.take(HOST_CODE, self.__name__)
        feed.note(self.__name__, coming)  # also where a fork begins between the act and what came of it
        return coming

    def _refused(self, error: OSError) -> None:
        self._recorder.fail(error)

    def _packed(self, value: Any) -> None:
        return None

    def _unpacked(self, answer: Any) -> None:
        return None

    def _named(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        two = self.__name__ in _OF_TWO and len(args) > 1
        return (args[0], None, args[1]) if two else args[:1]

    def _repeat(self, coming: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Does to the copy what was done; of what was refused, or not recorded, only tells."""
        event = ACTS[self.__name__]
        if coming is not None:
            if event is not None and args:
                sys.audit(event, *args)
            return
        try:
            self._real(*args, **kwargs)
        except OSError:
            if self.__name__ == "mkdir":
                _make_all(self._real, args[0])


def _make_all(make: Callable[[Any], None], path: Any) -> None:
    """A folder that was made where the copy does not have all that is above."""
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path) or "."
    for each in reversed(missing):
        try:
            make(each)
        except OSError:
            return
