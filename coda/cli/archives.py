"""Programs in zip files, as `zipapp` makes them. In a module of its own: loading `zipfile` takes a while."""

from __future__ import annotations

import io
import zipfile
import zlib

from coda.errors import UsageError

_MAIN = "__main__.py"


def main_of(content: bytes, program: str) -> bytes | None:
    """Gives the bytes of the `__main__.py` of a zip file; None when the content is no zip file.

    Raises:
        UsageError: it cannot be read, or holds none.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(_MAIN)
    except KeyError as error:
        raise UsageError(f"cannot run {program}: it is a zip file without a {_MAIN}") from error
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise UsageError(f"cannot run {program}: the zip file cannot be read: {error}") from error
