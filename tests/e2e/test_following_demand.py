"""Companions that follow demand, with the installed program: counts by what waits, and a file for a load balancer."""

from __future__ import annotations

import json
import os
import signal

import pytest
from harness import PYTHON, Supervisor, World, eventually

IDLE = f"{PYTHON} -c 'import time; time.sleep(1000)'"
SCALED = "processes:\n  job: {autoscale: {min: 1, max: 5, every: 1, metrics: [{command: cat depth, target: 10}]}}\n"


@pytest.fixture
def scaled(world: World) -> Supervisor:
    """job, whose count follows the number in a file."""
    world.file("depth", "5")
    world.file("procman.yml", SCALED)
    world.procfile(job=IDLE)
    supervisor = world.start()
    supervisor.phase(job_1="ready")
    return supervisor


def companion(supervisor: Supervisor, name: str) -> int:
    """Its pid."""

    def found() -> int | None:
        rows = supervisor.ask("ps")["fleet"]["companions"]
        return next((row["pid"] for row in rows if row["type"] == name and row["phase"] == "ready"), None)

    pid = eventually(found, name)
    assert pid is not None
    return pid


def counts(supervisor: Supervisor, wanted: int) -> None:
    supervisor.until(lambda rows: len(rows) == wanted, f"{wanted} instances")


def asks(supervisor: Supervisor, *words: str) -> None:
    done = supervisor.world.run(*words)
    assert done.code == 0, done.err


def test_everything_can_be_asked_before_the_autoscaler_has_decided(world):
    """It never does here: the interpreter of procman's own programs starts with a wait."""
    world.file("procman.yml", SCALED)
    world.file(
        "site/sitecustomize.py", "import sys, time\nif 'autoscaler' in ' '.join(sys.orig_argv): time.sleep(1000)\n"
    )
    world.env["PYTHONPATH"] = str(world.folder / "site")
    world.procfile(job=IDLE, other=IDLE)
    supervisor = world.start()
    supervisor.phase(job_1="ready")
    asks(supervisor, "autoscale", "pause", "job")
    asks(supervisor, "scale", "job=2..3")
    asks(supervisor, "autoscale", "resume", "job")
    assert world.run("autoscale", "pause").out == "job: paused\n"
    assert world.run("autoscale", "resume").out == "job: follows demand again\n"
    assert world.run("autoscale").out == world.run("autoscale", "job").out == "job: no decision yet\n"
    for words in (("autoscale", "pause", "other"), ("autoscale", "other"), ("scale", "other=2..3")):
        refused = world.run(*words)
        assert (refused.code, "other" in refused.err) == (1, True)


def test_a_count_follows_what_waits_and_goes_on_after_the_autoscaler_was_killed(scaled):
    scaled.world.file("depth", "32")
    counts(scaled, 4)
    os.kill(companion(scaled, "@autoscale"), signal.SIGKILL)
    scaled.world.file("depth", "48")
    counts(scaled, 5)
    shown = scaled.world.run("autoscale", "job")
    assert shown.code == 0
    assert "48 at 10 per instance" in shown.out


def test_a_person_sets_bounds_and_by_force_alone_the_count(scaled):
    refused = scaled.world.run("scale", "job=3")
    assert refused.code == 1
    assert "--force" in refused.err
    asks(scaled, "scale", "job=2..3")
    counts(scaled, 2)
    scaled.world.file("depth", "90")
    counts(scaled, 3)


def decision_of(supervisor: Supervisor, *options: str) -> dict:
    shown = supervisor.world.run("autoscale", "--json", *options)
    return json.loads(shown.out)["types"]["job"]["decided"]["decision"]


def pause(supervisor: Supervisor) -> None:
    """Until a decision shows that it was seen: the one under way when it was asked for is carried out."""
    asks(supervisor, "autoscale", "pause", "job")
    eventually(lambda: decision_of(supervisor)["because"] == "paused", "a pause")


def test_a_pause_keeps_the_count_until_it_is_over(scaled):
    pause(scaled)
    scaled.world.file("depth", "90")
    eventually(lambda: decision_of(scaled)["proposals"][0]["count"] == 9, "a decision that is not carried out")
    assert len(scaled.ps()) == 1
    asks(scaled, "autoscale", "resume", "job")
    counts(scaled, 5)


def test_what_would_be_decided_is_shown_and_not_done(scaled):
    pause(scaled)
    scaled.world.file("depth", "25")
    assert decision_of(scaled, "--dry-run")["proposals"][0]["count"] == 3
    assert len(scaled.ps()) == 1


def test_every_recorded_decision_is_the_same_when_it_is_made_again(scaled):
    scaled.world.file("depth", "32")
    counts(scaled, 4)
    done = scaled.world.run("autoscale", "--replay", "job")
    assert done.code == 0
    assert "1 -> 4" in done.out


def test_a_file_for_a_load_balancer_has_the_ready_instances(world):
    pytest.importorskip("jinja2")
    world.file("up.j2", "{% for i in instances %}{{ i.name }} {% endfor %}")
    world.file(
        "procman.yml", "processes: {web: {balancer: {file: up.conf, template: up.j2, reload: cat up.conf >> told}}}"
    )
    world.procfile(web=IDLE)
    supervisor = world.start()

    def kept(text: str) -> None:
        path = world.folder / "up.conf"
        eventually(lambda: path.exists() and path.read_text() == text, f"a file with {text}")

    kept("web.1 ")
    supervisor.ask("scale", to={"web": 3})
    kept("web.1 web.2 web.3 ")
    os.kill(companion(supervisor, "@balancer"), signal.SIGKILL)
    supervisor.ask("scale", to={"web": 2})
    kept("web.1 web.2 ")
    supervisor.until(lambda rows: set(rows) == {"web.1", "web.2"}, "two instances")
