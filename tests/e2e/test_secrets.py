"""No value of the environment comes out of procman: not in its lines, its answers, its errors, its traces or its helpers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from harness import World, all_children_of, eventually

OURS = "s3cret-of-the-system"
FILED = "s3cret-of-the-file"
WRITTEN = "s3cret-of-the-yml"
SECRETS = (OURS, FILED, WRITTEN)


def no_secret(text: str, where: str) -> None:
    assert not [secret for secret in SECRETS if secret in text], f"in {where}: {text[:2000]}"


def test_no_value_of_the_environment_is_told_by_anything(world: World) -> None:
    world.env["OURS"] = OURS
    world.file(".env", f"FILED={FILED}\nBOTH='{FILED} ${{OURS}}'\n")
    world.file("procman.yml", f"processes: {{web: {{env: {{WRITTEN: {WRITTEN}}}}}}}\n")
    world.procfile(
        web="sleep 1000", dies="sleep 0.1; exit 1", absent="no-such-command", shell="test -n $OURS && exec sleep 1000"
    )
    supervisor = world.start()
    events = world.popen("events", "--json")
    supervisor.up("web.1", "shell.1")
    environ = Path(f"/proc/{supervisor.pids()['web.1']}/environ").read_text()
    assert all(secret in environ for secret in SECRETS), "it must be there for this test to mean anything"
    supervisor.expect("absent.* did not start")
    supervisor.expect("dies.* ended")
    supervisor.signal(signal.SIGQUIT)
    trace = supervisor.expect(r"the last events are in (\S+);")[1]
    assert Path(trace).stat().st_mode & 0o777 == 0o600
    no_secret(Path(trace).read_text(), "the trace")
    world.file("procman.yml", f"processes: {{web: {{env: {{WRITTEN: {WRITTEN}, PORT: {WRITTEN}}}}}}}\n")
    supervisor.signal(signal.SIGHUP)
    supervisor.expect("reload refused")
    for args in (
        ("ps", "--json"),
        ("ps",),
        ("logs",),
        ("scale", "--json"),
        ("check",),
        ("reload",),
        ("debug", "replay", trace),
    ):
        done = world.run(*args)
        no_secret(done.out + done.err, " ".join(args))
    for method in ("hello", "ps", "scale"):
        no_secret(str(supervisor.ask(method)), method)
    for child in all_children_of(supervisor.pid):
        no_secret(Path(f"/proc/{child}/cmdline").read_text(), "the list of processes")
    assert supervisor.stop() == 0
    assert events.stdout is not None
    no_secret(events.stdout.read().decode(), "the events")
    events.wait(10)
    events.stdout.close()
    no_secret(supervisor.seen + world.errors(), "the output")


def test_the_guardian_has_none_of_it(world: World) -> None:
    world.env["OURS"] = OURS
    world.procfile(web="sleep 1000")
    supervisor = world.start()
    supervisor.up("web.1")
    children = eventually(
        lambda: [c for c in all_children_of(supervisor.pid) if c not in supervisor.pids().values()], "it"
    )
    for child in children:
        environ = Path(f"/proc/{child}/environ").read_bytes()
        assert OURS.encode() not in environ


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", f"A='{FILED}\n"),
        (".env", f"{FILED}\n"),
        (".env", f'A="{FILED}\n'),
        (".env", f"A={FILED}\0\n"),
        ("procman.yml", f"processes: {{web: {{env: {{A: [{WRITTEN}]}}}}}}\n"),
        ("procman.yml", f'processes: {{web: {{env: {{A: "{WRITTEN}\\0"}}}}}}\n'),
        ("procman.yml", f"processes: {{web: {{env: {{A: !{WRITTEN} x}}}}}}\n"),
        ("procman.yml", f"processes: {{web: {{env: {{A: !{WRITTEN}!y x}}}}}}\n"),
        ("procman.yml", f"processes: {{web: {{env: {{A: *{WRITTEN}}}}}}}\n"),
        ("procman.yml", f"processes: {{web: {{env: {{A: &{WRITTEN} {{}}}}}}}}\n"),
        ("procman.yml", f"processes: {{web: {{env: A={WRITTEN}}}}}\n"),
        ("procman.yml", f"processes: {{web: {{env: {{A: !!binary {WRITTEN}}}}}}}\n"),
    ],
)
def test_an_error_in_a_file_does_not_show_the_value_that_it_is_about(world: World, name: str, text: str) -> None:
    world.procfile(web="sleep 1000")
    world.file(name, text)
    done = world.run("check")
    assert done.code == 2, done
    no_secret(done.out + done.err, "check")


def test_a_value_that_cannot_be_passed_on_is_not_shown(world: World) -> None:
    """Bytes that are not UTF-8 pass; what does not is a failed start."""
    world.procfile(web="echo $BAD; sleep 1000")
    env = {os.fsencode(name): os.fsencode(value) for name, value in world.env.items()} | {
        b"BAD": b"\xff" + OURS.encode()
    }
    supervisor = world.start(env=env)
    supervisor.expect(OURS)
    no_secret("\n".join(supervisor.own()), "procman's own lines")
    assert supervisor.stop() == 0
