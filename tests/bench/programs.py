"""The programs that are measured, each a small value: what to write, what to start, what it can do.

A peer is described by how it runs a list of jobs and shows their output on its own standard output.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Job(NamedTuple):
    name: str
    command: str  # plain words


class Program(NamedTuple):
    """`command(executable, folder, jobs, restart)` writes what it needs into the folder and gives the arguments."""

    name: str
    executable: str
    command: Callable[[str, Path, list[Job], bool], list[str]]
    restarts: bool = False  # starts children again that have died
    prefixes: bool = True  # says before each line whose it is
    outside: bool = False  # keeps its children in another tree
    stop: int = signal.SIGTERM


def procman(executable: str, name: str = "procman", options: tuple[str, ...] = ()) -> Program:
    def command(executable: str, folder: Path, jobs: list[Job], restart: bool) -> list[str]:
        procfile(folder, jobs)
        if restart:
            (folder / "procman.yml").write_text("defaults: {restart: {policy: always, delay: 0}}\n")
        return [executable, "start", *(option.format(folder=folder) for option in options)]

    return Program(name, executable, command, restarts=True)


def floor(executable: str) -> Program:
    return Program("floor", executable, lambda exe, folder, jobs, _: [exe, procfile(folder, jobs)])


def find_peers(names: list[str] | None, folders: list[str]) -> list[Program]:
    """The peers of these names (all where None) that are in the folders or in PATH."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])
    found = []
    for peer in PEERS:
        executable = shutil.which(peer.executable, path=path)
        if executable and (names is None or peer.name in names):
            found.append(peer._replace(executable=executable))
    return found


# ---- how each is told what to run


def procfile(folder: Path, jobs: list[Job]) -> str:
    path = folder / "Procfile"
    path.write_text("".join(f"{job.name}: {job.command}\n" for job in jobs))
    return str(path)


def _started(exe: str, folder: Path, jobs: list[Job], _restart: bool) -> list[str]:
    return [exe, "start", "-f", procfile(folder, jobs)]


def _nf(exe: str, folder: Path, jobs: list[Job], _restart: bool) -> list[str]:
    return [exe, "start", "-j", procfile(folder, jobs)]


def _hivemind(exe: str, folder: Path, jobs: list[Job], _restart: bool) -> list[str]:
    return [exe, procfile(folder, jobs)]


def _goreman(exe: str, folder: Path, jobs: list[Job], _restart: bool) -> list[str]:
    return [exe, "-f", procfile(folder, jobs), "-rpc-server=false", "start"]


def _forego(exe: str, folder: Path, jobs: list[Job], restart: bool) -> list[str]:
    return [exe, "start", "-f", procfile(folder, jobs), *(["-r"] if restart else [])]


def _overmind(exe: str, folder: Path, jobs: list[Job], restart: bool) -> list[str]:
    again = ["-r", "all"] if restart else []
    return [exe, "start", "-f", procfile(folder, jobs), "-s", str(folder / "overmind.sock"), *again]


def _concurrently(exe: str, _folder: Path, jobs: list[Job], restart: bool) -> list[str]:
    again = ["--restart-tries", "-1"] if restart else []
    return [exe, "--names", ",".join(job.name for job in jobs), *again, *(job.command for job in jobs)]


def _supervisor(exe: str, folder: Path, jobs: list[Job], restart: bool) -> list[str]:
    head = f"nodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={folder}/pid\nminfds=4096\nminprocs=2000\n"
    sections = "".join(
        f"[program:{job.name}]\ncommand={job.command}\nautorestart={str(restart).lower()}\n"
        "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n"
        for job in jobs
    )
    return [exe, "-n", "-c", _written(folder / "supervisord.conf", f"[supervisord]\n{head}{sections}")]


def _circus(exe: str, folder: Path, jobs: list[Job], restart: bool) -> list[str]:
    sections = [
        f"[circus]\nendpoint=ipc://{folder}/e\npubsub_endpoint=ipc://{folder}/p\ncheck_delay=5\nwarmup_delay=0\n"
    ]
    for job in jobs:
        program, _, words = job.command.partition(" ")
        sections.append(
            f"[watcher:{job.name}]\ncmd={program}\nargs={words}\ncopy_env=true\nrespawn={restart}\nmax_retry=-1\n"
            "stdout_stream.class=StdoutStream\n"
        )
    return [exe, "--log-level", "critical", _written(folder / "circus.ini", "".join(sections))]


def _pm2(exe: str, folder: Path, jobs: list[Job], restart: bool) -> list[str]:
    apps = []
    for job in jobs:
        program, *words = job.command.split()
        how = {"interpreter": "none", "autorestart": restart, "out_file": "/dev/null", "error_file": "/dev/null"}
        apps.append({"name": job.name, "script": program, "args": words, "cwd": str(folder), **how})
    return [exe, "start", _written(folder / "app.config.js", f"module.exports = {json.dumps({'apps': apps})}")]


def _process_compose(exe: str, folder: Path, jobs: list[Job], restart: bool) -> list[str]:
    policy = {"restart": "always" if restart else "no", "backoff_seconds": 1}  # its least
    jobs_by_name = {job.name: {"command": job.command, "availability": policy} for job in jobs}
    config = _written(folder / "process-compose.yaml", json.dumps({"version": "0.5", "processes": jobs_by_name}))
    return [exe, "-f", config, "-t=false", "--no-server"]


def _written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


PEERS = (
    Program("honcho", "honcho", _started),
    Program("foreman", "foreman", _started),
    Program("supervisor", "supervisord", _supervisor, restarts=True, prefixes=False),
    Program("circus", "circusd", _circus, restarts=True, prefixes=False),
    Program("concurrently", "concurrently", _concurrently, restarts=True),
    Program("nf", "nf", _nf),
    Program("pm2", "pm2-runtime", _pm2, restarts=True, prefixes=False),
    Program("overmind", "overmind", _overmind, restarts=True, outside=True),
    Program("hivemind", "hivemind", _hivemind),
    Program("goreman", "goreman", _goreman),
    Program("forego", "forego", _forego, restarts=True),
    Program("process-compose", "process-compose", _process_compose, restarts=True),
)
