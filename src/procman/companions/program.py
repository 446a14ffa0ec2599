"""What the companions share: how one runs until procman ends, and how it reports that it cannot do its work, and why.

What procman shows is compared with the present state at each poll, so that nothing has to be remembered over a restart
of either.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from procman.errors import ConfigError, NotRunningError, ProcmanError
from procman.extras import how_to_install
from procman.text.lines import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from procman.control.client import Client
    from procman.core.view import FleetView

LONGEST, LONGEST_REASON = 1024, 256
"""Most characters of a fault, and of a reason for a change, that procman accepts."""

TRIES = 3
"""How often procman is asked where it closes the connection, because it is upgraded or ends."""

UNHEALTHY = "unhealthy"

Settings = TypeVar("Settings")
Built = TypeVar("Built")


def run(program: Callable[[str], None]) -> int:
    """Run a program with the path of procman's socket until procman ends; returns its exit code."""
    try:
        program(os.environ["PROCMAN_SOCKET"])
    except NotRunningError:
        return 0
    except ProcmanError as error:
        log(error.message)
    return 1


def built(
    types: Mapping[str, Settings], build: Callable[[str, Settings], Built]
) -> tuple[dict[str, Built], dict[str, str]]:
    """What is built of the settings of each type, and faults of those that cannot be used: these are logged once, and do
    not hold up others.
    """
    usable, faults = {}, {}
    for name, settings in types.items():
        try:
            usable[name] = build(name, settings)
        except ProcmanError as error:
            faults[name] = f"{name}: {text_of(error)}"
            log(faults[name])
    return usable, faults


@contextmanager
def needing(what: str) -> Iterator[None]:
    """Raises ConfigError, with `what` cannot be done, where a package is missing: procman can do without it."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "procman"):
            raise
        message = f"cannot {what}: the Python package {package} is not installed"
        raise ConfigError(message, f"`{how_to_install(package)}` installs it") from None


def log(text: str) -> None:
    print(clean(text), flush=True)


def text_of(error: ProcmanError) -> str:
    """A fault in one line, with what to do about it."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


class CompanionFaults:
    """What is wrong at present, by topic. A fault is logged once, until it is over; a change of its text does not count."""

    def __init__(self, log: Callable[[str], None], present: Mapping[str, str]) -> None:
        self._log = log
        self._present = dict(present)

    @property
    def text(self) -> str:
        """All of them, for `ps --companions`."""
        return "; ".join(self._present.values())

    def set(self, topic: str, text: str, healed: str = "") -> None:
        """What is wrong with a topic ("": nothing), and what is logged once it is right again ("": nothing)."""
        before = self._present.get(topic, "")
        if text:
            self._present[topic] = text  # in its place: the order of what is shown stays as it is
        else:
            self._present.pop(topic, None)
        if text and not before:
            self._log(text)
        elif before and not text and healed:
            self._log(healed)

    def attempt(self, topic: str, request: Callable[[], object]) -> bool:
        """Whether procman did what was asked. Raises NotRunningError once it has ended."""
        try:
            request()
        except NotRunningError:
            raise
        except ProcmanError as error:
            self.set(topic, error.message)
            return False
        self.set(topic, "")
        return True


def report(client: Client, fleet: FleetView, fault: str) -> None:
    """Report what is wrong with this companion ("": nothing), unless the fleet, as it was polled, shows that already.
    Raises ProcmanError like any request.
    """
    row = next((row for row in fleet.companions if row.pid == os.getpid()), None)
    if row is None:  # procman did not start it
        return
    fault = fault[:LONGEST]
    shown = (row.probe or "") if row.phase == UNHEALTHY else ""
    if shown != fault or (row.phase == UNHEALTHY) != bool(fault):
        client.report(row.name, row.generation, fault)
