"""A private copy of the recorded workspace, shown to the replaying worker at the recorded path.

Guarantee: nothing is written outside of a temporary folder of our own, which is removed at the end. Files
that the run read or changed have their recorded content, the others their recorded size and time. Where the
system allows mounts the copy stands at the original path; elsewhere the worker works in the copy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import weakref
from pathlib import Path

import coda
from coda.errors import LogError, MissingBlob
from coda.log import (
    BlobStore,
    Event,
    FileDeleted,
    FileMade,
    FileOpened,
    FileRead,
    FileRenamed,
    FileWrote,
    Import,
    Trace,
)
from coda.runtime import Change, Manifest, Mount, apply, left_out, materialise


class PrivateCopy:
    """The copy, and how it is shown."""

    def __init__(self, trace: Trace) -> None:
        self._blobs: BlobStore = trace.blobs
        self.root = trace.started.root
        self.base = Path(tempfile.mkdtemp(prefix="coda-replay-"))
        # Also at the end of a process that leaves in the middle of a replay: the viewer's.
        self._remove = weakref.finalize(self, shutil.rmtree, self.base, onerror=_make_removable)
        self.folder = self.base / "workspace"
        self.folder.mkdir()
        self.missing: list[str] = []
        self.placeholders: set[str] = set()
        """Files whose content is not in the log: only their size and time are right."""
        self.unlisted: set[str] = set()
        """Folders of which nothing is known but that they are there."""
        self._modes: dict[str, int] = {}
        self.outside: dict[str, str] = {}
        self._plan: list[Mount] | None = None
        self._shown_outside: dict[str, Path] = {}
        """Files of ours that stand at paths outside of the workspace."""
        self._changing: set[str] = set()
        """Files that were read more than once, with other content."""
        self._outside = self.base / "outside"
        self._outside.mkdir()
        self._temp = self.base / "tmp"
        self._temp.mkdir()
        self._temp_path = trace.started.temp or os.path.realpath(tempfile.gettempdir())
        """Where the program's temporary files were."""
        try:
            self._fill(trace)
        except BaseException:
            self.remove()
            raise

    def _fill(self, trace: Trace) -> None:
        digest = trace.started.manifest
        if digest is None:
            return
        manifest = Manifest.from_json(self._blobs.get(digest))
        contents = self._first_contents(trace)
        known = {path: blob for path, blob in contents.items() if self._has(blob)}
        opened = {
            placed.record.path
            for placed in trace.records(own=False, types={"file.opened"})
            if isinstance(placed.record, FileOpened)
        }
        self.placeholders = set(materialise(manifest, known, self.folder, blobs=self._blobs))
        self._modes = {path: entry.mode for path, entry in manifest.entries.items()}
        self.unlisted = left_out(manifest)
        for path in self.placeholders:
            os.chmod(self.folder / path, 0)  # nobody may take what is not known for content
        for path, blob in known.items():
            # Read, but not seen by the first scan (a file of a skipped folder, or beyond the limit).
            if path not in manifest.entries and path not in opened:
                self.put(path, blob)

    def _has(self, digest: str) -> bool:
        try:
            return self._blobs.has(digest)
        except (LogError, MissingBlob):
            return False

    def _first_contents(self, trace: Trace) -> dict[str, str]:
        """The earliest known content of each file that the run read or changed."""
        first: dict[str, str | None] = {}
        origin: dict[str, str | None] = {}
        """Where what lies at a path now lay at the start; None: the run made it."""
        late: set[str] = set()
        """Files that were opened to be changed, and only a later look tells what they held before."""
        kinds = {"file.read", "file.opened", "file.wrote", "file.deleted", "file.renamed", "import"}
        for placed in trace.records(own=False, types=kinds):
            record = placed.record
            if isinstance(record, FileDeleted | FileRenamed) and record.error is not None:
                continue
            if isinstance(record, FileRenamed):
                source = origin.get(record.path, record.path)
                if (replaced := origin.get(record.to, record.to)) is not None and replaced not in late:
                    first.setdefault(replaced, record.before)
                origin[record.to], origin[record.path] = source, None
                continue
            if isinstance(record, Import):
                path, digest = self._relative(record.path), record.digest
            elif isinstance(record, (FileRead, FileOpened, FileWrote, FileDeleted)):
                path = getattr(record, "resolved", None) or record.path
                digest = getattr(record, "before", getattr(record, "digest", None))
            else:
                continue
            looked_at = isinstance(record, FileRead) and digest is None and record.error is None
            source = None if path is None else origin.get(path, path)
            if source is None or looked_at:  # a search reads without keeping the content
                continue
            if isinstance(record, FileOpened) and digest is None and source not in first:
                late.add(source)
            if source in late and not _is_found(record):
                continue
            first.setdefault(source, digest)  # None: it was not there, or its content was not kept
            if isinstance(record, (FileWrote, FileDeleted)) and path is not None:
                origin[path] = None
            elif isinstance(record, FileRead) and path is not None and digest != first[source]:
                self._changing.add(path)
        known = {path: digest for path, digest in first.items() if digest is not None}
        self.outside = {path: known.pop(path) for path in list(known) if os.path.isabs(path)}
        return known

    def _relative(self, path: str | None) -> str | None:
        if path is None:
            return None
        prefix = self.root.rstrip(os.sep) + os.sep
        return path[len(prefix) :] if path.startswith(prefix) else path

    # --- while replaying -----------------------------------------------------------------------

    def content(self, path: str) -> bytes | None:
        """What a file of the copy holds now; None when there is none."""
        try:
            return (self._shown_outside.get(path) or self._place(path)).read_bytes()
        except OSError:
            return None

    def holds_folder(self, path: str) -> bool:
        """Whether there is such a folder in the copy, and no link leads out of it."""
        place = os.path.realpath(self.folder / path)
        return os.path.isdir(place) and (place + os.sep).startswith(os.path.realpath(self.folder) + os.sep)

    def hides(self, path: str) -> bool:
        """Whether there may have been something at a path of which the copy knows nothing."""
        if path in self.unlisted:
            return True
        above = any(str(folder) in self.unlisted for folder in Path(path).parents)
        return above and not os.path.lexists(self.folder / path)

    def digest(self, path: str) -> str | None:
        """SHA-256 of a file of the copy."""
        content = self.content(path)
        return None if content is None else hashlib.sha256(content).hexdigest()

    def put(self, path: str, digest: str, *, blobs: BlobStore | None = None) -> None:
        """Gives a file of the copy a content: of the trace's blobs, or of others."""
        if os.path.isabs(path):
            self._put_outside(path, digest)
            return
        place = self._place(path)
        before = place.lstat() if place.exists() else None
        if path in self.placeholders:
            self.placeholders.discard(path)
            place.unlink(missing_ok=True)
        change = Change(
            op="wrote",
            path=path,
            digest=digest,
            mode=self._modes.get(path, before.st_mode & 0o7777 if before else None),
            mtime_ns=before.st_mtime_ns if before else None,
        )
        apply(change, self.folder, blobs=blobs or self._blobs)

    def _put_outside(self, path: str, digest: str) -> None:
        """Somebody else changed a file outside of the workspace between two looks at it."""
        if path in self._shown_outside:
            self._shown_outside[path].write_bytes(self._blobs.get(digest))
        else:
            self.missing.append(path)

    def renamed(self, path: str, to: str) -> None:
        """The worker renames a file of the copy: what is not known of it stays unknown."""
        self.placeholders.discard(to)
        if path in self.placeholders:
            self.placeholders.discard(path)
            self.placeholders.add(to)
            self._modes[to] = self._modes.get(path, 0o644)

    def overwritten(self, path: str) -> None:
        """The worker is about to overwrite a file of the copy: what is not known of it is lost anyway."""
        if path in self.placeholders:
            self.placeholders.discard(path)
            os.chmod(self.folder / path, self._modes.get(path, 0o644))

    def apply(self, record: Event) -> None:
        """Does to the copy what an opaque act or somebody else did to the workspace."""
        self._forget_placeholder(record)
        if isinstance(record, FileWrote):
            if record.target is not None:
                change = Change(op="linked", path=record.path, target=record.target, mtime_ns=record.mtime_ns)
            else:
                change = Change(
                    op="wrote",
                    path=record.path,
                    digest=record.digest,
                    size=record.size,
                    mode=record.mode,
                    mtime_ns=record.mtime_ns,
                )
        elif isinstance(record, FileDeleted):
            change = Change(op="deleted", path=record.path)
        elif isinstance(record, FileMade):
            change = Change(op="made", path=record.path)
        else:
            return
        if not os.path.isabs(change.path):
            apply(change, self.folder, blobs=self._blobs)

    def perform(self, record: Event) -> None:
        """Does to the copy what a block did that is not run."""
        if getattr(record, "error", None) is not None:
            return
        if isinstance(record, FileRenamed):
            self.renamed(record.path, record.to)
            old, new = self._place(record.path), self._place(record.to)
            if not os.path.isabs(record.path) and not os.path.isabs(record.to) and os.path.lexists(old):
                new.parent.mkdir(parents=True, exist_ok=True)
                os.replace(old, new)
        else:
            self.apply(record)

    def _forget_placeholder(self, record: Event) -> None:
        path = getattr(record, "path", None)
        if path in self.placeholders and isinstance(record, (FileWrote, FileDeleted)):
            self.placeholders.discard(path)
            self._place(path).unlink(missing_ok=True)

    def _place(self, path: str) -> Path:
        if os.path.isabs(path):
            real = Path(path)
            if path.startswith(self._temp_path + os.sep):
                return self._temp / os.path.relpath(path, self._temp_path)
            return real
        return self.folder / path

    def writable(self, *, mounted: bool) -> list[str]:
        """Where the worker may write: both are ours, and stand at the recorded places when mounted."""
        if not mounted:
            return [str(self.folder), str(self._temp)]
        return [self.root] if self._temp_is_inside() else [self.root, self._temp_path]

    def _temp_is_inside(self) -> bool:
        """Whether temporary files lie in the workspace: then they are the workspace's."""
        return self._temp_path == self.root or self._temp_path.startswith(self.root.rstrip(os.sep) + os.sep)

    # --- mounts --------------------------------------------------------------------------------

    def mounts(self) -> list[Mount]:
        """What the worker shows where, in order: environments, the workspace, a temporary folder."""
        if self._plan is None:
            self._plan = self._mounts()
        return self._plan

    def _mounts(self) -> list[Mount]:
        plan: list[Mount] = []
        root, temp = self.root, self._temp_path
        if self._temp_is_inside():
            temp = str(self._temp)  # nowhere that the program knows
        within_temp = root.startswith(temp + os.sep)
        for folder in self._environments():
            if folder.startswith(root + os.sep):
                target = self.folder / os.path.relpath(folder, root)
                target.mkdir(parents=True, exist_ok=True)
                plan.append(Mount(folder, str(target)))
            elif folder.startswith(temp + os.sep):
                target = self._temp / os.path.relpath(folder, temp)
                target.mkdir(parents=True, exist_ok=True)
                plan.append(Mount(folder, str(target)))
        plan += self._files_outside()
        if within_temp:
            inner = self._temp / os.path.relpath(root, temp)
            inner.mkdir(parents=True, exist_ok=True)
            plan.append(Mount(str(self.folder), str(inner)))
            return plan + self._shown({temp: self._temp})
        if self._temp_is_inside():
            return plan + self._shown({root: self.folder})
        return plan + self._shown({root: self.folder, temp: self._temp})

    def _shown(self, folders: dict[str, Path]) -> list[Mount]:
        """Mounts that show our folders at paths, also at such that are not there any more."""
        plan: list[Mount] = []
        there: list[Mount] = []
        gone: dict[str, dict[str, Path]] = {}
        for path, source in folders.items():
            if os.path.isdir(path):
                there.append(Mount(str(source), path))
                continue
            parent = os.path.dirname(path)
            while not os.path.isdir(parent):
                parent = os.path.dirname(parent)
            gone.setdefault(parent, {})[path] = source
        for number, (parent, missing) in enumerate(gone.items()):
            plan += self._graft(parent, missing, self.base / f"graft{number}")
        return plan + there  # last: our own folders lie in a temporary folder, which one of these may hide

    def _graft(self, parent: str, missing: dict[str, Path], graft: Path) -> list[Mount]:
        """Shows a folder with all that is in it, and with ours added at paths below it."""
        graft.mkdir()
        plan = []
        for entry in sorted(os.scandir(parent), key=lambda entry: entry.name):
            place = graft / entry.name
            if entry.is_symlink():
                place.symlink_to(os.readlink(entry.path))
            elif entry.is_dir():
                place.mkdir()
                plan.append(Mount(entry.path, str(place)))
            elif entry.is_file():
                place.touch()
                plan.append(Mount(entry.path, str(place)))
        for path, source in missing.items():
            target = graft / os.path.relpath(path, parent)
            target.mkdir(parents=True, exist_ok=True)
            plan.append(Mount(str(source), str(target)))
        return [*plan, Mount(str(graft), parent)]

    def _environments(self) -> list[str]:
        """Folders that the worker itself needs, wherever they lie."""
        package = os.path.dirname(os.path.abspath(coda.__file__))
        found = {os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, package)}
        found |= {
            os.path.abspath(path) for path in sys.path if os.path.isdir(path) and "site-packages" in path
        }
        return sorted(path for path in found if os.path.isdir(path))

    def _files_outside(self) -> list[Mount]:
        """Files outside of the workspace that are not any more what was read."""
        plan: list[Mount] = []
        for path, digest in self.outside.items():
            if path.startswith(self._temp_path + os.sep):
                place = self._place(path)
                place.parent.mkdir(parents=True, exist_ok=True)
                self._shown_outside[path] = place
                if self._has(digest):
                    place.write_bytes(self._blobs.get(digest))
                continue
            try:
                same = hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest
            except OSError:
                same = False
            if (same and path not in self._changing) or not self._has(digest):
                continue
            if not os.path.exists(path):
                self.missing.append(path)
                continue
            copy = self._outside / str(len(plan))
            copy.write_bytes(self._blobs.get(digest))
            self._shown_outside[path] = copy
            plan.append(Mount(str(copy), path))
        return plan

    def remove(self) -> None:
        """Removes the copy."""
        self._remove()


def _is_found(record: Event) -> bool:
    """Whether it is what a look at the workspace found, which knows what was there at the look before."""
    return isinstance(record, (FileWrote, FileDeleted)) and (record.cause is not None or record.by != "agent")


def _make_removable(function: object, path: str, _error: object) -> None:
    try:
        os.chmod(os.path.dirname(path), 0o700)
        os.chmod(path, 0o700)
        os.unlink(path) if not os.path.isdir(path) else shutil.rmtree(path, ignore_errors=True)
    except OSError:
        return
