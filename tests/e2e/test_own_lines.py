"""procman's own lines: how they stand beside the others', and where they can be read later."""

from __future__ import annotations

from harness import World, eventually

IDLE = "echo up; exec sleep 1000"


def test_names_are_padded_to_those_that_run(world: World) -> None:
    world.procfile(web=IDLE, a_type_with_a_very_long_name=IDLE)
    supervisor = world.start("web", "--no-timestamps")
    supervisor.expect("^web.1  \\| up$")
    world.run("scale", "a_type_with_a_very_long_name=1")
    supervisor.expect("^a_type_with_a_very_long_name.1 \\| up$")


def test_logs_have_what_procman_said_among_the_others_lines(world: World) -> None:
    world.procfile(web="echo up; exec sleep 1000")
    behind = world.run("start", "--detach")
    assert behind.code == 0
    try:
        world.run("signal", "KILL", "web")
        eventually(lambda: "web.1 ended: SIGKILL" in world.run("logs", "system").out, "its end is kept")
        assert "| up" not in world.run("logs", "system").out
        everything = world.run("logs").out
        assert "| up" in everything
        assert "web.1 ended: SIGKILL" in everything
        assert "ended" not in world.run("logs", "web").out
    finally:
        world.run("shutdown")


def test_follow_shows_what_procman_says_as_it_happens(world: World) -> None:
    world.procfile(web="echo up; exec sleep 1000")
    supervisor = world.start()
    supervisor.up("web.1")
    with world.popen("logs", "-f", "system") as following:
        assert following.stdout is not None
        assert b"procman" in following.stdout.readline()
        world.run("scale", "web=2")
        while b"scaled web from 1 to 2" not in following.stdout.readline():
            continue
        supervisor.stop()


def test_what_went_wrong_is_red_and_nothing_else_is(world: World) -> None:
    world.procfile(web="exit 3", fine="exec sleep 1000")
    supervisor = world.start("--color", "always", "--no-timestamps", "--max-restarts", "1")
    supervisor.expect("web.1 failed|given up|gave up")
    own = [line for line in supervisor.seen.splitlines() if "system" in line]
    red = [line for line in own if line.startswith("\x1b[1;38;5;196m")]
    assert any("web.1 ended: exit 3" in line for line in red)
    assert not any("procman 0" in line for line in red)
    assert not any("fine" in line for line in red)
    assert supervisor.stop() == 0
