"""A test in a process of its own: a kernel reaps every child of its process, also the test runner's."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable


def alone(test: Callable[[], None], *, terminal: bool = False) -> None:
    """Run it in a child, in a session without a terminal or on a new one."""
    pid = os.forkpty()[0] if terminal else os.fork()
    if pid == 0:
        code = 1
        try:
            if not terminal:
                os.setsid()
            _forget_handlers()
            test()
            code = 0
        except BaseException:  # noqa: BLE001  told by the exit code
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _forget_handlers() -> None:
    """What another test has installed in this process is not here."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) and number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
