"""What the line of an end with success suggests, and what it does not."""

from __future__ import annotations

import pytest
from making import NOW, PID, SUCCESS, instance_in, spec_of, told
from msgspec.structs import replace

from procman.core.events import Adopted, Exited, ExitStatus
from procman.core.instance import step
from procman.core.phases import Ready
from procman.core.spec import OnEnd, Stdin, When
from procman.core.view import Kind

DAEMON = PID + 1


def ended(lived: float = 0.2, daemon: int = 0, status: ExitStatus = SUCCESS, *, in_group: bool = False, **spec):
    i = replace(instance_in(Ready, started_at=NOW - lived), spec=spec_of(**spec))
    return step(i, Exited("web.1", 7, status, daemon=daemon, in_group=in_group), NOW)


def line(*args, **spec) -> str:
    (text,) = told(ended(*args, **spec).actions, Kind.ENDED)
    return text


@pytest.mark.parametrize("command", ["node app.js | pino-pretty", "cd x && rails s 2>&1 | tee log", "(a; b) | cat"])
def test_a_pipeline_that_ends_with_0_says_whose_status_that_is(command):
    said = "the status is that of the last command of the pipeline"
    assert said in line(command=command)
    assert said in line(99.0, command=command)
    assert said in line(command=command, oneshot=True)
    assert said in line(command=command, restart={"policy": When.NEVER})


@pytest.mark.parametrize(
    "command", ["set -o pipefail; a | b", "a || b", "grep 'a|b' file", "bash -o pipefail -c 'a | b'"]
)
def test_another_line_does_not(command):
    assert "pipeline" not in line(command=command)


def test_a_failure_says_nothing_of_pipelines():
    assert "pipeline" not in line(command="a | b", status=ExitStatus(5), success_exit_codes=(5,))


@pytest.mark.parametrize(
    "command",
    [
        "esbuild --watch",
        "npx tailwindcss -w",
        "cat",
        "cd x && exec cat",
        "npm run css",
        "bin/rails console",
        "python3",
        "vite serve",
    ],
)
def test_what_ends_with_an_empty_input_at_once_is_told_of_an_open_one_and_of_no_crash_loop(command):
    text = line(command=command)
    assert "`stdin: open`" in text
    assert "policy: always" not in text


@pytest.mark.parametrize(
    "command", ["echo one", "true", "cat file", "python3 job.py", "sh -c 'exit 0'", "make", "sleep 0.1"]
)
def test_what_reads_no_input_is_not_told_of_one(command):
    assert line(command=command).endswith("(policy: always would start it again)")


@pytest.mark.parametrize("spec", [{"tty": True}, {"stdin": Stdin.OPEN}, {"success_exit_codes": (5,)}])
def test_what_has_an_input_or_a_status_of_its_own_is_not(spec):
    status = ExitStatus(5) if "success_exit_codes" in spec else SUCCESS
    assert line(status=status, **spec).endswith("(policy: always would start it again)")


def test_what_has_run_for_a_while_is_not():
    assert line(60.0).endswith("(policy: always would start it again)")


@pytest.mark.parametrize("spec", [{"oneshot": True}, {"on_end": OnEnd.EXIT}, {"restart": {"policy": When.NEVER}}])
def test_what_was_meant_to_end_is_told_nothing(spec):
    assert line(**spec) == "web.1 is done: exit 0 after 0.2 s"


@pytest.mark.parametrize(
    ("in_group", "command"), [(True, "nginx"), (False, "nginx"), (False, "esbuild --watch"), (True, "a | b; server")]
)
def test_a_program_that_goes_to_the_background_is_told_how_it_is_kept_and_once(in_group, command):
    i, _, _ = ended(command=command)
    i, actions, _ = step(i, Adopted("web.1", 7, DAEMON, in_group), NOW)
    (text,) = told(actions, Kind.ADOPTED)
    assert f"web.1 went to the background (pid {DAEMON})" in text
    assert "foreground" in text
    assert i.phase.why.text == "exit 0; it went to the background"
    assert told(step(i, Adopted("web.1", 7, DAEMON + 1, in_group), NOW).actions, Kind.ADOPTED) == []


@pytest.mark.parametrize("command", ["server &", "nohup server > log 2>&1 &", "(server &)"])
@pytest.mark.parametrize("daemon", [0, DAEMON])
def test_a_command_that_its_shell_does_not_wait_for_is_told_so(command, daemon):
    i, actions, _ = ended(command=command, daemon=daemon)
    _, later, _ = step(i, Adopted("web.1", 7, DAEMON, in_group=True), NOW)
    said = " ".join([*told(actions, Kind.ENDED), *told(later, Kind.ADOPTED)])
    assert said.count("leave out the `&` at the end of its command") == 1


@pytest.mark.parametrize("command", ["tailwindcss --watch", "npm run css", "node"])
def test_what_a_watcher_leaves_in_its_group_is_no_daemon(command):
    i, _, _ = ended(command=command)
    i, actions, _ = step(i, Adopted("web.1", 7, DAEMON, in_group=True), NOW)
    assert told(actions, Kind.ADOPTED) == []
    assert i.phase.why.text == "exit 0"
    assert "`stdin: open`" in line(command=command, daemon=DAEMON, in_group=True)


def test_a_daemon_that_was_seen_before_the_end_is_in_its_line():
    text = line(daemon=DAEMON)
    assert f"it went to the background (pid {DAEMON})" in text
    assert "`stdin: open`" not in text
    assert "policy: always" not in text
    i, _, _ = ended(daemon=DAEMON)
    assert i.phase.why.text == "exit 0; it went to the background"
    assert told(step(i, Adopted("web.1", 7, DAEMON, in_group=False), NOW).actions, Kind.ADOPTED) == []


@pytest.mark.parametrize(("lived", "spec"), [(60.0, {}), (0.2, {"oneshot": True})])
def test_what_a_one_off_or_a_long_life_leaves_is_no_daemon(lived, spec):
    i, _, _ = ended(lived, **spec)
    assert told(step(i, Adopted("web.1", 7, DAEMON, in_group=False), NOW).actions, Kind.ADOPTED) == []
