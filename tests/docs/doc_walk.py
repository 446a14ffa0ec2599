"""A reader who does everything that a page says, with two terminals: `procman start` in one, all else in the other."""

from __future__ import annotations

import re
import time
from pathlib import Path

from doc_compare import Comparison
from doc_steps import Command, File, Shown, Step
from doc_terminal import DEADLINE, ShellTerminal
from harness import World

_START = re.compile(r"(?:\w+=\S+ )*procman start\b")
_DETACHED = re.compile(r" (?:-D|--detach)\b")
_LOOKS = re.compile(r"procman (?:ps|logs|check|scale$|scale #|why)|curl ")
"""Commands that change nothing: they are repeated until they show what the page does."""
_FOLLOWS = re.compile(r"procman (?:logs .*(?:-f|--follow)\b|ps .*--watch|events|top|attach)")
_LEAVES = {"attach": "\x1d", "top": "q"}
_ASKS = re.compile(
    r"procman (?:ps|logs|scale|restart|stop|signal|reload|upgrade|shutdown|attach|top|events|wait|why)\b"
)


class Reader:
    def __init__(self, world: World, comparison: Comparison, env: dict[str, str]) -> None:
        self._world = world
        self._like = comparison
        self._starting = ShellTerminal(world.folder, env)
        self._asking = ShellTerminal(world.folder, env)
        self._started: list[str] = []
        self._env = env

    def close(self) -> None:
        self._end()
        self._starting.close()
        self._asking.close()

    def take(self, step: Step) -> None:
        match step:
            case File():
                path = Path(self._asking.folder, step.name)
                path.parent.mkdir(exist_ok=True)
                path.write_text(self._like.typed(step.text), encoding="utf-8")
            case Shown():
                self._has_shown(step.lines)
            case Command() if _START.match(step.line) and not _DETACHED.search(step.line):
                self._start(step)
            case Command():
                self._ask(step)

    # ---- procman start

    def _start(self, step: Command) -> None:
        """Run it until it answers or has ended; it then goes on while the page does."""
        self._end()
        self._starting.type(f"cd {self._asking.folder}")
        assert self._starting.prompt() == 0
        self._starting.type(self._like.typed(step.line))
        end = time.monotonic() + DEADLINE
        while self._starting.read() and not self._runs():
            assert time.monotonic() < end, f"{step.line}: it does not answer:\n{self._starting.seen}"
        if not self._starting.busy:
            refused = self._starting.code != 0
            assert refused == step.is_refused, f"{step.line}: it ended:\n{self._starting.seen}"
        self._has_shown(step.printed or [])
        if step.interrupted:
            self._end()

    def _has_shown(self, lines: list[str]) -> None:
        end = time.monotonic() + DEADLINE
        while missing := self._like.missing(lines, [*self._started, *self._starting.lines]):
            assert self._starting.read() or time.monotonic() < end, self._differs(missing, self._starting)
            assert time.monotonic() < end, self._differs(missing, self._starting)

    def _runs(self) -> bool:
        return self._world.run("ps", cwd=self._asking.folder, env=self._env).code == 0

    def _end(self) -> None:
        """End the procman that runs, however it was started."""
        if self._runs():
            self._world.run("shutdown", cwd=self._asking.folder, env=self._env)
        if self._starting.busy:
            self._starting.prompt()
        self._started += self._starting.lines

    # ---- everything else

    def _ask(self, step: Command) -> None:
        if _START.match(step.line):
            self._end()
        elif _ASKS.match(step.line) and not self._runs():
            self._world.run("start", "--detach", cwd=self._asking.folder, env=self._env)
        end = time.monotonic() + DEADLINE
        while not self._did(step):
            assert time.monotonic() < end and _LOOKS.match(step.line), self._differs(step.printed or [], self._asking)  # noqa: PT018  one condition
        self._like.learn(step.printed or [], self._asking.lines)

    def _did(self, step: Command) -> bool:
        """Type it; whether it ended as the page says, and showed what the page shows."""
        self._asking.type(self._like.typed(step.line))
        if _FOLLOWS.match(step.line):
            self._follow(step)
            return True
        code = self._asking.prompt()
        if (code != 0) != step.is_refused:
            return False
        return step.printed is None or self._like.is_like(step.printed, self._asking.lines)

    def _follow(self, step: Command) -> None:
        """Look at what comes until it is what the page shows, and leave."""
        end = time.monotonic() + DEADLINE
        wanted = step.printed or []
        while not self._asking.lines or self._like.missing(wanted, self._asking.lines):
            assert time.monotonic() < end, self._differs(wanted, self._asking)
            assert self._asking.read(), self._differs(wanted, self._asking)
        verb = step.line.split()[1]
        self._asking.press(_LEAVES.get(verb, "\x03"))
        assert self._asking.prompt() in (0, 130), self._asking.seen

    def _differs(self, wanted: list[str], terminal: ShellTerminal) -> str:
        came = "\n".join(terminal.lines)
        return "\n".join(["the page shows:", *wanted, "and what came is:", came, f"exit {_code(terminal)}"])


def _code(terminal: ShellTerminal) -> str:
    return "none yet" if terminal.busy else str(terminal.code)
