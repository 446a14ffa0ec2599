"""What each signal to procman means (docs/reference/signals.md has the table): signals become events and commands."""

from __future__ import annotations

import errno
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from procman.core.actions import Refuse, Reply
from procman.core.events import InterruptAsked, ScaleAsked, ShutdownAsked
from procman.errors import ConfigError
from procman.kernel.kernel import Kernel
from procman.kernel.loop.reactor import Reactor
from procman.kernel.loop.senders import on_sent
from procman.kernel.process.children import ancestors, read_process
from procman.later import later
from procman.text.signals import signal_name

if TYPE_CHECKING:
    from procman.core import interrupts
else:
    interrupts = later(__name__, "procman.core.interrupts")

NO_TERMINAL = (errno.ENXIO, errno.ENODEV, errno.ENOENT, errno.EIO, errno.EACCES)
"""The errors of opening /dev/tty without a terminal. Other errors, such as a lack of descriptors, do not show
whether there is one.
"""

_NAMES = ("TERM", "ALRM", "VTALRM", "PROF", "POLL", "PWR", "XCPU", "STKFLT")
ENDING = frozenset(
    {getattr(signal, f"SIG{name}") for name in _NAMES if hasattr(signal, f"SIG{name}")}
    | ({*range(signal.SIGRTMIN, signal.SIGRTMAX + 1)} if hasattr(signal, "SIGRTMIN") else set())
)
"""Signals that would end procman by default (signal(7)) end it in order instead, so that its children are not left
alone. Except those that report a fault of its own (SEGV, ABRT …), and INT, HUP, QUIT, USR1 and USR2, which have a
meaning of their own.
"""


def hold() -> None:
    """Hold signals back until `install()`, as what is created now has to be removed in order."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


def install(reactor: Reactor, kernel: Kernel) -> None:
    """Install every handler, before the first child is started: PID 1 never gets a signal without a handler."""
    _Signals(reactor, kernel).install()


class _Signals:
    def __init__(self, reactor: Reactor, kernel: Kernel) -> None:
        self._reactor = reactor
        self._kernel = kernel
        self._terminal = has_terminal()
        self._press: interrupts.Press | None = None  # when Ctrl-C was pressed last
        self._above: set[int] = set()  # a program in front may pass a signal on and end before it is read

    def install(self) -> None:
        on = self._reactor.on_signal
        on(signal.SIGCHLD, self._kernel.on_child)
        for number in ENDING:
            on(number, partial(self._end, number))
        on(signal.SIGINT, partial(self._interrupted, None))
        on(signal.SIGQUIT, self._dump)
        on(signal.SIGUSR1, self._reopen)
        on(signal.SIGUSR2, partial(self._kernel.upgrade, _ignore))
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1)
            on(signal.SIGHUP, self._hung_up)
        for number, by in ((signal.SIGTTIN, 1), (signal.SIGTTOU, -1)):
            if self._terminal:  # stty tostop: a write from the background must neither stop procman nor scale
                signal.signal(number, signal.SIG_IGN)
            else:
                on(number, partial(self._scale, by))
        handled = {*ENDING, signal.SIGCHLD, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
        handled |= {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)  # the signal mask may be inherited
        on_sent(self._reactor, signal.SIGINT, lambda pid: self._interrupted(self._sender(pid)))
        self._reactor.call_at(time.monotonic(), self._find_above)

    def _find_above(self) -> None:
        self._above = programs_above()

    def _sender(self, pid: int) -> interrupts.Sender:
        if pid == interrupts.TERMINAL:
            return interrupts.Sender(pid)
        above = self._above | programs_above()
        one = read_process(pid)
        return interrupts.Sender(pid, pid in above, pid not in above and (one is None or one.parent in above))

    def _end(self, number: int) -> None:
        self._kernel.ask(ShutdownAsked(f"procman got SIG{signal_name(number)}"))
        if self._press is None:  # it may be Ctrl-C, passed on as TERM before the terminal's own INT is here
            self._press, _ = interrupts.heard(None, interrupts.Sender(interrupts.AS_TERM), time.monotonic())

    def _interrupted(self, sender: interrupts.Sender | None) -> None:
        self._press, is_new = interrupts.heard(self._press, sender, time.monotonic())
        if is_new:
            self._kernel.ask(InterruptAsked(self._terminal))
            # the same signal may have come again meanwhile
            self._press = interrupts.Press(time.monotonic(), self._press.senders)

    def _hung_up(self) -> None:
        if self._terminal and not has_terminal():
            self._kernel.ask(ShutdownAsked("the terminal has gone"))
        else:
            self._kernel.reload(self._reloaded)

    def _reloaded(self, answer: Reply | Refuse | ConfigError) -> None:
        if isinstance(answer, Refuse):
            self._kernel.log(f"reload refused: {answer.message}")

    def _scale(self, by: int) -> None:
        self._kernel.ask(ScaleAsked(by))

    def _reopen(self) -> None:
        """The log files have been renamed, as logrotate(8) does."""
        if not self._kernel.output.reopen():
            self._kernel.log("SIGUSR1: no log files to reopen; --log-dir makes some")

    def _dump(self) -> None:
        view = self._kernel.view()
        formation = " ".join(f"{name}={count}" for name, count in view.formation.items())
        self._kernel.log(f"state: {formation}{'; stopping' if view.stopping else ''}")
        for row in view.instances:
            parts = [row.name, row.phase, f"pid {row.pid}" if row.pid else "", f"restarts {row.restarts}", row.reason]
            self._kernel.log("state: " + ", ".join(part for part in parts if part))
        self._kernel.write_trace("SIGQUIT")


def _ignore(_outcome: object) -> None:
    """Does nothing: the log reports the outcome of an upgrade."""


def programs_above() -> set[int]:
    """The pids of the programs that started procman, as far as the system shows them."""
    parent = os.getppid()
    return {parent, *ancestors(parent)} - {0, 1}


def has_terminal() -> bool:
    """Whether procman has a controlling terminal (tty(4): opening /dev/tty fails with ENXIO where there is none)."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        return error.errno not in NO_TERMINAL
    os.close(fd)
    return True
