"""What the tests of claims share."""

import contextlib
import os
import stat
from pathlib import Path

import pytest

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


def environment(tmp_path, runtime):
    for folder in (runtime, "tmp"):
        (tmp_path / folder).mkdir(exist_ok=True)
    return {"XDG_RUNTIME_DIR": str(tmp_path / runtime), "TMPDIR": str(tmp_path / "tmp")}


def release(made):
    with contextlib.suppress(OSError):  # the test may have done it
        made.release()


def mode(path):
    return stat.S_IMODE(Path(path).stat().st_mode)
