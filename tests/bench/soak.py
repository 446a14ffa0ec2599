#!/usr/bin/env python3
"""Restarts, scalings, log rotations and clients by the thousand, and whether anything of procman grows with them.

    python tests/bench/soak.py                             5,000 restarts and the rest in ten minutes
    python tests/bench/soak.py --minutes 60 --restarts 30000

At each tenth it waits until all instances are ready and prints what procman holds. The run is flat, and exits with 0, where
of the last three tenths against the third to the fifth (before which tables fill and stale deadlines have yet to fire)
resident memory has grown by no more than 1 MB, tracked objects by no more than 2 % and 200, deadlines by no more than a
quarter and 10, descriptors by no more than 2 (somebody may be just coming or going), and where there never was a zombie.
The test of it in CI is the same at a tenth, without pauses.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import proctable
from observed import ASK
from programs import Job, Program, procfile
from stage import HERE, PATIENCE, Wire, prepare
from trial import Trial, TrialError

VICTIMS = 20
SETTINGS = """\
defaults: {restart: {policy: always, delay: 0, reset_after: 1}, stop: {grace: 2}}
formation: {victim: 20, elastic: 1, talker: 1}
"""
"""Short times, so that deadlines which are not needed any more are gone within two tenths also of a short run."""


class Load(NamedTuple):
    seconds: float  # 0: as fast as it goes
    restarts: int
    scalings: int
    rotations: int
    clients: int


class Sample(NamedTuple):
    seconds: float
    restarts: int
    rss: int  # kB
    descriptors: int
    timers: int
    objects: int
    zombies: int


class Soak:
    """One procman under load. Every restart is waited for; everything else only before each sample."""

    def __init__(self, trial: Trial, load: Load, fifo: int) -> None:
        self.trial = trial
        self.load = load
        self.fifo = fifo
        self.changes = Changes(trial)
        self.wire = Wire(trial)
        self.began = time.monotonic()
        self.restarts = 0
        self.wire.ask("hello")  # both are accepted
        self.sockets = proctable.sockets(trial.pid)

    def samples(self) -> Iterator[Sample]:
        self.settle()
        for step in range(1, self.load.restarts + 1):
            self.trial.rest(max(0.0, self.began + self.load.seconds * step / self.load.restarts - time.monotonic()))
            self.restart(f"victim.{step % VICTIMS + 1}", by_signal=bool(step % 2))
            for _ in range(self._due(self.load.scalings, step)):
                self.wire.ask("scale", to={"elastic": 1 + step % 4})
            for _ in range(self._due(self.load.rotations, step)):
                os.kill(self.trial.pid, signal.SIGUSR1)
            for _ in range(self._due(self.load.clients, step)):
                self.visit(patient=bool(step % 3))
            if self._due(10, step):
                yield self.sample()

    def _due(self, count: int, step: int) -> int:
        """How many of so many fall to this step, all of them spread evenly."""
        return count * step // self.load.restarts - count * (step - 1) // self.load.restarts

    def restart(self, name: str, by_signal: bool) -> None:
        """Its crash, or a restart that was asked for, until its next run has started."""
        self.changes.until(lambda: name in self.changes.pids, self.trial)
        pid = self.changes.pids.pop(name)
        if by_signal and proctable.process(pid).parent == self.trial.pid:
            os.kill(pid, signal.SIGKILL)
        else:
            self.wire.ask("restart", names=[name])
        self.changes.until(lambda: self.changes.pids.get(name, pid) != pid, self.trial)
        self.restarts += 1

    def visit(self, patient: bool) -> None:
        """A client, who looks; or one who subscribes and goes without a word."""
        with Wire(self.trial) as wire:
            wire.ask("ps")
            if not patient:
                wire.ask("logs", follow=True)

    def settle(self) -> None:
        def ready() -> bool:
            return all(row["phase"] == "ready" for row in self.wire.ask("ps")["fleet"]["instances"])

        self.changes.until(ready, self.trial)

    def hung_up(self) -> None:
        """Every client that went has been let go."""
        end = time.monotonic() + PATIENCE
        while proctable.sockets(self.trial.pid) > self.sockets:
            if time.monotonic() > end:
                raise TrialError("keeps connections whose clients have gone")
            self.trial.rest(0.01)

    def sample(self) -> Sample:
        self.settle()
        self.hung_up()
        os.kill(self.trial.pid, ASK)
        if not select.select([self.fifo], [], [], PATIENCE)[0]:
            raise TrialError("does not tell what it holds")
        timers, objects = map(int, os.read(self.fifo, 100).split())
        return Sample(
            round(time.monotonic() - self.began, 1),
            self.restarts,
            sum(proctable.memory(each.pid).rss for each in self.trial.own()),
            len(proctable.descriptors(self.trial.pid)),
            timers,
            objects,
            proctable.zombies(self.trial.pid),
        )


class Changes:
    """The stream of events: which instance runs as which process."""

    def __init__(self, trial: Trial) -> None:
        self.pids: dict[str, int] = {}
        self._wire = Wire(trial)
        self._wire.ask("events")
        for row in self._wire.ask("ps")["fleet"]["instances"]:
            self._note(row["name"], row["pid"])

    def _note(self, name: str, pid: int | None) -> None:
        if pid:
            self.pids[name] = pid

    def until(self, reached: Any, trial: Trial) -> None:
        """Read events, and procman's output lest it stalls, until it is so."""
        end = time.monotonic() + PATIENCE
        while not reached():
            left = end - time.monotonic()
            if left <= 0:
                raise TrialError(f"not reached within {PATIENCE:g} s")
            ready, _, _ = select.select([self._wire.fileno(), trial.tap.fd], [], [], left)
            if trial.tap.fd in ready and not trial.tap.read(0):
                raise TrialError(f"ended: {trial.tap.text()[-300:]!r}")
            if self._wire.fileno() in ready:
                for message in self._wire.arrived():
                    change = message.get("params", {}).get("change", {})
                    if change.get("event") == "started":
                        self._note(change["instance"], change["pid"])


def soak(load: Load, show: Any = lambda _sample: None) -> list[Sample]:
    """Ten samples."""
    with tempfile.TemporaryDirectory(prefix="procman-soak-") as folder:
        worker = prepare(Path(folder), [], (), rod=False, idle_seconds=0).worker
        os.mkfifo(f"{folder}/counts")
        fifo = os.open(f"{folder}/counts", os.O_RDWR)
        jobs = [
            Job("victim", f"{worker} ready"),
            Job("elastic", f"{worker} ready"),
            Job("talker", f"{worker} pulse 20"),
        ]
        found = []
        with Trial(_observed(f"{folder}/counts"), jobs, files={"procman.yml": SETTINGS}) as trial:
            trial.until(b"READY~", VICTIMS + 1, PATIENCE)
            for sample in Soak(trial, load, fifo).samples():
                show(sample)
                found.append(sample)
            _, orphans = trial.stop()
            if orphans:
                raise TrialError(f"left {orphans} orphans")
        os.close(fifo)
        return found


def _observed(fifo: str) -> Program:
    def command(executable: str, folder: Path, jobs: list[Job], _restart: bool) -> list[str]:
        procfile(folder, jobs)
        words = [executable, str(HERE / "observed.py"), fifo, "start"]
        known = subprocess.run([*words, "--help"], capture_output=True, text=True).stdout
        return [*words, *(["--log-dir", f"{folder}/logs"] if "--log-dir" in known else [])]

    return Program("procman", sys.executable, command)


def growth(samples: list[Sample]) -> list[str]:
    """What has grown, by the rule above; nothing where the run is flat."""

    def most(field: str, part: list[Sample]) -> int:
        return max(int(getattr(sample, field)) for sample in part)

    early, late = samples[2:5], samples[7:]
    allowed = {
        "rss": most("rss", early) + 1024,
        "descriptors": most("descriptors", early) + 2,
        "timers": most("timers", early) * 5 // 4 + 10,
        "objects": most("objects", early) * 102 // 100 + 200,
    }
    grown = [
        f"{field}: {most(field, late)}, at most {limit}"
        for field, limit in allowed.items()
        if most(field, late) > limit
    ]
    return grown + [f"zombies: {most('zombies', samples)}"] * (most("zombies", samples) > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    for name, count in (("restarts", 5000), ("scalings", 1000), ("rotations", 1000), ("clients", 500)):
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N")
    given = parser.parse_args()
    load = Load(given.minutes * 60, given.restarts, given.scalings, given.rotations, given.clients)
    print("  ".join(f"{name:>11}" for name in Sample._fields))
    samples = soak(load, lambda sample: print("  ".join(f"{value:>11}" for value in sample), flush=True))
    grown = growth(samples)
    print("flat" if not grown else "NOT FLAT: " + "; ".join(grown))
    return int(bool(grown))


if __name__ == "__main__":
    sys.exit(main())
