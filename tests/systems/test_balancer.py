"""Node.js behind HAProxy, with slots that procman fills: which instances there are is told to it, and no request fails."""

from __future__ import annotations

import os
import signal

import pytest
from harness import Supervisor, eventually
from system import SLOW, Example, failed_while, get, needs

pytestmark = needs("haproxy", "node")


@pytest.fixture
def balanced(example) -> Example:
    made: Example = example("balancer")
    (made.world.folder / "run").mkdir()
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


def test_no_request_fails_while_it_is_scaled(balanced):
    """2 -> 6 -> 1, and back."""
    supervisor = up(balanced)

    def work() -> None:
        for count in (6, 1, 2):
            assert balanced.run("scale", f"web={count}", "--wait=60").code == 0
            served(balanced, count)

    assert failed_while(balanced, work) == []
    assert supervisor.stop(SLOW) == 0


def test_no_request_fails_over_a_restart_and_the_reloads_of_both(balanced):
    """What is served after procman's own reload is what was configured."""
    supervisor = up(balanced)
    settings = balanced.world.folder / "procman.yml"

    def work() -> None:
        assert balanced.run("restart", "web", "--wait=60").code == 0
        assert balanced.run("signal", "USR2", "lb", "--leader").code == 0
        settings.write_text(settings.read_text().replace("GREETING: hello", "GREETING: welcome"))
        assert balanced.run("reload", "--wait=60").code == 0
        assert all(get(balanced.port)[1].startswith("welcome from") for _ in range(4))
        both = {"welcome from web.1\n", "welcome from web.2\n"}  # the extra one of the rollout leaves a moment later
        eventually(lambda: {get(balanced.port)[1] for _ in range(4)} == both, "the two regular ones", SLOW)

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
