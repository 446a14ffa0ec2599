"""What procman itself ends with, and when it ends by itself."""

from __future__ import annotations

import os
import re
import signal

import pytest
from harness import World

SLEEPER = "sleep 1000"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 42, 78, 100, 125, 126, 127, 128, 130, 143, 200, 254, 255])
def test_without_restarts_the_first_end_is_procmans_exit_code(world: World, code: int) -> None:
    world.procfile(a=f"exit {code}", b=SLEEPER)
    assert world.start("--no-restart").wait() == code


@pytest.mark.parametrize("name", ["HUP", "KILL", "SEGV", "TERM", "ABRT", "USR1", "PIPE"])
def test_without_restarts_death_by_a_signal_is_128_and_its_number(world: World, name: str) -> None:
    world.procfile(a=f"kill -{name} $$", b=SLEEPER)
    supervisor = world.start("--no-restart")
    assert supervisor.wait() == 128 + signal.Signals[f"SIG{name}"]
    assert f"SIG{name}" in supervisor.seen


def test_a_command_that_is_not_found_is_127_and_named(world: World) -> None:
    world.procfile(a="no-such-command-xyz --flag")
    supervisor = world.start("--no-restart")
    assert supervisor.wait() == 127
    assert "no-such-command-xyz: command not found" in supervisor.seen


def test_a_command_that_is_not_executable_is_126_and_named(world: World) -> None:
    path = world.file("tool", "#!/bin/sh\n", mode=0o644)
    world.procfile(a=str(path))
    supervisor = world.start("--no-restart")
    assert supervisor.wait() == 126
    assert f"{path}: not executable" in supervisor.seen


def test_a_failed_start_is_tried_again_while_other_types_run(world: World) -> None:
    world.procfile(bad="no-such-command-xyz", good="echo up; exec sleep 1000")
    supervisor = world.start()
    supervisor.expect("bad.1 did not start: no-such-command-xyz: command not found in PATH; starting again in")
    row = supervisor.up("good.1")["bad.1"]
    assert "no-such-command-xyz" in row["reason"]


def test_a_command_that_appears_later_is_found(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {delay: 0.1}}\n")
    world.procfile(a="./later")
    supervisor = world.start()
    supervisor.expect("did not start")
    world.file("later", "#!/bin/sh\necho here\nexec sleep 1000\n", 0o755)
    supervisor.expect("here$")


def test_a_script_without_a_first_line_is_run_by_the_shell(world: World) -> None:
    path = world.file("script", "echo shelled; exit 4\n", 0o755)
    world.procfile(a=str(path))
    supervisor = world.start("--no-restart")
    assert supervisor.wait() == 4
    assert supervisor.lines("a.1") == ["shelled"]


def test_when_all_are_done_procman_ends_with_0(world: World) -> None:
    world.procfile(a="echo one", b="true; cat")
    supervisor = world.start()
    assert supervisor.wait() == 0
    assert "a watcher that ends with its input needs `stdin: open`" in supervisor.seen


def test_a_listed_success_code_is_done(world: World) -> None:
    world.file("procman.yml", "processes: {a: {success_exit_codes: [0, 5]}}\n")
    world.procfile(a="exit 5")
    assert world.start().wait() == 0


def test_the_failure_that_came_first_in_time_decides(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {policy: never}}\n")
    world.procfile(late="read x < go; exit 3", early="exit 9", fine="exit 0")
    (world.folder / "go").touch()
    (world.folder / "go").unlink()

    os.mkfifo(world.folder / "go")
    supervisor = world.start()
    supervisor.expect(r"early\.1 failed: exit 9")
    (world.folder / "go").write_text("\n")
    assert supervisor.wait() == 9


def test_policy_never_gives_one_run(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {policy: never}}\n")
    world.procfile(a="exit 7", b=SLEEPER)
    supervisor = world.start()
    supervisor.expect(r"a\.1 failed: exit 7 after .*not restarted")
    assert supervisor.phase(a_1="failed")["a.1"]["restarts"] == 0
    assert supervisor.stop() == 0


def test_policy_always_restarts_after_success(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {policy: always, delay: 0.05}}\n")
    world.procfile(a="echo once more")
    supervisor = world.start()
    supervisor.expect("once more$")
    supervisor.expect("once more$")


def test_max_restarts_ends_in_failure_with_the_last_code(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {delay: 0.01}}\n")
    world.procfile(a="echo run; exit 6")
    supervisor = world.start("--max-restarts", "2")
    assert supervisor.wait() == 6
    assert supervisor.lines("a.1") == ["run"] * 3


def test_an_exit_code_that_is_not_to_be_retried_fails_at_once_and_restart_starts_it(world: World) -> None:
    world.file("procman.yml", "processes: {a: {restart: {no_retry_exit_codes: [78]}}}\n")
    world.procfile(a="echo run; exit 78", b=SLEEPER)
    supervisor = world.start()
    supervisor.expect(r"a\.1 failed: exit 78 .*no_retry_exit_codes")
    supervisor.phase(a_1="failed")
    assert world.run("restart", "a").code == 0
    supervisor.expect("run$")


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 11", 11)])
def test_exit_on_ends_everything_with_that_types_status(world: World, command: str, code: int) -> None:
    world.file("procman.yml", "defaults: {restart: {policy: never}}\n")
    world.procfile(job=command, web=SLEEPER)
    supervisor = world.start("--exit-on", "job")
    assert supervisor.wait() == code
    assert "web.1 SIGTERM" in supervisor.seen


def test_on_end_exit_does_the_same(world: World) -> None:
    world.file("procman.yml", "processes: {job: {on_end: exit, restart: {policy: never}}}\n")
    world.procfile(job="exit 12", web=SLEEPER)
    assert world.start().wait() == 12


def test_an_end_of_another_type_does_not_end_what_exit_on_names(world: World) -> None:
    world.procfile(job="exit 0", web="echo up; exec sleep 1000")
    supervisor = world.start("--exit-on", "web")
    supervisor.expect(r"job\.1 is done")
    supervisor.up("web.1")


def test_death_by_segv_is_named_and_restarted(world: World) -> None:
    world.procfile(a="kill -SEGV $$")
    supervisor = world.start()
    supervisor.expect(r"a\.1 ended: SIGSEGV after .*starting again in 0\.5 s")
    assert supervisor.ps()["a.1"]["last_exit"] == "SIGSEGV"


def test_backoff_doubles_and_a_crash_loop_is_said_once(world: World) -> None:
    world.file("procman.yml", "defaults: {restart: {delay: 0.1}}\n")
    world.procfile(a="exit 1", b=SLEEPER)
    supervisor = world.start()
    for _ in range(4):
        supervisor.expect(r"a\.1 ended: .*starting again in ")
    assert supervisor.seen.count("crash loop") == 1
    row = supervisor.ps()["a.1"]
    assert row["crash_loop"]
    assert supervisor.ps()["b.1"]["restarts"] == 0
    delays = [float(text) for text in re.findall(r"starting again in ([\d.]+) s", supervisor.seen)]
    assert delays == sorted(delays)


def test_stopped_instances_keep_procman_running(world: World) -> None:
    world.procfile(a=SLEEPER, b="read x < go")
    os.mkfifo(world.folder / "go")
    supervisor = world.start()
    supervisor.up("a.1", "b.1")
    assert world.run("stop", "a").code == 0
    with (world.folder / "go").open("w") as go:
        go.write("on\n")
    supervisor.until(lambda now: now["b.1"]["phase"] == "done" and now["a.1"]["phase"] == "stopped", "done and stopped")
    assert supervisor.process.poll() is None
