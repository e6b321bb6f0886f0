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
from coda.runtime.worker.standins import HOST_CODE, Feed, HostFact, Shim

# Name to its audit event; None: it has none that anybody hears.
ACTS: dict[str, str | None] = {
    "mkdir": "os.mkdir", "rmdir": "os.rmdir", "remove": "os.remove", "unlink": "os.remove",
    "rename": "os.rename", "replace": "os.rename", "symlink": "os.symlink", "link": "os.link",
    "truncate": "os.truncate", "chmod": None, "lchmod": None, "chown": None, "lchown": None, "utime": None,
    "mkfifo": None, "mknod": None,
}  # fmt: skip
_OF_TWO = ("rename", "replace", "symlink", "link")


def acts(recorder: Recorder, feed: Feed, *, replaying: bool) -> list[tuple[str, Shim]]:
    """The stand-ins for functions of `os`."""
    return [
        (name, Act(getattr(os, name), recorder, feed, replaying=replaying))
        for name in ACTS
        if hasattr(os, name)
    ]


class Act(HostFact):
    """One act: done, and then told how it went."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answers as the builtin would."""
        recorder, feed = self._recorder, self._feed
        if recorder.busy():
            return self._real(*args, **kwargs)
        if self._replaying and not feed.live:
            recorded = feed.peek(HOST_CODE)
            self._repeat(recorded, args, kwargs)
            feed.take(HOST_CODE, self.__name__)
            recorder.code(HOST_CODE, recorded)  # also where a fork begins between the act and what came of it
            return self._outcome(recorded[1], args)
        try:
            given = self._real(*args, **kwargs)
        except OSError as error:
            recorder.code(HOST_CODE, [self.__name__, {"errno": error.errno}])
            raise
        recorder.code(HOST_CODE, [self.__name__, None])
        return given

    def _outcome(self, answer: Any, args: tuple[Any, ...]) -> None:
        if answer is not None:
            two = self.__name__ in _OF_TWO and len(args) > 1
            names = (args[0], None, args[1]) if two else args[:1]
            raise OSError(answer["errno"], os.strerror(answer["errno"]), *names)

    def _repeat(self, recorded: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Does to the copy what was done; of what was refused only tells."""
        refused = not isinstance(recorded, list) or recorded[1] is not None
        event = ACTS[self.__name__]
        if refused:
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
