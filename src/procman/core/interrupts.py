"""When a repeated interrupt is a second request, and when it is the first one received twice.

One press of Ctrl-C reaches procman from the terminal, and once more, some milliseconds later, from each program before
it that passes its own signal on (cross-env, dotenv-cli, concurrently). A second press arrives from the terminal again
or, where none came from there, from the same program again. A program that passes Ctrl-C on as TERM may be faster than
the terminal: the TERM that begins a stop counts as the press, if a key follows. Some pass it on by a kill(1) that has
ended before anybody can ask whose it was (nodemon). The sender is unknown where the system cannot report it, and of what
came during a start or an upgrade.
"""

from __future__ import annotations

from msgspec import Struct

ONE_PRESS = 1.0
"""Seconds in which an interrupt from another sender counts as the first one passed on (1 ms; under load 100)."""

UNTOLD_PRESS = 0.3
"""The same if the sender is unknown: a person takes longer for a second press."""

TERMINAL = 0
"""Stands for the terminal as the sender, for a key."""

AS_TERM = -1
"""Stands for the sender of the TERM that begins a stop, who may have passed a key on."""


class Sender(Struct, frozen=True):
    """The sender: a pid, TERMINAL for a key, or AS_TERM. `above`: one of the programs that started procman; `helper`: a
    process that one of those has started, or that has ended already.
    """

    pid: int
    above: bool = False
    helper: bool = False


class Press(Struct, frozen=True):
    """One press: when it was first received, and from which senders so far."""

    at: float
    senders: frozenset[Sender | None] = frozenset()


def heard(press: Press | None, sender: Sender | None, now: float) -> tuple[Press, bool]:
    """The press that this interrupt belongs to, and whether it is a new one. The sender is None if unknown."""
    if press is not None and _is_same(press, sender, now):
        return Press(press.at, press.senders | {sender}), False
    return Press(now, frozenset({sender})), True


def _is_same(press: Press, sender: Sender | None, now: float) -> bool:
    if sender is None:
        return now - press.at < UNTOLD_PRESS
    if press.senders == {Sender(AS_TERM)}:
        return sender.pid == TERMINAL and now - press.at < UNTOLD_PRESS
    if now - press.at >= ONE_PRESS:
        return False
    if (sender.above or sender.helper) and Sender(TERMINAL) in press.senders:
        return True  # also if it passes the key on twice: a second key comes from the terminal
    if sender in press.senders:
        return False
    before = any(other is not None and other.above for other in press.senders)
    return sender.above or (sender.pid == TERMINAL and before)
