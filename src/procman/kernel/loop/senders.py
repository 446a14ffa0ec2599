"""A signal together with its sender, which Python's own handlers do not report: signalfd(2), through the C library."""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Callable

from procman import libc
from procman.kernel.loop.reactor import READ, Reactor

INFO = struct.Struct("=IiiII108x")
"""number, errno, code, pid, uid, and members that are not read here."""

SFD_NONBLOCK, SFD_CLOEXEC = 0o4000, 0o2000000
MASK = struct.Struct("=Q120x")
"""sigset_t, of which the system uses the first 64 bits."""

FROM_KERNEL = 0x80
"""SI_KERNEL: sent by the terminal's driver for a key, not by a process."""


def on_sent(reactor: Reactor, number: int, callback: Callable[[int], None]) -> bool:
    """Call back in the loop with the pid of each sender of this signal, 0 for a key; False if the system cannot
    tell.

    The signal is blocked from now on: it waits in the descriptor, also over an exec.
    """
    fd = _signalfd(number)
    if fd < 0:
        return False
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})

    def read() -> None:
        try:
            data = os.read(fd, INFO.size * 16)
        except BlockingIOError:
            return
        for _, _, code, pid, _ in INFO.iter_unpack(data):
            callback(0 if code == FROM_KERNEL else pid)

    reactor.register(fd, READ, read)
    reactor.read_signals_with(read)
    return True


def _signalfd(number: int) -> int:
    if sys.platform != "linux":
        return -1
    try:
        return libc.call("signalfd", -1, MASK.pack(1 << (number - 1)), SFD_NONBLOCK | SFD_CLOEXEC)
    except (ImportError, OSError, AttributeError):  # Python without it, or another C library
        return -1
