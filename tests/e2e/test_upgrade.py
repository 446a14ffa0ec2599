"""A live upgrade: another program takes procman's place, and what runs does not notice."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import threading
import time
from pathlib import Path
from typing import Self

import pytest
from harness import Supervisor, World, alive, all_children_of, eventually, guardian_of, is_guardian, state_of, status_of
from scripts import POLITE
from upgrades import WRITER, Installed, by_name, check_lines, upgrade, upgraded, upgrades_of

SLEEPER = "sleep 1000"


def output_to(world: World, *args: str) -> tuple[Supervisor, Path]:
    """A procman that writes to a file, so that nobody has to read."""
    path = world.folder / "output"
    with path.open("wb") as file:
        return world.start(*args, stdout=file), path


class Looks:
    """Asks for `ps` all the time, from a thread, and notes how long the answer took at most."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.longest = 0.0
        self.count = 0
        self.fault: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            began = time.monotonic()
            try:
                assert self._supervisor.world.run("ps").code == 0
            except AssertionError as error:
                self.fault = error
                return
            self.longest = max(self.longest, time.monotonic() - began)
            self.count += 1


def zombies() -> set[int]:
    """Children of this process that have ended and were not waited for."""
    return {pid for pid in all_children_of(os.getpid()) if state_of(pid) == "Z"}


def test_twenty_writers_lose_no_line_over_five_upgrades(world: World) -> None:
    world.procfile(w=f"{world.script('writer.py', WRITER)} 0.02")
    supervisor, path = output_to(world, "-m", "w=20")
    names = [f"w.{n}" for n in range(1, 21)]
    before = supervisor.up(*names)
    with Looks(supervisor) as looks:
        for _ in range(5):
            upgrade(supervisor)
    assert looks.fault is None
    assert looks.longest < 3.0
    after = supervisor.ps()
    assert {n: after[n]["pid"] for n in names} == {n: before[n]["pid"] for n in names}
    assert all(after[n]["restarts"] == 0 and after[n]["uptime"] > before[n]["uptime"] for n in names)
    assert supervisor.stop() == 0
    lines = by_name(path.read_text())
    assert min(check_lines(name, lines[name]) for name in names) > 100
    assert sum("upgraded: procman" in line for line in lines["system"]) == 5


def test_a_reader_that_is_too_slow_loses_nothing_either(world: World) -> None:
    """What procman could not write yet is handed over."""
    world.procfile(w=f"{world.script('writer.py', WRITER)} 0.001")
    supervisor = world.start("-m", "w=4")
    supervisor.up("w.1", "w.4")
    eventually(lambda: _stalled(supervisor), "its reader holds it up")
    for _ in range(3):
        upgrade(supervisor)
    assert _stalled(supervisor)
    assert supervisor.stop() == 0
    lines = by_name(supervisor.seen)
    assert min(check_lines(f"w.{n}", lines[f"w.{n}"]) for n in range(1, 5)) > 1000


def _stalled(supervisor: Supervisor) -> bool:
    """Its writers sleep in their writes."""
    pids = supervisor.pids("w.").values()
    return all("pipe" in Path(f"/proc/{pid}/wchan").read_text() for pid in pids)


def test_files_for_each_instance_go_on_over_rotations_and_upgrades(world: World) -> None:
    world.procfile(w=f"{world.script('writer.py', WRITER)} 0.01")
    supervisor, _ = output_to(world, "-m", "w=5", "--log-dir", "logs", "--log-max-bytes", "20K", "--log-keep", "1000")
    supervisor.up("w.1", "w.5")
    for _ in range(3):
        upgrade(supervisor)
    assert supervisor.stop() == 0
    for n in range(1, 6):
        older = list((world.folder / "logs").glob(f"w.{n}.log.*"))
        files = [*sorted(older, key=lambda path: -int(path.suffix[1:])), world.folder / "logs" / f"w.{n}.log"]
        assert len(files) > 1
        check_lines(f"w.{n}", "".join(path.read_text() for path in files).splitlines())
    again = world.start("-m", "w=0", "--log-dir", "logs")
    again.expect("procman")  # the folder is free again
    assert again.stop() == 0


def test_a_backoff_goes_on_and_counts_stay(world: World) -> None:
    world.file("procman.yml", "processes: {flaky: {restart: {delay: 3, max_delay: 3}}}\n")
    world.procfile(web=SLEEPER, flaky="exit 3", off=SLEEPER)
    supervisor = world.start("-m", "off=0,flaky=0")
    supervisor.ask("scale", to={"web": 3})
    supervisor.ask("stop", names=["web.2"])
    supervisor.phase(web_1="ready", web_2="stopped", web_3="ready")
    supervisor.ask("scale", to={"flaky": 1})
    supervisor.phase(flaky_1="backoff")
    died = time.monotonic()
    before = supervisor.ask("ps")["fleet"]
    upgrade(supervisor)
    after = supervisor.ask("ps")["fleet"]
    assert after["formation"] == before["formation"] == {"web": 3, "flaky": 1, "off": 0}
    assert [_kept(row) for row in after["instances"]] == [_kept(row) for row in before["instances"]]
    supervisor.until(lambda now: now["flaky.1"]["restarts"] == 1, "it comes back")
    assert 2.5 < time.monotonic() - died < 9
    supervisor.ask("scale", to={"web": 1})
    supervisor.until(lambda now: "web.2" not in now, "scaled down")


def _kept(row: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in row.items() if key not in ("uptime", "age", "reason")}


def test_timers_of_an_instance_go_on(world: World) -> None:
    """Ready a second after its start, the last call and KILL at the grace, counted from where they began."""
    world.procfile(a="trap '' TERM; while :; do sleep 0.05; done")
    supervisor = world.start("-t", "4")
    supervisor.up("a.1")
    upgrade(supervisor)
    supervisor.phase(a_1="ready")
    supervisor.ask("stop", names=["a"])
    began = time.monotonic()
    upgrade(supervisor)
    supervisor.phase(a_1="stopped")
    assert 3.5 < time.monotonic() - began < 12
    supervisor.expect(r"a\.1 did not stop in 4\.0 s: killed")


def test_it_is_upgraded_while_instances_come_and_go(world: World) -> None:
    """A death while the one has gone and the other is not there yet, a start and a stop in the midst."""
    others = zombies()  # which other tests of this process have left
    world.file("procman.yml", "defaults: {restart: {policy: always, delay: 0}}\n")
    world.procfile(short="echo one; echo two", long=SLEEPER)
    supervisor, path = output_to(world, "-m", "short=5,long=2")
    for count in range(1, 6):
        supervisor.ask("scale", to={"long": count % 3 + 1})
        upgrade(supervisor)
    assert len(supervisor.pids("long")) == 3
    assert supervisor.stop() == 0
    lines = by_name(path.read_text())
    for n in range(1, 6):
        assert re.fullmatch("(?:onetwo)+(?:one)?", "".join(lines[f"short.{n}"]))
    assert zombies() - others == set()


def test_kept_output_is_there_afterwards(world: World) -> None:
    world.procfile(a="seq 1 20000; exec sleep 1000")
    supervisor, _ = output_to(world)
    eventually(lambda: "20000\n" in world.run("logs", "a", "-n", "1").out, "all is written")
    before = world.run("logs", "a")
    upgrade(supervisor)
    assert world.run("logs", "a") == before
    assert before.out.count("\n") > 10000


def test_streams_of_clients_go_on_where_they_were(world: World) -> None:
    world.procfile(w=f"{world.script('writer.py', WRITER)} 0.01")
    supervisor, _ = output_to(world, "-m", "w=3")
    supervisor.up("w.1", "w.3")
    with (world.folder / "followed").open("wb") as followed, (world.folder / "changes").open("wb") as changes:
        logs = world.popen("logs", "-f", "-n", "5", "w", stdout=followed)
        events = world.popen("events", "--json", stdout=changes)
    eventually(lambda: supervisor.clients() >= 2 and (world.folder / "followed").read_text(), "both are told")
    supervisor.ask("scale", to={"w": 4})
    eventually((world.folder / "changes").read_text, "events are told")  # connected is not yet subscribed
    supervisor.ask("scale", to={"w": 5})
    for _ in range(3):
        upgrade(supervisor)
    supervisor.ask("scale", to={"w": 6})
    assert supervisor.stop() == 0
    assert logs.wait(20) == events.wait(20) == 0
    for name, lines in by_name((world.folder / "followed").read_text()).items():
        numbers = [int(line.split()[1]) for line in lines]
        assert numbers == [*range(numbers[0], numbers[-1] + 1), numbers[-1]], name  # `end N` at last
    told = [json.loads(line) for line in (world.folder / "changes").read_text().splitlines()]
    kinds = [change["event"] for change in told]
    assert kinds.count("upgraded") == 3
    scaled = [change["text"] for change in told if change["event"] == "scaled"]
    assert scaled[-2:] == ["scaled w from 4 to 5", "scaled w from 5 to 6"]
    assert not any("missed" in change for change in told)
    assert kinds[-1] == "finished"


def test_a_wait_goes_on_over_an_upgrade(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    supervisor.phase(a_1="ready")
    waiting = world.popen("scale", "a=3", "--wait")
    supervisor.up("a.3")
    upgrade(supervisor)
    assert waiting.wait(20) == 0


def test_terminals_stay(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {policy: never}}\n")
    world.procfile(a="tty; printf 'name? '; read x; echo got $x; exec sleep 1000")
    supervisor, path = output_to(world, "--tty")
    pid = supervisor.up("a.1")["a.1"]["pid"]
    terminal = os.readlink(f"/proc/{pid}/fd/0")
    eventually(lambda: "name?" in path.read_text(), "its prompt is shown")
    upgrade(supervisor)
    assert os.readlink(f"/proc/{pid}/fd/0") == terminal
    with supervisor.connected() as line:
        stream = line.ask("attach", instance="a.1")["stream"]
        line.ask("input", stream=stream, text="me\n")
        eventually(lambda: "got me" in path.read_text(), "what is typed arrives")
    assert path.read_text().count("name?") == 1
    assert supervisor.pids() == {"a.1": pid}


def test_in_the_background(world: World) -> None:
    world.procfile(a=SLEEPER)
    done = world.run("start", "--detach")
    assert done.code == 0
    pid = int(re.search(r"\(pid (\d+)", done.out)[1])  # type: ignore[index]
    before = json.loads(world.run("ps", "--json").out)["instances"][0]["pid"]
    assert f"(pid {pid})" in world.run("upgrade").out
    assert json.loads(world.run("ps", "--json").out)["instances"][0]["pid"] == before
    assert world.run("shutdown").code == 0
    eventually(lambda: not alive(pid), "it has ended")


def test_the_guardian_still_works(world: World) -> None:
    world.procfile(a=SLEEPER, daemon="(setsid env -i sleep 1000 &); exec sleep 1000")
    supervisor = world.start("-t", "2")
    supervisor.phase(a_1="ready", daemon_1="ready")
    first = guardian_of(supervisor)
    upgrade(supervisor)
    second = eventually(lambda: [g for g in [guardian_of(supervisor)] if g != first], "a new one")[0]
    assert not alive(first)
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: not alive(second), "the guardian is done")
    assert world.left() == []


def test_the_root_stays_claimed(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    supervisor.up("a.1")
    upgrade(supervisor)
    refused = world.run("start")
    assert refused.code == 1
    assert f"procman (pid {supervisor.pid}) already runs here" in refused.err
    assert supervisor.stop() == 0
    again = world.start()
    again.up("a.1")


def test_what_started_procman_may_hold_a_lock_through_it(world: World) -> None:
    """As flock(1) does: `flock lock procman start`."""
    world.procfile(a=SLEEPER)
    supervisor = world.start(before=("flock", "--no-fork", str(world.folder / "lock")))
    supervisor.up("a.1")
    upgrade(supervisor)
    assert str(world.folder / "lock") in supervisor.links()


def test_inputs_are_read_again_as_at_the_start(world: World) -> None:
    """From a folder that is not the root, and a Procfile that came through standard input."""
    root = world.folder / "app"
    root.mkdir()
    (root / ".env").write_text("GREETING=hello\n")
    with (world.folder / "given").open("wb") as file:
        file.write(b"a: echo $GREETING; exec sleep 1000\n")
    with (world.folder / "given").open("rb") as given:
        supervisor = world.start("-f", "-", "-d", "app", "-e", "app/.env", stdin=given)
    supervisor.expect("hello$")
    upgrade(supervisor)
    (root / ".env").write_text("GREETING=goodbye\n")
    assert supervisor.ask("reload")["instances"] == ["a.1"]
    supervisor.expect("goodbye$")


def test_an_environment_that_is_not_utf_8_is_handed_over(world: World) -> None:
    world.procfile(a="printf '%s' \"$ODD\" | od -An -tx1; exec sleep 1000")
    supervisor = world.start(env={**world.env, "ODD": os.fsdecode(b"\xff")})
    supervisor.expect("ff$")
    upgrade(supervisor)
    supervisor.ask("restart", names=["a"])
    supervisor.expect("ff$")


def test_a_signal_right_after_usr2_is_not_lost_and_ends_nothing_by_itself(world: World) -> None:
    world.procfile(a=world.script("polite.py", POLITE))
    supervisor = world.start()
    supervisor.expect("up")
    supervisor.signal(signal.SIGUSR2)
    select.select([], [], [], 0.01)  # what is between them, and not a wait for anything
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait() == 0
    assert "asked to end" in supervisor.seen
    assert world.left() == []


@pytest.mark.parametrize("milliseconds", range(0, 600, 40))
def test_term_whenever_it_comes_stops_in_order(world: World, milliseconds: int) -> None:
    """Before, during and after the exec."""
    world.procfile(a=world.script("polite.py", POLITE))
    supervisor = world.start()
    supervisor.expect("up")
    supervisor.signal(signal.SIGUSR2)
    select.select([], [], [], milliseconds / 1000)  # as above
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait() == 0
    assert "asked to end" in supervisor.seen


@pytest.mark.parametrize("milliseconds", range(0, 600, 60))
def test_a_kill_whenever_it_comes_leaves_nothing(world: World, milliseconds: int) -> None:
    """Between the programs the guardian of the first one watches."""
    world.procfile(a=SLEEPER, daemon="(setsid env -i sleep 1000 &); exec sleep 1000")
    supervisor = world.start("-t", "1")
    supervisor.phase(a_1="ready", daemon_1="ready")
    supervisor.ask("scale", to={"a": 1})  # each command looks who has become a child
    guardian_of(supervisor)
    supervisor.signal(signal.SIGUSR2)
    select.select([], [], [], milliseconds / 1000)  # as above
    supervisor.signal(signal.SIGKILL)
    supervisor.wait()
    eventually(lambda: world.left() == [], "all is ended")


def test_usr2_twice_is_one_upgrade(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    pids = supervisor.up("a.1")["a.1"]["pid"]
    supervisor.signal(signal.SIGUSR2)
    select.select([], [], [], 0.005)  # as above
    supervisor.signal(signal.SIGUSR2)
    supervisor.expect("upgraded")
    assert supervisor.pids() == {"a.1": pids}
    assert upgrades_of(supervisor) == 1


def test_usr2_again_and_again_at_any_moment_ends_nothing(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor, path = output_to(world)
    pids = supervisor.up("a.1")["a.1"]["pid"]
    end = time.monotonic() + 3
    while time.monotonic() < end:
        supervisor.signal(signal.SIGUSR2)
        select.select([], [], [], 0.003)  # as above
    upgraded(supervisor, 2)
    assert supervisor.pids() == {"a.1": pids}
    assert supervisor.stop() == 0
    assert "cannot" not in path.read_text()


def test_the_signal_mask_and_what_is_ignored_stay(world: World) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start(before=("nohup",))
    supervisor.up("a.1")
    before = {key: status_of(supervisor.pid)[key] for key in ("SigBlk", "SigIgn", "SigCgt")}
    upgrade(supervisor)
    assert {key: status_of(supervisor.pid)[key] for key in before} == before
    supervisor.signal(signal.SIGHUP)
    assert supervisor.up("a.1")


def test_children_afterwards_are_as_clean_as_before(world: World) -> None:
    world.procfile(a="ls /proc/self/fd; grep Sig[BIC] /proc/self/status; ulimit -Sn; umask; exec sleep 1000")
    supervisor, path = output_to(world)
    supervisor.up("a.1")
    eventually(lambda: "0022" in by_name(path.read_text()).get("a.1", []), "it has looked")
    before = by_name(path.read_text())["a.1"]
    upgrade(supervisor)
    supervisor.ask("restart", names=["a"])
    eventually(lambda: len(by_name(path.read_text())["a.1"]) >= 2 * len(before), "it has looked again")
    assert by_name(path.read_text())["a.1"] == before * 2


def test_children_get_the_original_limit_also_after_procman_has_raised_its_own(world: World) -> None:
    def low() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (70, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    world.procfile(a="ulimit -Sn; exec sleep 1000")
    supervisor = world.start("-m", "a=20", preexec_fn=low)
    supervisor.up("a.20")
    upgrade(supervisor)
    supervisor.ask("scale", to={"a": 40})
    for _ in range(40):
        assert supervisor.expect(r"a\.\d+ +\| (\d+)$")[1] == "70"


def test_what_loses_its_parent_afterwards_is_still_procmans(world: World) -> None:
    world.procfile(a="(setsid sleep 1000 &); exec sleep 1000", b="(setsid env -i sleep 1000 &); exec sleep 1000")
    supervisor = world.start("-t", "2")
    supervisor.until(lambda now: len(now) == 2 and len(now["a.1"]["adopted"]) == 1, "it is adopted")
    before = {name: row["adopted"] for name, row in supervisor.ps().items()}
    upgrade(supervisor)
    assert {name: row["adopted"] for name, row in supervisor.ps().items()} == before
    supervisor.ask("restart", names=["a", "b"])
    supervisor.until(
        lambda now: len(now["a.1"]["adopted"]) == 1 and now["a.1"]["adopted"] != before["a.1"],
        "that of the next run is",
    )
    assert not alive(before["a.1"][0])
    assert supervisor.stop() == 0
    assert world.left() == []


def test_an_input_that_is_kept_open_stays_so(world: World) -> None:
    world.file("procman.yml", "processes: {a: {stdin: open}}\n")
    world.procfile(a="cat; echo input has ended")
    supervisor = world.start()
    pid = supervisor.up("a.1")["a.1"]["pid"]
    for _ in range(2):
        upgrade(supervisor)
    assert supervisor.phase(a_1="ready")["a.1"]["pid"] == pid
    supervisor.ask("restart", names=["a"])
    supervisor.until(lambda now: now["a.1"]["pid"] not in (None, pid), "another run")


def test_streams_that_are_kept_apart_stay_so(world: World) -> None:
    world.procfile(a="while read x; do echo out $x; echo err $x >&2; done < fifo; exec sleep 1000")
    os.mkfifo(world.folder / "fifo")
    supervisor, path = output_to(world, "--split-streams", "--log-format", "json", "--no-tty")
    with (world.folder / "fifo").open("wb", buffering=0) as fifo:
        fifo.write(b"1\n")
        eventually(lambda: "err 1" in path.read_text(), "the first line")
        upgrade(supervisor)
        fifo.write(b"2\n")
        eventually(lambda: "err 2" in path.read_text(), "the second line")
    told = [json.loads(line) for line in path.read_text().splitlines()]
    of_a = sorted((one["stream"], one["message"]) for one in told if one["instance"] == "a.1")
    assert of_a == [("stderr", "err 1"), ("stderr", "err 2"), ("stdout", "out 1"), ("stdout", "out 2")]


@pytest.mark.parametrize("closed", ["<&- 2>&-", ">&-"])
def test_standard_descriptors_that_were_closed_do_no_harm(world: World, closed: str) -> None:
    world.procfile(a=SLEEPER)
    supervisor = world.start(before=("sh", "-c", f'exec "$@" {closed}', "-"))
    pid = supervisor.up("a.1")["a.1"]["pid"]
    for _ in range(2):
        upgrade(supervisor)
    assert supervisor.pids() == {"a.1": pid}
    assert supervisor.stop() == 0


def test_an_orphan_of_procmans_own_process_is_left_alone(world: World) -> None:
    """What procman's process had as a child before it was procman: the reader of its output, say."""
    world.procfile(a=SLEEPER)
    supervisor = world.start(before=("sh", "-c", 'sleep 1000 >/dev/null 2>&1 & exec "$@"', "-"))
    supervisor.up("a.1")
    (before,) = [
        p for p in all_children_of(supervisor.pid) if p not in supervisor.pids().values() and not is_guardian(p)
    ]
    upgrade(supervisor)
    assert supervisor.stop() == 0
    assert alive(before)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: not alive(before), "it has ended")


def test_large_formations_are_upgraded_while_they_start(world: World) -> None:
    world.procfile(a="echo up; exec sleep 1000")
    supervisor, path = output_to(world, "-m", "a=150", "--port-step", "200", "-t", "5")
    eventually(lambda: "procman" in path.read_text(), "it has begun")
    supervisor.signal(signal.SIGUSR2)
    supervisor.up("a.150")
    upgraded(supervisor, 1)
    supervisor.ask("scale", to={"a": 200})
    supervisor.signal(signal.SIGUSR2)
    supervisor.up("a.200")
    upgraded(supervisor, 2)
    eventually(lambda: path.read_text().count("| up\n") == 200, "all have written")
    assert supervisor.stop() == 0
    assert path.read_text().count("| up\n") == 200


def test_its_command_line_still_says_what_runs(world: World) -> None:
    world.procfile(web=SLEEPER)
    supervisor = world.start("-m", "web=2")
    supervisor.up("web.2")
    for _ in range(2):
        upgrade(supervisor)
        words = Path(f"/proc/{supervisor.pid}/cmdline").read_bytes().split(b"\0")
        assert words[-3:-1] == [b"-m", b"web=2"]
        assert sum(word.startswith(b"--take-over") for word in words) == 1


def test_another_version_is_told(world: World) -> None:
    installed = Installed(world)
    world.procfile(a=SLEEPER)
    supervisor = world.start()
    supervisor.up("a.1")
    before = supervisor.ask("hello")["version"]
    installed.version("9.9.9")
    done = world.run("upgrade")
    assert (done.code, done.out) == (0, f"procman {before} -> 9.9.9 (pid {supervisor.pid})\n")
    assert supervisor.ask("hello")["version"] == "9.9.9"


def test_a_relative_path_and_a_module_are_found_again(world: World) -> None:
    """Both are told from the folder that procman was started in, which is not the one it works in."""
    Installed(world)
    (world.folder / "app").mkdir()
    (world.folder / "app" / "Procfile").write_text(f"a: {SLEEPER}\n")
    world.bin = "bin/procman"
    supervisor = world.start("-d", "app")
    supervisor.up("a.1")
    supervisor.signal(signal.SIGUSR2)
    supervisor.expect("upgraded")


@pytest.mark.timeout(300)  # fifty starts of a Python, also on a busy machine
def test_fifty_upgrades_leave_descriptors_and_memory_as_they_were(world: World) -> None:
    world.procfile(a="seq 1 5000; exec sleep 1000")
    supervisor, _ = output_to(world, "-m", "a=5")
    supervisor.up("a.5")
    for _ in range(5):
        upgrade(supervisor)
    descriptors, memory = supervisor.descriptors(), _memory(supervisor)
    for _ in range(45):
        count = upgrades_of(supervisor)
        supervisor.signal(signal.SIGUSR2)
        upgraded(supervisor, count + 1)
    eventually(lambda: supervisor.descriptors() == descriptors, "no descriptor more than before")
    assert _memory(supervisor) < memory * 1.1
    assert [pid for pid in all_children_of(supervisor.pid) if state_of(pid) == "Z"] == []


def _memory(supervisor: Supervisor) -> int:
    return int(status_of(supervisor.pid)["VmRSS"].split()[0])
