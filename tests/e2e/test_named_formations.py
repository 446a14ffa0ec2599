"""`--name`: two formations of one folder, such as development and test."""

from __future__ import annotations

import pytest
from harness import World
from upgrades import upgrade

pytestmark = pytest.mark.processes

STAYS = "echo $PROCMAN_PORT_WEB; exec sleep 1000"


def test_two_formations_of_a_folder_run_beside_each_other(world: World) -> None:
    world.procfile(web=STAYS)
    first = world.start()
    first.expect("5000$")
    second = world.start("--name", "test", "-p", "7000")
    second.expect("7000$")
    assert world.run("scale", "web=2").code == 0
    for words, count in ((("ps",), 2), (("ps", "--name", "test"), 1)):
        assert world.run(*words).out.count("web.") == count
    assert world.run("shutdown", "--name", "test").code == 0
    assert second.wait() == 0
    assert world.run("ps").code == 0
    done = world.run("ps", "--name", "test")
    assert (done.code, "procman start --name test" in done.err) == (3, True)


def test_a_second_one_of_the_same_name_is_refused(world: World) -> None:
    world.procfile(web=STAYS)
    world.start("--name", "test").expect("5000$")
    refused = world.run("start", "--name", "test")
    assert (refused.code, "already runs" in refused.err) == (1, True)
    assert world.run("ps").code == 3


def test_its_processes_talk_to_their_own_and_a_name_outlives_an_upgrade(world: World) -> None:
    world.procfile(web="procman ps; exec sleep 1000")
    supervisor = world.start("--name", "test")
    supervisor.expect(r"web\.1 +\| web\.1 +")
    upgrade(supervisor)
    assert world.run("ps", "--name", "test").code == 0
    assert world.run("reload", "--name", "test").code == 0


def test_a_variable_names_the_formation_for_every_verb(world: World) -> None:
    world.procfile(web=STAYS)
    plain, named = world.env, world.env | {"PROCMAN_NAME": "test"}
    supervisor = world.start(env=named)
    supervisor.expect("5000$")
    assert world.run("ps", env=named).code == 0
    assert world.run("scale", "web=2", env=plain | {"PROCMAN_SCALE_NAME": "test"}).code == 0
    assert world.run("ps", "--name", "other", env=named).code == 3
    assert world.run("ps", env=named | {"PROCMAN_PS_NAME": "other"}).code == 3
    assert world.run("shutdown", env=named).code == 0
    assert supervisor.wait() == 0


def test_in_a_formation_the_variable_stands_back_behind_its_socket(world: World) -> None:
    world.procfile(web="procman ps --json && echo found; exec sleep 1000")
    supervisor = world.start(env=world.env | {"PROCMAN_NAME": "test"})
    supervisor.expect("found$")
    world.procfile(web="PROCMAN_NAME=other procman ps --json && echo found; exec sleep 1000")
    world.run("reload", "--name", "test")
    supervisor.expect("found$")


def test_who_finds_none_is_told_which_formations_of_the_folder_run(world: World) -> None:
    world.procfile(web=STAYS)
    world.start("--name", "test").expect("5000$")
    assert "the formation test runs here: `--name test`" in world.run("ps").err
    world.start("--name", "load", "-p", "7000").expect("7000$")
    assert "the formations load, test run here" in world.run("ps", "--name", "other").err


@pytest.mark.parametrize("name", ["a b", "../x", "a/b", "ä"])
def test_a_name_is_a_word(world: World, name: str) -> None:
    world.procfile(web=STAYS)
    done = world.run("start", "--name", name)
    assert (done.code, "as the name of a formation" in done.err) == (2, True)
