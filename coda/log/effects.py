"""The records of what agent code did outside: files, child processes, connections.

Guarantee: what another process could see stands in the log before it was done; contents are in blobs that
were complete before. See `coda.log.events`, which lists all types.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from coda.log.records import Located

UNKEPT: Final = "unkept"
"""Stands for a content that nobody looked at, which equals no other."""


class FileOpened(Located, tag="file.opened", frozen=True, kw_only=True):
    """A file was opened for writing; on disk before the open."""

    path: str
    """Relative to the root when inside it, else absolute."""
    mode: str = ""
    """As given to `open`; or `truncate`, `link`, `sqlite3` for what changes a file in another way."""
    given: str | None = None
    """As the code named it, when that differs from `path`."""
    resolved: str | None = None
    """Where it led, as `path` says it, when the file or a folder above it is a symbolic link."""
    before: str | None = None
    """Blob of what it held; null when it was not there, or its content is not kept."""
    error: str | None = None
    """Type of the exception when it failed; not stored: a reader has it from the `file.failed` behind it."""


class FileRead(Located, tag="file.read", frozen=True, kw_only=True):
    """A file was opened readable; its content at that moment is the blob."""

    path: str
    """As in `file.opened`."""
    given: str | None = None
    """As in `file.opened`."""
    resolved: str | None = None
    """As in `file.opened`."""
    digest: str | None = None
    """Blob of the content; None when it is not kept (too large, a device)."""
    size: int = 0
    """Of the content, in bytes."""
    via: str = "open"
    """`open`, `import`, `main` (the program itself), `sqlite3`, or the primitive's name."""
    error: str | None = None
    """Type of the exception when there was no such file, or no permission."""


class FileWrote(Located, tag="file.wrote", frozen=True, kw_only=True):
    """Content of a file after a write was noticed."""

    path: str
    """As in `file.opened`."""
    digest: str | None = None
    """Blob of the content; null when it is not kept (too large, a link)."""
    size: int = 0
    """Of the content, in bytes."""
    before: str | None = None
    """Blob of the content before, None when the file is new or was not kept."""
    mode: int | None = None
    """Its permissions, as a number; null when not known."""
    mtime_ns: int | None = None
    """Its time of modification, in nanoseconds since 1970; null when not known."""
    target: str | None = None
    """Where it points, when it is a symbolic link."""
    by: str = "agent"
    """`agent` (its own open), `tool`, `process`, or `unseen` (no event explains it)."""


class FileDeleted(Located, tag="file.deleted", frozen=True, kw_only=True):
    """A file or an empty directory went away."""

    path: str
    """As in `file.opened`."""
    before: str | None = None
    """Blob of what it held; null when that was not kept, or it was a directory."""
    by: str = "agent"
    """As in `file.wrote`."""
    error: str | None = None
    """As in `file.opened`."""


class FileRenamed(Located, tag="file.renamed", frozen=True, kw_only=True):
    """A file was renamed."""

    path: str
    """The old name, as in `file.opened`."""
    to: str
    """The new name, likewise."""
    before: str | None = None
    """Blob of what the new name held; null when nothing was there, or its content is not kept."""
    error: str | None = None
    """As in `file.opened`."""


class FileMade(Located, tag="file.made", frozen=True, kw_only=True):
    """A directory was made."""

    path: str
    """As in `file.opened`."""
    by: str = "agent"
    """As in `file.wrote`."""
    error: str | None = None
    """As in `file.opened`."""


class FileFailed(Located, tag="file.failed", frozen=True, kw_only=True):
    """The act before, whose seq is `cause`, failed: it did nothing. Older traces do not tell."""

    path: str
    """Of the act."""
    error: str
    """Type of the exception."""
    errno: int | None = None
    """Number of the system's error."""


class FileListed(Located, tag="file.listed", frozen=True, kw_only=True):
    """A directory was listed."""

    path: str
    """As in `file.opened`."""
    via: str = "listdir"
    """`listdir`, or the primitive's name."""


class FileChanged(Located, tag="file.changed", frozen=True, kw_only=True):
    """Somebody else changed a file while the run went on."""

    path: str
    """As in `file.opened`."""
    digest: str | None = None
    """Blob of the new content; null when it is not kept."""
    size: int = 0
    """Of the new content, in bytes."""
    by: str = "outside"
    """Who, as far as is known."""


class ProcessStarted(Located, tag="process.started", frozen=True, kw_only=True):
    """A child process; on disk before it is started."""

    argv: tuple[str, ...] = ()
    """Program and arguments; of a shell command, the command alone."""
    shell: bool = False
    """Whether a shell was to run it."""
    cwd: str | None = None
    """Where it was started; null: in the program's own directory."""
    stdin: str | None = None
    """Blob of what it is fed."""
    via: str = "subprocess.run"
    """The function that started it."""
    child: int | None = None
    """Number of a child that is talked to while it runs (`subprocess.Popen`), from 1."""
    pipes: tuple[str, ...] = ()
    """Which of `stdin`, `stdout` and `stderr` are pipes to such a child."""
    env: dict[str, str | None] = msgspec.field(default_factory=dict)
    """Variables that differ from the program's own environment; None for one that was left out."""
    environ: str | None = None
    """Digest of the variables that the program itself had set or removed by then; null: none."""
    folder: str | None = None
    """The program's own directory then, relative to the one it began in; null: still that one."""
    source: str | None = None
    """Its standard input: a device, a file and the offset, or the output of another child; `unkept` when
    nobody kept the content; null: the program's own, or what `stdin` or `pipes` say."""
    outside: str | None = None
    """Digest of the files outside of the workspace that the program had changed; `unkept` when one is too
    large; null: none."""


class ProcessSignaled(Located, tag="process.signaled", frozen=True, kw_only=True):
    """A signal to another process; on disk before it is sent. What came of it is the host's next answer."""

    pid: int
    """The process, or the process group; as `kill` takes it."""
    number: int
    """The signal; 0 only looks whether somebody is there."""
    group: bool = False
    """Whether it is for a process group."""


class ProcessIo(Located, tag="process.io", frozen=True, kw_only=True):
    """A piece that went through a pipe to or from a child; `cause` is its start."""

    child: int
    """Number of the child, as in `process.started`."""
    stream: str
    """`stdin`, `stdout` or `stderr`."""
    digest: str | None = None
    """Blob of the bytes."""
    size: int = 0
    """How many bytes; 0 is the end: the writer has closed the pipe."""


class ProcessFinished(Located, tag="process.finished", frozen=True, kw_only=True):
    """What the child left: `cause` is its start."""

    code: int | None = None
    """Exit status, negative for a signal; null when there is none."""
    stdout: Any = None
    """What was captured of it, in the value envelope; null when nothing was."""
    stderr: Any = None
    """Likewise."""
    error: dict[str, Any] | None = None
    """The exception that the call raised (timeout, not found), as in `tool.returned`."""
    child: int | None = None
    """Number of a child that was talked to while it ran; its output is in `process.io`."""
    pid: int | None = None
    """Process id of such a child."""
    fed: str | None = None
    """SHA-256 of all that was written to its standard input, when the child took it all."""


class NetConnected(Located, tag="net.connected", frozen=True, kw_only=True):
    """A connection was about to be made."""

    address: str
    """Where to, as text."""
    conn: int | None = None
    """Number of the connection, from 1; None for one whose pieces are not recorded."""


class NetOpened(Located, tag="net.opened", frozen=True, kw_only=True):
    """A connection was made, or not."""

    conn: int
    """Number of the connection, as in `net.connected`."""
    local: Any = None
    """The own address, as the socket gives it."""
    peer: Any = None
    """The other side's address, likewise."""
    error: dict[str, Any] | None = None
    """{"type", "args"} of the exception instead."""


class NetSent(Located, tag="net.sent", frozen=True, kw_only=True):
    """A piece was about to be sent; what TLS encrypts is here in clear, but not on an event loop."""

    conn: int
    """Number of the connection."""
    digest: str | None = None
    """Blob of the bytes."""
    size: int = 0
    """How many bytes."""


class NetReceived(Located, tag="net.received", frozen=True, kw_only=True):
    """A piece came in, in clear; size 0 is the end."""

    conn: int
    """Number of the connection."""
    digest: str | None = None
    """Blob of the bytes."""
    size: int = 0
    """How many bytes."""
    error: dict[str, Any] | None = None
    """{"type", "args"} of the exception instead."""
