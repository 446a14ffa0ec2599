"""A system that lacks what a promise needs: it is said at the start, once, and by `check`; the rest goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest
from harness import World, alive, eventually, guardian_of
from scripts import POLITE
from seccomp import ALLOW, LOAD_ARGUMENT, LOAD_NUMBER, REFUSE, equal, filtered

SUBREAPER_REFUSED = [LOAD_NUMBER, equal(157, 3), LOAD_ARGUMENT, equal(36, 1), REFUSE, ALLOW]
"""Refuses prctl(PR_SET_CHILD_SUBREAPER)."""

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"]).returncode != 0,
    reason="needs root and unshare(1)",
)


def without(what: str) -> tuple[str, ...]:
    """A mount namespace in which this folder is an empty one."""
    return ("unshare", "-m", "sh", "-c", f'mount -t tmpfs none {what} && exec "$@"', "-")


@needs_mounts
def test_without_proc_it_is_said_once_and_by_check(world: World) -> None:
    world.procfile(a=world.script("polite.py", POLITE))
    supervisor = world.start(before=without("/proc"))
    supervisor.expect("cannot guarantee everything on this system: there is no /proc")
    supervisor.expect("up")
    assert supervisor.stop() == 0
    assert supervisor.seen.count("cannot guarantee everything") == 1
    assert "asked to end" in supervisor.seen
    done = subprocess.run([*without("/proc"), world.bin, "check"], cwd=world.folder, env=world.env, capture_output=True)
    assert done.returncode == 0
    assert b"cannot guarantee everything on this system: there is no /proc" in done.stderr


def test_where_prctl_is_refused_it_is_said_once_and_by_check(world: World) -> None:
    before = filtered(world, SUBREAPER_REFUSED)
    world.procfile(a=world.script("polite.py", POLITE))
    supervisor = world.start(before=before)
    supervisor.expect(r"the system refuses prctl\(PR_SET_CHILD_SUBREAPER\)")
    supervisor.expect("up")
    assert supervisor.stop() == 0
    assert supervisor.seen.count("cannot guarantee everything") == 1
    done = subprocess.run([*before, world.bin, "check"], cwd=world.folder, env=world.env, capture_output=True)
    assert (done.returncode, b"refuses prctl" in done.stderr) == (0, True)


def refusing(world: World, call: int) -> tuple[str, ...]:
    return filtered(world, [LOAD_NUMBER, equal(call, 1), REFUSE, ALLOW])


@pytest.mark.parametrize("call", [41, 49, 50], ids=["socket", "bind", "listen"])
def test_where_sockets_are_refused_that_is_the_reason_given(world: World, call: int) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start(before=refusing(world, call))
    supervisor.expect(r"cannot make a control socket: the system refuses Unix sockets \(Operation not permitted\)")
    supervisor.expect("up")
    assert supervisor.stop() == 0


@pytest.mark.parametrize("call", [232, 247], ids=["epoll_wait", "waitid"])
def test_where_procman_cannot_work_it_names_the_system_and_leaves_nothing_behind(world: World, call: int) -> None:
    world.procfile(a="exec sleep 1000", b="/bin/true")
    supervisor = world.start(before=refusing(world, call))
    supervisor.expect(r"cannot continue: the system refuses a call that procman needs \(Operation not permitted\)")
    assert supervisor.wait() == 1
    assert "please report" not in supervisor.seen
    assert world.left() == []


def test_where_limits_can_be_neither_read_nor_raised_all_else_works(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start(before=refusing(world, 302))  # prlimit64
    supervisor.expect("up$")
    assert world.run("restart", "a").code == 0
    supervisor.expect("up$")
    assert supervisor.stop() == 0


@pytest.mark.parametrize("call", [233, 293], ids=["epoll_ctl", "pipe2"])
def test_what_cannot_begin_names_the_system_and_what_helps(world: World, call: int) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    done = subprocess.run(
        [*refusing(world, call), world.bin, "start"], cwd=world.folder, env=world.env, capture_output=True
    )
    assert done.returncode == 1
    assert b"the system refuses a call that procman needs (Operation not permitted); a seccomp filter" in done.stderr


def test_a_procman_that_cannot_see_who_connects_is_not_said_to_have_ended(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start(before=refusing(world, 55))  # getsockopt, which asks for the peer's user
    supervisor.expect("up$")
    done = world.run("ps")
    assert (done.code, "procman closed the connection" in done.err) == (1, True)
    assert supervisor.stop() == 0


def test_where_links_of_proc_are_refused_no_other_reason_is_given(world: World) -> None:
    world.procfile(a="true")
    before = refusing(world, 89)  # readlink
    done = subprocess.run([*before, world.bin, "check"], cwd=world.folder, env=world.env, capture_output=True)
    assert b"the system refuses to read /proc/self (Operation not permitted)" in done.stderr
    assert b"namespace" not in done.stderr


def test_where_memory_files_are_refused_start_and_check_say_so(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    before = refusing(world, 319)  # memfd_create
    done = subprocess.run([*before, world.bin, "check"], cwd=world.folder, env=world.env, capture_output=True)
    assert (done.returncode, b"a kill -9 of procman leaves everything behind" in done.stderr) == (0, True)
    supervisor = world.start(before=before)
    supervisor.expect("cannot start the guardian: .*; if procman is killed, what it runs is left behind")
    assert supervisor.stop() == 0


@needs_mounts
def test_without_dev_null_the_file_that_is_missing_is_named(world: World) -> None:
    world.procfile(a="true")
    done = subprocess.run([*without("/dev"), world.bin, "start"], cwd=world.folder, env=world.env, capture_output=True)
    assert done.returncode == 1
    assert b"No such file or directory: /dev/null" in done.stderr
    assert b"ulimit" not in done.stderr


def test_with_a_terminal_too(world: World) -> None:
    before = filtered(world, SUBREAPER_REFUSED)
    world.procfile(a=f"cd . && {world.script('polite.py', POLITE)}")
    supervisor = world.start("--tty", before=before)
    supervisor.expect("up")
    assert supervisor.stop() == 0


@needs_mounts
@pytest.mark.parametrize("tty", ["--tty", "--no-tty"])
def test_orphans_that_nobody_reaps_are_not_waited_for(world: World, tty: str) -> None:
    """Without a subreaper they become children of the first process of the container, which may not care."""
    code = (
        "import os, sys; pid = os.fork() or os.execvp(sys.argv[1], sys.argv[1:]); sys.exit(os.waitpid(pid, 0)[1] >> 8)"
    )
    container = ("unshare", "-p", "-f", "--mount-proc", "--kill-child", *world.script("careless.py", code).split())
    world.procfile(a=f"cd . && {world.script('polite.py', POLITE)}")
    supervisor = world.start(tty, before=(*container, *filtered(world, SUBREAPER_REFUSED)))
    supervisor.expect("up")
    assert world.run("shutdown").code == 0
    assert supervisor.wait() == 0
    assert "unkillable" not in supervisor.seen
    assert "KILL" not in supervisor.seen


def test_where_nothing_is_lacking_nothing_is_said(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start()
    supervisor.expect("up$")
    assert "cannot guarantee" not in supervisor.seen
    assert "cannot guarantee" not in world.run("check").err


@needs_mounts
def test_without_dev_fd_the_guardian_does_its_work(world: World) -> None:
    """A bare /dev, as of a chroot or a microVM, has no such link."""
    script = 'mount -t tmpfs none /mnt && for f in null zero urandom tty ptmx; do touch /mnt/$f; mount --bind /dev/$f /mnt/$f; done && mount --move /mnt /dev && test ! -e /dev/fd && exec "$@"'
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start("-t", "5", before=("unshare", "-m", "sh", "-c", script, "-"))
    supervisor.expect("up$")
    guardian = guardian_of(supervisor)
    supervisor.process.kill()
    eventually(lambda: not alive(guardian), "its work is done")
    assert world.left() == []


@needs_mounts
def test_without_dev_fd_no_descriptor_reaches_a_child(world: World) -> None:
    high = os.open(world.file("secret", ""), os.O_RDONLY)
    os.dup2(high, 300)
    os.close(high)
    try:
        world.procfile(a="ls /proc/self/fd | tr '\\n' ' '; echo end; exec sleep 1000")
        supervisor = world.start(before=without("/dev/fd") if not os.path.islink("/dev/fd") else (), pass_fds=(300,))
        assert "300" not in supervisor.expect("a.1 .*end$")[0]
    finally:
        os.close(300)


@needs_mounts
@pytest.mark.parametrize("tty", ["--tty", "--no-tty"])
def test_without_a_shell_programs_run_and_it_is_named_where_it_is_needed(world: World, tty: str) -> None:
    """As in an image that has nothing but an interpreter."""
    world.procfile(a=world.script("polite.py", POLITE), b="cd . && true")
    script = 'shell=$(readlink -f /bin/sh) && mount --bind "$0" "$shell" && exec "$@"'
    supervisor = world.start(tty, before=("unshare", "-m", "sh", "-c", script, str(world.file("empty", ""))))
    supervisor.expect(r"cannot start the guardian: Permission denied: /bin/sh")
    supervisor.phase(a_1="ready")
    assert supervisor.stop() == 0
    assert "b.1 did not start: its line needs a shell: /bin/sh: not executable" in supervisor.seen
    assert "asked to end" in supervisor.seen


@needs_mounts
def test_without_dev_pts_the_reason_names_it(world: World) -> None:
    world.procfile(a="exec sleep 1000")
    supervisor = world.start("--tty", before=without("/dev/pts"))
    supervisor.expect(r"cannot make a terminal: /dev/pts is not mounted \(ENODEV\); --no-tty")
    assert supervisor.stop() == 0


def test_a_guardian_without_an_interpreter_is_told_at_the_start(world: World) -> None:
    """As where the interpreter was replaced or removed by the time that it is needed."""
    gone = world.folder / "gone"
    gone.symlink_to("nowhere")
    world.procfile(a="echo up; exec sleep 1000")
    code = f"import sys; sys.executable = {str(gone)!r}; sys.argv = ['procman', 'start']; from procman.cli import main; main()"
    python = str(os.path.join(os.path.dirname(world.bin), "python"))
    world.bin, before = python, world.bin
    process = world.popen("-c", code)
    world.bin = before
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, b"")
        assert any(b"cannot start the guardian" in line and b"cannot be executed" in line for line in lines)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_a_suspended_guardian_does_not_hold_up_the_end(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    supervisor = world.start()
    supervisor.expect("up$")
    os.kill(guardian_of(supervisor), signal.SIGSTOP)
    assert supervisor.stop() == 0


WITHOUT_EPOLL = {
    "no epoll": "import select; del select.epoll",
    "neither epoll nor poll": "import select; del select.epoll, select.poll",
    "a kernel without it": "import select\ndef refused(*_): raise OSError(38, 'ENOSYS')\nselect.epoll = refused",
    "a filter that refuses it": "import select\ndef refused(*_): raise OSError(1, 'EPERM')\nselect.epoll = refused",
}


@pytest.mark.parametrize("lack", WITHOUT_EPOLL)
def test_without_epoll_another_call_watches_everything(world: World, lack: str) -> None:
    world.file("site/sitecustomize.py", WITHOUT_EPOLL[lack])
    world.env["PYTHONPATH"] = str(world.folder / "site")
    world.procfile(
        a="echo first; exec sleep 1000", b="while read -r line; do echo got $line; done < fifo; exec sleep 1000"
    )
    os.mkfifo(world.folder / "fifo")
    supervisor = world.start()
    supervisor.up("a.1", "b.1")
    with (world.folder / "fifo").open("w") as fifo:
        fifo.write("one\ntwo\n")
    supervisor.expect("got two$")
    assert world.run("restart", "a").code == 0
    supervisor.expect("first$")
    assert supervisor.stop() == 0
