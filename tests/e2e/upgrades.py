"""What the tests of live upgrades share: writers of numbered lines, upgrades, and programs of another version."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from harness import BIN, Done, Supervisor, World, eventually

WRITER = """
import os, signal, sys, time
pause, stop, n, rest = float(sys.argv[1]), [], 0, b""
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
while not stop:
    while len(rest) < 3000:
        n += 1
        rest += b"line %d\\n" % n
    cut = n * 7919 % 2999 + 1  # wherever: most writes end in the midst of a line
    os.write(1, rest[:cut])
    rest = rest[cut:]
    time.sleep(pause)
os.write(1, rest + b"end %d\\n" % n)
"""
"""Writes `line 1`, `line 2` … until TERM, then how many there were."""


def check_lines(name: str, lines: list[str]) -> int:
    """Every line of a writer is there, once and in order; how many."""
    assert lines, name
    end = re.fullmatch(r"end (\d+)", lines[-1])
    assert end, f"{name}: the last line is {lines[-1]!r}"
    wanted = [f"line {n}" for n in range(1, int(end[1]) + 1)]
    for got, want in zip(lines, wanted, strict=False):
        assert got == want, name
    assert len(lines) == len(wanted) + 1, name
    return len(wanted)


def by_name(text: str) -> dict[str, list[str]]:
    """The lines of each instance in procman's output."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(?:[\d:]{8} )?(\S+) +\| ?(.*)", line)
        assert match, f"a torn line: {line!r}"
        found.setdefault(match[1], []).append(match[2])
    return found


def upgrades_of(supervisor: Supervisor) -> int:
    count: int = supervisor.ask("hello")["upgrades"]
    return count


def upgrade(supervisor: Supervisor) -> None:
    """By the command, to its end."""
    before = upgrades_of(supervisor)
    done = supervisor.world.run("upgrade", "--socket", supervisor.address)
    assert done.code == 0, done
    assert re.fullmatch(rf"procman \S+ -> \S+ \(pid {supervisor.pid}\)\n", done.out), done
    assert upgrades_of(supervisor) == before + 1


def upgraded(supervisor: Supervisor, count: int) -> None:
    """Wait until it has been upgraded that often."""
    eventually(lambda: upgrades_of(supervisor) >= count, f"{count} upgrades")


class Installed:
    """A procman of the test's own, which it can replace by other versions while it runs."""

    def __init__(self, world: World) -> None:
        self.path = world.folder / "bin" / "procman"
        self.python = Path(BIN).read_text().splitlines()[0]
        self._world = world
        self.put()
        world.bin = str(self.path)

    def put(self, first: str = "") -> None:
        """This very version; `first` is done before anything else."""
        self.text(f"{self.python}\n{first}\nfrom procman.cli import main\nmain()\n")

    def version(self, version: str) -> None:
        """One that calls itself so."""
        self.put(f"import procman\nprocman.__version__ = {version!r}")

    def upgrade(self) -> Done:
        """Ask for it with a command of its own, which goes on working."""
        text = f"{self.python}\nfrom procman.cli import main\nmain()\n"
        client = self._world.file("bin/client", text, 0o755)
        done = subprocess.run([client, "upgrade"], capture_output=True, cwd=self._world.folder, env=self._world.env)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def copy(self, *, compiled: bool = False) -> Path:
        """Run a copy of the package, as pip replaces one in place; the folder that it is in. `compiled`: with bytecode."""
        look = [self.python.removeprefix("#!"), "-c", "import procman; print(procman.__path__[0])"]
        package = subprocess.run(look, capture_output=True, text=True, check=True).stdout.strip()
        copy = self._world.folder / "lib" / "procman"
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
        if compiled:
            subprocess.run([self.python.removeprefix("#!"), "-m", "compileall", "-q", copy], check=True)
        self.put(f"import sys; sys.path.insert(0, {str(copy.parent)!r})")
        return copy

    def text(self, text: str) -> None:
        fresh = self._world.file("bin/procman.new", text, 0o755)
        fresh.rename(self.path)
