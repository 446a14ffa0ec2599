"""Write docs/images: what a terminal shows of a procman that really runs. Takes some seconds; needs the `dev` extra.

Made anew by hand where the look of something has changed; nothing checks that they are current, as no two runs are the
same to the letter.
"""
# ruff: noqa: INP001  a script

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pexpect
import pyte
from generator.screens import DARK, LIGHT, svg

IMAGES = Path(__file__).resolve().parent / "images"
PROCMAN = str(Path(sys.executable).with_name("procman"))

SAYS = {
    "web": "GET /products 200 in {n} ms",
    "api": "POST /v1/orders 201 in {n} ms",
    "worker": "order {n}: paid",
    "mailer": "sent receipt {n}",
    "cron": "next run in {n} s",
    "search": "indexed {n} documents",
    "assets": "rebuilt app.js in {n} ms",
    "auth": "session {n} renewed",
    "cache": "{n} keys",
    "queue": "{n} jobs waiting",
    "billing": "invoice {n} is due",
    "metrics": "flushed {n} points",
}
PROGRAM = """
import random, sys, time
while True:
    time.sleep(random.uniform(0.3, 1.2))
    print(sys.argv[1].format(n=random.randrange(10, 900)), flush=True)
"""
CRASHES = "sh -c 'sleep 0.4; echo cannot connect to db; exit 1'"


class Terminal:
    """A program in a terminal, and what is on its screen."""

    def __init__(self, folder: Path, rows: int, *args: str) -> None:
        self.screen = pyte.Screen(96, rows)
        self._stream = pyte.ByteStream(self.screen)
        env = {**os.environ, "TERM": "xterm-256color", "XDG_RUNTIME_DIR": str(folder)}
        self._child = pexpect.spawn(PROCMAN, list(args), cwd=str(folder), env=env, dimensions=(rows, 96))

    def until(self, pattern: str, seconds: float = 30.0) -> None:
        """Wait for a text on the screen."""
        end = time.monotonic() + seconds
        while not re.search(pattern, "\n".join(self.screen.display)):
            if time.monotonic() > end:
                sys.exit(f"cannot make the picture: no {pattern!r} on the screen")
            self._read(0.2)

    def go_on(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._read(0.2)

    def _read(self, seconds: float) -> None:
        try:
            self._stream.feed(self._child.read_nonblocking(65536, timeout=seconds))
        except pexpect.TIMEOUT:
            return

    def type(self, keys: str) -> None:
        self._child.send(keys)

    def end(self, keys: str) -> None:
        self._child.send(keys)
        self._child.expect(pexpect.EOF)
        self._child.close()

    def draw(self, name: str, title: str) -> None:
        for ground, suffix in ((DARK, "dark"), (LIGHT, "light")):
            path = IMAGES / f"{name}-{suffix}.svg"
            path.write_text(svg(self.screen, ground, title), encoding="utf-8")
            print(path)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shop"
        folder.mkdir()
        (folder / "say.py").write_text(PROGRAM)
        lines = [f"{type_name}: {sys.executable} say.py '{text}'\n" for type_name, text in SAYS.items()]
        (folder / "Procfile").write_text("".join(lines) + f"sync: {CRASHES}\n")
        start(folder)
        top(folder)


def start(folder: Path) -> None:
    """Twelve types side by side."""
    terminal = Terminal(folder, 28, "start", "--except", "sync")
    terminal.go_on(2.8)
    terminal.draw("start", "procman start with twelve process types, each in a colour of its own")
    terminal.end("\x03")


def top(folder: Path) -> None:
    """The live screen: two of web, one type in a crash loop, one instance stopped."""
    supervisor = Terminal(folder, 24, "start", "-m", "all=0,web=2,worker=1,mailer=1,search=1,sync=1")
    supervisor.until("crash loop")
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    subprocess.run([PROCMAN, "stop", "mailer"], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  our own
    terminal = Terminal(folder, 24, "top")
    terminal.until("web.2")
    terminal.type("j")
    terminal.go_on(3.5)
    terminal.draw("top", "procman top: the instances, and the last lines of web.2")
    terminal.end("q")
    supervisor.end("\x03")


if __name__ == "__main__":
    main()
