"""What a probe tests, and one attempt of it. An attempt answers once, with its success and what was seen, or is
cancelled. None blocks the loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from procman.core.policies import FileProbe


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

    class Attempt(Protocol):
        """One attempt. It answers after `start()`, perhaps before that returns."""

        def start(self) -> None: ...
        def cancel(self) -> None:
            """Give up: it does not answer any more. Harmless after an answer."""


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
