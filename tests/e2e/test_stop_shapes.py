"""How things end, for each shape that a Procfile line can have: politely where possible, in time always, and wholly."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from harness import PYTHON, Supervisor, World, alive, eventually, state_of
from scripts import POLITE, STUBBORN

BUSY = f"{PYTHON} -c 'import time; print(\"up\"); time.sleep(1000)'"

MASTER = """
# As Celery's and gunicorn's: on TERM the master lets each worker finish the job it has. A worker that gets TERM itself
# loses its job.
import os, signal, sys
ready, go = os.pipe(), os.pipe()
workers = []
for number in range(4):
    pid = os.fork()
    if pid == 0:
        os.close(go[1])
        signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"job lost\\n"), os._exit(1)))
        os.write(ready[1], b".")
        os.read(go[0], 1)  # the job takes until the master says so
        os.write(1, f"job {number} finished\\n".encode())
        os._exit(0)
    workers.append(pid)
def end(*_):
    os.close(go[1])
    for pid in workers:
        os.waitpid(pid, 0)
    os.write(1, b"master out\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
for _ in workers:
    os.read(ready[0], 1)
os.write(1, b"up\\n")
while True:
    signal.pause()
"""

SETSID = """
# Its grandchild leaves session and group, and ignores TERM.
import os, signal
told = os.pipe()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(told[1], b".")
    while True:
        signal.pause()
os.read(told[0], 1)
print("up", flush=True)
while True:
    signal.pause()
"""

DAEMON = """
# The classic double fork; the daemon closes everything, and its starter ends.
import os, signal, sys
told = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.write(told[1], str(os.getpid()).encode())
    for fd in range(10):
        try:
            os.close(fd)
        except OSError:
            pass
    while True:
        signal.pause()
pid = os.read(told[0], 10).decode()
print("daemon", pid, flush=True)
if sys.argv[1:] == ["stay"]:
    while True:
        signal.pause()
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(params=["--no-tty", "--tty"])
def world(world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """Each shape without a terminal and with one."""
    start = world.start
    monkeypatch.setattr(world, "start", lambda *args, **how: start(request.param, *args, **how))
    return world


def stopped_by_term(supervisor: Supervisor) -> str:
    """Stop it; exit 0, and nothing is left (the fixture looks again)."""
    assert supervisor.stop() == 0
    assert supervisor.world.left() == []
    return supervisor.seen


def killed(seen: str) -> bool:
    return "killed" in seen or "SIGKILL" in seen


def test_a_plain_command_gets_the_signal_itself(world: World) -> None:
    world.procfile(a=world.script("polite.py", POLITE))
    supervisor = world.start()
    pid = int(supervisor.expect(r"up (\d+)")[1])
    assert supervisor.pids() == {"a.1": pid}
    seen = stopped_by_term(supervisor)
    assert seen.count("asked to end") == 1
    assert "a.1 exit 0" in seen


@pytest.mark.parametrize(
    "shape",
    ["sh -c '{0}; true'", "cd / && {0}; true", "{0} | cat", "cat /dev/null | {0}", "({0}; true) & wait", "{0} || true"],
)
def test_a_program_behind_a_shell_is_asked_too_and_only_once(world: World, shape: str) -> None:
    """dash does not exec the last command, so the leader is a shell that dies of TERM and leaves its program."""
    world.procfile(a=shape.format(world.script("polite.py", POLITE)))
    supervisor = world.start("-t", "10")
    pid = int(supervisor.expect(r"up (\d+)")[1])
    supervisor.phase(a_1="ready")
    began = time.monotonic()
    seen = stopped_by_term(supervisor)
    assert time.monotonic() - began < 8, "it took the last call or KILL"
    assert not killed(seen)
    assert not alive(pid)
    # with `| cat` its reader may be gone before it can say so
    assert seen.count("asked to end") == 1 or shape.endswith("| cat")


@pytest.mark.parametrize("shape", ["{0}", "sh -c '{0}; true'", "cd / && {0}; true"])
def test_workers_of_a_master_are_let_finish(world: World, shape: str) -> None:
    world.procfile(a=shape.format(world.script("master.py", MASTER)))
    supervisor = world.start("-t", "10")
    supervisor.expect("up$")
    seen = stopped_by_term(supervisor)
    assert "job lost" not in seen
    assert sorted(re.findall(r"job (\d) finished", seen)) == ["0", "1", "2", "3"]
    assert "master out" in seen


@pytest.mark.parametrize("mode", ["group", "leader"])
def test_the_mode_decides_who_is_signalled(world: World, mode: str) -> None:
    world.file("procman.yml", f"defaults: {{stop: {{mode: {mode}}}}}\n")
    world.procfile(a=world.script("master.py", MASTER))
    supervisor = world.start("-t", "10")
    supervisor.expect("up$")
    seen = stopped_by_term(supervisor)
    assert seen.count("job lost") == (4 if mode == "group" else 0)


def test_mode_leader_leaves_the_others_alone_until_the_deadline(world: World) -> None:
    world.file("procman.yml", "defaults: {stop: {mode: leader, grace: 1}}\n")
    world.procfile(a=f"{world.script('polite.py', POLITE)}; true")
    supervisor = world.start()
    supervisor.expect("up")
    supervisor.phase(a_1="ready")
    seen = stopped_by_term(supervisor)
    assert "asked to end" not in seen
    assert "killed" in seen


def test_a_bash_script_can_clean_up_in_its_exit_trap(world: World) -> None:
    """bash runs its trap once its foreground child has ended, so the child needs the signal too: the last call."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    script = world.file(
        "run",
        f"#!{bash}\ntrap 'echo cleaned up' EXIT\necho up\nwhile :; do read -r -t 1000 <> <(:) || :; done\n",
        0o755,
    )
    world.procfile(a=str(script))
    supervisor = world.start("-t", "6")
    supervisor.expect("up$")
    seen = stopped_by_term(supervisor)
    assert seen.count("cleaned up") == 1
    assert "killed" not in seen


def test_npm_start_ends_with_its_program(world: World) -> None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm or node is not installed")
    world.file("package.json", '{"name": "x", "version": "1.0.0", "scripts": {"start": "node server.js"}}')
    world.file(
        "server.js",
        "process.on('SIGTERM', () => { console.log('asked to end'); process.exit(0) });\n"
        "setInterval(() => {}, 1000); console.log('up', process.pid)\n",
    )
    world.procfile(web="npm start")
    world.env["npm_config_update_notifier"] = "false"
    supervisor = world.start("-t", "15")
    pid = int(supervisor.expect(r"up (\d+)")[1])
    seen = stopped_by_term(supervisor)
    assert "asked to end" in seen
    assert not alive(pid)


def test_a_grandchild_in_a_session_of_its_own_that_ignores_term_is_gone(world: World) -> None:
    world.procfile(a=world.script("setsid.py", SETSID))
    supervisor = world.start("-t", "1")
    supervisor.expect("up$")
    stopped_by_term(supervisor)


def test_a_child_that_ignores_term_is_killed_at_its_grace(world: World) -> None:
    world.procfile(a=world.script("stubborn.py", STUBBORN))
    supervisor = world.start("-t", "0.4")
    supervisor.expect("up")
    seen = stopped_by_term(supervisor)
    assert re.search(r"a\.1 did not stop in 0\.4 s: killed", seen)
    assert "a.1 SIGKILL" in seen


def test_a_shell_loop_that_ignores_term_is_killed_with_its_child(world: World) -> None:
    world.procfile(a="trap '' TERM; echo up; while :; do sleep 1000; done")
    supervisor = world.start("-t", "0.4")
    supervisor.expect("up$")
    assert "killed" in stopped_by_term(supervisor)


def test_grace_zero_kills_at_once(world: World) -> None:
    world.procfile(a=world.script("polite.py", POLITE))
    supervisor = world.start("-t", "0")
    supervisor.expect("up")
    seen = stopped_by_term(supervisor)
    assert "asked to end" not in seen


def test_the_stop_signal_can_be_another(world: World) -> None:
    world.file("procman.yml", "processes: {a: {stop: {signal: INT}}}\n")
    world.procfile(a="trap 'echo interrupted; exit 0' INT; echo up; while :; do sleep 0.1; done")
    supervisor = world.start("-t", "10")
    supervisor.expect("up$")
    seen = stopped_by_term(supervisor)
    assert "interrupted" in seen


def test_a_suspended_child_can_act_on_its_stop_signal(world: World) -> None:
    world.procfile(a=world.script("polite.py", POLITE))
    supervisor = world.start("-t", "10")
    pid = int(supervisor.expect(r"up (\d+)")[1])
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state_of(pid) == "T", "suspended")
    seen = stopped_by_term(supervisor)
    assert "asked to end" in seen


def test_a_daemon_adopted_while_its_instance_lives_is_listed_and_ends_with_it(world: World) -> None:
    world.procfile(a=f"{world.script('daemon.py', DAEMON)} stay")
    supervisor = world.start("-t", "5")
    pid = int(supervisor.expect(r"daemon (\d+)")[1])
    now = supervisor.until(lambda now: now["a.1"]["adopted"], "adopted")
    assert now["a.1"]["adopted"] == [pid]
    stopped_by_term(supervisor)
    assert not alive(pid)


def test_a_daemon_is_kept_until_the_last_instance_of_its_type_has_ended(world: World) -> None:
    world.procfile(a=f"{world.script('daemon.py', DAEMON)} stay")
    supervisor = world.start("-t", "5", "-m", "a=2")
    daemons = [int(supervisor.expect(r"daemon (\d+)")[1]) for _ in range(2)]
    supervisor.until(lambda now: all(now[n]["adopted"] for n in ("a.1", "a.2")), "adopted")
    supervisor.ask("stop", names=["a.1"])
    supervisor.phase(a_1="stopped")
    assert all(map(alive, daemons))
    supervisor.ask("stop", names=["a.2"])
    supervisor.phase(a_2="stopped")
    eventually(lambda: not any(map(alive, daemons)), "both daemons ended")
    stopped_by_term(supervisor)


def test_a_daemon_whose_starter_has_ended_is_ended_before_the_restart(world: World) -> None:
    """Its main exit is seen, however long the daemon lives; two runs never overlap."""
    world.procfile(a=f"{world.script('daemon.py', DAEMON)} 1")
    supervisor = world.start("-t", "5")
    first = int(supervisor.expect(r"daemon (\d+)")[1])
    supervisor.expect(r"a\.1 ended: exit 1")
    second = int(supervisor.expect(r"daemon (\d+)")[1])
    assert second != first
    assert not alive(first)
    stopped_by_term(supervisor)


def test_what_is_left_of_a_crashed_instance_is_killed_before_the_restart(world: World) -> None:
    leaves = world.script(
        "leaves.py",
        "import os, signal\n"
        "told = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    os.write(told[1], b'.')\n"
        "    while True: signal.pause()\n"
        "os.read(told[0], 1)\n"
        "print('up', os.getpid(), flush=True)\n"
        "os._exit(3)\n",
    )
    world.procfile(a=leaves)
    supervisor = world.start("-t", "1")  # the stop at the end may meet a run before it ends by itself
    pid = int(supervisor.expect(r"up (\d+)")[1])
    supervisor.expect(r"a\.1 ended: exit 3")
    supervisor.expect(r"up (\d+)")
    group = [
        entry for entry in os.listdir("/proc") if entry.isdecimal() and _group_of(entry) == pid and alive(int(entry))
    ]
    assert group == []
    stopped_by_term(supervisor)


def test_all_instances_stop_in_parallel(world: World) -> None:
    """A hundred that need three seconds each take hardly more than three, with no one killed."""
    slow = world.script(
        "slow.py",
        "import os, select, signal\n"
        "def end(*_):\n"
        "    select.select([], [], [], 3)\n"
        "    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "os.write(1, b'up\\n')\n"
        "while True: signal.pause()\n",
    )
    world.procfile(a=slow)
    supervisor = world.start("-t", "10", "-m", "a=100", "--no-port")
    for _ in range(100):
        supervisor.expect("up$")
    supervisor.until(lambda now: all(row["phase"] == "ready" for row in now.values()), "ready")  # else TERM is repeated
    began = time.monotonic()
    seen = stopped_by_term(supervisor)
    assert time.monotonic() - began < 3 * 4.5
    assert not killed(seen)


def test_who_is_still_waited_for_is_named_after_two_seconds(world: World) -> None:
    world.procfile(a=world.script("stubborn.py", STUBBORN))
    supervisor = world.start("-t", "4")
    pid = int(supervisor.expect(r"up (\d+)")[1])
    supervisor.signal(signal.SIGTERM)
    assert int(supervisor.expect(r"waiting for a\.1 \(pid (\d+), [\d.]+ s left\)")[1]) == pid
    assert supervisor.wait() == 0


def test_stop_returns_at_once_for_one_that_waits_to_be_restarted(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {delay: 30}}\n")
    world.procfile(a="exit 1", b="sleep 1000")
    supervisor = world.start()
    supervisor.expect(r"a\.1 ended: exit 1")
    supervisor.phase(a_1="backoff")
    supervisor.ask("stop", names=["a"])
    assert supervisor.ps()["a.1"]["phase"] == "stopped"


def _group_of(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[2])
    except OSError:
        return 0
