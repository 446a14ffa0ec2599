"""`start --then COMMAND`: start, wait until everything is ready, run a command, stop everything, and end as the command
ended.

The command has the terminal: its output has no prefix, and Ctrl-C reaches it. procman runs in the background and writes
to standard error. If this process is killed, procman stops everything.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click
from msgspec import Struct

from procman import libc
from procman.cli.background import Background, code_of, split
from procman.cli.one_off import SHELL, OneOff, execute
from procman.cli.wait_option import print_change
from procman.control.client import Client, ClosedError
from procman.control.messages import Waited, WaitParams
from procman.control.streaming import data_of
from procman.control.waiting import EndedError
from procman.errors import NotRunningError, ProcmanError
from procman.text.lines import clean
from procman.text.shell import argv

if TYPE_CHECKING:
    from collections.abc import Callable

    from procman.app.run import Foreground
    from procman.core.spec import Plan

LAST_LINES = 10
"""Lines shown of each instance that did not become ready."""

THEN = "`procman start --then`"

PR_SET_PDEATHSIG = 1
"""An option of prctl(2): the signal that this process gets when its parent ends."""


class Then(Struct, frozen=True):
    """The command to run: a command line, or the words after `--`."""

    line: str | None = None
    words: tuple[str, ...] = ()

    def fork(self, plan: Plan, run: Callable[[Foreground], int]) -> int:
        """Fork; returns the exit code of either process."""
        made = split(run, _behind)
        return made if isinstance(made, int) else self._accompany(plan, made)

    def _accompany(self, plan: Plan, made: Background) -> int:
        if not made.path:
            return made.code()  # procman has said why
        signal.signal(signal.SIGTERM, _interrupt)
        why = f"{THEN} has failed"
        try:
            code, why = self._attend(plan, made)
        finally:
            if why:
                _stop(made, why)
        return code

    def _attend(self, plan: Plan, made: Background) -> tuple[int, str]:
        """Wait and run the command; returns the exit code, and why everything is to stop: "" if procman has ended."""
        try:
            waited = _wait(made)
            if waited.outcome == "failed":
                _show_failed(made, waited)
                return 1, "not everything became ready"
            has_ended = waited.outcome == "ending"
            if has_ended and made.code():
                return 1, ""  # procman has said why
            code = _run(self._one_off(plan, made.path))
        except _TerminatedError:
            return 128 + signal.SIGTERM, f"{THEN} got SIGTERM"
        except KeyboardInterrupt:
            return 128 + signal.SIGINT, f"{THEN} got SIGINT"
        return code, "" if has_ended else f"the command of --then has ended: exit {code}"

    def _one_off(self, plan: Plan, path: str) -> OneOff:
        """The command, in the environment of all types and the root, with every type's first port."""
        spec = next(iter(plan.types.values()))
        env = {**spec.base.inherited, **spec.base.files, **plan.port_variables()}
        env |= {"PWD": plan.root, "PROCMAN_SOCKET": path}
        words = argv(self.line, spec.shell, env=env) if self.line is not None else [*self.words]
        return OneOff(words, plan.root, env, spec.shell or SHELL)


class _TerminatedError(BaseException):
    """TERM has arrived. (Ctrl-C arrives as KeyboardInterrupt.)"""


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise _TerminatedError


def _behind() -> None:
    """Procman's side: it writes to standard error, and ends with its parent."""
    os.dup2(2, 1)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    _end_with_parent()


def _end_with_parent() -> None:
    """Get TERM when the parent ends, where the system can do that. It lasts over an exec."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):  # as in `become_subreaper`
            libc.call("prctl", PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _wait(made: Background) -> Waited:
    try:
        with Client(made.path) as client:
            return client.wait(WaitParams(), print_change)
    except (EndedError, ClosedError, NotRunningError):
        return Waited("ending")


def _show_failed(made: Background, waited: Waited) -> None:
    """Show the reason, and the last lines of the instances that are not ready."""
    with contextlib.suppress(EndedError, ClosedError, NotRunningError), Client(made.path) as client:
        pending = [i.name for i in client.ps().fleet.instances if i.phase not in ("ready", "done")]
        for name in pending:
            with Client(made.path) as reader:
                text = b"".join(data_of(output) for output in reader.logs((name,), LAST_LINES))
            for line in text.decode(errors="replace").splitlines():
                click.echo(f"{name} | {clean(line)}", err=True)
    for line in (f"{waited.reason}", waited.hint):
        if line:
            click.echo(f"procman: {clean(line)}", err=True)


def _run(what: OneOff) -> int:
    """Run the command as a shell does: Ctrl-C reaches the command, and its exit code is ours."""
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _end_with_parent()
        try:
            execute(what)
        except ProcmanError as error:
            for line in error.lines():
                click.echo(f"procman: {clean(line)}", err=True)
            os._exit(error.exit_code)
        finally:
            os._exit(1)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    code = code_of(pid)
    signal.signal(signal.SIGINT, before)
    return code


def _stop(made: Background, why: str) -> None:
    """Stop everything, and wait for that. A second Ctrl-C makes procman kill everything."""
    while True:
        try:
            _ask_to_end(made, why)
            made.code()
        except ChildProcessError:  # procman has ended before
            return
        except KeyboardInterrupt:
            with contextlib.suppress(ProcessLookupError):
                os.kill(made.pid, signal.SIGINT)
        else:
            return


def _ask_to_end(made: Background, why: str) -> None:
    """A request says why in the log; a signal ends also a procman that does not answer."""
    try:
        with Client(made.path) as client:
            client.shutdown(why)
    except (ProcmanError, OSError):
        with contextlib.suppress(ProcessLookupError):
            os.kill(made.pid, signal.SIGTERM)
