"""Akka: a cluster of Java virtual machines whose cluster ports follow from PORT."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Supervisor, eventually
from system import BUILD, SLOW, Example, get, needs, serves, under_way

pytestmark = [needs("java", "mvn"), pytest.mark.timeout(400)]

CLUSTER = pytest.mark.xdist_group("akka-cluster")
ALONE = pytest.mark.xdist_group("akka-alone")
"""Two processes that test share the virtual machines: each starts at most four at once."""


@pytest.fixture
def akka(example, jar: Path) -> Example:
    made: Example = example("akka")
    (made.world.folder / "target").symlink_to(jar.parent)
    return made


def members(akka: Example, name: str) -> int:
    status, body = get(akka.port_of(name), "/members", 5.0)
    return int(body) if status == 200 else 0


def all_see(akka: Example, count: int) -> Callable[[], bool]:
    return lambda: all(members(akka, f"web.{number}") == count for number in range(1, count + 1))


def ready(supervisor: Supervisor, count: int) -> None:
    eventually(
        lambda: sum(row["phase"] == "ready" for row in supervisor.ps().values()) == count, f"{count} are ready", SLOW
    )


@CLUSTER
def test_a_node_joins_leaves_and_comes_back(akka):
    """Ready means Up: what `--wait` waits for is what the cluster sees."""
    supervisor = akka.start("-m", "web=2")
    ready(supervisor, 2)
    assert akka.run("scale", "web=3", "--wait=90").code == 0
    assert get(akka.port_of("web.3"), "/health") == (200, "Up\n")
    eventually(all_see(akka, 3), "three see three", SLOW)
    request = under_way(supervisor, akka.port_of("web.3"), "/slow?ms=1500")
    assert akka.run("scale", "web=2", "--wait=60").code == 0
    assert request.result() == (200, "slept\n")
    eventually(all_see(akka, 2), "two see two", SLOW)
    assert "unreachable" not in "\n".join(supervisor.lines("web.1"))
    assert akka.run("scale", "web=3", "--wait=90").code == 0
    os.kill(supervisor.ps()["web.1"]["pid"], signal.SIGKILL)
    eventually(lambda: supervisor.ps()["web.1"]["restarts"] == 1, "it is started again", SLOW)
    eventually(all_see(akka, 3), "all see three again", SLOW)
    assert supervisor.stop(SLOW) == 0


@CLUSTER
def test_a_restart_goes_one_by_one_with_a_healthy_node_at_every_moment(akka):
    supervisor = akka.start("-m", "web=2")
    ready(supervisor, 2)
    ports = [akka.port_of("web.1"), akka.port_of("web.2")]
    restart = akka.world.popen("restart", "web", "--wait=120")
    nobody = 0
    while restart.poll() is None:
        nobody += not any(get(port, "/health", 5.0)[0] == 200 for port in ports)
        time.sleep(0.05)  # between two looks; nothing is waited for
    assert restart.returncode == 0
    assert nobody == 0
    assert supervisor.stop(SLOW) == 0


@ALONE
def test_a_node_whose_port_is_taken_ends_with_0_and_is_a_failed_start(akka):
    """It says so in its reason, and is tried again."""
    first = akka.start("-m", "web=1")
    ready(first, 1)
    other = akka.world.folder / "other"  # the same program in another folder, on the same ports
    other.mkdir()
    for name in ("Procfile", "procman.yml", "target"):
        (other / name).symlink_to(akka.world.folder / name)
    second = akka.world.start("-m", "web=1", "-p", str(akka.port), cwd=other)
    said = second.expect(r"web\.1 .*exit 0.*", SLOW)[0]
    assert "done" not in said
    assert "again in" in said
    assert second.stop(SLOW) == 0
    assert first.stop(SLOW) == 0


@ALONE
@pytest.mark.parametrize(
    "command", ["java $JAVA_OPTS -jar target/node.jar", "cd . && java $JAVA_OPTS -jar target/node.jar"]
)
def test_under_a_shell_too_a_slow_request_is_answered_and_nothing_is_left(akka, command):
    akka.world.procfile(web=command)
    stops_clean(akka)


def stops_clean(akka: Example) -> None:
    supervisor = akka.start("-m", "web=1")
    ready(supervisor, 1)
    port = akka.port_of("web.1")
    request = under_way(supervisor, port, "/slow?ms=1500")
    assert supervisor.stop(SLOW) == 0
    assert request.result() == (200, "slept\n")
    assert not serves(port)
    assert "killed" not in supervisor.seen


@pytest.fixture
def plugin(akka: Example) -> None:
    """Maven loads the plugin once; a machine that cannot is no fault of ours."""
    made = subprocess.run(["mvn", "-q", "-B", "exec:help"], cwd=akka.world.folder, capture_output=True, timeout=BUILD)
    if made.returncode:
        pytest.skip(f"Maven cannot load exec-maven-plugin: {made.stdout.decode(errors='replace')[-300:]}")


@ALONE
@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    "command",
    ["exec:java", "exec:exec -Dexec.executable=java -Dexec.args='-Xmx128m -classpath %classpath example.Node'"],
    ids=["java", "exec"],
)
def test_under_maven_too_a_slow_request_is_answered_and_nothing_is_left(akka, command):
    """`exec:java` runs it inside of Maven, `exec:exec` as Maven's child."""
    akka.world.procfile(web=f"exec mvn -q -B {command}")
    stops_clean(akka)
