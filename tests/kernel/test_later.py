"""Modules that are loaded when they are first used."""

from __future__ import annotations

import os
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
    writes_bytecode = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run([sys.executable, "-c", code], timeout=60, env=writes_bytecode).returncode == 0


def test_a_module_is_loaded_by_its_first_use() -> None:
    assert ends_well(LOADED.format("fleet.execution.execute"))


def test_what_is_used_soon_and_what_cannot_be_held_is_loaded() -> None:
    assert ends_well(
        LOADED.format("later.keep_all(['procman.core.execution'], lambda name: True)\nfleet.execution.execute")
    )
    assert ends_well(LOADED.format("later.keep_all([], lambda name: False)\nfleet.execution.execute"))


def test_what_is_held_is_not_loaded() -> None:
    code = """
from procman import later
from procman.core import fleet
import sys
names = []
later.keep_all([], lambda name: not names.append(name))
later.keep_all([], lambda name: not names.append(name))
assert "procman.core.execution" in names
assert "procman.core.execution" not in sys.modules
"""
    assert ends_well(code)


AT_REST = """
import os, resource, sys
from procman import bytecode, later
bytecode.use()
import procman.cli.starting, procman.app.run, procman.serve.server
from procman.kernel.survive.lazyupgrade import SOON
"""


def test_a_procman_at_rest_needs_no_file_and_no_descriptor_for_any_module_that_was_put_off() -> None:
    assert ends_well(AT_REST + "later.keep_all(SOON, lambda name: False)")  # the bytecode of each is there now
    code = """
later.keep_all(SOON, bytecode.hold)
assert {*SOON} <= sys.modules.keys()
held = {*bytecode._held}
assert {"procman.app.resume", "procman.core.why"} <= held
assert not held & sys.modules.keys()
bytecode._read = lambda source, cached: None
sys.meta_path[:] = [bytecode._FINDER]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True: os.dup(0)
except OSError:
    pass
for name in sorted(held):
    __import__(name)
while later._waiting:
    later._load(later._waiting[0])
assert held <= sys.modules.keys() and not bytecode._held
"""
    assert ends_well(AT_REST + code)


def test_one_is_loaded_though_no_descriptor_is_left() -> None:
    taken = (
        "import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); spare = os.dup(0)\n"
        "later.keep_room(lambda: os.close(spare))\n"
        "try:\n    while True: os.dup(0)\nexcept OSError: pass\n"
        "fleet.execution.execute"
    )
    assert ends_well(LOADED.format(taken))
