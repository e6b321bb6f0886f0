"""Whether a file can be opened for writing, seen just before it is.

Guarantee: nothing is made, changed or locked by the look. An open is not asked again afterwards, since the
builtin that does it is left as it is; like the look at a file before it is read, this one is as right as
others let it be who change the same files at that moment.
"""

from __future__ import annotations

import errno
import os
import stat


def refusal(full: str, flags: int) -> OSError | None:
    """Gives what the system will say to an open, None when it will go.

    Args:
        full: absolute path.
        flags: as for `os.open`; they ask for writing.
    """
    try:
        if flags & os.O_CREAT and flags & os.O_EXCL and os.path.lexists(full):
            return _error(errno.EEXIST)
        found = os.stat(full)
    except FileNotFoundError as error:
        return _refusal_to_make(full) if flags & os.O_CREAT else error
    except OSError as error:
        return error
    if stat.S_ISDIR(found.st_mode):
        return _error(errno.EISDIR)
    return None if os.access(full, os.W_OK, effective_ids=_BY_EFFECT) else _error(errno.EACCES)


def _refusal_to_make(full: str) -> OSError | None:
    folder = os.path.dirname(os.path.realpath(full))
    try:
        os.stat(folder)
    except OSError as error:
        return error
    allowed = os.access(folder, os.W_OK | os.X_OK, effective_ids=_BY_EFFECT)
    return None if allowed else _error(errno.EACCES)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


_BY_EFFECT = os.access in os.supports_effective_ids
