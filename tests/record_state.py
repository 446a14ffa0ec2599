"""Records what a running procman hands over at an upgrade, for `test_recorded_states`: one golden state of each release.

    python tests/record_state.py /srv/shop

starts a formation in that folder, which must not exist, brings it into as many phases as there are, asks for upgrades,
and keeps each state that was written for one: `VERSION.state` while everything runs, `VERSION-closing.state` while
everything is being stopped. The folder's name becomes part of the recording; an environment of four variables and a link to
Python keep everything else of this machine out of it. A state that has been recorded is never changed.
"""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from procman import __version__

STATES = Path(__file__).parent / "recordings" / "states"

PROCFILE = """\
web: test -e held || echo up; exec sleep 1000
api: exec sleep 1000
stubborn: trap '' TERM; while :; do sleep 1; done
crash: exit 3
once: exit 0
broken: exit 4
off: exec sleep 1000
ill: exec sleep 1000
left: sh -c "trap '' TERM; while :; do sleep 1; done" & echo up; sleep 1; exit 5
never: exec sleep 1000
later: exec sleep 1000
says: exec sleep 1000
screen: exec sleep 1000
daemon: (setsid sleep 1000 &); exec sleep 1000
fed: exec sleep 1000
demand: exec sleep 1000
balanced: exec sleep 1000
"""

SETTINGS = """\
formation: {web: 3, daemon: 2}
defaults: {stop: {grace: 1000}}
processes:
  web: {ready: {log: up, timeout: 1000}, socket: {http: 'unix://run/web.sock'}, rolling: {unavailable: 1}, watch: [src]}
  api: {stop: {drain: 1000}, recycle: {age: 1000, memory: 1GB}}
  crash: {restart: {delay: 1000, max_delay: 1000}}
  once: {oneshot: true}
  broken: {restart: {policy: never}, env: {SECRET: of-the-example}}
  ill: {health: {exec: 'false', interval: 0.1, failures: 1, on_failure: unready}}
  left: {restart: {max_restarts: 0}}
  never: {ready: {tcp: 1, timeout: 1000}}
  later: {depends_on: [never]}
  says: {ready: notify}
  screen: {tty: true}
  fed: {stdin: open}
  demand: {autoscale: {min: 1, max: 3, metrics: [{command: 'echo 1', target: 1}]}}
  balanced: {balancer: run/haproxy.sock, stop: {drain: 1000}}
"""

RUNNING = {
    "web.1": "starting",
    "web.2": "ready",
    "web.3": "ready",
    "api.1": "draining",
    "stubborn.1": "stopping",
    "crash.1": "backoff",
    "once.1": "done",
    "broken.1": "failed",
    "off.1": "stopped",
    "ill.1": "unhealthy",
    "left.1": "failed",
    "never.1": "starting",
    "later.1": "waiting",
    "says.1": "starting",
    "screen.1": "ready",
    "daemon.1": "ready",
    "daemon.2": "ready",
    "fed.1": "ready",
    "demand.1": "ready",
    "balanced.1": "draining",
}
"""The phase of each instance when its state is recorded, as `procman ps` shows it."""

PATCHED = """\
#!{python}
import os
from procman.cli import main
from procman.kernel.kernel import Kernel
from procman.kernel.survive import handover

write = handover.write

def kept(state, memory):
    fd = write(state, memory)
    size = os.fstat(fd).st_size
    with open("recorded", "wb") as file:
        file.write(os.pread(fd, size, 0))
    return fd

handover.write = kept
handover.CHECK_WITHIN = 60
Kernel.why_not = lambda self: ""  # also while everything is being stopped
main()
"""


def main(folder: Path) -> None:
    for name in ("bin", "run", "src"):
        (folder / name).mkdir(parents=True)
    (folder / "env").symlink_to(sys.prefix)
    python = folder / "env" / "bin" / "python"
    (folder / "Procfile").write_text(PROCFILE)
    (folder / "procman.yml").write_text(SETTINGS)
    script = folder / "bin" / "procman"
    script.write_text(PATCHED.format(python=python))
    script.chmod(0o755)
    recorder = Recorder(folder)
    try:
        recorder.record()
    finally:
        recorder.close()


class Recorder:
    """A procman that writes down each state that it makes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        home, run = str(folder), str(folder / "run")
        self._env = {"PATH": "/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8", "XDG_RUNTIME_DIR": run}
        self._procman = self._popen("start", "--watch", "--log-dir", "logs", "-t", "1000")

    def close(self) -> None:
        """A second INT kills everything at once."""
        while self._procman.poll() is None:
            self._procman.send_signal(signal.SIGINT)
            time.sleep(0.5)

    def record(self) -> None:
        first = {name: "ready" for name, phase in RUNNING.items() if phase in ("draining", "stopping", "stopped")}
        self._reach(RUNNING | first | {"web.1": "ready"})
        (self._folder / "held").touch()  # no later web is ready: the rolling restart does not come to its end
        self._run("restart", "web")
        self._run("stop", "--no-wait", "api", "balanced", "stubborn", "off")
        self._reach(RUNNING)
        self._keep(f"{__version__}.state")
        self._procman.send_signal(signal.SIGTERM)
        self._reach({"web.2": "stopped"})
        self._keep(f"{__version__}-closing.state")

    def _keep(self, name: str) -> None:
        """Upgrade it, and keep the state that was handed over."""
        self._run("upgrade")
        (STATES / name).write_bytes(gzip.compress((self._folder / "recorded").read_bytes(), mtime=0))

    def _reach(self, phases: dict[str, str]) -> None:
        give_up_at = time.monotonic() + 60
        while not phases.items() <= (seen := self._phases()).items():
            if time.monotonic() > give_up_at:
                raise SystemExit(f"cannot reach {sorted(phases.items() - seen.items())}")
            time.sleep(0.1)

    def _phases(self) -> dict[str, str]:
        listed = self._run("ps", "--json", check=False)
        return {row["name"]: row["phase"] for row in json.loads(listed)["instances"]} if listed else {}

    def _run(self, *args: str, check: bool = True) -> str:
        done = self._popen(*args, stdout=subprocess.PIPE)
        out, _ = done.communicate(timeout=60)
        if check and done.returncode:
            raise SystemExit(f"cannot run procman {args}")
        return out.decode()

    def _popen(self, *args: str, **how: int) -> subprocess.Popen[bytes]:
        command = ["bin/procman", *args]
        return subprocess.Popen(command, cwd=self._folder, env=self._env, stdin=subprocess.DEVNULL, **how)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
