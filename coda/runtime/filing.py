"""The events of what happened to files: found by looking at the workspace, or told by a primitive."""

from __future__ import annotations

from coda.log import BlobStore, Event, FileDeleted, FileListed, FileMade, FileRead, FileWrote
from coda.runtime.manifest import Change
from coda.runtime.places import FileAccess


def event_of_change(change: Change, *, by: str, cause: int | None) -> Event:
    """The event of a change that was found."""
    if change.op == "deleted":
        return FileDeleted(path=change.path, before=change.before, by=by, cause=cause)
    if change.op == "made":
        return FileMade(path=change.path, by=by, cause=cause)
    return FileWrote(
        path=change.path,
        digest=change.digest,
        size=change.size,
        before=change.before,
        mode=change.mode,
        mtime_ns=change.mtime_ns,
        target=change.target,
        by=by,
        cause=cause,
    )


def event_of_access(access: FileAccess, blobs: BlobStore, *, cause: int) -> Event:
    """The event of an access of a primitive; its contents are stored."""
    digest = blobs.put(access.after) if access.after is not None else None
    if access.op == "read":
        return FileRead(
            path=access.path, digest=digest, size=access.size, via=access.via, error=access.error, cause=cause
        )
    if access.op == "listed":
        return FileListed(path=access.path, via=access.via, cause=cause)
    if access.op == "made":
        return FileMade(path=access.path, by="tool", cause=cause)
    return FileWrote(
        path=access.path,
        digest=digest,
        size=access.size,
        before=blobs.put(access.before) if access.before is not None else None,
        mode=access.mode,
        mtime_ns=access.mtime_ns,
        by="tool",
        cause=cause,
    )
