"""What a run measures with: the programs that are there, compiled rods and children, and which options procman has."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self

from programs import Job, Program, floor, procman
from trial import READY, Trial, TrialError, environment

HERE = Path(__file__).parent
PATIENCE = 60.0
"""Seconds that anything may take before it counts as not done."""

VARIANTS = {
    "json": ("--log-format", "json"),
    "split": ("--split-streams",),
    "tty": ("--tty",),
    "log-dir": ("--log-dir", "{folder}/logs"),
}


class Stage(NamedTuple):
    """`versions`: procman, and the other version where two are compared. `worker`: the words that start a child."""

    versions: tuple[Program, ...]
    floor: Program | None
    peers: tuple[Program, ...]
    worker: str
    idle_seconds: float
    notes: dict[str, str]

    @property
    def procman(self) -> Program:
        return self.versions[0]

    def everyone(self) -> list[Program]:
        return [*self.versions, *([self.floor] if self.floor else []), *self.peers]

    def ready(self, count: int) -> list[Job]:
        return [Job(f"p{number}", f"{self.worker} ready") for number in range(1, count + 1)]

    def variants(self, names: Iterable[str]) -> list[Program]:
        """procman with these options; one that has no such option says so when it is started."""
        return [
            procman(version.executable, f"{version.name} {name}", VARIANTS[name])
            for version in self.versions
            for name in names
        ]


def prepare(folder: Path, executables: list[str], peers: tuple[Program, ...], rod: bool, idle_seconds: float) -> Stage:
    """Compile into the folder; without a compiler the children are Python programs and there is no floor."""
    notes: dict[str, str] = {}
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    worker, least = f"{sys.executable} -I -S {HERE / 'worker.py'}", None
    if compiler:
        worker = compiled(compiler, folder, "worker")
        least = floor(compiled(compiler, folder, "floor")) if rod else None
    else:
        notes["floor"] = "no C compiler (cc, gcc, clang)"
    versions = tuple(procman(exe, name) for exe, name in zip(executables, ("procman", "other"), strict=False))
    return Stage(versions, least, peers, worker, idle_seconds, notes)


def compiled(compiler: str, folder: Path, name: str) -> str:
    subprocess.run([compiler, "-O2", "-o", folder / name, HERE / f"{name}.c"], check=True)
    return str(folder / name)


def interpreter(executable: str) -> str:
    """The Python that runs it: the one that its first line names."""
    with open(executable, "rb") as script:
        words = script.readline().decode(errors="replace").strip().removeprefix("#!").split()
    return words[0] if words and "python" in words[0] else sys.executable


def took(argv: list[str], trial: Trial | None = None) -> float:
    """Seconds of a whole process, from before its exec until it is reaped. A failure is no measurement."""
    began = time.monotonic()
    done = subprocess.run(
        argv,
        cwd=trial.folder if trial else None,
        env=trial.env if trial else environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    took = time.monotonic() - began
    if done.returncode:
        raise TrialError(f"{argv[1:]} failed: {done.stderr.decode(errors='replace')[-200:]}")
    return took


class Wire:
    """A connection to the control socket of a trial, with nothing of procman's in it: two versions are asked alike."""

    def __init__(self, trial: Trial) -> None:
        found = list(trial.folder.glob("run/procman/*.sock"))
        if not found:
            raise TrialError("has no control socket")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(found[0]))
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self.send(method, **params)
        while "id" not in (answer := self.next()):
            continue  # a notification
        if "result" not in answer:
            raise TrialError(f"{method} was refused: {answer}")
        result: dict[str, Any] = answer["result"]
        return result

    def send(self, method: str, **params: Any) -> None:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def next(self) -> dict[str, Any]:
        while b"\n" not in self._received:
            self._receive()
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def arrived(self) -> list[dict[str, Any]]:
        """Every message of what can be received now; waits where there is nothing."""
        self._receive()
        whole, _, self._received = self._received.rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines()]

    def _receive(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise TrialError("closed the connection")
        self._received += data


def ready_trial(program: Program, jobs: list[Job], restart: bool = False) -> Trial:
    """All of them have said so; the caller closes it."""
    trial = Trial(program, jobs, restart)
    try:
        trial.until(READY, len(jobs), PATIENCE)
    except BaseException:
        trial.close()
        raise
    return trial
