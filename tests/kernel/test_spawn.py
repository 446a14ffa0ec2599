"""How a command becomes a process, and every way in which it does not."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from procman.core.spec import ProcessSpec, Stdin, StopPolicy
from procman.kernel.process.spawn import DescriptorLimits, Launch, SpawnError, close_on_exec, find_program, start

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessSpec:
    monkeypatch.chdir(tmp_path)  # procman's own working directory is the root
    return ProcessSpec(type="a", command="", cwd=str(tmp_path), env={})


ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def output_of(launch: Launch) -> tuple[int, bytes]:
    """Its exit code (negative: signal) and what it wrote."""
    started = start(launch)
    if started.stdin is not None:
        os.close(started.stdin)
    _, status = os.waitpid(started.pid, 0)
    data = b""
    for fd in (started.stdout, started.stderr):
        if fd is not None:
            while chunk := os.read(fd, 65536):
                data += chunk
            os.close(fd)
    return os.waitstatus_to_exitcode(status), data


def launched(spec: ProcessSpec, command: str, **how: object) -> Launch:
    return Launch(replace(spec, command=command), dict(ENV), spec.cwd, **how)  # type: ignore[arg-type]


def refused(launch: Launch) -> SpawnError:
    with pytest.raises(SpawnError) as caught:
        start(launch)
    return caught.value


def test_a_plain_command_is_executed_without_a_shell(spec: ProcessSpec) -> None:
    assert (
        output_of(launched(spec, "readlink /proc/self/exe"))[1]
        .strip()
        .endswith((b"readlink", b"coreutils", b"busybox"))
    )


def test_everything_else_goes_to_the_shell(spec: ProcessSpec) -> None:
    assert output_of(launched(spec, "echo $0; exit 5")) == (5, b"/bin/sh\n")


def test_a_script_without_a_first_line_is_run_by_the_shell(spec: ProcessSpec) -> None:
    script = Path(spec.cwd) / "script"
    script.write_text("echo from a script\n")
    script.chmod(0o755)
    assert output_of(launched(spec, "./script")) == (0, b"from a script\n")


def test_it_leads_a_session_and_a_group_of_its_own(spec: ProcessSpec) -> None:
    (Path(spec.cwd) / "ids.py").write_text("import os; print(os.getpid() == os.getsid(0) == os.getpgrp())")
    assert output_of(launched(spec, f"{sys.executable} -I -S ids.py")) == (0, b"True\n")


def test_the_mask_and_dispositions_are_the_default_whatever_ours_are(spec: ProcessSpec) -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        _, data = output_of(launched(spec, "grep Sig /proc/self/status"))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        signal.signal(signal.SIGUSR1, before)
    table = dict(line.split(b":\t") for line in data.splitlines())
    assert int(table[b"SigBlk"], 16) == 0
    assert int(table[b"SigIgn"], 16) & ((1 << 31) - 1) == 0  # 32 and 33 are glibc's own


def test_split_streams_have_a_pipe_each(spec: ProcessSpec) -> None:
    started = start(launched(spec, "echo out; echo err >&2", split=True))
    os.waitpid(started.pid, 0)
    assert started.stderr is not None
    assert (os.read(started.stdout, 100), os.read(started.stderr, 100)) == (b"out\n", b"err\n")
    os.close(started.stdout)
    os.close(started.stderr)


def test_stdin_is_dev_null_or_a_pipe_that_is_never_written(spec: ProcessSpec) -> None:
    assert output_of(launched(spec, "readlink /proc/self/fd/0")) == (0, b"/dev/null\n")
    opened = replace(spec, stdin=Stdin.OPEN)
    assert output_of(launched(opened, "readlink /proc/self/fd/0"))[1].startswith(b"pipe:")


def test_a_folder_of_its_own_is_entered_whatever_its_name(spec: ProcessSpec) -> None:
    folder = Path(spec.cwd) / "a 'folder' $(with) \"quotes\""
    folder.mkdir()
    launch = Launch(replace(spec, command="pwd -P; true", cwd=str(folder)), dict(ENV), spec.cwd)
    assert output_of(launch) == (0, f"{folder.resolve()}\n".encode())


def test_a_program_is_searched_in_the_childs_path_and_folder(spec: ProcessSpec) -> None:
    tool = Path(spec.cwd) / "bin" / "mytool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho mine\n")
    tool.chmod(0o755)
    launch = Launch(replace(spec, command="mytool"), {"PATH": f"{spec.cwd}/bin:/bin"}, spec.cwd)
    assert output_of(launch) == (0, b"mine\n")
    assert find_program("mytool", "bin", spec.cwd) == str(tool)


def test_a_name_that_is_not_found_is_127(spec: ProcessSpec) -> None:
    error = refused(launched(spec, "no-such-command-xyz"))
    assert (error.code, error.why) == (127, "no-such-command-xyz: command not found in PATH")


def test_a_path_that_is_not_there_is_127(spec: ProcessSpec) -> None:
    assert refused(launched(spec, "./missing")).code == 127


def test_a_file_without_its_x_bit_and_a_folder_are_126(spec: ProcessSpec) -> None:
    (Path(spec.cwd) / "plain").write_text("#!/bin/sh\n")
    assert refused(launched(spec, "./plain")).code == 126
    assert refused(launched(spec, "/tmp/")).code == 126


def test_one_that_can_be_executed_later_in_the_path_wins_over_one_that_cannot(tmp_path: Path) -> None:
    for place, mode in (("a", 0o644), ("b", 0o755)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "tool").write_text("#!/bin/sh\n")
        (tmp_path / place / "tool").chmod(mode)
    assert find_program("tool", f"{tmp_path}/a:{tmp_path}/b", "/") == f"{tmp_path}/b/tool"


def test_an_interpreter_that_is_missing_is_127(spec: ProcessSpec) -> None:
    script = Path(spec.cwd) / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    error = refused(launched(spec, "./script"))
    assert error.code == 127
    assert "interpreter" in error.why


def test_a_folder_that_is_not_there_names_it(spec: ProcessSpec) -> None:
    error = refused(Launch(replace(spec, command="true", cwd="/no/such/folder"), dict(ENV), spec.cwd))
    assert "/no/such/folder" in error.why


@pytest.mark.parametrize("name", ["A=B", "A\0B"])
def test_an_environment_that_cannot_be_passed_on_is_a_failed_start(spec: ProcessSpec, name: str) -> None:
    error = refused(Launch(replace(spec, command="/bin/echo"), {**ENV, name: "x"}, spec.cwd))
    assert error.code == 1


def test_too_long_an_environment_is_a_failed_start(spec: ProcessSpec) -> None:
    error = refused(Launch(replace(spec, command="/bin/echo"), {**ENV, "HUGE": "x" * 200_000}, spec.cwd))
    assert "E2BIG" in error.why


def test_without_a_descriptor_left_it_fails_and_closes_what_it_opened(spec: ProcessSpec) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        os.close(taken.pop())
        error = refused(launched(spec, "/bin/echo", split=True))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)
    assert "EMFILE" in error.why


def test_a_child_gets_its_own_limit_of_descriptors(spec: ProcessSpec) -> None:
    assert output_of(launched(spec, "ulimit -Sn", nofile=77)) == (0, b"77\n")


def test_the_limit_is_raised_only_where_it_is_needed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        limits = DescriptorLimits()
        limits.make_room(1)
        assert limits.original is None
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, before[1]))
        limits.make_room(50)
        assert limits.original == 80
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 114
        limits.make_room(60)
        assert limits.original == 80, "the first one is the original"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_inherited_descriptors_are_closed_at_exec(spec: ProcessSpec) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        close_on_exec()
        assert not os.get_inheritable(write)
        assert os.get_inheritable(1)
    finally:
        os.close(read)
        os.close(write)


# ---- a terminal


def on_terminal(launch: Launch) -> tuple[int, bytes]:
    """Its exit code and what it wrote to its terminal."""
    started = start(launch)
    assert started.stderr is None
    assert started.stdin is None
    data = b""
    with suppress(OSError):  # EIO: everyone has closed it
        while chunk := os.read(started.stdout, 65536):
            data += chunk
    os.close(started.stdout)
    _, status = os.waitpid(started.pid, 0)
    return os.waitstatus_to_exitcode(status), data


def asked(spec: ProcessSpec, command: str) -> Launch:
    return launched(replace(spec, tty=True), command)


@pytest.mark.parametrize("command", ["tty", "sh -c tty", "tty; true"])
def test_all_three_descriptors_are_the_terminal_however_it_is_started(spec: ProcessSpec, command: str) -> None:
    code, data = on_terminal(asked(spec, command))
    assert (code, data[:9]) == (0, b"/dev/pts/")
    script = "test -t 0 && test -t 1 && test -t 2 && exec 3<>/dev/tty && echo all"
    assert on_terminal(asked(spec, script)) == (0, b"all\r\n")


def test_the_leader_is_in_the_foreground_of_its_terminal(spec: ProcessSpec) -> None:
    code = "import os; print(os.getsid(0) == os.getpgrp() == os.tcgetpgrp(0))"
    assert on_terminal(asked(spec, f"{sys.executable} -c '{code}'")) == (0, b"True\r\n")


def test_a_terminal_has_the_size_that_it_is_given_in_any_folder_and_under_any_limit(
    spec: ProcessSpec, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    there = replace(spec, cwd=str(tmp_path / "sub"))
    launch = Launch(replace(there, tty=True, command="stty size; pwd"), dict(ENV), spec.cwd, nofile=100, size=(91, 33))
    assert on_terminal(launch) == (0, f"33 91\r\n{there.cwd}\r\n".encode())


def test_the_terminals_settings_are_the_defaults(spec: ProcessSpec) -> None:
    _, data = on_terminal(asked(spec, "stty -a"))
    assert {b"echo", b"icanon", b"isig", b"opost", b"onlcr"} <= set(data.replace(b";", b" ").split())


def test_hup_is_ignored_so_that_the_end_of_a_shell_does_not_take_its_program_along(spec: ProcessSpec) -> None:
    code = "import signal; print(signal.getsignal(1).name, signal.getsignal(15).name)"
    assert on_terminal(asked(spec, f"{sys.executable} -c '{code}'")) == (0, b"SIG_IGN SIG_DFL\r\n")


def test_hup_as_the_stop_signal_is_not_ignored(spec: ProcessSpec) -> None:
    code = "import signal; print(signal.getsignal(1).name)"
    asked_by_hup = replace(spec, stop=StopPolicy(signal="HUP"))
    assert on_terminal(asked(asked_by_hup, f"{sys.executable} -c '{code}'")) == (0, b"SIG_DFL\r\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a /dev/pts of its own")
def test_no_terminal_left_is_a_failed_start(spec: ProcessSpec) -> None:
    code = (
        "from procman.core.spec import ProcessSpec\n"
        "from procman.kernel.process.spawn import *\n"
        "import os; kept = os.openpty()\n"
        "try: start(Launch(ProcessSpec(type='a', command='true', cwd='/', env={}, tty=True), {'PATH': '/bin'}, '/'))\n"
        "except SpawnError as error: print(error.code, error.descriptors, error.why)\n"
    )
    script = "mount -t devpts -o newinstance,max=1,ptmxmode=666 devpts /dev/pts && mount --bind /dev/pts/ptmx /dev/ptmx"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{script} && exec "$0" -c "$1"', sys.executable, code],
        capture_output=True,
        text=True,
        timeout=20,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stdout.startswith("1 False cannot make a terminal: as many as the system allows are open"), done.stderr
