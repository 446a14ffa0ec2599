"""A terminal with a person before it: a program in a pseudo-terminal, its screen as pyte draws it, and keys."""

from __future__ import annotations

import re
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from typing import Any

import pexpect
import pyte
from harness import BIN, DEADLINE, PYTHON, Supervisor, World


class Emulator(pyte.Screen):
    """pyte's, with the alternate screen (xterm's 47 and 1049), and without its failure at a private SGR sequence."""

    def __init__(self, columns: int, lines: int) -> None:
        self._usual: tuple[dict[int, Any], Any] | None = None
        super().__init__(columns, lines)

    def select_graphic_rendition(self, *attributes: int, private: bool = False) -> None:
        if not private:  # vim asks for the state of the keyboard with one
            super().select_graphic_rendition(*attributes)

    def set_mode(self, *modes: int, **how: bool) -> None:
        super().set_mode(*modes, **how)
        if how.get("private") and {47, 1049}.intersection(modes) and self._usual is None:
            self._usual = deepcopy(dict(self.buffer)), copy(self.cursor)
            self.erase_in_display(2)

    def reset_mode(self, *modes: int, **how: bool) -> None:
        super().reset_mode(*modes, **how)
        if how.get("private") and {47, 1049}.intersection(modes) and self._usual is not None:
            self.buffer.clear()
            self.buffer.update(self._usual[0])
            if 1049 in modes:
                self.cursor = self._usual[1]
            self._usual = None


class Display:
    """What the program shows, and a keyboard."""

    def __init__(self, child: pexpect.spawn, rows: int, columns: int) -> None:
        self.child = child
        self.screen = Emulator(columns, rows)
        self._stream = pyte.ByteStream(self.screen)

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def type(self, keys: str) -> None:
        self.child.send(keys)

    def controls_jobs(self) -> None:
        """At the prompt of a shell: a program that is suspended, brought back, and interrupted."""
        self.type(f"{PYTHON} -c 'import time; print(40 + 2); time.sleep(1000)'\r")
        self.shows("^42$")
        self.type("\x1a")
        self.shows("Stopped")
        self.type("fg\r")
        self.until(lambda screen: screen.count("sleep(1000)") == 3, "bash names what it brings back")
        self.type("\x03")
        self.shows("^KeyboardInterrupt$")

    def until(self, reached: Callable[[str], object], what: str) -> str:
        """Wait until the screen is so; returns it."""
        end = time.monotonic() + DEADLINE
        while not reached(shown := str(self)):
            left = end - time.monotonic()
            assert left > 0, f"{what}: still not so; the screen is\n{shown}"
            try:
                self._stream.feed(self.child.read_nonblocking(65536, timeout=min(left, 1.0)))
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                assert reached(str(self)), f"{what}: it has ended; the screen is\n{self}"
        return shown

    def shows(self, pattern: str) -> str:
        """Wait until a text that matches is on the screen."""
        return self.until(lambda shown: re.search(pattern, shown, re.MULTILINE), pattern)

    def code(self) -> int | None:
        """Read to its end; the exit code, None where a signal ended it."""
        try:
            while True:
                self._stream.feed(self.child.read_nonblocking(65536, timeout=DEADLINE))
        except pexpect.EOF:
            self.child.wait()
        return self.child.exitstatus


@contextmanager
def display(world: World, *args: str, rows: int = 24, columns: int = 100, program: str = BIN) -> Iterator[Display]:
    """A program (procman) in a terminal of its own."""
    env = {**world.env, "TERM": "xterm-256color"}
    child = pexpect.spawn(
        program, list(args), cwd=str(world.folder), env=env, dimensions=(rows, columns), timeout=DEADLINE
    )
    try:
        yield Display(child, rows, columns)
    finally:
        child.close(force=True)


def start_at_terminal(world: World, command: str, *args: str) -> Supervisor:
    """A procman whose one instance, a.1, has a terminal."""
    world.procfile(a=command)
    supervisor = world.start("--tty", *args)
    supervisor.up("a.1")
    return supervisor


def settings(shown: Display) -> list[object]:
    return termios.tcgetattr(shown.child.child_fd)


def is_raw(shown: Display) -> bool:
    return not termios.tcgetattr(shown.child.child_fd)[1] & termios.OPOST
