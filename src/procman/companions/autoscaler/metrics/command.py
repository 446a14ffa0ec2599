"""`command`: a number that a command prints. The command has a deadline and a process group of its own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time

from procman.companions.autoscaler.metrics import ReadingError, number
from procman.companions.autoscaler.metrics.documents import plain_number

LONGEST = 4096
"""Most bytes of output, which should be one number."""

CHECK_AGAIN = 0.01
"""Seconds to wait for a command's end after the end of its output, which usually comes together."""


class CommandGauge:
    """Runs the command with /bin/sh in the current folder, which is the root, as procman's user."""

    def __init__(self, command: str, timeout: float) -> None:
        self._command = command
        self._timeout = timeout

    def read(self, *_: object) -> float:
        deadline = time.monotonic() + self._timeout
        try:
            child = subprocess.Popen(  # noqa: S603  the user's own command
                ["/bin/sh", "-c", self._command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise ReadingError(f"cannot start the command: {error.strerror or error}") from None
        with child:
            try:
                output = self._output(child, deadline)
                self._await_end(child, deadline)
            except subprocess.TimeoutExpired:
                raise ReadingError(f"the command took longer than {self._timeout:g} s") from None
            finally:
                # Always kill the group: processes that the command left in the background are not wanted. The leader is not
                # reaped yet, so that its number cannot belong to another process.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
        code = child.returncode
        if code:
            raise ReadingError(f"the command ended with {f'signal {-code}' if code < 0 else f'exit {code}'}")
        return number(plain_number(output.decode(errors="replace")))

    def _output(self, child: subprocess.Popen[bytes], deadline: float) -> bytes:
        """All output. Raises TimeoutExpired, and ReadingError if it is too long."""
        assert child.stdout is not None
        output = b""
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                raise subprocess.TimeoutExpired(self._command, self._timeout)
            piece = os.read(child.stdout.fileno(), LONGEST)
            if not piece:
                return output
            output += piece
            if len(output) > LONGEST:
                raise ReadingError("the command printed more than a number")

    def _await_end(self, child: subprocess.Popen[bytes], deadline: float) -> None:
        """Wait until it has ended. It stays a zombie."""
        while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(self._command, self._timeout)
            time.sleep(CHECK_AGAIN)
