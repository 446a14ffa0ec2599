"""procman as PID 1 of a container: in namespaces alone, and under a real Docker Engine where one can be started."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import rootfs
from engine import IMAGE, PAGE, Engine, engine
from harness import alive, all_children_of, eventually
from system import SLOW, needs

pytestmark = [
    pytest.mark.xdist_group("container"),
    pytest.mark.skipif(os.getuid() != 0, reason="only root makes namespaces and runs an engine"),
]

# An orphan that ends a moment later, which only PID 1 can reap.
ORPHAN = "import os, time; os.fork() or os.fork() or (time.sleep(0.2), os._exit(0))"
ZOMBIES = """
import glob
for stat in glob.glob("/proc/[0-9]*/stat"):
    try:
        text = open(stat).read()
    except OSError:
        continue
    if ") Z" in text:
        print(text)
"""

DOCKER = """#!/bin/sh
case $1 in
build) exec {docker} -H unix://{folder}/sock tag {image} shop;;
*) exec {docker} -H unix://{folder}/sock "$@";;
esac
"""

ENTER = """
mount --make-rprivate / && mount --bind {root} {root} && mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev &&
ip link set lo up && exec chroot {root} /bin/sh -c 'cd /app && exec /usr/local/bin/procman start --no-timestamps'
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("container") / "root"
    made.mkdir()
    rootfs.build(made)
    return made


class Namespaced:
    """The example as PID 1 of PID, mount and network namespaces."""

    def __init__(self, root: Path, log: Path) -> None:
        self._log = log
        command = [
            "unshare",
            "--pid",
            "--mount",
            "--net",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            ENTER.format(root=root),
        ]
        with log.open("wb") as out:
            self.unshare = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"]},
            )
        self.pid = eventually(lambda: all_children_of(self.unshare.pid), "a process in the namespaces", SLOW)[0]

    @property
    def said(self) -> str:
        return self._log.read_text()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """As `docker exec` does it."""
        command = ["nsenter", "-t", str(self.pid), "-a", "-r", "-w", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=SLOW, check=False)


@pytest.fixture
def namespaced(root: Path, tmp_path: Path) -> Iterator[Namespaced]:
    made = Namespaced(root, tmp_path / "log")
    try:
        eventually(lambda: made.run("procman", "ps").returncode == 0, f"an answer; {made.said}", SLOW)
        assert made.run("procman", "wait", "--timeout", "60").returncode == 0
        yield made
    finally:
        made.unshare.kill()  # and with it what it has started: --kill-child
        made.unshare.wait()


@needs("unshare", "nsenter", "chroot", "ip", "mount")
def test_pid_1_of_a_namespace_is_scaled_reaps_orphans_and_stops_on_term(namespaced):
    done = namespaced.run("procman", "scale", "web=4", "--wait")
    assert done.returncode == 0, done.stderr
    listed = json.loads(namespaced.run("procman", "ps", "--json").stdout)
    assert [row["name"] for row in listed["instances"] if row["name"].startswith("web")] == [
        f"web.{n}" for n in (1, 2, 3, 4)
    ]
    assert namespaced.run("python3", "-c", ORPHAN).returncode == 0
    eventually(lambda: not namespaced.run("python3", "-c", ZOMBIES).stdout, "no zombie is left", SLOW)
    os.kill(namespaced.pid, signal.SIGTERM)
    assert namespaced.unshare.wait(SLOW) == 0
    assert not alive(namespaced.pid)
    assert "worker.1 says goodbye" in namespaced.said
    assert "worker.2 says goodbye" in namespaced.said
    assert namespaced.said.count("web says goodbye") == 4


@pytest.fixture(scope="module")
def docker(root: Path) -> Iterator[Engine]:
    with engine() as made:
        if made is None:
            pytest.skip("no Docker Engine can be started here")
        made.build(root)
        yield made


needs_docker = needs("docker", "dockerd", "containerd")


@needs_docker
def test_docker_stop_ends_it_within_its_time_with_the_last_lines(docker):
    with docker.container() as name:
        docker.run("stop", "-t", "30", name)
        said = docker.run("logs", name)
        assert "worker.1 says goodbye" in said
        assert "worker.2 says goodbye" in said
        assert docker.run("inspect", "-f", "{{.State.ExitCode}}", name) == "0"


@needs_docker
def test_docker_exec_scales_and_orphans_are_reaped(docker):
    with docker.container() as name:
        docker.run("exec", name, "procman", "scale", "web=4", "--wait")
        assert docker.run("exec", name, "procman", "ps").count("web.") == 4
        docker.run("exec", name, "python3", "-c", ORPHAN)
        eventually(lambda: not docker.run("exec", name, "python3", "-c", ZOMBIES), "no zombie is left", SLOW)


@needs_docker
def test_the_container_ends_with_the_code_of_the_type_that_it_is_for(docker):
    with docker.container(words=("--exit-on", "worker")) as name:
        docker.run("exec", name, "procman", "signal", "KILL", "worker.1")
        assert docker.run("wait", name) == "137"


@needs_docker
def test_the_health_check_says_healthy(docker):
    with docker.container("--health-interval", "1s") as name:
        eventually(lambda: docker.run("inspect", "-f", "{{.State.Health.Status}}", name) == "healthy", "healthy", SLOW)


@needs_docker
def test_a_count_of_cpus_follows_what_the_container_is_given(docker):
    with docker.container("--cpus", "2", words=("-m", "web=1,worker=cpus")) as name:
        assert docker.run("exec", name, "procman", "ps").count("worker.") == 2


@needs_docker
def test_the_commands_of_the_readme_do_what_it_says(docker, tmp_path):
    """All of them but the build, for which there is no registry: it names the image that the tests have made."""
    block = re.search(r"```sh\n(.*?)```", (rootfs.EXAMPLES / "container" / "README.md").read_text(), re.DOTALL)
    assert block is not None
    program = tmp_path / "docker"
    program.write_text(DOCKER.format(docker=shutil.which("docker"), folder=docker.folder, image=IMAGE))
    program.chmod(0o755)
    try:
        done = subprocess.run(
            ["sh", "-ec", block[1]], env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=2 * SLOW, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert "web 1 -> 4" in done.stdout
        assert "stopped: " in done.stdout.splitlines()[-1]
    finally:
        docker.run("rm", "-f", "shop")


@pytest.fixture(scope="module")
def page(docker: Engine) -> Engine:
    text = (rootfs.PROJECT / "docs/how-to/container.md").read_text()
    block = re.search(r"```dockerfile\n(.*?)```", text, re.DOTALL)
    assert block is not None
    docker.build_page(block[1])
    return docker


@needs_docker
@pytest.mark.parametrize(
    "options",
    [
        ("--user", "12345", "-e", "HOME="),
        ("--read-only",),
        ("--read-only", "--user", "12345", "--tmpfs", "/dev/shm:ro"),
        ("--init",),
    ],
)
def test_the_dockerfile_of_the_page_makes_an_image_that_runs_as_it_says(page, options):
    with page.container(*options, image=PAGE) as name:
        page.run("exec", name, "procman", "scale", "web=3", "--wait")
        assert page.run("exec", name, "procman", "ps").count("web.") == 3
        page.run("stop", "-t", "30", name)
        said = [json.loads(line) for line in page.run("logs", name).splitlines()]
        assert said[-1]["instance"] == "system"
        assert said[-1]["message"].startswith("stopped: ")
        assert page.run("inspect", "-f", "{{.State.ExitCode}}", name) == "0"


@needs_docker
def test_another_verb_replaces_the_entry_point_of_the_image(page):
    checked = page.run("run", "--rm", "--network", "none", "--entrypoint", "procman", PAGE, "check")
    assert checked.startswith("TYPE ")
    refused = page.run("run", "--rm", "--network", "none", PAGE, "check", check=False)
    assert "`docker run --entrypoint procman IMAGE check`" in refused
