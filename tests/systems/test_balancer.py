"""HAProxy with slots that procman fills: which instances there are is told to it, and no request fails."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import Supervisor, eventually
from system import SLOW, Example, fails, get, needs

pytestmark = needs("haproxy", "python3")

CONFIG = """
global
    stats socket unix@run/haproxy.sock mode 600 level admin expose-fd listeners
    server-state-file run/haproxy.state
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    option redispatch
    load-server-state-from-file global
frontend front
    bind "127.0.0.1:${PORT}"
    option idle-close-on-response
    default_backend web
backend web
    balance roundrobin
    server-template web 8 127.0.0.1:1 check inter 1s disabled
"""

SETTINGS = {
    "formation": {"lb": 1, "web": 2},
    "processes": {
        "lb": {"max": 1, "ready": "tcp", "stop": {"signal": "USR1"}, "depends_on": ["web"]},
        "web": {
            "ready": {"http": "/health"},
            "balancer": {"haproxy": {"socket": "run/haproxy.sock", "file": "run/haproxy.state"}, "drain": 10},
        },
    },
}


@pytest.fixture
def balanced(example) -> Example:
    made: Example = example("haproxy")
    made.world.file("haproxy.cfg", CONFIG)
    made.world.file("procman.yml", json.dumps(SETTINGS))
    (made.world.folder / "run").mkdir()
    if "balancer" in made.run("check").err:
        pytest.skip("this procman has no balancer")
    return made


def up(balanced: Example) -> Supervisor:
    supervisor = balanced.start()
    eventually(lambda: get(balanced.port)[0] == 200, "an answer", SLOW)
    served(balanced, 2)
    return supervisor


def served(balanced: Example, count: int) -> None:
    """Wait until so many different instances have answered."""
    seen: set[str] = set()

    def answered() -> bool:
        seen.add(get(balanced.port)[1])
        return len(seen) == count

    eventually(answered, f"{count} answer", SLOW)


def failed_while(balanced: Example, work: Callable[[], None]) -> list[str]:
    """The requests that failed while this was done; four are under way at every moment."""
    over = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(fails, balanced.port, "/slow/5", over) for _ in range(4)]
        try:
            work()
        finally:
            over.set()
        return [failed for one in running for failed in one.result()]


def test_no_request_fails_over_scaling_a_restart_and_a_reload_of_haproxy(balanced):
    supervisor = up(balanced)

    def work() -> None:
        for count in (3, 2) * 3:
            assert balanced.run("scale", f"web={count}", "--wait=60").code == 0
        assert balanced.run("restart", "web", "--wait=60").code == 0
        assert balanced.run("signal", "USR2", "lb", "--leader").code == 0
        served(balanced, 2)

    assert failed_while(balanced, work) == []
    assert supervisor.stop(SLOW) == 0


def test_after_a_kill_of_haproxy_the_next_one_has_its_list(balanced):
    supervisor = up(balanced)
    assert balanced.run("scale", "web=3", "--wait=60").code == 0
    served(balanced, 3)
    master = supervisor.ps()["lb.1"]["pid"]
    os.kill(master, signal.SIGKILL)
    supervisor.until(lambda now: now["lb.1"]["phase"] == "ready" and now["lb.1"]["pid"] != master, "it is back")
    served(balanced, 3)
    assert supervisor.stop(SLOW) == 0
