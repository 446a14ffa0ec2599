"""Whether a process hears a signal that it is sent now."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procman.kernel.process.hearing import hears

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells it")

CATCHES = "import signal, sys; signal.signal({name}, {handler}); print(flush=True); sys.stdin.read()"


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has said a line, and ends with its input."""
    with subprocess.Popen(request.param, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as made:
        assert made.stdout is not None
        made.stdout.readline()
        yield made
        made.kill()


def python(name: str, handler: str) -> list[str]:
    return [sys.executable, "-c", CATCHES.format(name=f"signal.{name}", handler=handler)]


@pytest.mark.parametrize("child", [python("SIGTERM", "lambda *_: None")], indirect=True)
def test_a_signal_with_a_handler_is_heard_and_no_other(child):
    assert hears(child.pid, "TERM")
    assert not hears(child.pid, "USR1")


@pytest.mark.parametrize(
    "child", [python("SIGTERM", "signal.SIG_IGN"), python("SIGTERM", "signal.SIG_DFL")], indirect=True
)
def test_a_signal_without_a_handler_is_not_heard(child):
    assert not hears(child.pid, "TERM")


def test_a_process_that_has_ended_hears_nothing():
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert not hears(gone.pid, "TERM")


def test_erlang_catches_a_signal_before_it_listens_to_it(tmp_path: Path):
    """Its virtual machine is known by its name."""
    posing = tmp_path / "beam.smp"
    posing.symlink_to(shutil.which("sh") or "/bin/sh")
    line = "trap : TERM; echo; read line"
    with subprocess.Popen([posing, "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as vm:
        assert vm.stdout is not None
        vm.stdout.readline()
        assert not hears(vm.pid, "TERM")
        vm.kill()
