"""`--wait` and `procman wait`: by events and not by the clock, with the reason where it fails.

The scripted procman is an older one, which is looked at after each change, unless it is given an answer to `wait`.
"""

from __future__ import annotations

import pytest
from scripted import END, fleet, happened, instance

from procman.control.messages import Accepted, Waited
from procman.core.view import Kind

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


def test_each_change_is_one_poll(procman, script):
    procman("scale", "web=1", "--wait")
    assert looks(script) == 3  # one for each fleet


def test_wait_may_stand_before_the_change_and_take_a_number_with_or_without_a_sign(procman, script):
    script.fleets = UP[2:]
    assert procman("scale", "--wait", "web=1").code == 0
    assert procman("scale", "--wait", "5", "web=1").code == 0
    assert procman("scale", "--wait=5", "web=1").code == 0
    assert procman("scale", "--wait", "5s", "web=1").code == 0
    assert procman("scale", "--wait=1.5m", "web=1").code == 0


def test_the_deadline_names_who_is_waited_for(procman, script):
    script.fleets = UP[:1]
    done = procman("scale", "web=1", "--wait=0.05")
    assert done.code == 1
    assert done.err == "procman: cannot wait longer than 0.05 s for web.1 (starting)\nprocman: see `procman ps`\n"


def test_a_failed_instance_ends_the_wait_with_its_reason(procman, script):
    script.fleets = [UP[0], UP[0], fleet(instance("web.1", "failed", reason="exit 78"))]
    done = procman("scale", "web=1", "--wait")
    assert done.code == 1
    assert "web.1: it has failed: exit 78" in done.err


def test_restart_waits_until_they_are_ready(procman, script):
    assert procman("restart", "--wait").code == 0
    assert script.fleets == UP[2:]


def test_the_end_of_procman_ends_the_wait(procman, script):
    script.fleets = UP[:1]  # no change that could come before the end
    script.stream = [END]
    done = procman("scale", "web=1", "--wait")
    assert done.code == 1
    assert "procman has ended" in done.err


def test_no_wait_does_not_subscribe(procman, script):
    procman("restart")
    assert "events" not in [name for name, _ in script.asked]


@pytest.mark.parametrize("number", ["0", "-1", "soon", "nan", "0s"])
def test_a_wait_needs_a_time_above_zero(procman, script, number):
    assert procman("restart", f"--wait={number}").code == 2


# ---- procman wait


def test_a_procman_that_can_wait_is_asked_to(procman, script):
    script.answers["wait"] = Waited("reached")
    assert procman("wait", "web", "--for", "stopped", "--timeout", "5").code == 0
    (params,) = [params for name, params in script.asked if name == "wait"]
    assert params.pop("timeout") == pytest.approx(5, abs=2)
    assert params == {"names": ["web"], "until": "stopped"}
    assert looks(script) == 0


@pytest.mark.parametrize("answers", [True, False], ids=["wait", "ps"])
class TestWait:
    """Whoever judges."""

    def scripted(self, script, answers, waited, *fleets):
        script.fleets = list(fleets)
        if answers:
            script.answers["wait"] = waited

    def test_ready_is_0(self, procman, script, answers):
        self.scripted(script, answers, Waited("reached"), *UP)
        done = procman("wait")
        assert (done.code, done.out, done.err) == (0, "", "")

    def test_failed_is_1_with_the_reason(self, procman, script, answers):
        why = "cannot keep waiting for web.1: it has failed: exit 78"
        failed = Waited("failed", why, "`procman restart web.1` starts it")
        self.scripted(script, answers, failed, fleet(instance("web.1", "failed", reason="exit 78")))
        done = procman("wait")
        assert (done.code, done.err) == (1, f"procman: {why}\nprocman: `procman restart web.1` starts it\n")

    def test_the_deadline_is_124_and_names_who_is_waited_for(self, procman, script, answers):
        self.scripted(script, answers, Waited("late", pending=("web.1 (starting)",)), UP[0])
        done = procman("wait", "--timeout", "0.01")
        assert (done.code, done.err) == (124, "procman: cannot wait longer than 0.01 s for web.1 (starting)\n")

    def test_it_is_told_who_else_is_waited_for(self, procman, script, answers):
        script.stream = [happened(Kind.WAITING, "waiting for web.1 (pid 7, 8 s left)")]
        self.scripted(script, answers, Waited("reached"), *UP)
        assert "waiting for web.1 (pid 7, 8 s left)" in procman("wait").err

    def test_the_end_of_procman_is_the_stop_of_everything(self, procman, script, answers):
        script.fleets = UP[:1]
        if answers:
            script.answers["wait"] = Waited("reached")
            script.after["wait"] = script.close
        script.stream = [] if answers else [END]
        assert procman("wait", "--for", "stopped").code == 0


def test_with_a_timeout_it_also_waits_for_procman_itself(procman, nobody):
    done = procman("wait", "--timeout", "0.01")
    assert done.code == 124
    assert done.err == (
        f"procman: cannot wait longer than 0.01 s: cannot reach procman: no procman runs for {nobody}\n"
        "procman: start it with `procman start`\n"
    )


@pytest.mark.parametrize("options", [(), ("--for", "stopped", "--timeout", "60")])
def test_without_one_or_for_a_stop_it_does_not(procman, nobody, options):
    assert procman("wait", *options).code == 3
