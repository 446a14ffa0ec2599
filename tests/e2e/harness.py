"""A procman that really runs, seen from outside only: its command, its output, its socket and the process table.

Imports nothing of procman, so that the same tests run against the built wheel. Nothing here sleeps for a fixed time:
every wait is for an event, with one generous deadline.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

DEADLINE = 20.0
"""Seconds within which everything happens, also on a machine that is busy with other things."""

BIN = os.environ.get("PROCMAN_TEST_BIN") or str(Path(sys.executable).with_name("procman"))
PYTHON = f"{sys.executable} -I -S -u"
"""An interpreter that starts in 15 ms and needs nothing."""

MARK = "E2E_WORLD"

T = TypeVar("T")


class Done(NamedTuple):
    code: int
    out: str
    err: str


def eventually(look: Callable[[], T], what: str, seconds: float = DEADLINE) -> T:
    """The first true answer of `look`, asked again and again: for what sends no event, such as the process table."""
    end = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < end, f"{what}: still not so after {seconds} s; last seen: {answer!r}"
        select.select([], [], [], 0.01)
    return answer


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    return state_of(pid) not in ("", "Z", "X")


def state_of(pid: int) -> str:
    """R, S, T, Z … as in /proc/PID/stat; "" where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    return stat.rpartition(b")")[2].split()[0].decode()


def status_of(pid: int | str) -> dict[str, str]:
    """/proc/PID/status as a table."""
    return parse_status(Path(f"/proc/{pid}/status").read_text())


def parse_status(text: str) -> dict[str, str]:
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def children_of(pid: int) -> list[int]:
    """Its children, zombies included, without a procman's own: the guardian, and those who hold terminals."""
    return [child for child in all_children_of(pid) if not is_guardian(child) and not is_holder(child)]


def is_holder(pid: int) -> bool:
    """Whether it is one that leads the session of an instance's terminal."""
    return _arguments(str(pid)).rstrip().endswith("holds-a-terminal")


def is_guardian(pid: int) -> bool:
    """Whether it is one that waits for the death of its procman."""
    return "ends the workers, should their supervisor be killed" in _arguments(str(pid))


def guardian_of(supervisor: Supervisor) -> int:
    """The one that waits for this procman's death: it is started just after the first instances."""
    return eventually(lambda: [pid for pid in all_children_of(supervisor.pid) if is_guardian(pid)], "a guardian")[0]


def all_children_of(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                stat = Path(f"/proc/{entry}/stat").read_bytes()
            except OSError:
                continue
            if int(stat.rpartition(b")")[2].split()[1]) == pid:
                found.append(int(entry))
    return found


class Supervisor:
    """One `procman start`: everything it wrote so far, and the ways to talk to it."""

    def __init__(self, world: World, process: subprocess.Popen[bytes]) -> None:
        self.world = world
        self.process = process
        self.pid = process.pid
        self.seen = ""
        self._at = 0

    # ---- what it writes

    def expect(self, pattern: str, seconds: float = DEADLINE) -> re.Match[str]:
        """Wait for the next text that matches, after what was expected last."""
        compiled = re.compile(pattern, re.MULTILINE)
        end = time.monotonic() + seconds
        while (match := compiled.search(self.seen, self._at)) is None:
            left = end - time.monotonic()
            assert left > 0, f"{pattern!r} did not come in {seconds} s; after:\n{self.seen[self._at :]}"
            if not self._read(left):
                match = compiled.search(self.seen, self._at)
                assert match, f"{pattern!r} never came; all there was:\n{self.seen}\n{self.world.errors()}"
                break
        self._at = match.end()
        return match

    def _read(self, seconds: float) -> bool:
        """Whether there may be more."""
        out = self.process.stdout
        if out is None or out.closed:
            return False
        ready, _, _ = select.select([out], [], [], seconds)
        if not ready:
            return True
        data = os.read(out.fileno(), 65536)
        self.seen += data.decode(errors="replace")
        if not data:
            out.close()
        return bool(data)

    def own(self) -> list[str]:
        """procman's own lines so far."""
        return re.findall(r"system +\| (.*)", self.seen)

    def lines(self, name: str) -> list[str]:
        """What an instance has written so far."""
        return re.findall(rf"^(?:\S+ )?{re.escape(name)} +\| (.*)$", self.seen, re.MULTILINE)

    # ---- its end

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = DEADLINE) -> int:
        """Its exit code, once it has ended and all its output is read. Death by a signal is negative."""
        end = time.monotonic() + seconds
        while self._read(max(0.0, end - time.monotonic())):
            assert time.monotonic() < end, f"procman has not ended in {seconds} s; it said:\n{self.seen}"
        return self.process.wait(max(0.1, end - time.monotonic()))

    def stop(self, seconds: float = DEADLINE) -> int:
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    # ---- its socket

    @property
    def address(self) -> str:
        found = eventually(lambda: list(self.world.runtime.glob("procman/*.sock")), "a socket")
        mine = [path for path in found if self._is_mine(path.with_suffix(".lock"))]  # a nested one has its own
        return str((mine or found)[0])

    def _is_mine(self, lock: Path) -> bool:
        return lock.exists() and lock.read_text().partition("\n")[0] == str(self.pid)

    @contextmanager
    def connected(self) -> Iterator[Line]:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(DEADLINE)
            eventually(lambda: peer.connect_ex(self.address) == 0, "a connection")  # it is bound before it listens
            yield Line(peer)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one request; AssertionError where it is refused."""
        while True:
            with self.connected() as line, suppress(UpgradedError):
                return line.ask(method, **params)

    def ps(self) -> dict[str, dict[str, Any]]:
        """The rows by name."""
        return rows(self.ask("ps"))

    def pids(self, of: str = "") -> dict[str, int]:
        """The pids of the instances that run, of one type or all."""
        return {name: row["pid"] for name, row in self.ps().items() if row["pid"] and name.startswith(of)}

    def until(self, reached: Callable[[dict[str, dict[str, Any]]], Any], what: str) -> dict[str, dict[str, Any]]:
        """Look at ps after each change until it is as wanted."""
        end = time.monotonic() + DEADLINE
        while True:
            with self.connected() as changes, self.connected() as line, suppress(UpgradedError):
                changes.ask("events")
                while not reached(now := rows(line.ask("ps"))):
                    left = end - time.monotonic()
                    assert left > 0, f"{what}: still not so; {json.dumps(now, indent=1)}\n{self.seen}"
                    changes.wait(min(left, 1.0))
                return now

    def phase(self, **phases: str) -> dict[str, dict[str, Any]]:
        """Wait until these are in these phases: `phase(web_1="ready")`."""
        wanted = {name[::-1].replace("_", ".", 1)[::-1]: phase for name, phase in phases.items()}
        return self.until(lambda now: all(n in now and now[n]["phase"] == p for n, p in wanted.items()), str(wanted))

    def up(self, *names: str) -> dict[str, dict[str, Any]]:
        """Wait until these run; ready they are a second later."""
        return self.until(
            lambda now: all(n in now and now[n]["phase"] in ("starting", "ready") and now[n]["pid"] for n in names),
            f"{names} run",
        )

    def clients(self) -> int:
        """How many connections it has: sockets other than its listeners, whose spare copies are the same sockets."""
        return len({link for link in self.links() if link.startswith("socket:")} - listening())

    def descriptors(self) -> int:
        """How many it has open, once all clients have gone and all that was put off at the start is loaded."""
        eventually(lambda: not self._keeps_room(), "all is being loaded")
        self.ps()  # answered once that is done: until then the file of a module may be open
        eventually(lambda: self.clients() == 0, "no client")
        return len(self.links())

    def _keeps_room(self) -> bool:
        """Whether it still keeps a descriptor for what is to be loaded."""
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            with suppress(FileNotFoundError):
                if int(fd) > 2 and os.readlink(f"/proc/{self.pid}/fd/{fd}") == "/dev/null":
                    return True
        return False

    def links(self) -> list[str]:
        """What its descriptors are."""
        found = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
            except FileNotFoundError:  # closed meanwhile
                continue
        return found


def listening() -> set[str]:
    """Every Unix socket of this machine that listens, as links of descriptors show them."""
    lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]
    return {f"socket:[{fields[6]}]" for line in lines if int((fields := line.split())[3], 16) & 0x10000}


def rows(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in answer["fleet"]["instances"]}


@contextmanager
def open_world() -> Iterator[World]:
    """A world in a folder that other users may enter, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="pm-open-"))
    folder.chmod(0o755)
    world = World(folder)
    try:
        yield world
    finally:
        world.close()
        shutil.rmtree(folder, ignore_errors=True)


class UpgradedError(Exception):
    """Another program has taken procman's place: connect again."""


class Line:
    """A connection to the control socket."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self._buffer = b""
        self._number = 0

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        with suppress(BrokenPipeError):  # why it was closed is still to be read
            self.peer.sendall(json.dumps(request).encode() + b"\n")
        while (message := self.next()).get("id") != self._number:
            continue
        assert "result" in message, message
        result: dict[str, Any] = message["result"]
        return result

    def next(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            data = self.peer.recv(65536)
            assert data, "procman closed the connection"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        if message.get("method") == "upgrading":
            raise UpgradedError
        return message

    def wait(self, seconds: float) -> None:
        """Until something has come, which is thrown away."""
        if not self._buffer:
            ready, _, _ = select.select([self.peer], [], [], seconds)
            if not ready:
                return
            self._buffer = self.peer.recv(65536)
            assert self._buffer, "procman closed the connection"
        if b'"upgrading"' in self._buffer:
            raise UpgradedError
        self._buffer = b""


class World:
    """A folder, an environment into which nothing of this machine leaks, and all that was started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ident = uuid.uuid4().hex
        self.runtime = Path(tempfile.mkdtemp(prefix="pm-"))
        self.started: list[Supervisor] = []
        self.bin = BIN
        self.env = {
            "PATH": f"{Path(BIN).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "TMPDIR": str(self.runtime),
            MARK: self.ident,
        }

    def file(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def procfile(self, **commands: str) -> None:
        self.file("Procfile", "".join(f"{name}: {command}\n" for name, command in commands.items()))

    def script(self, name: str, text: str) -> str:
        """A Python script; returns the command that runs it."""
        return f"{PYTHON} {self.file(name, text)}"

    # ---- running

    def popen(self, *args: str, before: tuple[str, ...] = (), **how: Any) -> subprocess.Popen[bytes]:
        """`before` is a program that becomes procman (env, setpriv …), `how` is Popen's."""
        with (self.folder / "stderr").open("ab") as err:
            settings = {"cwd": self.folder, "env": self.env, "stdin": subprocess.DEVNULL}
            settings |= {"stdout": subprocess.PIPE, "stderr": err, "start_new_session": True} | how
            return subprocess.Popen([*before, self.bin, *args], **settings)

    def start(self, *args: str, **how: Any) -> Supervisor:
        """`procman start`, in a session of its own and so without a terminal."""
        supervisor = Supervisor(self, self.popen("start", *args, **how))
        self.started.append(supervisor)
        return supervisor

    def run(self, *args: str, **how: Any) -> Done:
        """Any verb, to its end."""
        settings = {"cwd": self.folder, "env": self.env, "stdin": subprocess.DEVNULL} | how
        done = subprocess.run([self.bin, *args], capture_output=True, timeout=DEADLINE, **settings)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def errors(self) -> str:
        """What was written to standard error by any of the supervisors."""
        path = self.folder / "stderr"
        return path.read_text() if path.exists() else ""

    # ---- the process table

    def left(self) -> list[str]:
        """Every process that comes from here and still runs: by its environment, its folder or its arguments.

        Some programs overwrite their environment (redis) and some leave the folder (daemons), but none does both.
        """
        supervisors = {str(s.pid) for s in self.started if s.process.poll() is None}
        entries = [entry for entry in os.listdir("/proc") if entry.isdecimal() and entry not in supervisors]
        mine = [entry for entry in entries if self._is_ours(f"/proc/{entry}")]
        return [f"{pid} {_arguments(pid)}" for pid in mine if alive(int(pid))]

    def _is_ours(self, entry: str) -> bool:
        try:
            environ = Path(f"{entry}/environ").read_bytes()
            arguments = Path(f"{entry}/cmdline").read_bytes()
            if self.ident.encode() in environ or os.fsencode(self.folder) in arguments:
                return True
            return Path(os.readlink(f"{entry}/cwd")).is_relative_to(self.folder)
        except OSError:  # it has ended, or is another user's
            return False

    def close(self) -> None:
        """End what still runs, and see that nothing is left of those that had the chance to clean up."""
        killed = [s for s in self.started if s.process.poll() == -signal.SIGKILL]
        for supervisor in self.started:
            end(supervisor)
            print(supervisor.seen)  # pytest shows it where the test has failed
        left = self.left()
        for line in left:
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        shutil.rmtree(self.runtime, ignore_errors=True)
        assert not left or killed, f"procman has ended and left behind: {left}"
        assert "Traceback" not in self.errors(), self.errors()


def end(supervisor: Supervisor) -> None:
    """End it if it still runs: a second INT kills everything at once."""
    process = supervisor.process
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        try:
            eventually(lambda: process.poll() is not None, "an end", 0.3)
        except AssertionError:
            process.send_signal(signal.SIGINT)
        try:
            supervisor.wait()
        except (AssertionError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
            raise
    if process.stdout is not None and not process.stdout.closed:
        process.stdout.close()


def _arguments(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
