"""One start of one program in a fresh folder: what it writes, which processes are its own, and its certain end.

Everything that a trial ends comes from its own tree, its own session, or names its folder.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import proctable

if TYPE_CHECKING:
    from programs import Job, Program

READY, LINE, DONE = b"READY~", b"@LINE~", b"@DONE~"
FIRST, TOTAL = b"FIRST~", b"TOTAL~"
"""The last two are what a reader (see worker.c) reports."""

TOKEN = 6
"""Bytes of each of them."""

PIECE = 1 << 20
PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME")
"""Variables that a trial gets from here. Others slow some programs down and not others (PYTHONUNBUFFERED, NODE_OPTIONS)."""


def environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED if name in os.environ}


class TrialError(Exception):
    """The program did not do what was to be measured; the text says what."""


class Tap:
    """Reads to the end what a program writes, and counts tokens as they pass.

    Some 2 GB/s for each token: too slow to measure floods with, for which a trial has a reader.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.counts = dict.fromkeys((READY, LINE, DONE, FIRST, TOTAL), 0)
        self.bytes = 0
        self.at = 0.0  # when the last piece was read
        self.piece = bytearray(PIECE)
        self.size = 0
        self._seam = b""

    def read(self, seconds: float) -> bool:
        """One piece, if it comes in time; False at the end."""
        if not select.select([self.fd], [], [], max(0.0, seconds))[0]:
            return True
        size = os.readv(self.fd, [self.piece])
        self.at = time.monotonic()
        if not size:
            return False
        self.size = size
        self.bytes += size
        seam = self._seam + self.piece[: min(self.size, TOKEN - 1)]
        for token in self.counts:
            self.counts[token] += self.piece.count(token, 0, self.size) + seam.count(token)
        self._seam = (seam if self.size < TOKEN else bytes(self.piece[self.size - TOKEN + 1 : self.size]))[-TOKEN + 1 :]
        return True

    def text(self) -> bytes:
        """The last piece."""
        return bytes(self.piece[: self.size])

    def report(self, token: bytes) -> list[int]:
        """The numbers of a reader's report, which came in one piece."""
        _, _, words = self.text().partition(token)
        return [int(word) for word in words.partition(b"\n")[0].split()]


class Trial:
    """A context manager. `started` is the moment before its exec.

    With `reader`, the words of a command, that is what reads the program's output, and the tap has the reader's reports.
    """

    def __init__(
        self,
        program: Program,
        jobs: list[Job],
        restart: bool = False,
        files: dict[str, str] | None = None,
        reader: list[str] | None = None,
    ) -> None:
        self.program = program
        self.folder = Path(tempfile.mkdtemp(prefix="procman-bench-", dir="/tmp"))
        (self.folder / "run").mkdir(mode=0o700)
        for name, text in (files or {}).items():
            (self.folder / name).write_text(text)
        argv = program.command(program.executable, self.folder, jobs, restart)
        self.env = environment() | {
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "PM2_HOME": str(self.folder / "pm2"),
            "PM2_DISCRETE_MODE": "true",
        }
        reading, writing = os.pipe()
        self.seen: dict[tuple[int, int], proctable.Process] = {}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            argv,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
        )
        os.close(writing)
        self.reader = None
        if reader:
            self.reader = subprocess.Popen(reader, stdin=reading, stdout=subprocess.PIPE)
            assert self.reader.stdout is not None
            os.close(reading)
            reading = os.dup(self.reader.stdout.fileno())
            self.reader.stdout.close()
        self.tap = Tap(reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    # ---- what it writes

    def until(self, token: bytes, count: int, seconds: float) -> float:
        """Read until the token has come so often; seconds from the start of the trial to the last of them."""
        end = time.monotonic() + seconds
        while self.tap.counts[token] < count:
            left = end - time.monotonic()
            if left <= 0:
                raise TrialError(f"only {self.tap.counts[token]} of {count} lines within {seconds:g} s")
            if not self.tap.read(left):
                raise TrialError(f"ended after {self.tap.counts[token]} of {count} lines: {self.tap.text()[-200:]!r}")
        return self.tap.at - self.started

    def rest(self, seconds: float) -> None:
        """Let it be for a while, but for reading what it writes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self.tap.read(left):
                raise TrialError("ended while it was to do nothing")

    # ---- its processes

    def look(self) -> list[proctable.Process]:
        """Its tree as it is now."""
        everything = proctable.processes()
        found = proctable.tree(self.pid, everything)
        if self.program.outside:
            known = {each.pid for each in found}
            for each in everything.values():
                if each.comm.startswith("tmux") and each.pid not in known and self._is_ours(each.pid):
                    found += proctable.tree(each.pid, everything)
        self.seen.update(((each.pid, each.started), each) for each in found)
        return found

    def own(self) -> list[proctable.Process]:
        """What runs beside the instances: the program with its helpers, not the shells it leaves around each child."""
        looked = self.look()
        workers = {each.pid for each in looked if self._is_worker(each.pid)}
        around = {each.parent for each in looked if each.pid in workers} - {self.pid}
        return [
            each
            for each in looked
            if each.pid not in workers and not (each.pid in around and each.comm in ("sh", "dash", "bash"))
        ]

    def workers(self) -> list[int]:
        return [each.pid for each in self.look() if self._is_worker(each.pid)]

    def _is_worker(self, pid: int) -> bool:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as words:
            first = words.read().split(b"\0")[:4]  # python -I -S worker.py
            return any(os.path.basename(word) in (b"worker", b"worker.py") for word in first)
        return False

    def _is_ours(self, pid: int) -> bool:
        return proctable.mentions(pid, self.folder.name)

    # ---- its end

    def stop(self, seconds: float = 30.0) -> tuple[float, int]:
        """Ask the program alone to end: seconds until it had, and how many of its processes lived on."""
        self.look()
        began = time.monotonic()
        self.process.send_signal(self.program.stop)
        with contextlib.suppress(OSError):  # its output may end with an error, as a terminal's does
            self._read_until_it_ends(began + seconds)
        took = time.monotonic() - began
        if self.process.poll() is None:
            raise TrialError(f"did not end within {seconds:g} s")
        self.process.wait()
        for _ in range(50):  # a second: who is only slow is no orphan
            left = self._alive()
            if not left:
                break
            select.select([], [], [], 0.02)
        return took, len(left)

    def _read_until_it_ends(self, deadline: float) -> None:
        """A reader that went away could hold it up; one that waited for the end of output would wait for orphans."""
        ended = os.pidfd_open(self.pid)
        try:
            watched = [ended, self.tap.fd]
            while (left := deadline - time.monotonic()) > 0:
                ready, _, _ = select.select(watched, [], [], left)
                if ended in ready:
                    return
                if ready and not self.tap.read(0):
                    watched = [ended]
        finally:
            os.close(ended)

    def _alive(self) -> list[int]:
        now = proctable.processes()
        return [
            pid for pid, started in self.seen if pid in now and now[pid].started == started and now[pid].state != "Z"
        ]

    def close(self) -> None:
        if self.process.poll() is None:
            self.look()
        doomed = {each.pid for each in proctable.processes().values() if each.session == self.pid}
        doomed |= {pid for pid in proctable.processes() if self._is_ours(pid)}
        for pid in (doomed | set(self._alive())) - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self.reader is not None:
            self.reader.kill()
            self.reader.wait()
        os.close(self.tap.fd)
        shutil.rmtree(self.folder, ignore_errors=True)
