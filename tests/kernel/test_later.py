"""Modules that are loaded when they are first used."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import sys
from procman import later
from procman.core import fleet
assert "procman.core.execution" not in sys.modules
{}
assert "procman.core.execution" in sys.modules
assert fleet.execution is sys.modules["procman.core.execution"]
"""


def ends_well(code: str) -> bool:
    return subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_module_is_loaded_by_its_first_use() -> None:
    assert ends_well(LOADED.format("fleet.execution.execute"))


def test_what_was_not_used_is_loaded_with_all_others() -> None:
    assert ends_well(LOADED.format("later.load_all(); later.load_all()"))


def test_one_is_loaded_though_no_descriptor_is_left() -> None:
    taken = (
        "import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); spare = os.dup(0)\n"
        "later.keep_room(lambda: os.close(spare))\n"
        "try:\n    while True: os.dup(0)\nexcept OSError: pass\n"
        "fleet.execution.execute"
    )
    assert ends_well(LOADED.format(taken))
