"""What each client verb asks of procman, and what it prints."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess

import msgspec
import pytest
from scripted import END, NOW, fleet, happened, instance

from procman.cli.show.instances import shown, size
from procman.control.codec import Error, ErrorData
from procman.control.messages import Accepted, Checked, Hello, Output, Why
from procman.core.view import FleetView, Kind, TypeView
from procman.observe.listing import Listing, Row

TWO = Accepted((), {"web": 2, "worker": 1})


# ---- scale


def test_scale_without_arguments_tells_the_formation(procman, script):
    script.answers["scale"] = TWO
    assert procman("scale").out == "web=2 worker=1\n"
    assert script.asked == [("scale", {})]


def test_scale_sends_counts_and_changes_together(procman, script):
    script.answers["scale"] = TWO
    assert procman("scale", "web=2", "worker-1").code == 0
    assert script.asked[-1] == ("scale", {"to": {"web": 2}, "by": {"worker": -1}})


def test_the_same_count_is_a_success(procman, script):
    script.answers["scale"] = Accepted((), {"web": 2}, before={"web": 2})
    done = procman("scale", "web=2")
    assert (done.code, done.out) == (0, "web stays at 2\n")


def test_scale_tells_what_changes(procman, script):
    script.answers["scale"] = Accepted(("web.2",), {"web": 2, "worker": 0}, 7, {"web": 1, "worker": 1})
    assert procman("scale", "web=2", "worker=0").out == "web 1 -> 2\nworker 1 -> 0\n"
    assert len(script.asked) == 1


def test_scale_as_json(procman, script):
    script.answers["scale"] = Accepted(("web.2",), {"web": 2}, 7, {"web": 2})
    told = json.loads(procman("scale", "web=2", "--json").out)
    assert told == {"formation": {"web": 2}, "before": {"web": 2}, "instances": ["web.2"]}


def test_a_word_that_is_no_change_is_a_mistake_and_asks_nothing(procman, script):
    done = procman("scale", "web")
    assert done.code == 2
    assert done.err.startswith("procman: cannot ")
    assert script.asked == []


def test_a_refusal_ends_with_one_and_its_hint(procman, script):
    script.answers["scale"] = Error(1, "cannot scale 'wbe': no such type", ErrorData("did you mean 'web'?"))
    done = procman("scale", "wbe=2")
    assert done.code == 1
    assert done.err == "procman: cannot scale 'wbe': no such type\nprocman: did you mean 'web'?\n"


# ---- restart, stop, signal, reload, shutdown


def test_restart_names_whom_it_restarts(procman, script):
    script.answers["restart"] = Accepted(("web.1", "web.2"), {"web": 2})
    assert procman("restart", "w*").out == "restarting web.1, web.2\n"
    assert ("restart", {"names": ["w*"]}) in script.asked


@pytest.mark.parametrize("args", [(), ("web", "--all")])
def test_stop_wants_names_or_all(procman, script, args):
    done = procman("stop", *args)
    assert done.code == 2
    assert done.err.startswith("procman: cannot stop")
    assert script.asked == []


def test_no_variable_can_say_all(procman, script, monkeypatch):
    monkeypatch.setenv("PROCMAN_STOP_ALL", "1")
    monkeypatch.setenv("PROCMAN_STOP_EVERYTHING", "1")
    assert procman("stop").code == 2


def test_stop_waits_and_tells_how_each_ended(procman, script):
    script.answers["stop"] = Accepted(("web.1", "web.2"), {"web": 2})
    script.fleets = [
        fleet(instance("web.1", "stopping"), instance("web.2", "stopping")),
        fleet(instance("web.1", "stopped", last_exit="exit 0"), instance("web.2", "stopping")),
        fleet(instance("web.1", "stopped", last_exit="exit 0"), instance("web.2", "stopped", last_exit="SIGTERM")),
    ]
    assert procman("stop", "web").out == "stopped: web.1 exit 0, web.2 SIGTERM\n"


def test_stop_without_waiting_polls_nothing(procman, script):
    script.answers["stop"] = Accepted(("web.1",), {"web": 1})
    assert procman("stop", "--all", "--no-wait").out == "stopping web.1\n"
    assert script.asked == [("stop", {"all": True})]


@pytest.mark.parametrize("word", ["HUP", "hup", "SIGHUP", "1"])
def test_a_signal_may_be_written_in_every_usual_way(procman, script, word):
    script.answers["signal"] = Accepted(("web.1",), {"web": 1})
    assert procman("signal", word, "web", "--leader").out == "sent HUP to web.1\n"
    assert script.asked[-1] == ("signal", {"signal": "HUP", "names": ["web"], "leader": True})


def test_a_signal_that_ends_a_shell_says_how_the_program_gets_it(procman, script):
    with subprocess.Popen(["sh", "-c", "read line; true"], stdin=subprocess.PIPE) as shell:
        script.fleets = [fleet(instance("web.1", pid=shell.pid))]
        script.answers["signal"] = Accepted(("web.1",), {"web": 1})
        done = procman("signal", "HUP", "web")
    assert done.code == 0
    assert "the first process of web.1 is a shell" in done.err
    assert "begin the command with `exec`" in done.err


def test_a_signal_to_procman_itself_asks_nothing_of_the_instances(procman, script):
    before = signal.signal(signal.SIGUSR1, lambda *_: None)  # the scripted procman is a thread of this process
    try:
        assert procman("signal", "usr1", "--self").out == f"sent USR1 to procman (pid {os.getpid()})\n"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert script.asked == []


@pytest.mark.parametrize("args", [["HUP"], ["HUP", "web", "--self"]])
def test_a_signal_needs_either_names_or_procman_itself(procman, script, args):
    done = procman("signal", *args)
    assert done.code == 2
    assert done.err.splitlines()[1].startswith("procman: name types or instances, or use --self")


@pytest.mark.parametrize("word", ["HPU", "0", "99"])
def test_a_signal_that_does_not_exist_is_a_mistake(procman, script, word):
    done = procman("signal", word, "web")
    assert done.code == 2
    assert script.asked == []


def test_reload_tells_what_it_touched(procman, script):
    script.answers["reload"] = Accepted(("web.1",), {"web": 1})
    assert procman("reload").out == "reloaded; affects web.1\n"


def test_a_reload_that_finds_faults_tells_each_and_ends_with_two(procman, script):
    script.answers["reload"] = Error(2, "Procfile:1: cannot read 'x'\nProcfile:3: cannot read 'y'")
    done = procman("reload")
    assert done.code == 2
    assert done.err == "procman: Procfile:1: cannot read 'x'\nprocman: Procfile:3: cannot read 'y'\n"


def test_shutdown_waits_until_procman_is_gone(procman, script):
    script.answers["shutdown"] = Accepted(("web.1",), {"web": 1})
    script.stream = [happened(Kind.WAITING, "waiting for web.1 (pid 42, 8 s left)"), END]
    done = procman("shutdown")
    assert done.out == "stopping web.1\nprocman has ended\n"
    assert done.err == "waiting for web.1 (pid 42, 8 s left)\n"


# ---- ps


def test_ps_aligns_its_columns_and_numbers(procman, script):
    script.fleets = [
        fleet(
            instance("web.1", pid=1 << 22, uptime=130.0, port=5000),
            instance("worker.1", "backoff", restarts=12, reason="exit 1; again in 3.8 s"),
        )
    ]
    assert [line.split("  ") for line in procman("ps").out.splitlines()] == [
        line.split("  ")
        for line in (
            "NAME      PHASE        PID  UP      RESTARTS  PORT  CPU  MEMORY  REASON",
            "web.1     ready    4194304  2m 10s         0  5000",
            "worker.1  backoff                         12                     exit 1; again in 3.8 s",
        )
    ]


def test_ps_lets_no_reason_touch_the_terminal(procman, script):
    script.fleets = [fleet(instance("web.1", "failed", reason="\x1b]0;title\x07bad\r\x1b[2J\nname"))]
    out = procman("ps").out
    assert re.search(r"[\x00-\x09\x0b-\x1f]", out) is None
    assert len(out.splitlines()) == 2


def test_ps_as_json_has_null_for_what_is_not_known(procman, script):
    script.fleets = [fleet(instance("web.1", "stopped", age=60.0))]
    told = json.loads(procman("ps", "--json").out)
    assert list(told) == ["formation", "instances", "types", "number", "companions", "orphans"]
    row = told["instances"][0]
    assert row["since"] == NOW - 60
    assert [row[key] for key in ("pid", "port", "uptime", "reason", "last_exit", "cpu", "memory")] == [None] * 7
    assert (row["name"], row["type"], row["phase"], row["restarts"]) == ("web.1", "web", "stopped", 0)


WHY = "exit 1 three times in a row; again in 3.8 s"


def listing(*rows, **more):
    fields = dict.fromkeys(field.name for field in msgspec.structs.fields(Row))
    fields |= {"restarts": 0, "since": 0.0, "crash_loop": False, "generation": 1, "adopted": (), "ready": False}
    return Listing({"web": 1}, [Row(**(fields | row)) for row in rows], **more)


BACKOFF = {"name": "web.1", "type": "web", "phase": "backoff", "reason": WHY}


def test_a_reason_is_kept_in_a_narrow_terminal():
    assert shown(listing(BACKOFF), 200) == shown(listing(BACKOFF))
    lines = shown(listing(BACKOFF), 40).splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[1].split() == ["web.1", "backoff", "0"]
    assert " ".join(" ".join(lines[2:]).split()) == WHY


def test_a_very_narrow_terminal_does_without_columns_and_keeps_name_phase_and_reason():
    lines = shown(listing(BACKOFF), 24).splitlines()
    assert lines[0].split()[:2] == ["NAME", "PHASE"]
    assert "CPU" not in lines[0]
    assert " ".join(" ".join(lines[2:]).split()) == WHY


def test_ps_shows_the_last_answer_of_a_probe_while_it_is_not_ready():
    row = {"name": "web.1", "type": "web", "phase": "starting", "pid": 7, "probe": "refused on port 5000"}
    assert shown(listing(row)).endswith("  probe: refused on port 5000")
    assert "refused" not in shown(listing(row | {"phase": "ready", "ready": True}))
    told = row | {"phase": "unhealthy", "reason": "unhealthy: refused on port 5000, twice"}
    assert shown(listing(told)).count("refused on port 5000") == 1


def test_ps_shows_how_far_a_rollout_is():
    types = (TypeView(type="web", desired=4, ready=3, updated=2, rollout="2 of 4"),)
    assert shown(listing(BACKOFF, types=types)).splitlines()[-1] == "web: rollout 2 of 4"


def test_ps_shows_companions_where_they_are_asked_for(procman, script):
    script.fleets = [
        FleetView(
            formation={"web": 1}, instances=(instance("web.1"),), stopping=False, companions=(instance("@watch.1"),)
        )
    ]
    assert "@watch.1" not in procman("ps").out
    assert "@watch.1" in procman("ps", "--companions").out


def test_why_prints_what_procman_says(procman, script):
    script.answers["why"] = Why("web.1", ("web.1 is waiting for 4 s", "\x1b[2Jit is started as soon as redis is ready"))
    done = procman("why", "web")
    assert done.out == "web.1 is waiting for 4 s\nit is started as soon as redis is ready\n"


def test_restart_can_be_asked_for_together(procman, script):
    script.answers["restart"] = Accepted(("web.1", "web.2"), {"web": 2})
    assert procman("restart", "web", "--together").code == 0
    assert script.asked[-1] == ("restart", {"names": ["web"], "together": True})


def test_ps_of_names_shows_only_those(procman, script):
    script.fleets = [fleet(instance("web.1"), instance("web.2"), instance("worker.1"), instance("job.1"))] * 2
    assert [line.split()[0] for line in procman("ps", "web.2", "w*r").out.splitlines()] == ["NAME", "web.2", "worker.1"]
    done = procman("ps", "wbe")
    assert (done.code, done.err.splitlines()[1]) == (1, "procman: did you mean 'web'?")


def test_ps_from_another_pid_namespace_tells_no_cpu_and_memory(procman, script):
    """The scripted procman says another pid than the one that the socket's other end has."""
    script.fleets = [fleet(instance("web.1", pid=os.getpid(), uptime=10.0))]
    row = json.loads(procman("ps", "--json").out)["instances"][0]
    assert (row["pid"], row["cpu"], row["memory"]) == (os.getpid(), None, None)


def test_ps_of_nothing_says_how_to_get_something(procman, script):
    assert procman("ps").out == "no instances; `procman scale TYPE=N` starts some\n"


@pytest.mark.parametrize(("count", "told"), [(900, "1 kB"), (42_400_000, "42 MB"), (1_500_000_000, "1.5 GB")])
def test_sizes_are_told_in_powers_of_a_thousand(count, told):
    assert size(count) == told


# ---- logs, events


def test_logs_look_like_the_shared_view(procman, script, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    script.fleets = [fleet(instance("web.1"), instance("worker.1"))]
    script.stream = [Output(1, "web.1", NOW, text="one\ntwo\n"), END]
    out = procman("logs", "web", "-n", "2").out
    assert re.sub(r"\d\d:\d\d:\d\d", "T", out) == "T web.1    | one\nT web.1    | two\n"
    assert script.asked[-1] == ("logs", {"names": ["web"], "lines": 2})


def test_logs_show_what_was_missed(procman, script):
    script.stream = [Output(1, "web.1", NOW, text="late\n", missed=4096), END]
    assert re.findall(r"\| (.*)", procman("logs").out) == ["[missed 4096 bytes]", "late"]


def test_logs_give_back_bytes_that_are_no_text(script):
    from procman.cli.verbs.logs import LogFormat

    data = base64.b64encode(b"\xff\xfe\n").decode()
    assert LogFormat(5, {}).as_text(Output(1, "web.1", NOW, base64=data)).endswith(b"web.1 | \xff\xfe\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("system | fine\rover it\n", b"| over it\n"), ("\x1b[3Aup\n", b"| up\n"), ("a\x08\x1b]0;t\x07b\n", b"| b\n")],
)
def test_logs_on_a_screen_draw_over_no_line(text, shown):
    from procman.cli.verbs.logs import LogFormat

    written = Output(1, "web.1", NOW, text=text)
    assert LogFormat(5, {}, screen=True).as_text(written).endswith(shown)
    assert LogFormat(5, {}).as_text(written).endswith(text.encode())


def test_logs_of_a_terminal_show_what_the_shared_view_does(procman, script, monkeypatch):
    script.fleets = [fleet(instance("web.1"))]
    text = "\x1b[2J\x1b[31m 1%\r\x1b[31m100%\x1b[0m\r\n"
    script.stream = [Output(1, "web.1", NOW, text=text, terminal=True), END]
    assert procman("logs").out.endswith("| 100%\n")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert procman("logs").out.endswith("\x1b[31m100%\x1b[0m\n")
    assert json.loads(procman("logs", "--json").out)["message"] == "100%"


def test_logs_of_a_pipe_are_left_as_they_are(procman, script):
    script.stream = [Output(1, "web.1", NOW, text="\x1b[2Ja\rb\n"), END]
    assert procman("logs").out.endswith("\x1b[2Ja\rb\n")


def test_logs_are_coloured_where_that_is_asked_for(procman, script, monkeypatch):
    script.fleets = [fleet(instance("web.1"))]
    script.stream = [Output(1, "web.1", NOW, text="one\n"), END]
    assert "\x1b[" not in procman("logs").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert procman("logs").out.startswith("\x1b[")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in procman("logs").out


def test_logs_as_json_are_one_object_a_line(procman, script):
    script.stream = [Output(1, "web.1", NOW, text="a\nb\n", missed=7), END]
    lines = [json.loads(line) for line in procman("logs", "--json").out.splitlines()]
    assert [line.get("message") for line in lines] == [None, "a", "b"]
    assert lines[0].pop("time").startswith("2023-11-1")
    assert lines[0] == {"instance": "web.1", "missed": 7}


def test_events_are_one_line_each(procman, script):
    script.stream = [happened(Kind.READY, "web.1 is ready"), happened(Kind.CRASH_LOOP, "web \x1b[2Jis"), END]
    lines = procman("events").out.splitlines()
    assert [line[9:] for line in lines] == ["ready        web.1 is ready", "crash-loop   web is"]


def test_events_as_json_are_one_object_a_line(procman, script):
    script.stream = [happened(Kind.READY, "web.1 is ready", instance="web.1", pid=42), END]
    (line,) = procman("events", "--json").out.splitlines()
    assert json.loads(line) == {"time": NOW, "event": "ready", "text": "web.1 is ready", "instance": "web.1", "pid": 42}


# ---- upgrade


HELLO = Hello("0.1.0", 4242, "/app", 1)


def test_an_upgrade_that_is_refused_ends_with_one_and_the_reason(procman, script):
    script.answers |= {"hello": HELLO, "upgrade": Error(1, "cannot upgrade: so", ErrorData("what runs goes on"))}
    done = procman("upgrade")
    assert (done.code, done.out) == (1, "")
    assert done.err == "procman: cannot upgrade: so\nprocman: what runs goes on\n"


def test_a_program_that_answers_as_before_has_not_been_replaced(procman, script):
    script.answers |= {"hello": HELLO, "upgrade": Checked("9.9.9")}
    done = procman("upgrade")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("procman: cannot upgrade: the new program could not be executed\n")


def test_a_procman_that_ends_instead_is_told(procman, script):
    """Nobody takes over, and the socket is gone."""
    script.answers |= {"hello": HELLO, "upgrade": Checked("9.9.9")}
    script.after["upgrade"] = script.leave
    done = procman("upgrade")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("procman: cannot upgrade: procman has ended instead\n")


def test_an_upgrade_tells_both_versions(procman, script):
    script.answers |= {"hello": HELLO, "upgrade": Checked("9.9.9")}
    script.after["upgrade"] = lambda: script.answers.update(hello=Hello("9.9.9", 4242, "/app", 1, upgrades=1))
    done = procman("upgrade")
    assert (done.code, done.out, done.err) == (0, "procman 0.1.0 -> 9.9.9 (pid 4242)\n", "")
