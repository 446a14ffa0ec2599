"""What the program does before a verb runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


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
assert msgspec.json.schema_components([int])[0][0]["type"] == "integer"
assert msgspec.toml.decode(b"a = 1") == {"a": 1}
import msgspec.inspect, textwrap
assert textwrap.dedent(" a") == "a"
import decimal, uuid
assert uuid.UUID(int=0).is_safe is uuid.SafeUUID.unknown and decimal.Decimal("1") == 1
from datetime import UTC, datetime
assert msgspec.json.decode(msgspec.json.encode(datetime.now(UTC)), type=datetime).tzinfo is UTC
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_msgspec_does_not_load_typing_extensions_which_can_be_used_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "typing_extensions.py").write_text("here = True\n")
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from procman.cli import early
early.load_msgspec()
assert "typing_extensions" not in sys.modules
import typing_extensions
assert typing_extensions.here
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)


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
