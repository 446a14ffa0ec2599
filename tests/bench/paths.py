#!/usr/bin/env python3
"""A profile of each way through procman: where its time goes, function by function.

    python tests/bench/paths.py                  all of them
    python tests/bench/paths.py output --top 25  one

imports   of `procman start`, by module (python -X importtime)
spawn     500 instances start and stop
output    10 children write 80-byte lines, 2 s
restart   300 runs end and begin
control   1000 requests: scale and ps of 20 instances by turns

The profiler makes every call dearer, C code not: a long list of cheap calls looks worse than it is. What counts is the order,
and the number of calls for a run, a chunk or a request. A change is then measured by `run.py --compare`, without it.
"""

from __future__ import annotations

import argparse
import os
import pstats
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from programs import Job, Program, procfile
from stage import PATIENCE, Wire, prepare
from trial import READY, Trial

PROFILED = """
import cProfile, signal, sys
from procman.cli.verbs import start
from procman.cli.outcome import run
profile = cProfile.Profile()
into = sys.argv.pop(1)
try:
    profile.runcall(run, sys.argv[1:])
finally:
    profile.dump_stats(into)
"""


def program(into: Path) -> Program:
    def command(executable: str, folder: Path, jobs: list[Job], restart: bool) -> list[str]:
        procfile(folder, jobs)
        if restart:
            (folder / "procman.yml").write_text("defaults: {restart: {policy: always, delay: 0}}\n")
        return [executable, "-c", PROFILED, str(into), "start"]

    return Program("procman", sys.executable, command)


def ready(worker: str, count: int) -> list[Job]:
    return [Job(f"p{number}", f"{worker} ready") for number in range(count)]


def spawn(procman: Program, worker: str) -> None:
    with Trial(procman, ready(worker, 500)) as trial:
        trial.until(READY, 500, PATIENCE)
        trial.stop(PATIENCE)


def output(procman: Program, worker: str) -> None:
    jobs = [Job(f"w{number}", f"{worker} endless 80") for number in range(10)]
    with Trial(procman, jobs) as trial:
        trial.rest(2.0)
        trial.stop(PATIENCE)


def restart(procman: Program, worker: str) -> None:
    with Trial(procman, ready(worker, 10), restart=True) as trial:
        for run in range(30):
            trial.until(READY, 10 * (run + 1), PATIENCE)
            for pid in trial.workers():
                os.kill(pid, signal.SIGKILL)
        trial.until(READY, 310, PATIENCE)
        trial.stop(PATIENCE)


def control(procman: Program, worker: str) -> None:
    with Trial(procman, ready(worker, 20)) as trial:
        trial.until(READY, 20, PATIENCE)
        with Wire(trial) as wire:
            for _ in range(500):
                wire.ask("scale", to={"p1": 1})
                wire.ask("ps")
        trial.stop(PATIENCE)


PATHS: dict[str, Callable[[Program, str], None]] = {
    "spawn": spawn,
    "output": output,
    "restart": restart,
    "control": control,
}


def imports(top: int) -> None:
    """By what each module and all that it brings takes, in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Procfile").write_text("a: true\n")
        code = "from procman.cli import main; main(['start', '--no-restart'])"
        argv = [sys.executable, "-X", "importtime", "-c", code]
        for _ in range(2):  # the first may write bytecode
            told = subprocess.run(argv, cwd=folder, capture_output=True, text=True).stderr
    lines = [line.split("|") for line in told.splitlines() if line.startswith("import time:") and "[us]" not in line]
    lines.sort(key=lambda parts: -int(parts[1]))
    for own, whole, module in lines[:top]:
        print(f"{int(whole):>8} {int(own.removeprefix('import time:')):>8}  {module.rstrip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="*", metavar="PATH")
    parser.add_argument("--top", type=int, default=15, metavar="N")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="procman-paths-") as folder:
        worker = prepare(Path(folder), [], (), rod=False, idle_seconds=0).worker
        for name in given.path or ["imports", *PATHS]:
            print(f"\n{name}", flush=True)
            if name == "imports":
                imports(given.top)
                continue
            PATHS[name](program(Path(folder, name)), worker)
            pstats.Stats(str(Path(folder, name))).strip_dirs().sort_stats("tottime").print_stats(given.top)


if __name__ == "__main__":
    main()
