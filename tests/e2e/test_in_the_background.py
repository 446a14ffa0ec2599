"""`start --detach`: what the terminal is told and when, and that nothing of the terminal can end it afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from displays import display
from harness import DEADLINE, PYTHON, Done, World, alive, eventually

IDLE = f"{PYTHON} -c 'import time; time.sleep(1000)'"
TALKS = f"{PYTHON} -c 'import time; print(\"hello\"); time.sleep(1000)'"


@pytest.fixture
def behind(world: World) -> Iterator[World]:
    """A folder whose procman in the background, if one is left, is shut down at the end."""
    yield world
    world.run("shutdown")
    eventually(lambda: not world.left(), "nothing is left")


def pid_of(done: Done) -> int:
    found = re.search(r"\(pid (\d+)", done.out + done.err)
    assert found, done
    return int(found[1])


def ps(world: World) -> dict[str, str]:
    return {row["name"]: row["phase"] for row in json.loads(world.run("ps", "--json").out)["instances"]}


def test_it_returns_once_all_are_ready(behind: World) -> None:
    behind.procfile(web=IDLE, job=f"{PYTHON} -c pass", off=IDLE)
    done = behind.run("start", "--detach", "-m", "web=2,off=0")
    assert (done.code, done.err) == (0, "")
    assert ps(behind) == {"web.1": "ready", "web.2": "ready", "job.1": "done"}
    assert alive(pid_of(done))


def test_its_output_is_kept_for_logs_and_holds_no_pipe(behind: World) -> None:
    behind.procfile(web=TALKS)
    done = behind.run("start", "-D")  # run() reads both pipes to their end
    assert "hello" not in done.out
    assert "hello" in behind.run("logs").out


def test_a_file_as_standard_output_stays(behind: World) -> None:
    behind.procfile(web=TALKS)
    with (behind.folder / "out.log").open("wb") as out:
        assert behind.popen("start", "-D", stdout=out).wait(DEADLINE) == 0
    assert "web.1  | hello" in (behind.folder / "out.log").read_text()


def test_it_has_let_go_of_the_terminal(behind: World) -> None:
    behind.procfile(web=IDLE)
    with display(behind, "start", "-D") as shown:
        assert shown.code() == 0
        pid = int(re.findall(r"\(pid (\d+)", str(shown))[0])
    assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert (int(stat[3]), int(stat[4])) == (pid, 0)  # session, tty_nr


def test_started_at_a_terminal_its_instances_have_terminals_to_attach_to(behind: World) -> None:
    behind.procfile(console=f"{sys.executable} -i -q")
    with display(behind, "start", "-D") as shown:
        assert shown.code() == 0
    with display(behind, "attach", "console") as shown:
        shown.shows("^>>>")
        shown.type("40 + 2\r")
        shown.shows("^42$")
    assert behind.run("logs", "console").out.endswith("console.1 | 42\n")


def test_a_terminal_that_goes_away_does_not_end_it(behind: World) -> None:
    behind.procfile(web=IDLE)
    shell = pexpect.spawn("/bin/bash", ["--norc"], cwd=str(behind.folder), env=behind.env, timeout=DEADLINE)
    shell.sendline("procman start -D; echo code=$?")
    shell.expect(r"\(pid (\d+)")
    pid = int(shell.match[1])
    shell.expect("code=0")
    shell.close(force=True)
    os.kill(pid, 0)
    assert ps(behind) == {"web.1": "ready"}


def test_a_crash_loop_is_told_and_procman_stays(behind: World) -> None:
    behind.procfile(web=IDLE, bad="sh -c 'exit 7'")
    done = behind.run("start", "-D")
    assert done.code == 1
    assert "cannot keep waiting for bad.1: exit 7" in done.err
    assert f"procman keeps running in the background (pid {pid_of(done)})" in done.err
    assert ps(behind)["web.1"] in ("starting", "ready")


ENDS = {
    "a failure": (
        "sh -c 'echo cannot read x; exit 7'",
        "bad.1 | cannot read x\nsystem | bad.1 failed: exit 7 after ",
        7,
    ),
    "a start that fails": ("/nowhere/program", "bad.1 failed: cannot start: /nowhere/program: no such file", 127),
    "success": (f"{PYTHON} -c pass", "bad.1 is done: exit 0 after ", 0),
    "a daemon": ("sh -c 'setsid sleep 1000 & exit 0'", "went to the background (pid ", 0),
}


@pytest.mark.parametrize("what", ENDS)
def test_an_end_of_everything_is_the_end_of_the_wait_and_says_why(behind: World, what: str) -> None:
    command, why, code = ENDS[what]
    behind.procfile(bad=command)
    done = behind.run("start", "-D", "--no-restart")
    assert (done.code, done.out) == (code, "")
    assert why in done.err
    assert done.err.endswith("\nprocman has ended again\n")


def test_where_everything_is_done_at_once_it_does_not_say_that_procman_runs(behind: World) -> None:
    behind.procfile(a=f"{PYTHON} -c pass", b=f"{PYTHON} -c pass")
    done = behind.run("start", "-D")
    assert (done.code, done.out) == (0, "")
    assert "a.1 is done: exit 0" in done.err
    assert "b.1 is done: exit 0" in done.err
    assert behind.run("ps").code == 3


def test_a_second_one_is_refused_on_the_terminal(behind: World) -> None:
    behind.procfile(web=IDLE)
    first = pid_of(behind.run("start", "-D"))
    done = behind.run("start", "-D")
    assert done.code == 1
    assert f"(pid {first}) already runs here" in done.err


def test_a_faulty_input_is_told_on_the_terminal(behind: World) -> None:
    behind.file("Procfile", "web\n")
    done = behind.run("start", "-D")
    assert done.code == 2
    assert done.err.startswith("procman: Procfile:1: cannot ")
    assert behind.run("ps").code == 3


def test_ctrl_c_ends_the_wait_and_says_that_procman_goes_on(behind: World) -> None:
    behind.file("procman.yml", "defaults: {restart: {delay: 60, max_delay: 60}}\n")  # no crash loop, which ends it too
    behind.procfile(web=f"{PYTHON} -c 'import time; time.sleep(0.5); exit(1)'")
    child = behind.popen("start", "-D", stdout=None)
    eventually(lambda: "backoff" in behind.run("ps").out, "it runs, and is waited for")
    child.send_signal(signal.SIGINT)
    assert child.wait(DEADLINE) == 130
    assert "procman keeps running in the background" in behind.errors()
    assert behind.run("ps").code == 0


def test_it_can_be_shut_down_like_any_other(behind: World) -> None:
    behind.procfile(web=IDLE)
    pid = pid_of(behind.run("start", "-D"))
    assert behind.run("shutdown").out == "stopping web.1\nprocman has ended\n"
    eventually(lambda: not alive(pid), "its end")
    assert behind.run("ps").code == 3
