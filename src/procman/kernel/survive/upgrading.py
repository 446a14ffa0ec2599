"""The course of a live upgrade: a check of the installed program, then the exec, or a refusal where something fails.

Owns who waits for the outcome, and the moment of the exec. `handover` has what is handed over and what is executed.
Nothing blocks: the check is a helper, whose end and output come as an event.

Until the exec nothing has changed: whatever fails, this program continues. The instances do not notice.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from procman.core.actions import Refuse
from procman.kernel.loop.reactor import Reactor
from procman.kernel.process.helpers import HelperEnd, Helpers
from procman.kernel.process.holder import FileAction
from procman.kernel.survive import handover

CHECK_WITHIN = 20.0
"""Seconds for the check to start, read and answer: 0.2 on an idle machine."""

RETRY = 0.01
"""Seconds from one attempt to the next while instances are being started."""


UpgradeAnswer = Callable[[str | Refuse], None]
"""Gets the version of the program that takes over, or the reason why none does."""


if TYPE_CHECKING:

    class UpgradeHost(Protocol):
        """What an upgrade needs of the kernel. `helpers` runs the check."""

        @property
        def helpers(self) -> Helpers: ...
        @property
        def busy(self) -> bool:
            """Whether a start, or a command of a drain, is under way."""

        @property
        def mark(self) -> tuple[str, str]:
            """A variable and its value, by which the guardian recognises procman's processes."""

        def why_not(self) -> str:
            """Why procman cannot be upgraded now; "" if it can."""

        def log(self, text: str) -> None: ...
        def fault(self, error: BaseException) -> None: ...


class Written(NamedTuple):
    """A state that is ready to be handed over, and the descriptors in it."""

    state: int
    descriptors: tuple[int, ...]


class LiveUpgrade:
    """At most one upgrade at a time; later requests get the same answer.

    `write` makes a state of everything, with the signals that will be blocked, and `part` tells the clients to connect
    again.
    """

    def __init__(
        self,
        reactor: Reactor,
        host: UpgradeHost,
        program: handover.Program,
        write: Callable[[Iterable[int]], Written],
        part: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._program = program
        self._write = write
        self._part = part
        self._found: list[str] = []  # what is checked, and then executed
        self._under_way = False
        self._answers: list[UpgradeAnswer] = []

    def ask(self, answer: UpgradeAnswer) -> None:
        """Start an upgrade, or join the present one; `answer` is called with the outcome, once."""
        if answer not in self._answers:
            self._answers.append(answer)
        if self._under_way:
            return
        self._under_way = True
        try:
            why = self._why_not()
            if why:
                self._refuse(why)
            else:
                self._begin()
        except OSError as error:
            self._refuse(f"the installed program cannot be checked ({error.strerror or error})")
        except Exception as error:  # noqa: BLE001  a fault of ours while the state is made: everything continues
            self._host.fault(error)
            self._refuse("the state cannot be written")

    # ---- the check

    def _begin(self) -> None:
        self._found = self._program.find()
        written = self._write(())
        try:
            self._check(written.state)
        finally:
            os.close(written.state)

    def _check(self, state: int) -> None:
        # onto itself, so that the exec does not close it
        actions: list[FileAction] = [(os.POSIX_SPAWN_DUP2, state, state)]
        argv = self._program.command(self._found, f"{handover.CHECK}{state}")
        env = {**self._program.env, **dict([self._host.mark])}
        with self._program.in_folder():
            self._host.helpers.spawn(argv, env, self._checked, time.monotonic() + CHECK_WITHIN, actions)

    def _checked(self, end: HelperEnd) -> None:
        lines = [line.strip() for line in end.output.decode(errors="replace").splitlines() if line.strip()]
        can = [line.removeprefix(handover.CAN) for line in lines if line.startswith(handover.CAN)]
        if end.timed_out:
            self._refuse(f"the installed program gave no answer within {CHECK_WITHIN:g} s")
        elif end.status.code or not can:
            last = (
                lines[-1].removeprefix("procman: ").removeprefix("cannot take over: ")
                if lines
                else "it printed nothing"
            )
            self._refuse(f"the installed program cannot take over ({end.status}: {last})")
        else:
            # not here: this may be in the middle of other deaths, whose consequences are still to come
            self._reactor.call_at(time.monotonic(), lambda: self._hand_over(can[0]))

    # ---- the exec

    def _hand_over(self, version: str) -> None:
        """The last moment at which an upgrade can be refused; after `become` another program runs."""
        why = self._why_not()
        if why:
            self._refuse(why)
            return
        if self._host.busy:
            self._reactor.call_at(time.monotonic() + RETRY, lambda: self._hand_over(version))
            return
        # signals wait from now on, also over an exec (signal(7)), for the program that unblocks them
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        for number in self._reactor.take_signals() - {signal.SIGUSR2}:  # which asks for exactly this
            os.kill(os.getpid(), number)
        try:
            self._become(version, [int(number) for number in before])
        except OSError as error:
            self._refuse(f"the installed program cannot be executed ({error.strerror or error})")
        except Exception as error:  # noqa: BLE001  as in ask()
            self._host.fault(error)
            self._refuse("the state cannot be written")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _become(self, version: str, blocked: Iterable[int]) -> None:
        written = self._write(blocked)
        try:
            for answer in self._answers:
                answer(version)
            self._answers.clear()
            self._part()
            self._host.helpers.end()  # there would be no one left to get their answer
            self._program.become(self._found, written.state, written.descriptors)
        finally:
            os.close(written.state)

    def _why_not(self) -> str:
        if not self._program.is_known:
            return "this procman was not started by `procman start` itself"
        if not hasattr(os, "memfd_create"):
            return "this system has no memory files"
        return self._host.why_not()

    def _refuse(self, why: str) -> None:
        """Refuse; nothing has changed."""
        self._under_way = False
        answers, self._answers = self._answers, []
        refusal = Refuse(0, f"cannot upgrade: {why}", "everything keeps running as before")
        self._host.log(refusal.message)
        for answer in answers:
            answer(refusal)
