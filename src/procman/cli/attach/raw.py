"""A terminal in raw mode, which passes on every key, and is restored afterwards, however this process ends.

Owns the terminal's settings (termios(3)). Knows nothing of instances.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import termios
import tty
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from procman.cli.attach.screen_state import LEAVE_SCREEN_BLINDLY, USUAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    Settings: TypeAlias = list[Any]  # indexes into the list of tcgetattr

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

KEEP = (
    ": gives a terminal back, should its user be killed;"
    "trap '' HUP INT QUIT TERM; before=$(stty -g) || exit; echo >&3; read -r x <&3 && exit;"
    '[ -t 1 ] && printf "$0"; case $(stty -a) in *-opost*) stty "$before";; esac'
)
"""A script that a shell runs meanwhile, as nothing else can restore a terminal after KILL.

The shell has a session of its own, so that signals of the terminal and to our group do not reach it, and its arguments
do not contain procman's name, so that `pkill -9 -f procman` spares it. Where output is processed again (`opost`), the
user's shell has already restored the settings; but no shell restores what a program did to the screen.
"""


@contextlib.contextmanager
def raw_keys(undo: Callable[[], None]) -> Iterator[None]:
    """Makes the terminal at descriptor 0 raw inside the `with` block. `undo` restores the screen.

    TERM, HUP and INT also restore it, and end the program with 128 plus their number.
    """
    before = termios.tcgetattr(0)
    keeper = _Keeper()
    try:
        try:
            for number in ENDING:
                signal.signal(number, _leave)
            make_raw()
            yield
        finally:
            _ignore_endings()
    finally:
        _restore(before, undo)
        keeper.release()


def make_raw() -> None:
    """Set raw mode. To be repeated after this process was stopped, as the shell had the terminal meanwhile. Input that
    was typed ahead is kept.
    """
    tty.setraw(0, termios.TCSADRAIN)


def _leave(number: int, _frame: FrameType | None) -> None:
    _ignore_endings()
    raise click.exceptions.Exit(128 + number)


def _ignore_endings() -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _restore(before: Settings, undo: Callable[[], None]) -> None:
    """Restore the terminal, unless output is processed again (OPOST): then a shell has already done so."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # allowed in the background, too (termios(3))
    with contextlib.suppress(termios.error, OSError):  # EIO: the terminal is gone
        if not termios.tcgetattr(0)[tty.OFLAG] & termios.OPOST:
            undo()
            termios.tcsetattr(0, termios.TCSADRAIN, before)


class _Keeper:
    """The shell that restores the terminal if this process is killed. Without it KILL leaves the terminal raw."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        undo = (LEAVE_SCREEN_BLINDLY + USUAL).decode().replace("\x1b", "\\033").replace("\x0f", "\\017")
        with theirs:
            try:
                self._pid = os.posix_spawn(
                    "/bin/sh",
                    ["sh", "-c", KEEP, undo],
                    os.environ,
                    file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)],
                    setsid=True,
                )
            except OSError:
                self._pid = 0
        self._ours.recv(1)  # the shell knows the settings, or has ended

    def release(self) -> None:
        """The terminal has been restored: end the shell."""
        with self._ours, contextlib.suppress(BrokenPipeError):  # it has ended
            self._ours.send(b"\n")
        if self._pid:
            os.waitpid(self._pid, 0)
