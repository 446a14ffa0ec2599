"""What a child, a client, a program that cleans up or a parent may do to procman, as docs/explanation/reliability.md lists it.

Each was run 20 times on a machine that was busy with other things.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import select
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest
from harness import PYTHON, World, alive, children_of, eventually, guardian_of

SLEEPER = "sleep 1000"


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- children


def test_one_line_of_fifty_megabytes_takes_no_memory_and_lets_others_through(world: World) -> None:
    """Fault 25."""
    endless = (
        "import os, time\n"
        "left, piece = 50_000_000, b'x' * 65536\n"
        "while left > 0: left -= os.write(1, piece[:left])\n"
        "os.write(1, b'\\n')\n"
        "time.sleep(1000)\n"
    )
    world.procfile(calm="while :; do echo tick; sleep 0.05; done", endless=world.script("endless.py", endless))
    log = world.folder / "log"
    with log.open("wb") as out:
        supervisor = world.start("-m", "endless=0", stdout=out)
    eventually(lambda: b"tick" in log.read_bytes(), "the first tick")
    eventually(lambda: supervisor.phase(calm_1="ready"), "ready")
    before = _resident(supervisor.pid)
    supervisor.ask("scale", to={"endless": 1})
    eventually(lambda: log.stat().st_size > 50_000_000, "all of it")
    assert _resident(supervisor.pid) - before < 5_000_000 + 512 * 1024  # what is kept of the two
    lines = [line for line in log.read_bytes().split(b"\n") if b"endless.1 |" in line]
    assert all(line.endswith(b" [cut]") for line in lines[:-1])
    assert sum(line.count(b"x") for line in lines) == 50_000_000
    assert supervisor.stop() == 0


def test_a_hundred_megabytes_of_any_bytes_leave_the_lines_of_others_whole(world: World) -> None:
    """Fault 26."""
    world.procfile(
        calm="while :; do echo tick tock; sleep 0.01; done", random="head -c 100000000 /dev/urandom; sleep 1000"
    )
    log = world.folder / "log"
    with log.open("wb") as out:
        supervisor = world.start("--no-timestamps", stdout=out)
    eventually(lambda: log.stat().st_size > 100_000_000, "all of it")
    supervisor.ask("stop", names=["calm"])
    assert supervisor.stop() == 0
    ours = [line for line in log.read_bytes().split(b"\n")[:-1] if line.startswith(b"calm.1")]
    assert len(ours) > 3
    assert set(ours) == {b"calm.1   | tick tock"}


def test_a_million_empty_lines_as_json_stay_within_bounds(world: World) -> None:
    """Each byte becomes a hundred."""
    world.procfile(a="yes ''")
    with open(os.devnull, "wb") as out:
        supervisor = world.start("--log-format", "json", stdout=out)
    supervisor.phase(a_1="ready")
    used = _cpu(supervisor.pid)
    eventually(lambda: _cpu(supervisor.pid) > used + 0.5, "some work")
    assert _resident(supervisor.pid) < 120_000_000
    assert "a.1" in supervisor.ps()
    assert supervisor.stop() == 0


def test_a_child_that_closes_its_output_and_lives_on_is_left_alone(world: World) -> None:
    world.procfile(
        a="exec sleep 1000 >&- 2>&-", b=f"{PYTHON} -c 'import os, signal; os.close(1); os.close(2); signal.pause()'"
    )
    supervisor = world.start()
    supervisor.phase(a_1="ready", b_1="ready")
    supervisor.descriptors()  # all clients have gone
    used = _cpu(supervisor.pid)
    select.select([], [], [], 0.5)  # an interval to measure over, not a wait for anything
    assert _cpu(supervisor.pid) - used < 0.2, "it spins"
    os.kill(supervisor.pids()["b.1"], signal.SIGKILL)
    supervisor.expect(r"b\.1 ended: SIGKILL")
    assert supervisor.stop() == 0


def test_a_child_that_grows_its_pipe_and_does_not_wait_has_its_last_words_before_its_end(world: World) -> None:
    script = (
        "import fcntl, os\n"
        "os.set_blocking(1, False)\n"
        "fcntl.fcntl(1, 1031, 1 << 20)\n"  # F_SETPIPE_SZ
        "n = 0\n"
        "try:\n"
        "    while n < 900: os.write(1, b'%d' % n + b'x' * 1000 + b'\\n'); n += 1\n"
        "except BlockingIOError: pass\n"
        "os._exit(3)\n"
    )
    world.procfile(a=world.script("grow.py", script))
    supervisor = world.start("--no-restart")
    assert supervisor.wait() == 3
    told = supervisor.lines("a.1")
    assert [line.rstrip("x") for line in told] == [str(n) for n in range(len(told))]
    assert supervisor.seen.index("899x") < supervisor.seen.index("| a.1 ")


def test_two_thousand_unreaped_children_of_a_child_are_reaped_and_none_is_taken_for_a_worker(world: World) -> None:
    script = (
        "import os, signal\n"
        "for n in range(2000):\n"
        "    if os.fork() == 0: os._exit(n % 256)\n"
        "print('forked', flush=True)\n"
        "signal.pause()\n"
    )
    world.procfile(a=world.script("zombies.py", script), b=SLEEPER)
    supervisor = world.start()
    supervisor.expect("forked")
    b = supervisor.pids()["b.1"]
    os.kill(supervisor.pids()["a.1"], signal.SIGKILL)
    assert supervisor.ps()
    supervisor.expect(r"a\.1 ended: SIGKILL")
    supervisor.expect("forked")
    assert len(children_of(supervisor.pid)) == 2
    assert supervisor.pids()["b.1"] == b
    assert supervisor.stop() == 0


def test_two_hundred_daemons_that_ignore_term_are_gone_with_the_stop(world: World) -> None:
    script = (
        "import os, signal, sys\n"
        "for n in range(200):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        if os.fork(): os._exit(0)\n"
        "        while True: signal.pause()\n"
        "print('all there', flush=True)\n"
        "signal.pause()\n"
    )
    world.procfile(a=world.script("daemons.py", script))
    supervisor = world.start("-t", "2")
    supervisor.expect("all there")
    assert supervisor.stop() == 0
    assert world.left() == []


def test_a_command_longer_than_the_system_takes_is_a_failed_start_of_its_own(world: World) -> None:
    world.procfile(long=f": {'x' * 200_000}", a=SLEEPER)
    supervisor = world.start()
    supervisor.expect(r"long\.1 did not start: .*E2BIG")
    assert supervisor.up("a.1")["a.1"]["restarts"] == 0
    assert supervisor.stop() == 0


# ---- whoever started it


def test_children_are_noticed_although_procman_was_started_with_chld_ignored_and_all_signals_blocked(
    world: World,
) -> None:
    def clumsy() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    world.procfile(a="sleep 0.2; exit 3", b=SLEEPER)
    supervisor = world.start(preexec_fn=clumsy)
    supervisor.expect(r"a\.1 ended: exit 3")
    os.kill(supervisor.up("b.1")["b.1"]["pid"], signal.SIGKILL)
    supervisor.expect(r"b\.1 ended: SIGKILL")
    assert supervisor.stop() == 0


def test_a_fifo_whose_reader_leaves_and_comes_back_has_what_was_written_since(world: World) -> None:
    fifo = world.folder / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(fifo, os.O_WRONLY)
    world.procfile(a="while :; do echo tick; sleep 0.02; done")
    supervisor = world.start(stdout=writer)
    os.close(writer)
    eventually(lambda: b"tick" in _some(reader), "it flows")
    os.close(reader)
    eventually(lambda: "cannot write to standard output" in world.errors(), "it is noticed")
    assert supervisor.ps()["a.1"]["restarts"] == 0
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    seen = bytearray()
    eventually(
        lambda: (seen.extend(_some(reader)), b"of output dropped" in seen and b"tick" in seen)[1], "it flows again"
    )
    assert supervisor.ps()["a.1"]["restarts"] == 0
    supervisor.signal(signal.SIGTERM)
    eventually(lambda: (_some(reader), supervisor.process.poll() is not None)[1], "the end")
    assert supervisor.process.returncode == 0
    os.close(reader)


def _some(fd: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return os.read(fd, 65536)
    return b""


# ---- cleaners


def test_a_socket_that_was_cleaned_away_leaves_the_lock_the_signals_and_the_name_that_no_cleaner_sees(
    world: World,
) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    supervisor.up("a.1")
    for path in world.runtime.rglob("*.sock"):
        path.unlink()
    assert world.run("ps").code == 0
    second = world.run("start")
    assert (second.code, f"(pid {supervisor.pid}) already runs here" in second.err) == (1, True)
    assert supervisor.stop() == 0
    assert world.left() == []


@pytest.mark.parametrize("what", ["fifo", "folder", "endless", "gone"])
def test_a_procfile_that_became_something_else_refuses_a_reload_and_holds_up_nothing(world: World, what: str) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    pid = supervisor.up("a.1")["a.1"]["pid"]
    path = world.folder / "Procfile"
    path.unlink()
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "endless":
        path.symlink_to("/dev/zero")
    supervisor.signal(signal.SIGHUP)
    supervisor.expect("reload refused: .*Procfile")
    assert supervisor.ps()["a.1"]["pid"] == pid
    assert supervisor.stop() == 0


# ---- clients


def test_five_hundred_clients_that_break_off_anywhere_leave_nothing_behind(world: World) -> None:
    world.procfile(a="while :; do echo tick; sleep 0.01; done")
    supervisor = world.start()
    supervisor.up("a.1")
    before = supervisor.descriptors()
    asked = [
        b'{"jsonrpc":"2.0","id":1,"method":"logs","params":{"follow":true}}\n',
        b'{"jsonrpc":"2.0","id":1,"method":"events"}\n',
        b'{"jsonrpc":',
    ]
    for n in range(500):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(supervisor.address)
            peer.sendall(asked[n % 3] * (n % 5))
            if n % 2:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert "a.1" in supervisor.ps()
    eventually(lambda: supervisor.descriptors() == before, "all descriptors are given back")
    assert supervisor.stop() == 0


def test_three_hundred_clients_of_whom_many_do_not_read_are_served_in_bounded_memory(world: World) -> None:
    """Fault 43, with a real procman."""
    world.procfile(loud="while :; do head -c 20000 /dev/zero | tr '\\0' x; echo; sleep 0.01; done")
    with open(os.devnull, "wb") as out:
        supervisor = world.start(
            stdout=out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        )
    supervisor.phase(loud_1="ready")
    with contextlib.ExitStack() as clients:
        for n in range(300):
            line = clients.enter_context(supervisor.connected())
            if n % 2:
                line.peer.sendall(b'{"jsonrpc":"2.0","id":1,"method":"logs","params":{"follow":true}}\n')
            else:
                line.peer.sendall(b'{"jsonrpc":"2.0","id":1,"method":"ps"}\n' * 1000)
        for _ in range(20):
            assert supervisor.ps()["loud.1"]["pid"]
        assert _resident(supervisor.pid) < 200_000_000
        assert supervisor.ps()["loud.1"]["restarts"] == 0
    assert supervisor.stop() == 0


# ---- all at once


def test_a_kill_in_the_midst_of_restarts_scalings_and_reloads_leaves_nothing(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {policy: always, delay: 0, max_delay: 0}}\n")
    world.procfile(
        quick="sleep 0.0$(( $$ % 10 ))",
        daemon="(setsid sleep 1000 &); exec sleep 1000",
        deaf="trap '' TERM; while :; do sleep 1; done",
    )
    supervisor = world.start("-m", "quick=5,daemon=2", "-t", "1")
    supervisor.up("daemon.2")
    guardian = guardian_of(supervisor)
    end = time.monotonic() + random.random()
    n = 0
    while time.monotonic() < end:
        n += 1
        supervisor.ask("scale", to={"daemon": n % 6, "quick": 5 + n % 5})
        if n % 7 == 0:
            supervisor.signal(signal.SIGHUP)
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: not alive(guardian), "the guardian is done")
    assert world.left() == []


def test_a_guardian_that_is_killed_again_and_again_touches_no_worker(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    pid = supervisor.up("a.1")["a.1"]["pid"]
    for _ in range(3):
        guardian = guardian_of(supervisor)
        os.kill(guardian, signal.SIGKILL)
        eventually(lambda guardian=guardian: guardian_of(supervisor) != guardian, "another guardian")
    row = supervisor.ps()["a.1"]
    assert (row["pid"], row["restarts"]) == (pid, 0)
    assert supervisor.stop() == 0
    assert shutil.which("sh")
