"""`rolling: {surge: 1}`: an extra instance serves while the others are replaced, whatever comes between."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from harness import Supervisor, World, eventually
from test_bad_versions import SERVER, Watched
from test_load_balancer import free_ports
from upgrades import upgrade

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

SETTINGS = "formation: {web: 2}\nprocesses:\n  web: {ready: tcp, rolling: {surge: 1}, stop: {drain: 0.1}}\n"


@pytest.fixture
def two(world: World) -> Supervisor:
    """Two that are ready by a connection."""
    world.file("procman.yml", SETTINGS)
    world.procfile(web=f"exec {world.script('server.py', SERVER)} good")
    supervisor = world.start("--port", str(free_ports(3)))
    supervisor.phase(web_1="ready", web_2="ready")
    return supervisor


def with_extra(supervisor: Supervisor) -> dict[str, Any]:
    """Ask for a restart: the extra instance that comes for it."""
    supervisor.ask("restart", names=["web"])
    row = supervisor.until(lambda rows: "web.3" in rows and rows["web.3"]["pid"], "the extra instance")["web.3"]
    assert row["role"] == "surge"
    return row


def ends(supervisor: Supervisor, before: dict[str, int]) -> None:
    """The rollout comes to its end: both are new, and the extra one has gone."""
    eventually(lambda: [*supervisor.ps()] == ["web.1", "web.2"], "the end of the extra instance")
    assert not before.items() & supervisor.pids().items()
    assert "rollout" not in supervisor.ask("ps")["fleet"]["types"][0]


def test_never_fewer_are_ready_than_are_wanted(two):
    before = two.pids()
    with Watched(two) as watched:
        assert two.world.run("restart", "web", "--wait").code == 0
        ends(two, before)
    assert watched.fewest == 2


def test_it_goes_on_over_an_upgrade(two):
    before = two.pids()
    extra = with_extra(two)
    upgrade(two)
    assert two.ps()["web.3"]["pid"] == extra["pid"]
    ends(two, before)


def test_it_goes_on_where_the_extra_one_is_killed(two):
    before = two.pids()
    os.kill(with_extra(two)["pid"], signal.SIGKILL)
    ends(two, before)


def test_a_scale_down_removes_the_one_that_is_named(two):
    assert two.world.run("scale", "web=1", "--remove", "web.1", "--wait").code == 0
    assert [*two.ps()] == ["web.2"]
    refused = two.world.run("scale", "web=1", "--remove", "web.2")
    assert refused.code == 1
    assert "cannot remove web.2: web=1 stops 0 of 1" in refused.err
    assert "procman scale web=0 --remove web.2" in refused.err


def test_scaling_up_does_not_wait_for_what_drains(two):
    two.world.file("procman.yml", SETTINGS.replace("drain: 0.1", "drain: 60"))
    assert two.world.run("reload", "--wait").code == 0
    eventually(
        lambda: [*two.ps()] == ["web.1", "web.2"] or two.ps()["web.3"]["role"] == "leaving", "the end of the rollout"
    )
    two.ask("scale", to={"web": 1})
    two.phase(web_2="draining")
    (started,) = two.ask("scale", to={"web": 2})["instances"]
    two.phase(web_2="draining", **{started.replace(".", "_"): "ready"})
