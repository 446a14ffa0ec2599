"""Procman as a library: a formation that runs for as long as a `with` block lasts, and a client to talk to it.

It starts the same program that the command line starts, as a process of its own with a socket of its own, so that any
number of them can run at a time. `RunningFormation` and what it returns are a supported API; `Client` below it speaks the
control protocol and raises `procman.errors`. Knows no verb, and nothing of the kernel.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from procman.control.client import Client, ClosedError
from procman.control.messages import WaitParams
from procman.control.waiting import EndedError
from procman.core.requests import AwaitedState
from procman.core.view import FleetView, InstanceView
from procman.errors import NotRunningError, ProcmanError

__all__ = ["Client", "FleetView", "FormationError", "InstanceView", "ProcmanError", "RunningFormation"]

TYPES = 10
"""How many types' first ports are checked before a base port is chosen."""
TAIL = 20
"""How many lines of procman's output an error repeats."""


class FormationError(ProcmanError):
    """The formation has ended, or did not reach the state that was waited for. The message contains its last lines."""


class RunningFormation:
    """Runs `procman start` in this folder with these options; `with` returns once every instance is ready or done.

    Ports are free ones unless an option says otherwise. `env` is added to this process's environment. `timeout` is in
    seconds, also for every method. On leaving the `with` block everything is stopped, as by TERM; then `exit_code` is
    procman's.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *options: str, env: Mapping[str, str] | None = None, timeout: float = 60.0
    ) -> None:
        self.folder = os.fspath(folder)
        self.timeout = timeout
        self.exit_code: int | None = None
        self._options = options
        self._env = env or {}
        self._scratch = ""
        self._process: subprocess.Popen[bytes] | None = None

    # ---- its beginning and its end

    def __enter__(self) -> Self:
        self._scratch = tempfile.mkdtemp(prefix="procman-")
        command = [sys.executable, "-P", "-m", "procman", "start", "-d", self.folder, "--socket", self.socket]
        environ = {**os.environ, "PORT": str(free_port()), **self._env}
        try:
            with open(self._log, "wb") as log:
                self._process = subprocess.Popen(  # noqa: S603  our own program
                    [*command, *self._options], env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            self.wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything and wait for it. procman kills what does not stop within its grace."""
        if self._process is not None:
            self._process.terminate()
            self.exit_code = self._process.wait()
            self._process = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    # ---- what it is

    @property
    def socket(self) -> str:
        """The path of its control socket, for `procman ps --socket PATH` or PROCMAN_SOCKET."""
        return os.path.join(self._scratch, "socket")

    @property
    def _log(self) -> str:
        return os.path.join(self._scratch, "log")

    def connect(self) -> Client:
        """A new connection, with every method of the control protocol. Raises NotRunningError."""
        return Client(self.socket, self.timeout)

    def ps(self) -> FleetView:
        with self.connect() as client:
            return client.ps().fleet

    def instance(self, name: str) -> InstanceView:
        """The instance of this name, or the first one of this type. Raises FormationError if there is none."""
        for one in self.ps().instances:
            if name in (one.name, one.type):
                return one
        raise FormationError(f"cannot find an instance or process type '{name}'")

    def port(self, name: str) -> int:
        """The PORT of an instance, or of the first one of a type. Raises FormationError if it has none."""
        port = self.instance(name).port
        if port is None:
            raise FormationError(f"cannot find the port of '{name}': it has none")
        return port

    def url(self, name: str) -> str:
        """`http://127.0.0.1:PORT` of an instance, or of the first instance of a type, once a server listens there."""
        port, deadline = self.port(name), time.monotonic() + self.timeout
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise self._failed(f"cannot wait longer than {self.timeout:g} s for a server on {port}") from None
                time.sleep(0.02)
            else:
                return f"http://127.0.0.1:{port}"

    def logs(self, *names: str) -> str:
        """Kept output in order, of all instances or of these types, names or patterns."""
        with self.connect() as client:
            return "".join(output.text or "" for output in client.logs(names))

    def output(self) -> str:
        """Everything that `procman start` has printed so far, including its own lines."""
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return log.read()

    # ---- changing it

    def scale(self, counts: Mapping[str, int]) -> None:
        """Set counts by type, and wait until these types have as many instances, each of them ready or done."""
        with self.connect() as client:
            client.scale(counts)
        self._wait(tuple(counts), AwaitedState.READY, f"{', '.join(counts)} to be scaled")

    def restart(self, *names: str) -> None:
        """Restart instances (all of them without a name), and wait until each is ready or done again."""
        with self.connect() as client:
            touched = client.restart(names).instances
        if touched:
            self._wait(touched, AwaitedState.READY, f"{', '.join(touched)} to be restarted")

    def stop(self, *names: str) -> None:
        """Stop instances, and wait until they have ended."""
        with self.connect() as client:
            touched = client.stop(names).instances
        if touched:
            self._wait(touched, AwaitedState.STOPPED, f"{', '.join(touched)} to stop")

    def wait(self, *names: str) -> None:
        """Wait until every instance, or those of these names or types, is ready or done. Raises FormationError at the
        timeout, and at once where one has failed or is in a crash loop.
        """
        self._wait(names, AwaitedState.READY, f"{', '.join(names) or 'the formation'} to be ready")

    # ---- waiting

    def _wait(self, names: Sequence[str], until: AwaitedState, what: str) -> None:
        """Raises FormationError if the condition is not reached in time, or cannot be reached any more."""
        deadline = time.monotonic() + self.timeout
        self._listening(deadline)
        try:
            with self.connect() as client:
                waited = client.wait(WaitParams(tuple(names), until, max(0.0, deadline - time.monotonic())))
        except (EndedError, NotRunningError, ClosedError):
            raise self._failed(f"cannot wait for {what}: procman has ended") from None
        if waited.outcome == "late":
            raise self._failed(f"cannot wait longer than {self.timeout:g} s for {what}")
        if waited.outcome != "reached":
            raise self._failed(waited.reason)

    def _listening(self, deadline: float) -> None:
        """Poll until the port answers: no event announces that a socket listens."""
        while True:
            assert self._process is not None, "it is used outside its `with` block"
            ended = self._process.poll() is not None
            try:
                self.connect().close()
            except NotRunningError:
                if ended:
                    raise self._failed("cannot start the formation: procman has ended") from None
                if time.monotonic() > deadline:
                    raise self._failed("cannot start the formation: procman does not answer") from None
                time.sleep(0.01)
            else:
                return

    def _failed(self, message: str) -> FormationError:
        tail = self.output().splitlines()[-TAIL:]
        return FormationError("\n".join([f"{message}; it printed:", *tail]))


def free_port() -> int:
    """A free port whose followers are free too: the first ports of the next types, with the usual step of 100.

    It is below the ports that the system gives to outgoing connections (32768 and up: ip(7)).
    """
    for _ in range(1000):
        base = random.randrange(10_000, 31_000, 10)  # noqa: S311  not a secret
        if all(_is_free(port) for port in range(base, base + 100 * TYPES, 100)):
            return base
    raise ProcmanError("cannot find free ports", "name one: RunningFormation(folder, '--port', '8000')")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
