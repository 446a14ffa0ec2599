"""Procman's own modules straight from their bytecode, and the cases in which Python's import takes over."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

START = """
import importlib, os, sys
import procman
procman.__path__.insert(0, sys.argv[1])
from procman import bytecode
bytecode.use()
"""

HOW = f"""{START}
one = importlib.import_module("procman.one_of_ours")
print(type(one.__spec__.loader).__module__, one.VALUE, one.__file__, one.__cached__)
"""

HOLD = f"""{START}
print(bytecode.hold("procman.one_of_ours"), "procman.one_of_ours" in sys.modules)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "one_of_ours.py"
    path.write_text("VALUE = 1\n")
    return path


def imported(source: Path, *options: str) -> list[str]:
    """Whose loader it was, what it holds, where it is said to be from."""
    return printed(HOW, source, *options)


def printed(code: str, source: Path, *options: str) -> list[str]:
    argv = [sys.executable, "-B", *options, "-c", code, str(source.parent)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def test_what_has_bytecode_that_fits_is_loaded_from_it_and_looks_as_ever(source: Path) -> None:
    cached = py_compile.compile(str(source), doraise=True)
    assert imported(source) == ["procman.bytecode", "1", str(source), cached]


def test_a_source_that_has_changed_is_what_counts(source: Path) -> None:
    py_compile.compile(str(source), doraise=True)
    source.write_text("VALUE = 22\n")
    assert imported(source)[1] == "22"


def test_a_source_of_another_time_is_what_counts(source: Path) -> None:
    py_compile.compile(str(source), doraise=True)
    source.write_text("VALUE = 2\n")
    os.utime(source, (1, 1))
    assert imported(source)[1] == "2"


def test_without_bytecode_python_loads_it(source: Path) -> None:
    assert imported(source)[:2] == ["_frozen_importlib_external", "1"]


@pytest.mark.parametrize("damage", [b"", b"short", None], ids=["empty", "no header", "cut short"])
def test_damaged_bytecode_is_left_to_python(source: Path, damage: bytes | None) -> None:
    cached = Path(py_compile.compile(str(source), doraise=True) or "")
    cached.write_bytes(cached.read_bytes()[:-9] if damage is None else damage)
    if damage is None:  # Python raises, as ever: it does not know any better either
        with pytest.raises(subprocess.CalledProcessError) as raised:
            imported(source)
        assert "EOFError" in raised.value.stderr
    else:
        assert imported(source)[:2] == ["_frozen_importlib_external", "1"]


def test_optimised_bytecode_is_left_to_python(source: Path) -> None:
    py_compile.compile(str(source), doraise=True)
    assert imported(source, "-O")[:2] == ["_frozen_importlib_external", "1"]


def test_bytecode_that_was_made_elsewhere_is_left_to_python(source: Path) -> None:
    py_compile.compile(str(source), dfile="/elsewhere/one_of_ours.py", doraise=True)
    assert imported(source)[:2] == ["_frozen_importlib_external", "1"]


# ---- held in memory


@pytest.mark.parametrize("later", ["deleted", "of another version"])
def test_a_module_that_is_held_is_as_it_was_whatever_becomes_of_its_file(source: Path, later: str) -> None:
    py_compile.compile(str(source), doraise=True)
    change = (
        "os.unlink(sys.argv[1] + '/one_of_ours.py')"
        if later == "deleted"
        else "open(sys.argv[1] + '/one_of_ours.py', 'w').write('VALUE = 2')"
    )
    code = """
one = importlib.import_module("procman.one_of_ours")
print(one.VALUE, one.__file__, bytecode._held)
"""
    assert printed(f"{HOLD}{change}{code}", source) == ["True", "False", "1", str(source), "{}"]


def test_a_module_that_fails_is_held_until_it_has_been_executed(source: Path) -> None:
    source.write_text("import sys\nVALUE = sys.value\n")
    py_compile.compile(str(source), doraise=True)
    code = """
os.unlink(sys.argv[1] + '/one_of_ours.py')
try:
    import procman.one_of_ours
except AttributeError:
    sys.value = 3
import procman.one_of_ours
print(procman.one_of_ours.VALUE)
"""
    assert printed(HOLD + code, source) == ["True", "False", "3"]


def test_without_bytecode_nothing_is_held(source: Path) -> None:
    assert printed(HOLD, source) == ["False", "False"]


@pytest.mark.parametrize("damage", ["cut short", "of another source"])
def test_damaged_bytecode_is_not_held(source: Path, damage: str) -> None:
    cached = Path(py_compile.compile(str(source), doraise=True) or "")
    if damage == "cut short":
        cached.write_bytes(cached.read_bytes()[:-9])
    else:
        os.utime(source, (1, 1))
    assert printed(HOLD, source) == ["False", "False"]


def test_with_optimised_bytecode_nothing_is_held(source: Path) -> None:
    py_compile.compile(str(source), doraise=True)
    assert printed(HOLD, source, "-O") == ["False", "False"]


def test_a_package_is_not_held(source: Path) -> None:
    package = source.parent / "package_of_ours"
    package.mkdir()
    py_compile.compile(str(source.rename(package / "__init__.py")), doraise=True)
    assert printed(HOLD.replace("one_of_ours", "package_of_ours"), source) == ["False", "False"]
