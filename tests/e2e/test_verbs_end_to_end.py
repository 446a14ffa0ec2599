"""Every verb, from the command line to the processes and back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest
from harness import DEADLINE, World, alive, eventually
from upgrades import upgrade

SLEEPER = "sleep 1000"
TALKER = "echo hello from $PS; exec sleep 1000"


def listing(world: World, *args: str) -> dict[str, dict[str, object]]:
    done = world.run("ps", "--json", *args)
    assert done.code == 0, done.err
    return {row["name"]: row for row in json.loads(done.out)["instances"]}


# ---- start


def test_start_runs_the_formation_that_is_asked_for(world: World) -> None:
    world.procfile(web=SLEEPER, worker=SLEEPER, clock=SLEEPER, release="exit 1")
    supervisor = world.start("-m", "web=2,worker=0")
    now = supervisor.up("web.1", "web.2", "clock.1")
    assert set(now) == {"web.1", "web.2", "clock.1"}


def test_start_with_types_runs_only_those_and_the_others_can_be_scaled_up(world: World) -> None:
    world.procfile(web=SLEEPER, worker=SLEEPER)
    supervisor = world.start("worker")
    assert set(supervisor.up("worker.1")) == {"worker.1"}
    supervisor.ask("scale", to={"web": 1})
    supervisor.up("web.1")


@pytest.mark.parametrize(
    ("text", "args", "says"),
    [
        ("web sleep\n", (), r"Procfile:1: cannot .*"),
        ("web: a\nweb: b\n", (), r"Procfile:2: cannot "),
        ("web: a\n", ("-m", "wbe=2"), r"cannot .*'wbe'"),
        ("web: a\n", ("-m", "web=-1"), r"cannot "),
        ("web: a\n", ("-m", "web=1001"), r"cannot "),
        ("web: a\n", ("--port", "65536"), r"cannot "),
        ("web: a\n", ("nosuch",), r"cannot .*'nosuch'"),
        ("web: a\n", ("-e", "missing.env"), r"cannot .*missing\.env"),
    ],
)
def test_wrong_inputs_start_nothing_and_exit_2(world: World, text: str, args: tuple[str, ...], says: str) -> None:
    world.file("Procfile", text)
    done = world.run("start", *args)
    assert done.code == 2
    assert re.search(says, done.err), done.err
    assert done.out == ""
    assert all(line.startswith("procman: ") for line in done.err.splitlines())


def test_a_missing_procfile_is_exit_2(world: World) -> None:
    done = world.run("start")
    assert done.code == 2
    assert "cannot" in done.err


def test_start_reads_the_procfile_from_standard_input(world: World) -> None:
    supervisor = world.start("-f", "-", stdin=subprocess.PIPE)
    assert supervisor.process.stdin
    supervisor.process.stdin.write(b"a: echo from stdin; exec sleep 1000\n")
    supervisor.process.stdin.close()
    supervisor.expect("from stdin$")


def test_a_second_start_is_refused_with_the_pid_of_the_first(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    supervisor.up("a.1")
    done = world.run("start")
    assert done.code == 1
    assert f"pid {supervisor.pid}" in done.err
    assert alive(supervisor.pid)


def test_of_two_starts_at_once_exactly_one_wins(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    for _ in range(3):
        rivals = [world.start() for _ in range(4)]
        losers = eventually(
            lambda rivals=rivals: [r for r in rivals if r.process.poll() is not None][2:] and rivals, "three losers"
        )
        winners = [r for r in losers if r.process.poll() is None]
        assert len(winners) == 1
        winners[0].expect("up$")
        assert sorted({r.process.poll() for r in losers if r is not winners[0]}) == [1]
        assert world.errors().count(f"(pid {winners[0].pid}) already runs here") == 3
        assert winners[0].stop() == 0


def test_the_socket_of_a_dead_one_is_taken_over(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    first = world.start()
    first.expect("up$")
    address = first.address
    first.signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert os.path.exists(address)
    assert world.run("ps").code == 3
    second = world.start()
    second.expect("up$")
    assert second.address == address
    assert set(listing(world)) == {"a.1"}
    second.stop()
    assert not os.path.exists(address)


# ---- ps


def test_ps_without_a_procman_is_exit_3(world: World) -> None:
    world.procfile(a=SLEEPER)
    done = world.run("ps")
    assert done.code == 3
    assert done.err.startswith("procman: cannot")


def test_ps_lists_every_instance(world: World) -> None:
    world.procfile(web=SLEEPER, worker="exit 1")
    supervisor = world.start("-m", "web=2")
    supervisor.expect("worker.1 ended")
    now = supervisor.up("web.1", "web.2")
    done = world.run("ps")
    assert done.code == 0
    table = done.out.splitlines()
    assert table[0].split() == ["NAME", "PHASE", "PID", "UP", "RESTARTS", "PORT", "CPU", "MEMORY", "REASON"]
    assert [line.split()[0] for line in table[1:]] == ["web.1", "web.2", "worker.1"]
    assert str(now["web.2"]["pid"]) in table[2].split()
    assert "5001" in table[2].split()


def test_ps_as_json_has_the_formation_and_each_instance(world: World) -> None:
    world.procfile(web=SLEEPER)
    world.start().up("web.1")
    told = json.loads(world.run("ps", "--json").out)
    assert told["formation"] == {"web": 1}
    row = told["instances"][0]
    assert row["name"] == "web.1"
    assert row["type"] == "web"
    assert row["port"] == 5000
    assert row["restarts"] == 0
    assert alive(row["pid"])
    assert row["last_exit"] is None
    assert row["memory"] > 0


def test_ps_works_from_a_folder_below(world: World) -> None:
    world.procfile(web=SLEEPER)
    world.start().up("web.1")
    below = world.folder / "src" / "deep"
    below.mkdir(parents=True)
    assert world.run("ps", cwd=below).code == 0


# ---- scale


def test_scale_up_and_down_and_to_nothing_and_back(world: World) -> None:
    world.procfile(web=SLEEPER)
    supervisor = world.start()
    supervisor.up("web.1")
    done = world.run("scale", "web=4", "--wait")
    assert (done.code, done.out) == (0, "web 1 -> 4\n")
    four = supervisor.pids()
    assert set(four) == {"web.1", "web.2", "web.3", "web.4"}
    assert world.run("scale", "web-2", "--wait").code == 0
    two = supervisor.until(lambda now: len(now) == 2, "two")
    assert {name: row["pid"] for name, row in two.items()} == {n: four[n] for n in ("web.1", "web.2")}
    assert world.run("scale", "web=0", "--wait").code == 0
    assert supervisor.until(lambda now: not now, "none") == {}
    assert supervisor.process.poll() is None, "it lives with nothing to do"
    assert world.run("scale", "web=2", "--wait=30").code == 0
    assert set(supervisor.pids()) == {"web.1", "web.2"}


def test_scale_without_arguments_tells_the_formation(world: World) -> None:
    world.procfile(web=SLEEPER, worker=SLEEPER)
    world.start("-m", "web=2").up("web.2")
    assert world.run("scale").out == "web=2 worker=1\n"
    assert json.loads(world.run("scale", "--json").out)["formation"] == {"web": 2, "worker": 1}


def test_scale_is_all_or_nothing(world: World) -> None:
    world.procfile(web=SLEEPER, worker=SLEEPER)
    supervisor = world.start()
    supervisor.up("web.1")
    done = world.run("scale", "web=3", "wroker=2")
    assert done.code == 1
    assert "worker" in done.err
    assert set(supervisor.ps()) == {"web.1", "worker.1"}


def test_scale_to_the_same_count_succeeds(world: World) -> None:
    world.procfile(web=SLEEPER)
    world.start().up("web.1")
    assert world.run("scale", "web=1", "--wait").code == 0


def test_scale_with_a_word_that_is_no_change_is_exit_2(world: World) -> None:
    world.procfile(web=SLEEPER)
    world.start().up("web.1")
    assert world.run("scale", "web=many").code == 2


def test_waiting_for_one_that_crashes_again_and_again_is_exit_1_with_the_reason(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {delay: 0.05}}\n")
    world.procfile(web=SLEEPER, bad="exit 9")
    world.start("web").up("web.1")
    done = world.run("scale", "bad=1", "--wait=30")
    assert done.code == 1
    assert "bad" in done.err
    assert "exit 9" in done.err or "crash" in done.err


# ---- restart, stop, signal


def test_restart_gives_a_new_process_with_the_same_name_and_port(world: World) -> None:
    world.procfile(web=SLEEPER, worker=SLEEPER)
    supervisor = world.start("-m", "web=2")
    before = supervisor.up("web.1", "web.2", "worker.1")
    assert world.run("restart", "web.2", "--wait").code == 0
    after = supervisor.ps()
    assert after["web.2"]["pid"] != before["web.2"]["pid"]
    assert after["web.2"]["port"] == before["web.2"]["port"]
    assert after["web.2"]["restarts"] == 0, "only the automatic ones count"
    assert after["web.1"]["pid"] == before["web.1"]["pid"]
    assert after["worker.1"]["pid"] == before["worker.1"]["pid"]


def test_restart_without_a_name_restarts_all(world: World) -> None:
    world.procfile(web=SLEEPER, worker=SLEEPER)
    supervisor = world.start()
    supervisor.up("web.1", "worker.1")
    before = supervisor.pids()
    assert world.run("restart", "--wait").code == 0
    after = supervisor.pids()
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())


def test_a_stopped_instance_stays_stopped_until_restart_starts_it(world: World) -> None:
    world.procfile(web=SLEEPER, worker=SLEEPER)
    supervisor = world.start()
    before = supervisor.up("web.1", "worker.1")
    done = world.run("stop", "worker")
    assert done.code == 0
    assert not alive(before["worker.1"]["pid"])
    row = supervisor.ps()["worker.1"]
    assert row["phase"] == "stopped"
    assert row["port"] == before["worker.1"]["port"]
    assert world.run("restart", "worker", "--wait").code == 0
    assert supervisor.ps()["worker.1"]["phase"] == "ready"


def test_stop_takes_patterns_and_needs_all_for_everything(world: World) -> None:
    world.procfile(web=SLEEPER, worker=SLEEPER, clock=SLEEPER)
    supervisor = world.start()
    before = supervisor.up("web.1", "worker.1", "clock.1")
    assert world.run("stop").code == 2
    assert world.run("stop", "w*").code == 0
    now = supervisor.ps()
    assert (now["web.1"]["phase"], now["worker.1"]["phase"]) == ("stopped", "stopped")
    assert now["clock.1"]["pid"] == before["clock.1"]["pid"]
    assert world.run("stop", "--all").code == 0
    assert supervisor.process.poll() is None


def test_an_unknown_name_is_refused_with_the_nearest(world: World) -> None:
    world.procfile(web=SLEEPER)
    world.start().up("web.1")
    done = world.run("restart", "wbe")
    assert done.code == 1
    assert "web" in done.err


def test_stop_without_waiting_returns_while_it_still_stops(world: World) -> None:
    world.procfile(a="trap '' TERM; echo up; while :; do sleep 0.1; done")
    supervisor = world.start("-t", "1000")
    supervisor.expect("up$")
    assert world.run("stop", "a", "--no-wait").code == 0
    assert supervisor.ps()["a.1"]["phase"] == "stopping"


def test_signal_reaches_the_group_or_the_leader_alone(world: World) -> None:
    tells = world.script(
        "tells.py",
        "import os, signal\n"
        "child = os.fork()\n"
        "name = b'leader' if child else b'child'\n"
        "signal.signal(signal.SIGUSR1, lambda *_: os.write(1, name + b' got USR1\\n'))\n"
        "signal.signal(signal.SIGHUP, lambda *_: os.write(1, name + b' got HUP\\n'))\n"
        "os.write(1, name + b' up\\n')\n"
        "while True: signal.pause()\n",
    )
    world.procfile(a=tells)
    supervisor = world.start()
    supervisor.until(lambda now: now["a.1"]["phase"] == "ready", "ready")
    supervisor.expect(" up$")
    supervisor.expect(" up$")
    assert world.run("signal", "USR1", "a").out == "sent USR1 to a.1\n"
    supervisor.expect("got USR1$")
    supervisor.expect("got USR1$")
    assert world.run("signal", "hup", "a.1", "--leader").code == 0
    supervisor.expect("leader got HUP$")
    assert sorted(line for line in supervisor.lines("a.1") if "got" in line) == [
        "child got USR1",
        "leader got HUP",
        "leader got USR1",
    ]


def test_signal_refuses_what_does_not_run_and_what_is_no_signal(world: World) -> None:
    world.procfile(a=SLEEPER, b=SLEEPER)
    supervisor = world.start("a")
    supervisor.up("a.1")
    assert world.run("signal", "NOSUCH", "a").code == 2
    assert world.run("signal", "HUP", "b").code == 1


def test_wait_ends_with_what_has_become_of_them(world):
    world.procfile(web="exec sleep 1000", job="read line < go", bad="exit 3")
    os.mkfifo(world.folder / "go")
    supervisor = world.start("-m", "web=1,job=1,bad=0")
    supervisor.up("web.1")
    assert world.run("wait", "web").code == 0
    late = world.run("wait", "job", "--for", "done", "--timeout", "0.05")
    assert (late.code, late.err) == (124, "procman: cannot wait longer than 0.05 s for job.1 (ready)\n")
    waiting = world.popen("wait", "job", "--for", "done")
    (world.folder / "go").write_text("now\n")
    assert waiting.wait(DEADLINE) == 0
    supervisor.ask("scale", to={"bad": 1})
    failed = world.run("wait", "bad")
    assert failed.code == 1
    assert "bad.1" in failed.err
    waiting = world.popen("wait", "web", "--for", "stopped")
    assert world.run("stop", "web").code == 0
    assert waiting.wait(DEADLINE) == 0


def test_a_wait_goes_on_over_an_upgrade(world):
    world.procfile(job="read line < go")
    os.mkfifo(world.folder / "go")
    supervisor = world.start()
    supervisor.up("job.1")
    waiting = world.popen("wait", "--for", "done")
    eventually(lambda: supervisor.clients() >= 1, "it is connected")
    upgrade(supervisor)
    assert waiting.poll() is None
    (world.folder / "go").write_text("now\n")
    assert waiting.wait(DEADLINE) == 0
