"""A command in an instance's environment, as a helper: its exit status is the answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from procman.kernel.process.helpers import HelperEnd, Helpers
from procman.kernel.process.probes.attempts import OnAnswer, ProbeAnswer, ProbedProcess, failed
from procman.kernel.process.spawn import SpawnError, find_program
from procman.text.lines import clean


def run_command(
    helpers: Helpers, command: str, process: ProbedProcess, seconds: float, on_exit: Callable[[HelperEnd], None]
) -> int:
    """Start it in the instance's folder, and kill its group after `seconds`. Returns the pid. Raises OSError,
    SpawnError.
    """
    env = process.environment()
    shell = find_program(process.shell, env.get("PATH", "/usr/bin:/bin"), process.root)
    argv = [shell, "-c", command]
    if process.cwd != process.root:
        argv = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', process.cwd, *argv]
    return helpers.spawn(argv, env, on_exit, time.monotonic() + seconds)


class ExecAttempt:
    """One run of the command, which has `seconds`."""

    def __init__(
        self, helpers: Helpers, command: str, process: ProbedProcess, seconds: float, answer: OnAnswer
    ) -> None:
        self._helpers = helpers
        self._command = command
        self._process = process
        self._seconds = seconds
        self._answer = answer
        self._pid: int | None = None
        self._cancelled = False

    def start(self) -> None:
        try:
            self._pid = run_command(self._helpers, self._command, self._process, self._seconds, self._ended)
        except SpawnError as error:
            self._answer(failed(f"exec: {error.why}"))
        except (OSError, ValueError) as error:
            self._answer(failed(f"exec: cannot start the command: {error}"))

    def cancel(self) -> None:
        self._cancelled = True
        if self._pid is not None:
            self._helpers.kill(self._pid)

    def _ended(self, end: HelperEnd) -> None:
        self._pid = None
        if not self._cancelled:
            ok = end.status.code == 0 and not end.timed_out
            self._answer(ProbeAnswer(ok, f"exec: {described(end, self._seconds)}"))


def described(end: HelperEnd, seconds: float) -> str:
    """`exit 3: the last line that it wrote`."""
    how = f"killed after {seconds:g} s" if end.timed_out else str(end.status)
    lines = [line for line in end.output.decode(errors="replace").splitlines() if line.strip()]
    return f"{how}: {clean(lines[-1].strip())}" if lines else how
