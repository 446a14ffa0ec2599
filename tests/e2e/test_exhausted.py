"""Nothing left: no memory, no process, no terminal, no disk, no watch, no shared memory. Each is a reason on the instance
or one warning, and never an end of procman. Limits that cannot be made here are skipped with the reason, and simulated
where the code meets them (tests/kernel).
"""

from __future__ import annotations

import os
import resource
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from harness import BIN, PYTHON, World, eventually

SLEEPER = "sleep 1000"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make such a limit")
EATER = f"{PYTHON} -c 'import time; time.sleep(0.3); print(len(bytearray(400_000_000)) and 1); time.sleep(1000)'"


@contextmanager
def cgroup(controller: str) -> Iterator[tuple[Path, str]]:
    """A new group with this controller, and the name of its file of processes; skips where none can be made."""
    made, version = _made(controller)
    try:
        yield made, version
    except BaseException:
        _removed(made)
        raise
    eventually(lambda: _removed(made), "the cgroup is empty")


def _made(controller: str) -> tuple[Path, str]:
    for place, version in ((Path("/sys/fs/cgroup") / controller, "v1"), (Path("/sys/fs/cgroup"), "v2")):
        if version == "v2" and controller not in _text(place / "cgroup.subtree_control").split():
            continue
        made = place / f"procman-test-{os.getpid()}"
        with suppress(OSError):
            made.mkdir()
            return made, version
    pytest.skip(f"no cgroup with the {controller} controller can be made here")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _removed(path: Path) -> bool:
    with suppress(OSError):
        path.rmdir()
    return not path.exists()


def _inside(group: Path) -> tuple[str, ...]:
    return ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")


def test_a_child_that_the_oom_killer_ended_says_so_and_the_others_stay(world: World) -> None:
    with cgroup("memory") as (group, version):
        limit = "memory.limit_in_bytes" if version == "v1" else "memory.max"
        (group / limit).write_text(str(150_000_000))
        for swap in ("memory.swap.max", "memory.memsw.limit_in_bytes"):
            with suppress(OSError):
                (group / swap).write_text("0" if version == "v2" else str(150_000_000))
        world.procfile(eater=EATER, calm=SLEEPER)
        supervisor = world.start(before=_inside(group))
        calm = supervisor.up("calm.1")["calm.1"]["pid"]
        supervisor.expect(r"eater\.1 ended: (SIGKILL|exit 137).*out of memory")
        row = supervisor.until(lambda now: "out of memory" in (now["eater.1"]["reason"] or ""), "the reason")["calm.1"]
        assert (row["pid"], row["restarts"]) == (calm, 0)
        assert supervisor.stop() == 0


def test_no_process_left_in_the_cgroup_is_a_reason_and_is_recovered_from(world: World) -> None:
    with cgroup("pids") as (group, _):
        (group / "pids.max").write_text("6")
        world.procfile(a=SLEEPER)
        supervisor = world.start(before=_inside(group))
        supervisor.up("a.1")
        supervisor.ask("scale", to={"a": 20})
        supervisor.expect(r"did not start: cannot make a process: .*EAGAIN")
        (group / "pids.max").write_text("max")
        names = [f"a.{n}" for n in range(1, 21)]
        supervisor.until(lambda now: all(now[name]["pid"] for name in names), "all twenty")
        assert supervisor.stop() == 0


@as_root
def test_no_terminal_left_is_a_reason_and_is_recovered_from(world: World) -> None:
    """A /dev/pts of its own, of which two can be open."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespace can be made here")
    mounts = (
        "mount -t devpts -o newinstance,max=2,ptmxmode=0666 devpts /dev/pts && mount --bind /dev/pts/ptmx /dev/ptmx"
    )
    before = ("unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh")
    if subprocess.run([*before, "true"], capture_output=True).returncode != 0:
        pytest.skip("no devpts can be mounted here")
    world.procfile(a=SLEEPER)
    supervisor = world.start("--tty", before=before)
    supervisor.up("a.1")
    supervisor.ask("scale", to={"a": 4})
    supervisor.expect(r"did not start: cannot make a terminal: .*ENOSPC")
    now = supervisor.until(lambda now: sum(row["pid"] is not None for row in now.values()) == 2, "two")
    assert all("ENOSPC" in row["reason"] for row in now.values() if row["phase"] == "backoff")
    supervisor.ask("scale", to={"a": 2})
    supervisor.until(lambda now: len(now) == 2 and all(row["pid"] for row in now.values()), "both")
    assert supervisor.stop() == 0


@as_root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1)")
def test_no_watch_of_files_left_is_one_reason_and_the_workers_go_on(world: World) -> None:
    """A user namespace with no inotify instance for its user (namespaces(7), /proc/sys/user)."""
    limit = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
    before = ("unshare", "-U", "-r", "sh", "-c", limit, "sh")
    if subprocess.run([*before, "true"], capture_output=True).returncode != 0:
        pytest.skip("no user namespace, or no limit in it, can be made here")
    world.procfile(a=SLEEPER)
    supervisor = world.start("--watch", before=before)
    supervisor.expect("cannot watch: ")
    assert supervisor.up("a.1")["a.1"]["restarts"] == 0
    assert supervisor.stop() == 0


@as_root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1)")
def test_a_read_only_file_system_is_the_reason_why_no_log_files_can_be_written(world: World) -> None:
    world.procfile(a=SLEEPER)
    (world.folder / "logs").mkdir()
    mounted = 'mount -t tmpfs -o ro none logs && touch mounted && exec "$@"'
    words = ["unshare", "-m", "sh", "-c", mounted, "sh", BIN, "start", "--log-dir", "logs"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=world.folder)
    if not (world.folder / "mounted").exists():
        pytest.skip("no file system can be mounted here")
    assert done.returncode == 2
    assert "cannot write log files in " in done.stderr
    assert "Read-only file system (name another folder" in done.stderr


@pytest.mark.parametrize("where", ["stdout", "log-dir", "trace"])
def test_a_full_device_is_one_warning_and_ends_nothing(world: World, where: str, tmp_path: Path) -> None:
    world.procfile(loud="yes", a=SLEEPER)
    full = "/dev/full"
    if where == "stdout":
        with open(full, "wb") as out:
            supervisor = world.start(stdout=out)
        eventually(lambda: "cannot write to standard output: No space left" in world.errors(), "the warning")
    elif where == "log-dir":
        folder = world.folder / "logs"
        folder.mkdir()
        supervisor = world.start("--log-dir", "logs", "-m", "loud=0", preexec_fn=_small_files)
        supervisor.up("a.1")
        supervisor.ask("scale", to={"loud": 1})
        supervisor.expect(r"cannot write to .*loud\.1\.log: File too large")
        supervisor.ask("scale", to={"loud": 0})
    else:
        supervisor = world.start("-m", "loud=0", preexec_fn=_no_files)
        supervisor.up("a.1")
        supervisor.signal(3)  # QUIT
        supervisor.expect("cannot write the trace .*: File too large")
    supervisor.until(lambda now: now["a.1"]["pid"] and now["a.1"]["restarts"] == 0, "a goes on")
    assert world.errors().count("cannot write to standard output") == (where == "stdout")
    supervisor.process.terminate()
    assert supervisor.process.wait(20) == 0


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def _no_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))


def test_without_a_memory_file_there_is_one_warning_and_all_else_works(world: World) -> None:
    """`ulimit -f` holds for a memory file too: no table for the guardian."""
    world.procfile(a=SLEEPER)
    supervisor = world.start("-m", "a=30", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    supervisor.up("a.30")
    supervisor.until(lambda now: all(row["phase"] == "ready" for row in now.values()), "ready")
    assert supervisor.stop() == 0
    told = [line for line in supervisor.own() if "guardian" in line]
    assert len(told) == 1, told


def test_a_pipe_that_nobody_reads_and_a_full_queue_of_clients_leave_supervision_alone(world: World) -> None:
    world.procfile(loud="yes", dies="sleep 0.2; exit 1")
    supervisor = world.start("--no-port")
    supervisor.up("loud.1")
    before = supervisor.until(lambda now: now["dies.1"]["restarts"] >= 1, "it was restarted once")["dies.1"]["restarts"]
    with supervisor.connected() as line:
        line.peer.sendall(b'{"jsonrpc":"2.0","id":1,"method":"ps"}\n' * 5000)  # and none of the answers is read
        supervisor.until(lambda now: now["dies.1"]["restarts"] > before, "it is restarted again")
    select.select([], [], [], 0)
    assert supervisor.stop() == 0
