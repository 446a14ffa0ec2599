"""What a probe tests, and one attempt of it. An attempt answers once, with its success and what was seen, or is
cancelled. None blocks the loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from procman.core.events import Event
from procman.core.policies import FileProbe
from procman.kernel.process.helpers import HelperEnd, Helpers
from procman.kernel.process.spawn import SpawnError, find_program
from procman.text.lines import clean

if TYPE_CHECKING:
    from procman.kernel.output.multiplexer import Multiplexer


class ProbeAnswer(Struct, frozen=True):
    """Whether an attempt succeeded, and what was seen: `http /health answered 503`."""

    ok: bool
    text: str


OnAnswer = Callable[[ProbeAnswer], None]


def passed(text: str) -> ProbeAnswer:
    return ProbeAnswer(ok=True, text=text)


def failed(text: str) -> ProbeAnswer:
    return ProbeAnswer(ok=False, text=text)


FILE_SLACK = 0.05
"""Seconds by which a file may seem older than the process that created it: file systems have a coarse clock of their
own.
"""


class ProbedProcess(Struct, frozen=True):
    """One process, for probes. `started_at` is in seconds since the epoch; `environment` is made when needed."""

    name: str
    generation: int
    port: int | None
    cwd: str
    root: str
    shell: str
    started_at: float
    environment: Callable[[], Mapping[str, str]]


if TYPE_CHECKING:

    class Watching(Protocol):
        """A probe in force, or one attempt. It answers after `start()`, perhaps before that returns."""

        def start(self) -> None: ...
        def cancel(self) -> None:
            """Give up: it does not answer any more. Harmless after an answer."""

    class ProbesHost(Protocol):
        """What probes need of the kernel."""

        @property
        def helpers(self) -> Helpers: ...
        @property
        def output(self) -> Multiplexer: ...
        def post(self, event: Event) -> None: ...
        def log(self, text: str) -> None: ...


class FileAttempt:
    """Whether a file exists that is newer than the process."""

    def __init__(self, probe: FileProbe, process: ProbedProcess, answer: OnAnswer) -> None:
        self._path = os.path.join(process.cwd, probe.path)
        self._shown = probe.path
        self._started_at = process.started_at
        self._answer = answer

    def start(self) -> None:
        try:
            changed_at = os.stat(self._path).st_mtime
        except (OSError, ValueError) as error:  # a NUL in the name
            why = error.strerror if isinstance(error, OSError) else None
            self._answer(failed(f"file {self._shown}: {(why or str(error)).lower()}"))
            return
        if changed_at >= self._started_at - FILE_SLACK:
            self._answer(passed(f"file {self._shown} exists"))
        else:
            self._answer(failed(f"file {self._shown} is older than the process"))

    def cancel(self) -> None:
        """Nothing to do: it has answered already."""


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
