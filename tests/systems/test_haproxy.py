"""HAProxy as a type of the formation: no request fails, whatever is done to it and to those behind it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from harness import Supervisor, eventually
from system import SLOW, Example, Pending, established, failed_while, get, needs

pytestmark = needs("haproxy", "python3")


@pytest.fixture
def haproxy(example) -> Example:
    """The example with ports that are free: 8080 and those after it are written in its files."""
    made: Example = example("haproxy")
    for name in ("haproxy.cfg", "procman.yml"):
        path: Path = made.world.folder / name
        path.write_text(re.sub(r"\b808(\d)", lambda port: str(made.port + int(port[1])), path.read_text()))
    return made


def up(haproxy: Example, *args: str) -> Supervisor:
    supervisor = haproxy.start(*args)
    eventually(lambda: get(haproxy.port)[0] == 200, "an answer", SLOW)
    eventually(lambda: all(row["phase"] == "ready" for row in supervisor.ps().values()), "all are ready", SLOW)
    return supervisor


def test_the_first_request_is_answered_since_haproxy_waits_for_who_is_behind_it(haproxy):
    supervisor = haproxy.start()
    answers = eventually(lambda: (first := get(haproxy.port))[0] and first, "HAProxy listens", SLOW)
    assert answers[0] == 200
    assert supervisor.stop(SLOW) == 0


def test_no_request_fails_while_it_is_scaled_up_and_down(haproxy):
    supervisor = up(haproxy)

    def scale() -> None:
        for count in (3, 2) * 3:
            assert haproxy.run("scale", f"web={count}", "--wait=60").code == 0

    assert failed_while(haproxy, scale) == []
    assert supervisor.stop(SLOW) == 0


def test_no_request_fails_while_those_behind_it_are_restarted(haproxy):
    supervisor = up(haproxy)

    def restart() -> None:
        assert haproxy.run("restart", "web", "--wait=60").code == 0

    assert failed_while(haproxy, restart) == []
    assert supervisor.stop(SLOW) == 0


def test_no_request_fails_while_haproxy_reads_its_file_anew(haproxy):
    supervisor = up(haproxy)
    master = supervisor.ps()["lb.1"]["pid"]

    def reload() -> None:
        for _ in range(2):
            before = workers(master)
            assert haproxy.run("signal", "USR2", "lb", "--leader").code == 0
            eventually(lambda old=before: workers(master) - old, "a new worker", SLOW)

    assert failed_while(haproxy, reload) == []
    assert supervisor.ps()["lb.1"]["pid"] == master
    assert supervisor.stop(SLOW) == 0


def test_no_request_fails_while_haproxy_itself_is_restarted(haproxy):
    """Its socket is procman's: what comes meanwhile waits in it. And it is stopped well right after its start."""
    supervisor = up(haproxy)

    def restart() -> None:
        for _ in range(2):
            assert haproxy.run("restart", "lb", "--wait=60").code == 0

    assert failed_while(haproxy, restart) == []
    assert haproxy.run("restart", "lb", "--wait=60").code == 0
    assert supervisor.stop(SLOW) == 0
    assert "killed" not in supervisor.seen


def workers(master: int) -> set[int]:
    return {int(word) for word in Path(f"/proc/{master}/task/{master}/children").read_text().split()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_stop_of_everything_answers_the_ten_slow_requests_that_are_in_flight(haproxy, number):
    """HAProxy is told first, and ends after the last answer; only then those behind it are told."""
    supervisor = up(haproxy, "-t", "60")  # the grace of all counts from one moment, and a busy machine is slow
    slow = [Pending(haproxy.port, "/slow/6000") for _ in range(10)]
    behind = [haproxy.port_of("web.1"), haproxy.port_of("web.2")]
    eventually(lambda: sum(map(established, behind)) >= 10, "all ten are passed on", SLOW)
    supervisor.signal(number)
    assert [request.result()[0] for request in slow] == [200] * 10
    assert supervisor.wait(SLOW) == 0
    assert "killed" not in supervisor.seen


def test_after_a_kill_of_the_master_there_is_one_haproxy_and_it_serves(haproxy):
    supervisor = up(haproxy)
    master = supervisor.ps()["lb.1"]["pid"]
    os.kill(master, signal.SIGKILL)
    supervisor.until(lambda now: now["lb.1"]["phase"] == "ready" and now["lb.1"]["pid"] != master, "it is back")
    eventually(lambda: get(haproxy.port)[0] == 200, "it serves", SLOW)
    running = [line for line in haproxy.world.left() if "haproxy -W" in line]
    assert len(running) == 2, running  # the master and its worker
    assert supervisor.stop(SLOW) == 0
