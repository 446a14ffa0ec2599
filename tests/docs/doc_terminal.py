"""A shell in a terminal, as the reader of a page has one: what is typed into it, and what it shows."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pexpect

DEADLINE = 30.0
_PROMPT = re.compile(r"<exit (\d+)>\r\n")
_SEQUENCES = re.compile(r"\x1b(?:\[[0-9;?:]*[a-zA-Z]|[()=>]\S?|\][^\x07]*\x07)")


class ShellTerminal:
    """Bash on a screen of 200 columns. One command at a time; `prompt` waits until it has ended."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        settings = {"TERM": "xterm-256color", "NO_COLOR": "1", "PS1": "<exit $?>\\n", "PS2": ""}
        self._child = pexpect.spawn(
            "/bin/bash",
            ["--noprofile", "--norc", "--noediting"],
            cwd=str(folder),
            env=env | settings,
            dimensions=(50, 200),
            echo=False,
            timeout=DEADLINE,
            encoding="utf-8",
        )
        self.seen = ""
        self.busy = False
        self.prompt()

    @property
    def folder(self) -> str:
        return os.readlink(f"/proc/{self._child.pid}/cwd")

    def type(self, line: str) -> None:
        assert not self.busy, self.seen
        self.seen = ""
        self.busy = True
        self._child.send(f"{line}\n")

    def press(self, key: str) -> None:
        self._child.send(key)

    def read(self, seconds: float = 0.05) -> bool:
        """Read what has come; whether the command still runs."""
        try:
            self.seen += self._child.read_nonblocking(65536, timeout=seconds)
        except pexpect.TIMEOUT:
            return self.busy
        self.busy = not _PROMPT.search(self.seen)
        return self.busy

    def prompt(self) -> int:
        """Wait for the end of the command; returns its exit code."""
        self.busy = True
        while self.busy:
            try:
                self.seen += self._child.read_nonblocking(65536, timeout=DEADLINE)
            except pexpect.TIMEOUT:
                raise AssertionError(f"it has not ended in {DEADLINE:g} s; it showed:\n{self.seen}") from None
            self.busy = not _PROMPT.search(self.seen)
        return self.code

    @property
    def code(self) -> int:
        found = _PROMPT.search(self.seen)
        assert found, self.seen
        return int(found[1])

    @property
    def lines(self) -> list[str]:
        """What the command has shown so far, line by line."""
        shown = _SEQUENCES.sub("", _PROMPT.sub("", self.seen))
        return [line.rstrip() for line in shown.replace("\r\n", "\n").replace("\r", "\n").splitlines()]

    def close(self) -> None:
        self._child.close(force=True)
