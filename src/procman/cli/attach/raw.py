"""A terminal that hands every key on as it is, and is as it was before when that is over, however it ends.

Owns its settings (termios(3)). Knows nothing of who is attached to what.
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

    Settings: TypeAlias = list[Any]  # of tcgetattr

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

KEEP = (
    ": gives a terminal back, should its user be killed;"
    "trap '' HUP INT QUIT TERM; before=$(stty -g) || exit; echo >&3; read -r x <&3 && exit;"
    '[ -t 1 ] && printf "$0"; case $(stty -a) in *-opost*) stty "$before";; esac'
)
"""What a shell runs meanwhile: nobody else restores anything after KILL. It waits in a session of its own, where nothing
that happens to the terminal or to our group reaches it, and its words do not contain procman's name: `pkill -9 -f procman`
spares it. Where output is processed again (`opost`) the user's shell has the terminal already, with settings of its own;
but what a program did to the screen no shell undoes."""


@contextlib.contextmanager
def raw_keys(undo: Callable[[], None]) -> Iterator[None]:
    """The terminal at descriptor 0 is raw inside. `undo` gives the screen back.

    TERM, HUP and INT leave it too, and end the program with 128 and their number.
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
    """Also to be done after a stop, as the shell had the terminal meanwhile. What was typed ahead stays."""
    tty.setraw(0, termios.TCSADRAIN)


def _leave(number: int, _frame: FrameType | None) -> None:
    _ignore_endings()
    raise click.exceptions.Exit(128 + number)


def _ignore_endings() -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _restore(before: Settings, undo: Callable[[], None]) -> None:
    """Give it back, but where output is processed again (OPOST): a shell has it already, with settings of its own."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # the background may do it, too (termios(3))
    with contextlib.suppress(termios.error, OSError):  # EIO: the terminal is gone, and there is nothing to give back
        if not termios.tcgetattr(0)[tty.OFLAG] & termios.OPOST:
            undo()
            termios.tcsetattr(0, termios.TCSADRAIN, before)


class _Keeper:
    """The shell that gives the terminal back should this process be killed.

    Where there is no shell, or no stty, all is given back but after KILL.
    """

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
        self._ours.recv(1)  # it knows the settings, or has ended

    def release(self) -> None:
        """The terminal is as it was."""
        with self._ours, contextlib.suppress(BrokenPipeError):  # it has ended
            self._ours.send(b"\n")
        if self._pid:
            os.waitpid(self._pid, 0)
