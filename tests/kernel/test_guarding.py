"""The guardian with real processes: what ends when a supervisor is killed, and how the guardian is kept."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import pytest
from forked import alone
from guarded import HELD, KILLED, PYTHON, STUBBORN, Supervised, end, eventually, killed, runs

from procman.core.spec import StopPolicy
from procman.kernel.process.ledger import EntryKind
from procman.kernel.survive import guarding

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no guardian here"),
]


def all_end(script: str, *, lines: int = 1, env: dict[str, str] | None = None, grace: float = 1.0) -> None:
    """What this shell command starts has ended when its supervisor was killed and the guardian is done."""

    def do(supervised: Supervised) -> list[int]:
        pids = supervised.run(script, grace, lines=lines, env=env)
        supervised.guarding.start()
        return pids

    left = killed(do)
    assert len(left) == lines + 1
    assert [pid for pid in left if runs(pid)] == []


def test_a_process_ends_politely(tmp_path: Path) -> None:
    all_end(f"trap 'echo bye > {tmp_path}/said; exit' TERM; echo $$; while :; do sleep 1000 & wait; done")
    assert (tmp_path / "said").read_text() == "bye\n"


def test_one_that_ignores_term_is_killed() -> None:
    all_end(STUBBORN)


def test_a_suspended_one_can_still_act(tmp_path: Path) -> None:
    all_end(f"trap 'echo bye > {tmp_path}/said; exit' TERM; echo $$; kill -STOP $$; sleep 1000")
    assert (tmp_path / "said").exists()


def test_a_shell_command_ends_with_its_child() -> None:
    all_end("sleep 1000 & echo $!; wait; true")


def test_a_setsid_child_that_ignores_term_is_killed() -> None:
    all_end(f"""setsid sh -c "{STUBBORN.replace("$", chr(92) + "$")}" & wait""")


def test_a_descendant_without_environment_session_and_group_is_found_by_its_parents() -> None:
    all_end("setsid env -i sleep 1000 & echo $!; wait", env={"PATH": os.environ["PATH"]})


def test_a_double_forked_daemon_is_found_by_its_mark() -> None:
    all_end("(setsid sleep 1000 & echo $!); exec sleep 1000")


def test_a_double_forked_daemon_without_environment_is_found_in_the_table() -> None:
    def do(supervised: Supervised) -> list[int]:
        leader, daemon = supervised.run("(setsid env -i sleep 1000 & echo $!); exec sleep 1000", env={})
        supervised.ledger.note(daemon, EntryKind.ADOPTED, StopPolicy(grace=1.0))
        supervised.guarding.start()
        return [leader, daemon]

    assert [pid for pid in killed(do) if runs(pid)] == []


def test_what_is_started_after_the_guardian_ends_too() -> None:
    def do(supervised: Supervised) -> list[int]:
        supervised.guarding.start()
        return supervised.run("echo $$; exec sleep 1000", env={})

    assert [pid for pid in killed(do) if runs(pid)] == []


def test_nobody_escapes_who_is_forked_while_the_others_are_killed(tmp_path: Path) -> None:
    """Each leaves session and group, bears no mark and ignores TERM; without its parent nothing would tell whose it is."""
    script = tmp_path / "run.py"
    script.write_text(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True)\n"
        "for _ in range(1000):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        signal.alarm(30)\n"  # whatever happens
        "        signal.pause()\n"
        "    time.sleep(0.001)\n"
    )
    all_end(f"exec {PYTHON} {script}", env={}, grace=0.5)
    assert [pid for pid in _pids() if os.fsencode(script) in _arguments(pid)] == []


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _arguments(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_stranger_that_got_a_recorded_pid_is_not_touched() -> None:
    """It is younger than the record. Nor are its children."""

    def do(supervised: Supervised) -> list[int]:
        ours = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, setsid=True)
        supervised.ledger.note(ours, EntryKind.LEADER, StopPolicy(grace=1.0))
        at = supervised.ledger._slots[ours]
        stranger, child = supervised.run("sleep 1000 & echo $!; wait", env={})
        supervised.ledger.forget(stranger)
        record = bytearray(supervised.ledger._data[at : at + 32])
        record[:4] = stranger.to_bytes(4, sys.byteorder)
        record[8:16] = bytes(8)  # at the time of the boot
        supervised.ledger._write(at + 32, bytes(record))
        supervised.guarding.start()
        return [ours, stranger, child]

    ours, *strangers = killed(do)
    try:
        assert not runs(ours)
        assert [runs(pid) for pid in strangers] == [True, True]
    finally:
        end(strangers)


def test_the_guardian_works_when_its_program_is_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "guardian.py"
    shutil.copy(guarding.SCRIPT, script)
    monkeypatch.setattr(guarding, "SCRIPT", str(script))

    def do(supervised: Supervised) -> list[int]:
        pids = supervised.run(STUBBORN)
        supervised.guarding.start()
        script.unlink()
        return pids

    assert [pid for pid in killed(do) if runs(pid)] == []


def test_a_standard_error_that_nobody_reads_does_not_hold_the_lock() -> None:
    def do(supervised: Supervised) -> list[int]:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)
        os.dup2(writer, 2)
        os.set_inheritable(reader, True)
        pids = supervised.run("echo $$; exec sleep 1000")
        supervised.guarding.start()
        return pids

    assert [pid for pid in killed(do) if runs(pid)] == []


def test_it_says_in_one_line_what_it_ended(tmp_path: Path) -> None:
    log = tmp_path / "err"

    def do(supervised: Supervised) -> list[int]:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
        supervised.run(STUBBORN)
        supervised.run("echo $$; exec sleep 1000")
        supervised.guarding.start()
        return [os.getpid()]

    [pid] = killed(do)
    assert log.read_text() == f"procman: procman (pid {pid}) has gone; ended what it left: 3 processes, 2 by KILL\n"


# ---- while the supervisor lives


def alone_with(body) -> None:
    """Run it with a `Supervised` in a process of its own, whose guardian ends with it."""

    def run() -> None:
        HELD[:] = os.pipe()
        supervised = Supervised()
        try:
            body(supervised)
        finally:
            supervised.guarding.end()

    alone(run)


def guardian(supervised: Supervised) -> int:
    [pid] = supervised.helpers.pids
    return pid


def test_an_orderly_end_leaves_no_guardian() -> None:
    def body(supervised: Supervised) -> None:
        before = len(os.listdir("/dev/fd"))
        supervised.guarding.start()
        pid = guardian(supervised)
        supervised.guarding.end()
        assert not os.path.exists(f"/proc/{pid}")
        assert not supervised.helpers.pids
        assert len(os.listdir("/dev/fd")) == before

    alone_with(body)


def test_while_it_waits_it_is_a_shell_of_a_session_of_its_own_with_nothing_of_ours() -> None:
    def body(supervised: Supervised) -> None:
        os.environ["SECRET"] = "x"
        secret = os.open("/dev/zero", os.O_RDONLY)
        supervised.guarding.start()
        pid = guardian(supervised)
        assert os.getsid(pid) == pid
        assert Path(f"/proc/{pid}/environ").read_bytes() in (b"", _library_path())
        assert b"procman" not in _arguments(pid)
        assert b"ends the workers" in _arguments(pid)
        assert str(secret) not in os.listdir(f"/proc/{pid}/fd")
        eventually(lambda: os.readlink(f"/proc/{pid}/cwd") == "/")

    alone_with(body)


def _library_path() -> bytes:
    return f"LD_LIBRARY_PATH={os.environ.get('LD_LIBRARY_PATH')}".encode() + b"\0"


def test_no_signal_sent_by_accident_ends_it() -> None:
    """A service manager sends TERM to everything of a service; procman then ends in order, and needs it until then."""

    def body(supervised: Supervised) -> None:
        supervised.guarding.start()
        pid = guardian(supervised)
        eventually(lambda: os.readlink(f"/proc/{pid}/cwd") == "/")  # the traps come before that
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGTSTP):
            os.kill(pid, number)
        eventually(lambda: "SigPnd:\t0000000000000000" in Path(f"/proc/{pid}/status").read_text())
        assert os.waitpid(pid, os.WNOHANG | os.WUNTRACED) == (0, 0)

    alone_with(body)


def test_a_guardian_that_has_ended_is_started_again_and_told_of() -> None:
    def body(supervised: Supervised) -> None:
        supervised.guarding.start()
        first = guardian(supervised)
        os.kill(first, signal.SIGKILL)
        supervised.turn_until(lambda: supervised.helpers.pids - {first})
        assert supervised.said == [f"the guardian (pid {first}) has ended; starting it again"]

    alone_with(body)


def test_the_second_guardian_does_what_the_first_would_have_done() -> None:
    def do(supervised: Supervised) -> list[int]:
        pids = supervised.run(STUBBORN)
        supervised.guarding.start()
        first = guardian(supervised)
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        supervised.helpers.reaped(first, KILLED)
        supervised.turn_until(lambda: supervised.helpers.pids)
        return pids

    assert [pid for pid in killed(do) if runs(pid)] == []


def test_a_guardian_that_cannot_be_started_is_told_once_and_tried_again() -> None:
    def body(supervised: Supervised) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        os.close(free := os.dup(0))  # the lowest, as the next one would be: below it others may have left gaps
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        supervised.guarding.start()
        supervised.guarding.start()
        assert len(supervised.said) == 1
        assert supervised.said[0].startswith("cannot start the guardian: Too many open files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        supervised.turn_until(lambda: supervised.helpers.pids)

    alone_with(body)


def test_without_a_shell_there_is_a_warning_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def body(supervised: Supervised) -> None:
        def no_shell(*_args: object, **_how: object) -> int:
            raise FileNotFoundError(2, "No such file or directory")

        monkeypatch.setattr(os, "posix_spawn", no_shell)
        before = len(os.listdir("/dev/fd"))
        supervised.guarding.start()
        assert supervised.said[0].startswith("cannot start the guardian: No such file or directory")
        assert len(os.listdir("/dev/fd")) == before + 2  # script and table, for the next attempt

    alone_with(body)


def test_no_guardian_where_the_kernel_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert guarding.can_guard()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert not guarding.can_guard()


# ---- over an exec of procman


def test_an_earlier_programs_guardian_ends_when_there_is_a_new_one() -> None:
    def body(supervised: Supervised) -> None:
        supervised.guarding.start()
        kept = supervised.guarding.kept
        assert kept is not None
        after = Supervised()
        after.guarding.take_over(kept)
        assert set(after.helpers.pids) == {kept.pid}
        after.guarding.start()
        assert guardian(after) != kept.pid
        assert not os.path.exists(f"/proc/{kept.pid}")
        after.guarding.end()
        supervised.guarding._now = None

    alone_with(body)


def test_the_guardian_goes_on_watching_over_an_exec_that_keeps_its_pipe() -> None:
    """Until the new program has one of its own: it is killed before that."""

    def do(supervised: Supervised) -> list[int]:
        pids = supervised.run(STUBBORN)
        supervised.guarding.start()
        kept = supervised.guarding.kept
        assert kept is not None
        for fd in (kept.pipe, supervised.answer):
            os.set_inheritable(fd, True)
        told = " ".join(map(str, pids))
        code = f"import os, signal; os.write({supervised.answer}, b'{told}\\n'); signal.pause()"
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", code])

    assert [pid for pid in killed(do) if runs(pid)] == []
