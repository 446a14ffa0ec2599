"""What the program does before a verb runs."""

from __future__ import annotations

import subprocess
import sys


def test_the_garbage_collector_works_again_once_a_verb_is_loaded(nobody):
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print(gc.isenabled(), file=sys.stderr))\n"
        "from procman.cli import main\n"
        "main(['check'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "True\n"


def test_what_msgspec_imports_is_loaded_where_it_is_used_after_all():
    code = """
import os, sys
from procman.cli import early
early.load_msgspec()
assert not early.PUT_OFF.keys() & sys.modules.keys()
import msgspec, platform
assert platform.system() == os.uname().sysname
assert platform.python_version() == "%d.%d.%d" % sys.version_info[:3]
assert isinstance(msgspec.inspect.type_info(int), msgspec.inspect.IntType)
assert msgspec.json.schema(dict[str, int])["type"] == "object"
import msgspec.inspect, textwrap
assert textwrap.dedent(" a") == "a"
from datetime import UTC, datetime
assert msgspec.json.decode(msgspec.json.encode(datetime.now(UTC)), type=datetime).tzinfo is UTC
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_msgspec_that_uses_at_once_what_is_put_off_gets_the_real_module():
    code = """
import sys
from procman.cli import early
early._put_off("textwrap", {})
import textwrap
assert textwrap.dedent(" a") == "a"
assert sys.modules["textwrap"] is not textwrap
"""
    subprocess.run([sys.executable, "-c", code], check=True)
