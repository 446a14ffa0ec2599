"""Writes a file for its user alone, in a folder that others may be able to write to. Knows nothing of what is in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable


def write_private(path: str, lines: Iterable[bytes]) -> None:
    """A file of mode 0600 with these bytes takes the place of what is there; never through a link. Raises OSError."""
    fresh = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.writelines(lines)
        os.rename(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
