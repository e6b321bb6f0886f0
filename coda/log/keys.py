"""The user's key: by it seals say who wrote a trace, not only that it is whole.

Guarantee: the key lies in the user's state folder, mode 0600, never beside a trace and never in what a worker
is told; a key that others could read or have written is not used. What it shows is that the trace was written
by this user's coda: it does not protect against code that runs as the user, which could read the key as well.
A record of where a key was missing is never a failure: the trace is then one without a signature.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from coda.log.records import Seal

KEY_BYTES: Final = 32
_PURPOSE: Final = b"coda seal 1\n"


class Key(NamedTuple):
    """A key with the short name by which seals tell whose they are."""

    id: str
    secret: bytes

    def sign(self, *, offset: int, events: int, sha256: str) -> str:
        """Gives the `mac` of a seal: the key's name and an HMAC-SHA256 over what the seal says.

        Source: RFC 2104. The digest covers all bytes before the seal, the header with the run's id included.
        """
        said = _PURPOSE + f"{offset}\n{events}\n{sha256}\n".encode()
        return f"{self.id}:{hmac.new(self.secret, said, hashlib.sha256).hexdigest()}"

    def signed(self, seal: Seal) -> bool | None:
        """Tells whether a seal is this key's: None when it bears no mac, or another key's name."""
        if seal.mac is None or seal.mac.partition(":")[0] != self.id:
            return None
        return hmac.compare_digest(
            seal.mac, self.sign(offset=seal.offset, events=seal.events, sha256=seal.sha256)
        )


class FoundKey(NamedTuple):
    """The user's key, or why there is none."""

    key: Key | None
    path: Path | None
    problem: str | None


def key_path(environ: Mapping[str, str] | None = None) -> Path | None:
    """Gives where the user's key is kept; None without a home folder.

    Source: XDG Base Directory Specification (a relative path is to be ignored).
    """
    environ = os.environ if environ is None else environ
    base = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        home = os.path.expanduser("~")
        if not os.path.isabs(home):
            return None
        base = os.path.join(home, ".local", "state")
    return Path(base) / "coda" / "key"


def find_key(*, make: bool = False, environ: Mapping[str, str] | None = None) -> FoundKey:
    """Gives the user's key; never raises.

    Args:
        make: make one when there is none (a recording does, a reader does not).
        environ: where the state folder is looked up; None asks this process's environment.
    """
    path = key_path(environ)
    if path is None:
        return FoundKey(None, None, "there is no home folder to keep a key in")
    try:
        if make and not path.exists():
            _make(path)
        return FoundKey(_read(path), path, None)
    except FileNotFoundError:
        return FoundKey(None, path, f"there is no key at {path}; the next recording makes one")
    except OSError as error:
        return FoundKey(None, path, f"the key {path} cannot be used: {error.strerror}")
    except ValueError as error:
        return FoundKey(None, path, f"the key {path} is not used: {error}")


def _read(path: Path) -> Key:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no file")
        if status.st_uid != os.geteuid():
            raise ValueError("it belongs to another user")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise ValueError("others may read or change it; `chmod 600` it, or remove it for a new one")
        text = os.read(fd, 4 * KEY_BYTES)
    finally:
        os.close(fd)
    try:
        secret = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise ValueError("it is damaged; remove it for a new one")
    return Key(hashlib.sha256(b"coda key id\n" + secret).hexdigest()[:16], secret)


def _make(path: Path) -> None:
    """Makes a key, whole at once: whoever comes at the same time finds none or this one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".key-{os.getpid()}-{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, secrets.token_hex(KEY_BYTES).encode() + b"\n")
        os.fsync(fd)
        os.link(draft, path)  # unlike a rename it never takes the place of a key
    except FileExistsError:
        pass  # another recording was first: its key is the key
    finally:
        os.close(fd)
        os.unlink(draft)
