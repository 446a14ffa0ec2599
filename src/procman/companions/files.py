"""Files that others read, replaced by rename so that no reader sees half. Raises ProcmanError."""

from __future__ import annotations

import os
import stat
import tempfile

from procman.errors import ProcmanError


def write_whole(path: str, data: bytes, *, private: bool = False) -> bool:
    """Write the file; returns whether its content has changed. The mode of an existing file is kept. A new one can be read by
    others, as a balancer often runs as another user, or is `private`, in a folder that exists already.
    """
    mode = 0o600 if private else 0o644
    try:
        try:
            with open(path, "rb") as file:
                if file.read(len(data) + 1) == data:
                    return False
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        except FileNotFoundError:
            if not private:
                os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        handle, new = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path) or ".")
        try:
            with open(handle, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
            os.replace(new, path)
        except OSError:
            os.unlink(new)
            raise
    except OSError as error:
        raise ProcmanError(
            f"cannot write {path}: {error.strerror or error}", "check that procman's user may write there"
        ) from None
    return True
