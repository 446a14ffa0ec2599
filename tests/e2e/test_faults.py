"""Faults that procman survives: after each, nothing is left over and its descriptors are where they were."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from harness import BIN, PYTHON, Supervisor, World, alive, children_of, eventually, open_world, state_of, status_of

SLEEPER = "sleep 1000"


def zombies(supervisor: Supervisor) -> int:
    return sum(state_of(pid) == "Z" for pid in children_of(supervisor.pid))


def test_a_killed_worker_comes_back_and_its_siblings_are_untouched(world: World) -> None:
    world.procfile(web=SLEEPER)
    supervisor = world.start("-m", "web=3")
    before = supervisor.up("web.1", "web.2", "web.3")
    descriptors = supervisor.descriptors()
    began = time.monotonic()
    os.kill(before["web.2"]["pid"], signal.SIGKILL)
    after = supervisor.until(lambda now: now["web.2"]["restarts"] == 1 and now["web.2"]["pid"], "back")
    assert time.monotonic() - began > 0.4
    assert after["web.2"]["pid"] != before["web.2"]["pid"]
    assert [after[n]["pid"] for n in ("web.1", "web.3")] == [before[n]["pid"] for n in ("web.1", "web.3")]
    assert after["web.2"]["last_exit"] == "SIGKILL"
    assert zombies(supervisor) == 0
    eventually(lambda: supervisor.descriptors() == descriptors, "descriptors as before")


def test_death_is_noticed_although_a_grandchild_holds_the_pipe(world: World) -> None:
    """Not the end of output counts: this grandchild keeps it open."""
    world.procfile(a="setsid sleep 1000 & exit 3")
    supervisor = world.start("-t", "2")
    supervisor.expect(r"a\.1 ended: exit 3")
    supervisor.expect(r"a\.1 ended: exit 3.*twice in a row")


def test_the_process_limit_is_a_failed_start_and_is_recovered_from() -> None:
    """RLIMIT_NPROC does not count for root, so procman runs as another user, of whom nothing else runs."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv(1)")
    uid = 54000 + os.getpid() % 1000
    drop = ("setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups")
    if subprocess.run([*drop, BIN, "--version"], capture_output=True).returncode != 0:
        pytest.skip("another user may not execute the procman that is tested")
    with open_world() as world:
        os.chown(world.folder, uid, uid)
        os.chown(world.runtime, uid, uid)
        world.procfile(a=SLEEPER)
        supervisor = world.start(before=("prlimit", "--nproc=4:100", *drop))
        supervisor.up("a.1")
        supervisor.ask("scale", to={"a": 10})
        supervisor.expect(r"a\.\d+ did not start: cannot make a process: .*EAGAIN")
        held = [row for row in supervisor.ps().values() if row["phase"] == "backoff"]
        assert held
        assert "EAGAIN" in held[0]["reason"]
        subprocess.run([*drop, "prlimit", "--pid", str(supervisor.pid), "--nproc=100"], check=True)
        supervisor.until(lambda now: len(now) == 10 and all(row["pid"] for row in now.values()), "all ten")
        assert supervisor.stop() == 0


def test_no_descriptors_left_is_a_failed_start_and_control_still_answers(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    supervisor.up("a.1")
    assert supervisor.ask("scale", to={"a": 50})["formation"] == {"a": 50}
    supervisor.expect(r"a\.\d+ did not start: .*EMFILE")
    assert len(supervisor.ps()) == 50
    assert world.run("ps").code == 0
    used = _cpu(supervisor.pid)
    select.select([], [], [], 0.5)  # an interval to measure over, not a wait for anything
    assert _cpu(supervisor.pid) - used < 0.35, "it spins"
    supervisor.ask("scale", to={"a": 5})
    supervisor.until(
        lambda now: len(now) == 5 and all(r["pid"] or r["phase"] == "backoff" for r in now.values()), "five"
    )
    assert supervisor.stop() == 0


def test_a_formation_that_takes_all_descriptors_at_the_start_is_no_end(world: World) -> None:
    """Whatever procman itself would have liked to open is not to be had."""
    world.procfile(a=SLEEPER)
    supervisor = world.start("-m", "a=50", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    supervisor.expect(r"a\.\d+ did not start: .*EMFILE")
    assert len(supervisor.ps()) == 50
    done = world.run("upgrade")
    assert done.code == 1 or "->" in done.out  # whether there was one left for what it needs is chance
    assert len(supervisor.ps()) == 50
    assert supervisor.stop() == 0


def _cpu(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_suspended_child_stays_as_it_is(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    pid = supervisor.up("a.1")["a.1"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state_of(pid) == "T", "suspended")
    row = supervisor.phase(a_1="ready")["a.1"]
    assert (row["pid"], row["restarts"]) == (pid, 0)
    os.kill(pid, signal.SIGCONT)


def test_nothing_is_started_after_the_stop_signal(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {delay: 0.2}}\n")
    world.procfile(
        a="echo run >> runs; exit 1", slow="trap 'sleep 1; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    )
    supervisor = world.start("-m", "a=10")
    supervisor.expect("up$")
    supervisor.until(lambda now: now["a.10"]["last_exit"] and now["slow.1"]["phase"] == "ready", "all have died once")
    supervisor.signal(signal.SIGTERM)
    supervisor.expect("stopping")
    runs = (world.folder / "runs").read_text().count("run")
    assert supervisor.wait() == 0
    assert (world.folder / "runs").read_text().count("run") == runs


def test_a_child_that_ends_just_when_it_is_stopped_makes_no_trouble(world: World) -> None:
    """Each run lasts a few milliseconds, so that stops meet every moment of it."""
    world.file("procman.yml", "defaults: {restart: {policy: always, delay: 0, max_delay: 0}}\n")
    world.procfile(a="sleep 0.00$(( $$ % 10 ))", b=SLEEPER)
    supervisor = world.start()
    supervisor.up("b.1")
    with supervisor.connected() as line:
        for _ in range(35):
            line.ask("restart", names=["a"])
            line.ask("stop", names=["a"])
            line.ask("restart", names=["a"])
    row = supervisor.until(lambda now: now["a.1"]["phase"] in ("starting", "ready", "stopping", "backoff"), "known")[
        "a.1"
    ]
    assert row["generation"] > 1
    supervisor.ask("stop", names=["a"])
    supervisor.phase(a_1="stopped")
    assert zombies(supervisor) == 0
    assert supervisor.stop() == 0
    assert "at fault" not in supervisor.seen


def test_hundreds_of_scalings_end_where_the_last_one_says(world: World) -> None:
    world.procfile(web=SLEEPER)
    supervisor = world.start()
    supervisor.up("web.1")
    descriptors = supervisor.descriptors()
    with supervisor.connected() as line:
        for n in range(200):
            line.ask("scale", to={"web": 4 if n % 2 == 0 else 1})
        line.ask("scale", to={"web": 4})
    now = supervisor.until(
        lambda now: len(now) == 4 and all(r["pid"] and r["phase"] != "stopping" for r in now.values()), "four"
    )
    eventually(lambda: sorted(children_of(supervisor.pid)) == sorted(r["pid"] for r in now.values()), "nothing leaked")
    eventually(lambda: supervisor.descriptors() == descriptors + 3, "one descriptor an instance")
    # Which numbers they have depends on who was still leaving: a free one is taken at once.
    assert {name: row["port"] for name, row in now.items()} == {
        name: 4999 + int(name.removeprefix("web.")) for name in now
    }
    assert now.keys() >= {"web.1"}


def test_restarts_leave_no_descriptor_and_no_memory_behind(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {policy: always, delay: 0, max_delay: 0}}\n")
    world.procfile(a="/bin/true", b=SLEEPER)
    supervisor = world.start()
    supervisor.until(lambda now: now["a.1"]["restarts"] > 50, "50 restarts")
    descriptors, memory = supervisor.descriptors(), _resident(supervisor.pid)
    supervisor.until(lambda now: now["a.1"]["restarts"] > 500, "500 restarts")
    assert supervisor.descriptors() <= descriptors + 2
    assert _resident(supervisor.pid) - memory < 3_000_000
    supervisor.ask("stop", names=["a"])


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_procman_suspended_over_a_stop_deadline_kills_nobody_in_a_burst(world: World) -> None:
    """A child that needs a moment more has it, although the deadline has passed meanwhile."""
    polite = world.script(
        "polite.py",
        "import os, signal\n"
        "def asked(*_):\n"
        "    os.write(1, b'asked\\n')\n"
        "    signal.setitimer(signal.ITIMER_REAL, 4.2)\n"
        "signal.signal(signal.SIGTERM, asked)\n"
        "signal.signal(signal.SIGALRM, lambda *_: os._exit(0))\n"
        "os.write(1, b'up\\n')\n"
        "while True: signal.pause()\n",
    )
    world.procfile(a=polite)
    supervisor = world.start("-t", "3", start_new_session=False, process_group=0)
    supervisor.expect("up$")
    supervisor.phase(a_1="ready")
    supervisor.signal(signal.SIGTERM)
    supervisor.expect("asked$")
    supervisor.signal(signal.SIGSTOP)
    eventually(lambda: state_of(supervisor.pid) == "T", "suspended")
    select.select([], [], [], 4.1)  # past the deadline: this is the fault itself
    supervisor.signal(signal.SIGCONT)
    assert supervisor.wait() == 0
    assert "a.1 exit 0" in supervisor.seen, "it was killed at once"


def test_a_connection_that_says_nothing_holds_nobody_up(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    supervisor.up("a.1")
    idle = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    try:
        for peer in idle:
            peer.connect(supervisor.address)
            peer.send(b'{"jsonrpc": "2.0", "id": 1')
        assert "a.1" in supervisor.ps()
        assert supervisor.stop() == 0
    finally:
        for peer in idle:
            peer.close()


def test_a_worker_that_floods_its_output_holds_up_neither_control_nor_stop(world: World) -> None:
    world.procfile(loud="yes", calm=SLEEPER)
    with open(os.devnull, "wb") as nowhere:
        supervisor = world.start(stdout=nowhere)
    supervisor.up("loud.1", "calm.1")
    with supervisor.connected() as line:
        for _ in range(20):
            line.ask("ps")
    assert supervisor.stop() == 0


def test_a_fork_storm_that_ends_leaves_nothing(world: World) -> None:
    storm = world.script(
        "storm.py",
        "import os, time\n"
        "def grow(depth):\n"
        "    if depth:\n"
        "        for _ in range(3):\n"
        "            if os.fork() == 0:\n"
        "                if depth % 2: os.setsid()\n"
        "                grow(depth - 1)\n"
        "                time.sleep(1000)\n"
        "grow(4)\n"
        "time.sleep(0.2)\n"
        "print('grown', flush=True)\n"
        "time.sleep(1000)\n",
    )
    world.procfile(a=storm)
    supervisor = world.start("-t", "5")
    supervisor.expect("grown$")
    assert supervisor.stop() == 0
    assert world.left() == []


def test_a_descendant_tree_that_survives_its_leader_is_gone_before_the_next_run(world: World) -> None:
    """Sessions of their own, deep below a leader that was killed: each level appears only when the one above is gone."""
    deep = world.script(
        "deep.py",
        "import os, signal, sys\n"
        "told = os.pipe()\n"
        "for level in range(5):\n"
        "    if os.fork():\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN) if level % 2 else None\n"
        "        break\n"
        "    os.setsid()\n"
        "else:\n"
        "    os.write(told[1], b'.')\n"
        "    signal.pause()\n"
        "if level == 0:\n"
        "    os.read(told[0], 1)\n"
        "    print('up', os.getpid(), flush=True)\n"
        "signal.pause()\n",
    )
    world.procfile(a=deep)
    supervisor = world.start("-t", "1")
    pid = int(supervisor.expect(r"up (\d+)$")[1])
    os.kill(pid, signal.SIGKILL)
    supervisor.expect(r"up (\d+)$")
    # Five levels of one run, and of one run only.
    eventually(lambda: len(world.left()) == 6, "one run alone")
    assert supervisor.stop() == 0


def test_the_environment_mark_finds_what_left_group_and_session(world: World) -> None:
    """Two instances, each with a daemon of its own: `ps` lists it under the one that it came from."""
    world.procfile(a="(setsid sleep 1000 &); echo up; exec sleep 1000")
    supervisor = world.start("-m", "a=2", "-t", "5")
    now = supervisor.until(lambda now: len(now) == 2 and all(r["adopted"] for r in now.values()), "adopted")
    for name, row in now.items():
        for pid in row["adopted"]:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            assert f"PS={name}".encode() in environ.split(b"\0")


def test_what_forks_off_in_its_first_millisecond_is_adopted_too(world: World) -> None:
    """Also by the very first children, for which procman has hardly started itself."""
    world.procfile(a="(setsid sleep 1000 &); exec sleep 1000")
    supervisor = world.start("-m", "a=20", "-t", "5")
    supervisor.until(lambda now: sum(len(r["adopted"]) for r in now.values()) == 20, "all adopted")
    assert supervisor.stop() == 0
    assert world.left() == []


def test_a_daemon_without_any_environment_is_ended_with_procman(world: World) -> None:
    """Nobody can tell whose it is."""
    world.procfile(a="(setsid env -i sleep 1000 &); echo up; exec sleep 1000")
    supervisor = world.start("-t", "5")
    supervisor.expect("up$")
    eventually(lambda: len(children_of(supervisor.pid)) == 2, "adopted")
    assert supervisor.stop() == 0
    assert world.left() == []


def test_procman_sleeps_when_nothing_happens(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start("-m", "a=10")
    supervisor.until(lambda now: len(now) == 10 and all(r["phase"] == "ready" for r in now.values()), "ready")
    supervisor.descriptors()  # all clients have gone
    before = status_of(supervisor.pid)["voluntary_ctxt_switches"]
    select.select([], [], [], 0.5)  # an interval to measure over, not a wait for anything
    assert int(status_of(supervisor.pid)["voluntary_ctxt_switches"]) - int(before) <= 2


def test_a_reload_in_a_storm_of_restarts_settles(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {policy: always, delay: 0.01, max_delay: 0.01}}\n")
    world.procfile(a="exit 1", b=SLEEPER)
    supervisor = world.start("-m", "a=5")
    supervisor.up("b.1")
    for n in range(10):
        world.procfile(a="exit 1" if n % 2 else "sleep 1000; true", b=SLEEPER)
        supervisor.ask("reload")
    world.procfile(a="exec sleep 2000", b=SLEEPER)
    supervisor.ask("reload")
    supervisor.until(lambda now: len(now) == 6 and all(r["phase"] == "ready" for r in now.values()), "six ready")
    assert len(children_of(supervisor.pid)) == 6
    assert re.search("reloaded: changed a", supervisor.seen + "".join(supervisor.own())) or supervisor.expect(
        "reloaded"
    )


def test_an_instance_with_a_huge_environment_fails_to_start_with_the_reason(world: World) -> None:
    world.file(".env", "".join(f"HUGE{n}={'x' * 100000}\n" for n in range(35)))
    world.procfile(a="/bin/echo never")
    supervisor = world.start()
    supervisor.expect(r"a\.1 did not start: .*E2BIG")


def test_a_working_directory_that_vanishes_is_a_failed_start(world: World) -> None:
    world.file("sub/x", "")
    world.file("procman.yml", "processes: {a: {cwd: sub, restart: {delay: 0.1}}}\n")
    world.procfile(a=f"{PYTHON} -c 'import os, signal; print(os.getcwd()); signal.pause()'")
    supervisor = world.start()
    supervisor.expect(re.escape(str(world.folder / "sub")) + "$")
    shutil.rmtree(world.folder / "sub")
    os.kill(supervisor.pids()["a.1"], signal.SIGKILL)
    supervisor.expect(r"a\.1 did not start: its folder .*sub does not exist")
    world.file("sub/x", "")
    supervisor.expect(re.escape(str(world.folder / "sub")) + "$")
    assert all(map(alive, supervisor.pids().values()))


def test_a_daemon_that_outlives_its_run_can_go_on_writing(world: World) -> None:
    """It is kept for its type, so its pipe is too."""
    daemon = world.script(
        "daemon.py",
        "import os, time\n"
        "if os.environ['PROCMAN_INDEX'] == '1' and not os.fork():\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        "    while True: print('daemon here', flush=True); time.sleep(0.1)\n"
        "time.sleep(1000)\n",
    )
    world.procfile(web=daemon)
    supervisor = world.start("-m", "web=2")
    (pid,) = supervisor.until(lambda now: now["web.1"]["adopted"], "the daemon is adopted")["web.1"]["adopted"]
    supervisor.ask("stop", names=["web.1"])
    supervisor.phase(web_1="stopped")
    supervisor.expect("daemon here")
    supervisor.expect("daemon here")
    assert alive(pid)
    supervisor.ask("stop", names=["web.2"])
    supervisor.phase(web_2="stopped")
    eventually(lambda: not alive(pid), "the daemon has ended")


def test_a_folder_that_was_renamed_refuses_a_reload_and_nothing_else(world: World) -> None:
    app = world.folder / "app"
    app.mkdir()
    (app / "Procfile").write_text(f"web: {SLEEPER}\n")
    supervisor = world.start("-f", "app/Procfile")
    before = supervisor.up("web.1")
    app.rename(world.folder / "moved")
    supervisor.signal(signal.SIGHUP)
    supervisor.expect("reload refused: .*app/Procfile")
    assert supervisor.ps()["web.1"]["pid"] == before["web.1"]["pid"]


def test_many_clients_do_not_take_the_descriptors_of_instances(world: World) -> None:
    world.procfile(web=SLEEPER)
    soft = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 4096))  # noqa: E731
    supervisor = world.start("--no-port", preexec_fn=soft)
    supervisor.up("web.1")
    with contextlib.ExitStack() as clients:
        for _ in range(40):
            clients.enter_context(supervisor.connected())
        supervisor.ask("scale", to={"web": 90})
        supervisor.until(lambda now: sum(row["phase"] == "ready" for row in now.values()) == 90, "90 are ready")


def test_without_memory_procman_goes_on_and_starts_what_it_could_not_once_there_is_some(world: World) -> None:
    """RLIMIT_AS for procman itself, at what it has: no history can grow, no process be made, no answer be put together."""
    world.procfile(a=SLEEPER, loud="yes 'some line that is kept'", dies="sleep 0.2; exit 1")
    with (world.folder / "log").open("wb") as log:
        supervisor = world.start("--no-port", stdout=log)
    supervisor.up("a.1", "loud.1")
    used = int(Path(f"/proc/{supervisor.pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.prlimit(supervisor.pid, resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
    for n in range(60):
        with contextlib.suppress(AssertionError, OSError):  # an answer for which there is no memory
            supervisor.ask("scale", to={"a": 1 + n % 20})
    assert supervisor.process.poll() is None
    resource.prlimit(supervisor.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    supervisor.ask("scale", to={"a": 5})
    names = [f"a.{n}" for n in range(1, 6)]
    supervisor.until(lambda now: all(now[n]["phase"] == "ready" for n in names), "five")
    assert supervisor.stop() == 0
    assert "at fault" not in (world.folder / "log").read_text()
