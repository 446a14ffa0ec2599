"""What procman's handlers are set to; what each signal does is tested end to end. In processes of their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from forked import alone

from procman.core.fleet import Fleet
from procman.core.spec import Plan, ProcessSpec
from procman.kernel import signals
from procman.kernel.kernel import Kernel
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.formatting import Format
from procman.kernel.output.history import History
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.sinks import Sink
from procman.kernel.process.launcher import SpawnContext
from procman.kernel.wiring import KernelSettings

pytestmark = pytest.mark.processes


def installed(log: Path, **counts: int) -> Kernel:
    """A kernel with its signals set and nothing running."""
    types = {name: ProcessSpec(type=name, command="sleep 1000", cwd="/", env={}) for name in counts}
    plan = Plan(root="/", types=types, counts=counts, positions={name: n for n, name in enumerate(types)})
    reactor = Reactor()
    history = History()
    out = Multiplexer(reactor, Sink(reactor, os.open(log, os.O_WRONLY | os.O_CREAT)), history, Format())
    kernel = Kernel(
        reactor, Fleet(plan), out, history, KernelSettings(lambda old: old, SpawnContext(), f"{plan.root}/trace")
    )
    signals.install(reactor, kernel)
    return kernel


def test_without_a_terminal_ttin_and_ttou_have_handlers(tmp_path: Path) -> None:
    def body() -> None:
        installed(tmp_path / "log", web=0)
        assert not signals.has_terminal()
        assert callable(signal.getsignal(signal.SIGTTIN))
        assert callable(signal.getsignal(signal.SIGTTOU))

    alone(body)


def test_with_a_terminal_ttin_and_ttou_are_ignored(tmp_path: Path) -> None:
    def body() -> None:
        installed(tmp_path / "log", web=0)
        assert signals.has_terminal()
        assert signal.getsignal(signal.SIGTTIN) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTTOU) is signal.SIG_IGN

    alone(body, terminal=True)


def test_hup_that_was_ignored_stays_so(tmp_path: Path) -> None:
    def body() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        installed(tmp_path / "log", web=0)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    alone(body)


def test_an_inherited_mask_is_lifted_for_all_that_is_handled(tmp_path: Path) -> None:
    def body() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.valid_signals()))
        installed(tmp_path / "log", web=0)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, set())
        assert not blocked & {
            signal.SIGCHLD,
            signal.SIGTERM,
            signal.SIGHUP,
            signal.SIGQUIT,
        }  # INT is read from a descriptor
        assert not blocked & {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU}

    alone(body)


@pytest.mark.parametrize(("ignored", "number"), [(signal.SIGINT, signal.SIGINT), (signal.SIGQUIT, signal.SIGQUIT)])
def test_what_a_shell_ignores_for_its_background_jobs_is_handled(tmp_path: Path, ignored: int, number: int) -> None:
    def body() -> None:
        signal.signal(ignored, signal.SIG_IGN)
        installed(tmp_path / "log", web=0)
        assert callable(signal.getsignal(number))

    alone(body)


def test_tstp_and_cont_keep_their_default_action(tmp_path: Path) -> None:
    def body() -> None:
        installed(tmp_path / "log", web=0)
        assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGCONT) is signal.SIG_DFL

    alone(body)
