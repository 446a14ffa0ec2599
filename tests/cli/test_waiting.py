"""`--wait`: by events and not by the clock, with the reason where it fails."""

from __future__ import annotations

import pytest
from scripted import END, fleet, instance

from procman.control.messages import Accepted

UP = [fleet(instance("web.1", "starting")), fleet(instance("web.1", "starting")), fleet(instance("web.1"))]


@pytest.fixture(autouse=True)
def one_web(script):
    script.answers["scale"] = Accepted(("web.1",), {"web": 1})
    script.answers["restart"] = Accepted(("web.1",), {"web": 1})
    script.fleets = list(UP)


def looks(script):
    return [name for name, _ in script.asked].count("ps")


def test_scale_waits_until_all_are_ready(procman, script):
    assert procman("scale", "web=1", "--wait").code == 0
    assert script.fleets == UP[2:]


def test_each_change_is_one_look(procman, script):
    procman("scale", "web=1", "--wait")
    assert looks(script) == 4  # one for the counts so far, then one for each fleet


def test_wait_may_stand_before_the_change_and_take_a_number_with_or_without_a_sign(procman, script):
    script.fleets = UP[2:]
    assert procman("scale", "--wait", "web=1").code == 0
    assert procman("scale", "--wait", "5", "web=1").code == 0
    assert procman("scale", "--wait=5", "web=1").code == 0


def test_the_deadline_names_who_is_waited_for(procman, script):
    script.fleets = UP[:1]
    done = procman("scale", "web=1", "--wait=0.05")
    assert done.code == 1
    assert done.err == "procman: cannot wait longer than 0.05 s for web.1 (starting)\nprocman: see `procman ps`\n"


def test_a_failed_instance_ends_the_wait_with_its_reason(procman, script):
    script.fleets = [UP[0], UP[0], fleet(instance("web.1", "failed", reason="exit 78"))]
    done = procman("scale", "web=1", "--wait")
    assert done.code == 1
    assert "web.1: it is failed: exit 78" in done.err


def test_restart_waits_for_a_new_life(procman, script):
    script.fleets = [fleet(instance("web.1", generation=1)), fleet(instance("web.1", generation=2))]
    assert procman("restart", "--wait").code == 0
    assert script.fleets[0].instances[0].generation == 2


def test_the_end_of_procman_ends_the_wait(procman, script):
    script.fleets = UP[:1]  # no change that could come before the end
    script.stream = [END]
    done = procman("scale", "web=1", "--wait")
    assert done.code == 1
    assert "procman has ended" in done.err


def test_no_wait_does_not_subscribe(procman, script):
    procman("restart")
    assert "events" not in [name for name, _ in script.asked]


@pytest.mark.parametrize("number", ["0", "-1", "soon"])
def test_a_wait_needs_a_time_above_zero(procman, script, number):
    assert procman("restart", f"--wait={number}").code == 2
