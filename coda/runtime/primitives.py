"""The seven functions that agent code has from the start: ls, glob, grep, read, write, edit, bash.

Guarantee: the six that take paths stay below the root; text that is read and written back is the same
bytes; a write is all or nothing; every result is bounded and says when it was cut; every access is told
to `on_file`, so that the log has it with its content. They run in the host, as tools do; what a command
of `bash` does to files is not told here but found by comparing the workspace.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from coda.runtime.alarm import time_limit
from coda.runtime.beneath import read_whole
from coda.runtime.places import FileAccess, OnFile, Places
from coda.runtime.search import find, matcher, search
from coda.runtime.shell import Shell, Spool, Spooled, allowed_env
from coda.runtime.tools import Tool, make_tool

EFFECTS: dict[str, str] = {
    "ls": "read",
    "glob": "read",
    "grep": "read",
    "read": "read",
    "write": "act",
    "edit": "act",
    "bash": "act",
}
"""The primitives in the order in which they are declared, with their effect."""

_MAX_EDIT_BYTES = 64 << 20
_PIECE_BYTES = 1 << 20


class Primitives:
    """The primitives on one root.

    Args:
        root: an existing folder.
        env: the whole environment of shell commands; an allow list of this process's when None.
        on_file: told of each access to a file or folder, right after it.
        hidden: paths that ls, glob and grep leave out: the trace that is being written.
        bash_timeout_s: time limit of a command that has none of its own.
        grep_timeout_s: time limit of a search, in the main thread.
        max_read_bytes: most that one `read` gives.
        max_output_bytes: most that a result has of each stream of a command.
        max_kept_bytes: contents above this are not handed to `on_file`, and no more is kept of a stream.
        spool: begins a blob for the whole of a stream that is longer; None: it is not kept.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        env: Mapping[str, str] | None = None,
        on_file: OnFile | None = None,
        hidden: Iterable[str | os.PathLike[str]] = (),
        bash_timeout_s: float = 30.0,
        grep_timeout_s: float = 30.0,
        max_read_bytes: int = 5_000_000,
        max_output_bytes: int = 1_000_000,
        max_kept_bytes: int = 64 << 20,
        spool: Callable[[], Spool] | None = None,
    ) -> None:
        self._places = Places(root, hidden=hidden)
        self._on_file = on_file
        self._grep_timeout_s = grep_timeout_s
        self._max_read_bytes = max_read_bytes
        self._max_kept_bytes = max_kept_bytes
        self._shell = Shell(
            self._places.root,
            env=allowed_env() if env is None else env,
            timeout_s=bash_timeout_s,
            max_output_bytes=max_output_bytes,
            spool=spool,
            max_spool_bytes=max_kept_bytes,
            on_output=self._tell_output,
        )

    def tools(self) -> list[Tool]:
        """Gives the primitives as tools of origin `primitive`."""
        return [
            make_tool(getattr(self, name), effect=effect, origin="primitive")
            for name, effect in EFFECTS.items()
        ]

    def stop(self) -> bool:
        """Ends the shell commands that run; False when none does."""
        return self._shell.stop()

    def close(self) -> None:
        """Ends what shell commands left running."""
        self._shell.close()

    # --- looking ------------------------------------------------------------------------------

    def ls(self, path: str = ".") -> list[str]:
        """Lists a folder: names, sorted; those of folders end with "/"."""
        rel = self._places.resolve(path)
        rows = self._places.list_folder(rel)
        self._tell(FileAccess("listed", rel, "ls", size=len(rows)))
        return [name + "/" if is_folder else name for name, is_folder, _ in rows]

    def glob(self, pattern: str, root: str = ".") -> list[str]:
        """Finds paths by pattern ("**/*.py"), sorted, relative to the workspace; none is an empty list.

        `*` also matches hidden names. Folders such as .git, .venv and node_modules are left out unless
        the pattern names them. Links to folders outside the workspace are not followed.
        """
        rel = self._places.resolve(root)
        self._places.list_folder(rel)  # A folder that is not there is an error, not an empty answer.
        found = find(self._places, pattern, rel)
        self._tell(FileAccess("listed", rel, "glob", size=len(found)))
        return found

    def grep(
        self,
        pattern: str,
        path: str = ".",
        regex: bool = True,
        *,
        ignore_case: bool = False,
        glob: str | None = None,
        max_results: int = 1000,
    ) -> list[tuple[int, str, str]]:
        """Finds lines: a list of (line number, path, line), sorted by path.

        `glob` keeps files by name ("*.py") or by path ("src/*.py"). Binary files and folders such as .git,
        .venv, node_modules, dist and build are left out. When more than `max_results` lines match, the
        last row is (0, "", notice).
        """
        if isinstance(max_results, bool) or not isinstance(max_results, int) or max_results < 1:
            raise ValueError(f"grep() needs max_results of 1 or more; got {max_results!r}")
        matches = matcher(pattern, regex=regex, ignore_case=ignore_case)
        rel = self._places.resolve(path)
        seconds = self._grep_timeout_s
        searched: list[FileAccess] = []
        try:
            # An expression such as (a+)+$ can take for ever on one line. Nothing is told in here: an alarm
            # must not land in the middle of a record.
            with time_limit(
                seconds, f"grep() took more than {seconds:g} seconds: narrow the path or pattern"
            ):
                return search(
                    self._places,
                    matches,
                    rel,
                    name_glob=glob,
                    max_results=max_results,
                    on_file=searched.append,
                )
        finally:
            for access in searched:
                self._tell(access)

    def read(
        self,
        path: str,
        offset: int = 1,
        limit: int | None = None,
        with_line_numbers: bool = False,
        encoding: str = "utf-8",
    ) -> str:
        """Gives the text of a file, exactly: written back, it is the same file.

        `offset` is the first line (from 1), `limit` how many lines; `with_line_numbers` puts the number
        and a tab before each line, for showing. Only line feeds end a line.
        """
        _check_range(offset, limit)
        rel = self._places.resolve(path)
        try:
            fd = self._places.open_file(rel)
        except OSError as error:
            self._tell(FileAccess("read", rel, "read", error=type(error).__name__))
            raise
        with open(fd, "rb") as file:
            found = os.fstat(fd)
            whole = file.read(self._max_kept_bytes + 1) if found.st_size <= self._max_kept_bytes else None
            if whole is not None and len(whole) > self._max_kept_bytes:
                whole = None
            access = FileAccess(
                "read", rel, "read", size=found.st_size, after=whole, mtime_ns=found.st_mtime_ns
            )
            self._tell(access)
            if whole is not None and offset == 1 and limit is None:
                data = whole
            else:
                file.seek(0)
                data = _pick(file, offset, limit, self._max_read_bytes)
        if len(data) > self._max_read_bytes:
            raise ValueError(
                f"{rel} has {found.st_size} bytes to read, and read() gives at most {self._max_read_bytes}: "
                "read a part with offset= and limit=, or search it with grep()"
            )
        text = _decode(data, encoding, rel)
        return _numbered(text, offset) if with_line_numbers else text

    # --- acting -------------------------------------------------------------------------------

    def write(self, path: str, content: str | bytes, encoding: str = "utf-8") -> int:
        """Writes a file, all or nothing, making the folders above it; gives the number of bytes."""
        if isinstance(content, str):
            data = content.encode(encoding)
        elif isinstance(content, bytes | bytearray):
            data = bytes(content)
        else:
            raise TypeError(f"write() takes text or bytes as content; got {type(content).__name__}")
        rel = self._places.resolve(path)
        self._replace(rel, data, "write", self._content(rel))
        return len(data)

    def edit(self, path: str, old: str, new: str, replace_all: bool = False) -> int:
        """Replaces text in a file; gives the number of replacements.

        `old` must be there exactly once, unless `replace_all`. Encoding and line ends of the file stay:
        when it has Windows line ends, plain ones in `old` and `new` stand for them.
        """
        if not old:
            raise ValueError("edit() needs the text to replace; got an empty old")
        rel = self._places.resolve(path)
        fd = self._places.open_file(rel)
        with open(fd, "rb") as file:
            data = file.read(_MAX_EDIT_BYTES + 1)
        if len(data) > _MAX_EDIT_BYTES:
            raise ValueError(
                f"{rel} has more than {_MAX_EDIT_BYTES} bytes: change it with a program or bash()"
            )
        encoding = _encoding_of(data)
        text = data.decode(encoding, "surrogateescape")
        count = text.count(old)
        if not count and "\r\n" in text and "\r\n" not in old:
            old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
            count = text.count(old)
        if not count:
            raise ValueError(f"the text to replace is not in {rel}; read it again and copy it exactly")
        if count > 1 and not replace_all:
            raise ValueError(
                f"the text to replace is {count} times in {rel}; "
                "give more of its surroundings, or replace_all=True"
            )
        changed = text.replace(old, new).encode(encoding, "surrogateescape")
        kept = data if len(data) <= self._max_kept_bytes else None
        self._tell(FileAccess("read", rel, "edit", size=len(data), after=kept))
        self._replace(rel, changed, "edit", kept)
        return count

    def bash(self, cmd: str, timeout_s: float | None = None) -> dict[str, Any]:
        """Runs a shell command in the workspace: {"stdout", "stderr", "returncode", "timed_out"}.

        It is ended with all its children after `timeout_s` seconds (30 unless told otherwise); returncode
        is then -1. It has no input. Of very long output the middle is left out, with a notice.
        """
        return dict(self._shell.run(cmd, timeout_s))

    # --- parts --------------------------------------------------------------------------------

    def _tell_output(self, spooled: Spooled) -> None:
        name, digest, size, kept = spooled
        self._tell(FileAccess("output", name, "bash", size=size, digest=digest, kept=kept))

    def _tell(self, access: FileAccess) -> None:
        if self._on_file is not None:
            self._on_file(access)

    def _content(self, rel: str) -> bytes | None:
        """Gives what a file holds before it is replaced; None when there is none, or too much."""
        if self._on_file is None:
            return None
        try:
            fd = self._places.open_file(rel)
        except (OSError, ValueError):
            return None
        try:
            return read_whole(fd, self._max_kept_bytes)
        finally:
            os.close(fd)

    def _replace(self, rel: str, data: bytes, via: str, before: bytes | None) -> None:
        if rel == ".":
            raise IsADirectoryError(f"{self._places.root} is the workspace itself, not a file")
        made, found = self._places.replace(rel, data)
        for folder in made:
            self._tell(FileAccess("made", folder, via))
        self._tell(
            FileAccess(
                "wrote",
                rel,
                via,
                size=len(data),
                before=before,
                after=data if len(data) <= self._max_kept_bytes else None,
                mode=found.st_mode & 0o7777,
                mtime_ns=found.st_mtime_ns,
            )
        )


def _check_range(offset: int, limit: int | None) -> None:
    for name, number in (("offset", offset), ("limit", 1 if limit is None else limit)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"read() counts lines from 1: {name}={number!r} is not such a number")


def _pick(file: Any, offset: int, limit: int | None, max_bytes: int) -> bytes:
    """Reads some lines of a binary file; stops, too long, after `max_bytes`, also within a line."""
    chunks: list[bytes] = []
    size, number = 0, 1
    while size <= max_bytes and (limit is None or number < offset + limit):
        piece = file.readline(_PIECE_BYTES)  # a line may be as long as the file
        if not piece:
            break
        if number >= offset:
            chunks.append(piece)
            size += len(piece)
        number += piece.endswith(b"\n")
    return b"".join(chunks)


def _decode(data: bytes, encoding: str, rel: str) -> str:
    try:
        return data.decode(encoding)
    except LookupError:
        raise ValueError(f"there is no encoding {encoding!r}") from None
    except UnicodeDecodeError as error:
        hint = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
        raise ValueError(
            f"{rel} is not {encoding} text (byte {error.start}): name its encoding, for example "
            f"encoding={hint!r}, or open it with open(..., 'rb')"
        ) from None


def _encoding_of(data: bytes) -> str:
    """Gives an encoding in which a file can be changed without touching the rest of it."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        # With the mark kept as a character, both directions are exact.
        return "utf-16-le" if data[:1] == b"\xff" else "utf-16-be"
    return "utf-8"


def _numbered(text: str, first: int) -> str:
    lines = text.split("\n")
    last = lines.pop() if lines[-1] == "" else None
    numbered = "\n".join(f"{number:>6}\t{line}" for number, line in enumerate(lines, first))
    return numbered if last is None or not lines else numbered + "\n"
