"""What a person is told is what happened."""

from __future__ import annotations

import shutil
import signal
import subprocess

import pytest
from harness import PYTHON, World, children_of, eventually
from seccomp import ALLOW, LOAD_NUMBER, REFUSE, equal, filtered

CHILDREN_REFUSED = [
    LOAD_NUMBER,
    equal(435, 0, then=3),  # clone3
    equal(58, 0, then=2),  # vfork
    equal(57, 0, then=1),  # fork
    equal(56, 1),  # clone
    REFUSE,
    ALLOW,
]
"""Refuses every call that makes a process."""

BAR = """
import os, select
for n in range(1, 61):
    os.write(1, b"\\r%3d/60" % n)
    select.select([], [], [], 0.1)
os.write(1, b"\\n")
select.select([], [], [])
"""

SPINNER = """
import os, select
for n in range(60):
    os.write(1, b"\\r" + b"|/-\\\\"[n % 4 : n % 4 + 1] + b" waiting")
    select.select([], [], [], 0.1)
os.write(1, b"\\rdone\\n")
select.select([], [], [])
"""


@pytest.mark.parametrize("limit", [*range(5, 16), 20, 32])
def test_too_few_descriptors_are_told_without_a_traceback(world: World, limit: int) -> None:
    world.procfile(a="echo up; sleep 0.1")
    for verb in (["start", "--no-restart"], ["ps"], ["check"]):
        command = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "-", world.bin, *verb]
        done = subprocess.run(command, cwd=world.folder, env=world.env, capture_output=True, text=True, timeout=30)
        if "procman.cli" not in done.stderr and "Fatal Python error" in done.stderr:
            continue  # the interpreter itself cannot start
        assert "Traceback" not in done.stderr, done.stderr
        assert "write to standard output" not in done.stderr, done.stderr


def test_a_system_that_refuses_new_processes_is_told_so(world: World) -> None:
    world.procfile(a="sleep 1000")
    supervisor = world.start(before=filtered(world, CHILDREN_REFUSED))
    told = supervisor.expect(r"a\.1 .*(EPERM|EAGAIN|cannot).*")[0]
    assert "cannot execute" not in told
    assert supervisor.stop() == 0


def test_a_progress_bar_shows_a_state_every_second_or_two(world: World) -> None:
    world.procfile(a=world.script("bar.py", BAR))
    supervisor = world.start("--tty")
    supervisor.expect("60/60")
    shown = supervisor.lines("a.1")
    assert 2 <= len(shown) <= 12, shown
    assert shown[-1].endswith("60/60")


def test_the_frames_of_a_spinner_are_no_lines(world: World) -> None:
    world.procfile(a=world.script("spinner.py", SPINNER))
    supervisor = world.start("--tty")
    supervisor.expect("done")
    assert len(supervisor.lines("a.1")) <= 2


def test_a_folder_of_log_files_that_was_removed_is_made_again(world: World) -> None:
    world.procfile(a="n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done")
    folder = world.folder / "logs"
    supervisor = world.start("--log-dir", str(folder))
    supervisor.expect("line 3$")
    shutil.rmtree(folder)
    supervisor.signal(signal.SIGUSR1)
    eventually(lambda: list(folder.glob("a.1*")), "there again")


@pytest.mark.parametrize("mark", ["", "env -i "], ids=["marked", "hides its environment"])
def test_a_program_that_makes_itself_a_daemon_is_told_so_and_not_to_be_started_again(world: World, mark: str) -> None:
    code = "import os, time; os.fork() and os._exit(0); os.setsid(); os.dup2(os.open('/dev/null', 2), 1); os.dup2(1, 2); time.sleep(1000)"
    world.script("daemon.py", code)
    world.procfile(a=f"{mark}{PYTHON} daemon.py", other="exec sleep 1000")
    supervisor = world.start()
    line = supervisor.expect("a.1 is done: exit 0 .*")[0]
    assert "it went to the background (pid " in line
    assert "policy: always" not in line
    assert supervisor.stop() == 0
    assert supervisor.seen.count("went to the background") == 1
    assert "which is unknown" not in supervisor.seen
    assert world.left() == []


HIDES_NEXT = """
# Goes to the background, and loses the mark in its environment just after its parent has ended, as redis-server does.
import os, sys, time
parent = os.getpid()
if os.fork():
    os._exit(0)
os.setsid()
null = os.open("/dev/null", os.O_RDWR)
for fd in range(3):
    os.dup2(null, fd)
while os.getppid() == parent:
    pass
time.sleep(float(sys.argv[1]))
os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(1000)"], {})
"""


@pytest.mark.parametrize("pause", ["0", "0.002", "0.05"])
@pytest.mark.parametrize("policy", ["on-failure", "never", "always"])
def test_a_daemon_that_hides_its_environment_next_is_its_instances_all_the_same(
    world: World, policy: str, pause: str
) -> None:
    world.file("procman.yml", f"processes: {{a: {{restart: {{policy: {policy}, delay: 60, max_delay: 60}}}}}}\n")
    world.procfile(a=f"{world.script('hides.py', HIDES_NEXT)} {pause}", b="exec sleep 1000")
    supervisor = world.start()
    supervisor.phase(a_1="backoff" if policy == "always" else "done")
    other = supervisor.pids()["b.1"]
    eventually(lambda: children_of(supervisor.pid) == [other], "it has ended with its instance")
    assert supervisor.stop() == 0
    assert "which is unknown" not in supervisor.seen


FILES = {
    "no-interpreter": ("#!/nowhere/ruby\n", "its first line names the interpreter /nowhere/ruby, which does not exist"),
    "windows": ("#!/bin/sh\r\necho hi\r\n", "its first line ends with a carriage return"),
    "a-text": ("#!./a-text\n", "Permission denied"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("shape", ["./{}", "exec ./{}", './{} "$PORT"'])
@pytest.mark.parametrize("tty", ["--tty", "--no-tty"])
def test_a_file_that_cannot_be_executed_is_told_why_however_it_is_started(
    world: World, tty: str, shape: str, name: str
) -> None:
    content, why = FILES[name]
    path = world.folder / name
    path.write_text(content)
    path.chmod(0o755 if name != "a-text" else 0o644)
    world.procfile(a=shape.format(name))
    supervisor = world.start(tty, "--no-restart")
    assert supervisor.wait() in (126, 127)
    assert why in supervisor.seen or (name == "a-text" and "not executable (chmod +x?)" in supervisor.seen)


def test_a_watchers_helper_that_is_just_ending_is_no_daemon(world: World) -> None:
    world.procfile(a="sh -c 'sleep 1000 & exit 0' --watch", b="exec sleep 1000")
    supervisor = world.start("--no-tty")
    assert "needs `stdin: open`" in supervisor.expect("a.1 is done: exit 0 .*")[0]
    supervisor.phase(a_1="done")
    assert supervisor.stop() == 0
    assert "went to the background" not in supervisor.seen
