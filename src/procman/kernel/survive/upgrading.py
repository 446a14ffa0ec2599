"""The course of a live upgrade: a check of the installed program, then the exec, and a refusal wherever it goes wrong.

Owns the process that checks, who is waiting for the outcome, and the moment of the exec. What is handed over and what is
executed are `handover`'s. Nothing waits: the check is a child of procman's, whose end and words come as events.

Until the exec nothing has changed: whatever fails, this program goes on. The instances are not told of any of it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from procman.control.protocol import Checked
from procman.core.actions import Refuse
from procman.core.events import ExitStatus
from procman.kernel.survive import handover
from procman.kernel.loop.reactor import READ, Reactor
from procman.kernel.process.spawn import FileAction, in_session

CHECK_WITHIN = 20.0
"""Seconds for the check to start, read and answer: 0.2 on a machine at rest."""

RETRY = 0.01
"""Seconds from one try to the next while instances are being started."""

WORDS = 4096
"""Most bytes that are kept of what the check says."""

Told = Callable[[Checked | Refuse], None]


class UpgradeHost(Protocol):
    """What an upgrade needs of the kernel."""

    @property
    def starting(self) -> bool: ...
    @property
    def mark(self) -> tuple[str, str]:
        """A variable of the environment and its value, by which the guardian knows what is procman's."""

    def why_not(self) -> str:
        """Why there can be no upgrade now; "" where there can."""

    def say(self, text: str) -> None: ...
    def fault(self, error: BaseException) -> None: ...


class Written(NamedTuple):
    """A state that is ready to be handed over, and the descriptors that it speaks of."""

    state: int
    descriptors: tuple[int, ...]


class _Check:
    """The process that checks, and its words."""

    def __init__(self, pid: int, words: int) -> None:
        self.pid = pid
        self.words = words  # a pipe
        self.said = b""
        self.too_long = False
        self.open = True  # whether it may say more

    def read(self) -> bool:
        """Read once; False where there is nothing to read, or never will be."""
        try:
            data = os.read(self.words, WORDS)
        except BlockingIOError:
            return False
        self.said = (self.said + data)[-WORDS:]
        return bool(data)


class LiveUpgrade:
    """At most one upgrade at a time; who asks meanwhile is told the same. `write` makes a state of everything, with
    the signals that are to be blocked in the end, and `part` lets go of the clients, who connect again.
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
        self._check: _Check | None = None
        self._found: list[str] = []  # what is checked, and then executed
        self._under_way = False
        self._told: list[Told] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Children of procman that are no part of what it runs."""
        return (self._check.pid,) if self._check is not None else ()

    def ask(self, told: Told) -> None:
        """Begin, or join the one that is under way; `told` is called with the outcome, once."""
        if told not in self._told:
            self._told.append(told)
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
        except Exception as error:  # noqa: BLE001  a fault of ours in the making of the state: what runs goes on
            self._host.fault(error)
            self._refuse("the state cannot be written")

    def reaped(self, pid: int, status: ExitStatus) -> bool:
        """A child of procman's has been reaped: whether it was the check."""
        check = self._check
        if check is None or pid != check.pid:
            return False
        while check.read():
            continue
        self._forget(check)
        lines = [line.strip() for line in check.said.decode(errors="replace").splitlines() if line.strip()]
        can = [line.removeprefix(handover.CAN) for line in lines if line.startswith(handover.CAN)]
        if check.too_long:
            self._refuse(f"the installed program gave no answer within {CHECK_WITHIN:g} s")
        elif status.code or not can:
            last = (
                lines[-1].removeprefix("procman: ").removeprefix("cannot take over: ") if lines else "it said nothing"
            )
            self._refuse(f"the installed program cannot take over ({status}: {last})")
        else:
            # Not here: this may be in the midst of other deaths, and what follows from them is yet to be done.
            self._reactor.call_at(time.monotonic(), lambda: self._hand_over(can[0]))
        return True

    def end(self) -> None:
        """Procman ends: nobody takes over."""
        if self._check is not None:
            _kill(self._check)
            os.waitpid(self._check.pid, 0)
            self._forget(self._check)

    # ---- the check

    def _begin(self) -> None:
        self._found = self._program.find()
        written = self._write(())
        try:
            self._check = self._spawn(written.state)
        finally:
            os.close(written.state)
        self._reactor.register(self._check.words, READ, self._listen)
        check = self._check
        self._reactor.call_at(time.monotonic() + CHECK_WITHIN, lambda: self._give_up(check))

    def _spawn(self, state: int) -> _Check:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        try:
            actions: list[FileAction] = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writer, 1),
                (os.POSIX_SPAWN_DUP2, writer, 2),
                (os.POSIX_SPAWN_DUP2, state, state),  # onto itself: no longer closed by the exec
            ]
            argv = self._program.command(self._found, f"{handover.CHECK}{state}")
            env = {**self._program.env, **dict([self._host.mark])}
            with self._program.in_folder():
                pid = in_session(argv, env, actions)
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return _Check(pid, reader)

    def _listen(self) -> None:
        check = self._check
        if check is not None and not check.read():
            check.open = False
            self._reactor.unregister(check.words)

    def _give_up(self, check: _Check) -> None:
        if self._check is check:
            check.too_long = True
            _kill(check)

    def _forget(self, check: _Check) -> None:
        self._check = None
        if check.open:
            self._reactor.unregister(check.words)
        os.close(check.words)

    # ---- the exec

    def _hand_over(self, version: str) -> None:
        """The last moment at which anything can be refused; from `become` on there is another program."""
        why = self._why_not()
        if why:
            self._refuse(why)
            return
        if self._host.starting:
            self._reactor.call_at(time.monotonic() + RETRY, lambda: self._hand_over(version))
            return
        before = handover.block_signals()
        handover.send_again(self._reactor.take_signals() - {signal.SIGUSR2})  # which asks for just this
        try:
            self._become(version, before)
        except OSError as error:
            self._refuse(f"the installed program cannot be executed ({error.strerror or error})")
        except Exception as error:  # noqa: BLE001  as in ask()
            self._host.fault(error)
            self._refuse("the state cannot be written")
        finally:
            handover.unblock_signals(before)

    def _become(self, version: str, blocked: Iterable[int]) -> None:
        written = self._write(blocked)
        try:
            for told in self._told:
                told(Checked(version))
            self._told.clear()
            self._part()
            self._program.become(self._found, written.state, written.descriptors)
        finally:
            os.close(written.state)

    def _why_not(self) -> str:
        if not self._program.is_known:
            return "this procman was not started by `procman start` itself"
        return self._host.why_not()

    def _refuse(self, why: str) -> None:
        """It is over, and nothing has changed."""
        self._under_way = False
        told, self._told = self._told, []
        refusal = Refuse(0, f"cannot upgrade: {why}", "what runs goes on as it was")
        self._host.say(refusal.message)
        for each in told:
            each(refusal)


def _kill(check: _Check) -> None:
    """It leads a group of its own, and is not reaped yet, so neither number is anybody else's."""
    os.killpg(check.pid, signal.SIGKILL)
