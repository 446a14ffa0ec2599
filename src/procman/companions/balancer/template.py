"""The ready instances as a file, made from a Jinja template (extra `balancer`), for balancers that read one: nginx,
Caddy, Traefik and others.

Changes within a moment are written together; the file is replaced as a whole; a command makes the balancer read it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

from msgspec import Struct

from procman.companions.balancer.haproxy import CALM, SOON, StepResult
from procman.companions.files import write_whole
from procman.companions.program import needing, text_of
from procman.errors import ConfigError, ProcmanError
from procman.text.words import index_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procman.companions.balancer.fleet import BalancedInstance

PATIENCE = 5.0
"""Seconds for the command."""


class JinjaTemplate:
    """A Jinja template with `instances` (name, host, port, index) and `type`. Raises ConfigError for an invalid one."""

    def __init__(self, path: str) -> None:
        with needing(f"use the template {path}"):
            import jinja2  # noqa: PLC0415  an extra, only needed to write a file
        # The text is not HTML, and the author of the template may do everything that procman may.
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)  # noqa: S701
        self._error = jinja2.TemplateError
        self._path = path
        try:
            with open(path, encoding="utf-8") as file:
                self._template = environment.from_string(file.read())
        except OSError as error:
            raise ConfigError(f"cannot read the template {path}: {error.strerror or error}") from None
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(f"cannot use the template {path}:{error.lineno}: {error.message}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"cannot read the template {path}: it is not UTF-8") from None

    def render(self, type_name: str, instances: Sequence[BalancedInstance]) -> str:
        values = [{"name": i.name, "host": i.host, "port": i.port, "index": index_of(i.name)} for i in instances]
        try:
            return self._template.render(type=type_name, instances=values)
        except (self._error, ArithmeticError, TypeError, ValueError, LookupError) as error:
            raise ProcmanError(f"cannot fill the template {self._path}: {error}") from None


class FileOutput(Struct, frozen=True, kw_only=True):
    """The file, the command that makes the balancer read it ("": none), and seconds: in which changes are written
    together, and for which a stop waits at most until the file has been read.
    """

    path: str
    reload: str = ""
    gather: float = 0.1
    drain: float = 10.0


class TemplateFile:
    """The file of one process type. The command runs beside the loop: later changes are written, and read once, after
    it has ended.
    """

    def __init__(self, type_name: str, template: JinjaTemplate, output: FileOutput) -> None:
        self.holds = output.drain
        self._type = type_name
        self._template = template
        self._output = output
        self._read: frozenset[tuple[str, str, int]] | None = (
            None  # the instances in the file, once it is known to have been read
        )
        self._changed_at: float | None = None
        self._not_before = 0.0
        self._reload: ReloadRun | None = None
        self._fault = ""

    def step(self, instances: Sequence[BalancedInstance], now: float) -> StepResult:
        """Write and reload changes that have waited for long enough. `now` is monotonic seconds.

        The first time the file is always read: the previous companion may have been killed between writing and reloading.
        """
        serving = [i for i in instances if i.serves]
        names = frozenset((i.name, i.host, i.port) for i in serving)
        if self._reload is not None and not self._ended(self._reload, now):
            return self._unread(instances, serving, SOON)
        if names == self._read:
            self._changed_at = None
            return StepResult(released=_leaving(instances))
        if self._changed_at is None:
            self._changed_at = now
        left = max(self._changed_at + self._output.gather, self._not_before) - now
        if left > 0:
            return self._unread(instances, serving, left)
        self._write(serving, names, now)
        return self.step(instances, now) if self._read == names else self._unread(instances, serving, SOON)

    def _unread(
        self, instances: Sequence[BalancedInstance], serving: Sequence[BalancedInstance], left: float
    ) -> StepResult:
        """The file is still to be read. If that has failed, a stop waits for it only while another instance could take
        the requests: when everything ends the balancer has often ended first, and nginx refuses an upstream without servers.
        """
        in_vain = self._fault and not serving
        return StepResult(released=_leaving(instances) if in_vain else (), fault=self._fault, again_in=left)

    def _write(self, serving: Sequence[BalancedInstance], names: frozenset[tuple[str, str, int]], now: float) -> None:
        try:
            write_whole(self._output.path, self._template.render(self._type, serving).encode())
        except ProcmanError as error:
            self._failed(text_of(error), now)
            return
        if self._output.reload:
            self._read = None
            self._reload = ReloadRun(self._output.reload, names)
        else:
            self._read, self._fault = names, ""

    def _ended(self, reload: ReloadRun, now: float) -> bool:
        """Whether the command has ended, and its outcome."""
        if reload.is_alive():
            return False
        self._reload = None
        if reload.fault:
            self._failed(reload.fault, now)
        else:
            self._read, self._fault = reload.names, ""
        return True

    def _failed(self, fault: str, now: float) -> None:
        """Try everything again, after a moment."""
        self._fault = fault
        self._not_before = now + CALM


def _leaving(instances: Sequence[BalancedInstance]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((i.name, i.generation) for i in instances if i.draining))


class ReloadRun(threading.Thread):
    """Runs the command, for PATIENCE at most; `fault` is "" if it succeeds. `names` are the instances in the file that
    it reads.
    """

    def __init__(self, command: str, names: frozenset[tuple[str, str, int]]) -> None:
        super().__init__(name="reload", daemon=True)
        self.names = names
        self.fault = ""
        self._command = command
        self.start()

    def run(self) -> None:
        try:
            run(self._command)
        except ProcmanError as error:
            self.fault = text_of(error)


def run(command: str, patience: float = PATIENCE) -> None:
    """Run a command in a group of its own. Raises ProcmanError with its last line where it fails."""
    try:
        child = subprocess.Popen(  # noqa: S603  the user's own command
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ProcmanError(f"cannot reload: `{command}` cannot be started: {error.strerror or error}") from None
    with child:
        try:
            output, _ = child.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)  # not reaped yet: its number cannot belong to another process
            raise ProcmanError(f"cannot reload: `{command}` took longer than {patience:g} s") from None
    if child.returncode:
        said = output.decode(errors="replace").strip().rpartition("\n")[2][:200]
        raise ProcmanError(f"cannot reload: `{command}` ended with {child.returncode}{f': {said}' if said else ''}")
