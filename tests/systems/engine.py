"""A Docker Engine of the tests' own: its socket, its data and its processes are no other's, and it has no network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rootfs
from harness import eventually
from system import SLOW

OPTIONS = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--exec-opt", "native.cgroupdriver=cgroupfs")
BASE = "procman-base"
IMAGE = "procman-example"
PAGE = "procman-page"


class Engine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str, check: bool = True) -> str:
        """What `docker WORDS` printed, on both streams."""
        command = ["docker", "-H", f"unix://{self.folder}/sock", *words]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SLOW, check=False,
            env={"DOCKER_BUILDKIT": "0", "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.folder)},
        )  # fmt: skip
        assert not check or done.returncode == 0, f"docker {' '.join(words)}: {done.stdout}"
        return done.stdout.strip()

    def build(self, root: Path) -> None:
        """An image from the example's Dockerfile, upon this file system."""
        archive = self.folder / "root.tar"
        subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True, timeout=SLOW)
        self.run("import", str(archive), BASE)
        context = self.folder / "context"
        shutil.copytree(rootfs.EXAMPLES / "container", context)
        (context / "Dockerfile").write_text(rootfs.dockerfile(BASE))
        self.run("build", "-t", IMAGE, str(context))

    def build_page(self, dockerfile: str) -> None:
        """An image from the Dockerfile of the how-to page, word by word: its base is this machine's Python with pip."""
        base = self.folder / "base"
        shutil.copytree(Path(rootfs.packages_of(sys.executable), "pip"), base / "pip")
        (base / "Dockerfile").write_text(rootfs.bare_dockerfile(BASE))
        self.run("build", "-t", re.findall(r"^FROM (\S+)$", dockerfile, re.MULTILINE)[0], str(base))
        context = self.folder / "page"
        shutil.copytree(rootfs.EXAMPLES / "container", context)
        (context / "Dockerfile").write_text(dockerfile)
        wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", "dist", str(rootfs.PROJECT)]
        subprocess.run(wheel, check=True, timeout=2 * SLOW, cwd=context)
        self.run("build", "-t", PAGE, str(context))

    @contextmanager
    def container(self, *options: str, words: tuple[str, ...] = (), image: str = IMAGE) -> Iterator[str]:
        """Its name. It runs, and everything in it is ready."""
        name = f"x{uuid.uuid4().hex}"
        self.run("run", "-d", "--network", "none", "--name", name, *options, image, *words)
        try:
            eventually(
                lambda: self.run("exec", name, "procman", "ps", check=False).startswith("NAME"), "an answer", SLOW
            )
            self.run("exec", name, "procman", "wait", "--timeout", "60")
            yield name
        finally:
            self.run("rm", "-f", name)


@contextmanager
def engine() -> Iterator[Engine | None]:
    """None where none can be started, as in most containers."""
    folder = Path(tempfile.mkdtemp(prefix="pm-docker-"))
    made = Engine(folder)
    places = ("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid")
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", *OPTIONS, "-H", f"unix://{folder}/sock", *places],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        eventually(
            lambda: daemon.poll() is not None or "Server Version" in made.run("info", check=False), "an engine", SLOW
        )
        yield made if daemon.poll() is None else None
    finally:
        daemon.terminate()
        daemon.wait(SLOW)
        shutil.rmtree(folder, ignore_errors=True)
