"""Whether a signal is for a process: whether it heard the first one, as far as /proc tells. Sends nothing."""

from __future__ import annotations

import time

from procman.core.actions import Target
from procman.core.stopping import YOUNG
from procman.kernel.process.process import Process
from procman.text.signals import signal_number

_DEAF = frozenset({b"beam.smp", b"beam"})
"""Programs that catch the signal and do nothing with it at first: Erlang's virtual machine drops a TERM until its signal
server runs (OTP 25: 0.1 to 0.3 s after the start, longer on a busy machine).
"""


def is_for(process: Process, signal: str, target: Target) -> bool:
    """Whether to send it: not again to a leader that heard it when it was young, which is remembered here."""
    if target is Target.UNHEARD:
        return process.heard != signal
    if (
        signal not in ("CONT", "KILL")
        and time.monotonic() - process.started_at < 2 * YOUNG
        and hears(process.pid, signal)
    ):
        process.heard = signal  # twice the time, as it began for the core a little later
    return True


def hears(pid: int, signal: str) -> bool:
    """Whether the signal (a name without SIG) reaches a handler (SigCgt of proc_pid_status(5)) that is known to act on
    it. HAProxy's master, which blocks a USR1 and drops it while it starts, has none yet.
    """
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as stream:
            rows = dict(row.split(b":\t", 1) for row in stream.read(8192).splitlines() if b":\t" in row)
        caught = int(rows[b"SigCgt"], 16)
    except (OSError, KeyError, ValueError):  # it has ended, or there is no /proc
        return False
    return bool(caught >> (signal_number(signal) - 1) & 1) and rows.get(b"Name") not in _DEAF
