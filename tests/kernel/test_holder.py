"""A program with a terminal, in a session that another process leads: it is ours, and finds all as if it led itself."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from procman.core.spec import ProcessSpec
from procman.kernel.process import children
from procman.kernel.process.spawn import Launch, SpawnedProcess, SpawnError, start

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="nobody adopts orphans elsewhere"),
]

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}

TELL = """
import os, signal
ignored = [n for n in range(1, 32) if n not in (13, 25) and signal.getsignal(n) == signal.SIG_IGN]  # not Python's own two
print(os.getpid(), ignored, signal.pthread_sigmask(0, []), os.getpgrp() == os.getsid(0) == os.tcgetpgrp(0))
print([fd for fd in range(3, 10) if os.path.exists(f"/proc/self/fd/{fd}")], os.open("/dev/tty", os.O_RDWR))
"""


class Held:
    """One such start: the program and the holder are our children."""

    def __init__(self, started: SpawnedProcess) -> None:
        self.pid, self.holder, self.master = started.pid, started.holder, started.stdout

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def end(self) -> bytes:
        """End the holder; all that was written to the terminal."""
        os.kill(self.holder, signal.SIGKILL)
        os.waitpid(self.holder, 0)
        data = b""
        with suppress(OSError):  # EIO: everyone has closed it
            while chunk := os.read(self.master, 65536):
                data += chunk
        os.close(self.master)
        return data


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Held]]:
    """Starts a command in a process that adopts orphans, and keeps no descriptor."""
    monkeypatch.chdir(tmp_path)
    assert children.become_subreaper()
    before = set(os.listdir("/proc/self/fd"))

    def make(command: str, cwd: str = "", nofile: int | None = None) -> Held:
        spec = ProcessSpec(type="a", command=command, cwd=cwd or str(tmp_path), env={}, tty=True)
        return Held(start(Launch(spec, dict(ENV), str(tmp_path), nofile=nofile, held=True)))

    yield make
    ctypes.CDLL(None).prctl(children.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert set(os.listdir("/proc/self/fd")) <= before


def test_it_has_the_terminal_and_every_default_and_no_descriptor_of_ours(
    held: Callable[[str], Held], tmp_path: Path
) -> None:
    (tmp_path / "tell.py").write_text(TELL)
    made = held(f"{sys.executable} tell.py")
    assert made.wait() == 0
    assert made.end().decode().splitlines() == [f"{made.pid} [] set() True", "[] 3"]


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 7", 7), ("true", 0), ("kill -KILL $$", -9), ("kill -TERM $$", -15), ("kill -INT $$", -2)],
)
def test_its_status_is_its_own_however_quick_it_is(held: Callable[[str], Held], command: str, code: int) -> None:
    for _ in range(20):
        made = held(command)
        assert made.wait() == code
        assert made.end() == b""


def test_one_that_is_killed_at_once_is_seen_to_end(held: Callable[[str], Held]) -> None:
    for _ in range(20):
        made = held("exec sleep 1000")
        os.kill(made.pid, signal.SIGKILL)
        assert made.wait() == -9
        made.end()


def test_the_end_of_the_first_process_sends_nobody_hup(held: Callable[[str], Held], tmp_path: Path) -> None:
    """As when a shell ends at its stop signal and leaves its program to end in order."""
    os.mkfifo(tmp_path / "go")
    made = held("(trap 'echo hung up; exit' HUP; read x < go; echo in order) & exit 3")
    assert made.wait() == 3
    (tmp_path / "go").write_text("\n")
    os.kill(made.holder, signal.SIGCONT)  # as a stop does; it changes nothing
    left = os.waitid(os.P_PGID, made.holder, os.WEXITED)
    assert left is not None
    assert left.si_pid not in (made.pid, made.holder)
    assert made.end() == b"in order\r\n"


def test_folder_and_limit_are_the_programs(held: Callable[..., Held], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    made = held("pwd; ulimit -Sn", cwd=str(tmp_path / "sub"), nofile=99)
    assert made.wait() == 0
    assert made.end().decode().splitlines() == [str(tmp_path / "sub"), "99"]


def test_a_program_that_is_not_there_is_a_failed_start_and_leaves_nobody(held: Callable[[str], Held]) -> None:
    before = psutil.Process().children()  # other tests of this process may have left some
    with pytest.raises(SpawnError, match="command not found"):
        held("no-such-command-xyz")
    assert {*psutil.Process().children()} <= {*before}


def test_without_a_process_for_it_it_is_a_failed_start(
    held: Callable[[str], Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("procman.kernel.process.holder.HOLD", "exit 2")
    before = psutil.Process().children()
    with pytest.raises(SpawnError, match="cannot make a process"):
        held("true")
    assert {*psutil.Process().children()} <= {*before}
