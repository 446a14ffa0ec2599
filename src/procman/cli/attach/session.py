"""Attachment to an instance, from the greeting to the end: sends input and shows output.

The terminal is handled by `raw`, the screen by `screen_state`, waiting input by `input_queue`. procman decides who may
type.
"""

from __future__ import annotations

import base64
import os
import select
import signal
import time
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from procman.cli.attach.input_queue import AT_ONCE, Typed
from procman.cli.attach.raw import make_raw
from procman.cli.attach.screen_state import without_queries
from procman.control.channel import ClosedError, answer
from procman.control.messages import Happened, Keyboard, KeyboardChanged, Output, StreamEnded, Taken
from procman.control.streaming import notification
from procman.core.view import Kind
from procman.errors import NotRunningError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procman.cli.attach.input_queue import DetachKeys
    from procman.cli.attach.screen_state import ScreenState
    from procman.control.client import Client
    from procman.control.codec import Incoming
    from procman.control.messages import Attached
    from procman.core.view import Change, FleetView

CTRL_C = b"\x03"

FULL_SCREEN, FULL_SCREEN_OVER = b"\x1b[?1049h", b"\x1b[?1049l"
"""To the alternate screen and back (xterm's control sequences)."""

BETWEEN_RUNS = {
    *(Kind.STARTED, Kind.START_FAILED, Kind.ENDED),
    *(Kind.STOPPING, Kind.STOPPED, Kind.KILLED, Kind.UNKILLABLE),
}
"""The kinds of events that are shown. The rest comes while a program has the screen, or repeats the same."""


class AttachEnd(Enum):
    """Why an attachment has ended."""

    DETACHED = auto()
    NO_MORE_INPUT = auto()
    REMOVED = auto()
    LOST = auto()  # procman has ended
    UPGRADED = auto()  # procman was upgraded, and attaching again works


class Endpoints(NamedTuple):
    """The two ends of an attachment. `person`: standard input is a terminal, which is in raw mode."""

    detach: DetachKeys
    read_only: bool
    person: bool


class AttachSession:
    """One attachment, from its greeting to its end."""

    def __init__(self, client: Client, attached: Attached, way: Endpoints, shown: ScreenState) -> None:
        self._client = client
        self._channel = client.channel
        self._name = attached.instance
        self._stream = attached.stream
        self._kept_left = attached.kept
        self._kept = b""  # earlier output that is still to come
        self._keyboard = attached.keyboard
        self._way = way
        self._shown = shown
        self._typed = Typed(self._send_typed)
        self._input: int | None = None  # the request that has not been answered yet
        self._reads = way.person or not way.read_only  # standard input
        self._has_typed = False
        # whether there has been nothing to type into so far
        self._mute = way.read_only or not attached.keyboard.terminal
        self._has_explained = False  # whether input is discarded
        self._ending: AttachEnd | None = None
        self._welcome = ""  # shown once, after the earlier output, which may fill the screen

    def follow(self, fleet: FleetView, wake: int) -> AttachEnd:
        """Show output and send input until one of them ends. `fleet` is the fleet just before; `wake` is the descriptor
        of `wakes()`.
        """
        self._welcome = f"{self._greeting(fleet)}; {self._detach_words} detaches"
        if not self._kept_left:
            self._print_welcome()
        self._take()
        while self._ending is None:
            self._turn(wake)
        if self._ending is AttachEnd.LOST and self._channel.upgrading:
            self._ending = self._upgraded()
        return self._ending

    def _upgraded(self) -> AttachEnd:
        """Attach again after an upgrade. A person sees which keys are missing. Raises RefusedError if input from a
        pipe was lost.
        """
        if not self._way.person and not self._typed.empty:
            text = f"cannot tell how much of the piped input {self._name} got: procman was upgraded meanwhile"
            raise RefusedError(text, "its output may show it")
        return AttachEnd.UPGRADED

    def leave(self, ending: AttachEnd) -> int:
        """Say how it ended, on a restored screen; returns the exit code. Raises NotRunningError."""
        self._shown.raw = False
        self._shown.end_line()
        match ending:
            case AttachEnd.DETACHED:
                self._print(f"detached from {self._name}")
            case AttachEnd.REMOVED:
                self._print(f"{self._name} was removed")
            case AttachEnd.LOST:
                raise NotRunningError(f"cannot continue with {self._name}: procman has ended")
            case AttachEnd.NO_MORE_INPUT | AttachEnd.UPGRADED:
                pass
        return 0

    # ---- what is said

    @property
    def _detach_words(self) -> str:
        return self._way.detach.words if self._way.person and not self._mute else "Ctrl-C"

    def _greeting(self, fleet: FleetView) -> str:
        row = next((row for row in fleet.instances if row.name == self._name), None)
        if not self._keyboard.terminal:
            if row is None or row.pid is None:
                phase = f", which is {row.phase}" if row is not None else ""
                return f"watching {self._name}{phase} and writes nothing until it runs"
            hint = "`tty: true` in procman.yml or `procman start --tty` gives it one"
            return f"watching {self._name}, which has no terminal and so reads no keys: {hint}"
        if self._way.read_only:
            return f"watching {self._name}"
        if self._may_type():
            return f"attached to {self._name}"
        return f"watching {self._name}, because {self._typist()} types there"

    def _typist(self) -> str:
        typist = self._keyboard.typist
        if typist is None:
            return "nobody"
        since = time.strftime("%H:%M:%S", time.localtime(typist.since))
        return f"{f'pid {typist.pid}' if typist.pid else 'somebody'} (since {since})"

    def _print(self, text: str) -> None:
        self._shown.print_line(text)

    # ---- the loop

    def _turn(self, wake: int) -> None:
        waited = [self._channel.fileno(), wake]
        if self._reads and (self._way.person or self._typed.room >= AT_ONCE):
            waited.append(0)
        ready, _, _ = select.select(waited, [], [])
        with suppress(ConnectionError):  # procman closed the connection: its last messages are read below
            if wake in ready:
                self._woken(os.read(wake, 512))
            if 0 in ready:
                self._read_keys()
        if self._channel.fileno() in ready:
            if not self._channel.receive():
                self._ending = self._ending or AttachEnd.LOST
            self._take()

    def _woken(self, numbers: bytes) -> None:
        if signal.SIGCONT in numbers and self._way.person:
            make_raw()
        self._client.send_size(self._stream, *size())

    # ---- what is typed

    def _read_keys(self) -> None:
        try:
            data = os.read(0, AT_ONCE)
        except OSError:  # EIO: the terminal is gone
            data = b""
        if not data:
            self._reads = False
            self._end_with_input()
            return
        if self._way.person:
            data, detached = self._way.detach.feed(data)
            if detached or (self._mute and CTRL_C in data):
                self._ending = AttachEnd.DETACHED
        if not data or self._way.read_only:
            return
        if self._keyboard.terminal and self._may_type():
            self._has_typed = True
            if not self._typed.add(data):
                self._print_once(f"{self._name} reads nothing: what is typed is lost until it does")
        else:
            self._refuse_keys()

    def _may_type(self) -> bool:
        return self._keyboard.yours or self._keyboard.typist is None

    def _refuse_keys(self) -> None:
        """Discard input. Input from a pipe ends the attachment."""
        why = f"{self._typist()} types there" if self._keyboard.terminal else "it has no terminal, or is not running"
        refusal = f"cannot type into {self._name}: {why}"
        if not self._way.person:
            raise RefusedError(refusal)
        self._print_once(f"{refusal}; {self._detach_words} detaches")

    def _print_once(self, text: str) -> None:
        """Show a message once, until something changes."""
        if not self._has_explained:
            self._has_explained = True
            self._print(text)

    def _send_typed(self, data: bytes) -> None:
        self._input = self._client.send_input(self._stream, data)

    def _end_with_input(self) -> None:
        """Leave once all input from a pipe has been accepted. With no input at all (`</dev/null`) it only watches."""
        if not self._reads and (self._way.person or (self._has_typed and self._typed.empty)):
            self._ending = self._ending or AttachEnd.NO_MORE_INPUT

    # ---- notifications

    def _take(self) -> None:
        """Handle all messages received."""
        for message in self._channel.take():
            if message.id is not None and message.id == self._input:
                self._answered(message)
            else:
                notified = notification(message)
                if getattr(notified, "stream", None) == self._stream:
                    self._notified(notified)

    def _answered(self, message: Incoming) -> None:
        self._input = None
        try:
            taken = answer(message, Taken)
        except RefusedError:
            if not self._way.person:
                raise
            self._typed.refused()  # another client was first, or the instance ended: a `keyboard` notification says which
        else:
            self._typed.taken(taken.taken)
        self._end_with_input()

    def _notified(self, notified: object) -> None:
        match notified:
            case Output():
                self._show(notified)
            case Happened():
                self._show_change(notified.change)
            case KeyboardChanged():
                self._keyboard_changed(notified.keyboard)
            case StreamEnded():
                self._ending = self._ending or self._removed()
            case _:
                pass  # of a newer procman

    def _removed(self) -> AttachEnd:
        """Whether the stream ended because the instance was removed, and not because procman ended."""
        try:
            self._client.hello(again=True)
        except ClosedError:
            return AttachEnd.LOST
        return AttachEnd.REMOVED

    def _show(self, output: Output) -> None:
        data = base64.b64decode(output.base64) if output.base64 is not None else (output.text or "").encode()
        if output.missed:
            self._kept_left = max(0, self._kept_left - output.missed)
            if not self._kept_left:
                self._print_welcome()
            self._print(f"{output.missed} bytes of output are skipped: this screen was too slow")
        if self._kept_left:
            past, data = data[: self._kept_left], data[self._kept_left :]
            self._kept_left -= len(past)
            self._kept += past
            if self._kept_left:
                return
            data = self._shown_past() + data
        if not (self._keyboard.yours and self._way.person):
            data = without_queries(data)  # only the typist's terminal may answer queries
        self._shown.write(data, terminal=self._keyboard.terminal)

    def _shown_past(self) -> bytes:
        """Show the earlier output except its last line, which may be a prompt and so comes after the welcome. If a
        program has the whole screen, the welcome comes first, and is visible again when that screen is left.
        """
        past, self._kept = without_queries(self._kept), b""
        if past.rfind(FULL_SCREEN) > past.rfind(FULL_SCREEN_OVER):
            self._print_welcome()
            return past
        end = past.rfind(b"\n") + 1
        if end:
            self._shown.write(past[:end], terminal=self._keyboard.terminal)
        self._print_welcome()
        return past[end:]

    def _print_welcome(self) -> None:
        welcome, self._welcome = self._welcome, ""
        if welcome:
            self._print(welcome)

    def _show_change(self, change: Change) -> None:
        if change.event in BETWEEN_RUNS:
            if change.event is not Kind.STOPPING:
                self._shown.undo()  # the last run's text would stay on the screen
            self._print(change.text)

    def _keyboard_changed(self, keyboard: Keyboard) -> None:
        before, self._keyboard = self._keyboard, keyboard
        self._has_explained = False
        if keyboard.terminal:
            self._mute = self._way.read_only
            self._typed.may_go_on()
        elif self._way.person or self._typed.empty:
            self._typed.refused()
        else:
            self._refuse_keys()
        others = before.typist is not None and not before.yours
        if others and keyboard.typist is None and keyboard.terminal and not self._way.read_only:
            self._print(f"you can type into {self._name} now: the other client has detached")


@contextmanager
def wakes() -> Iterator[int]:
    """A descriptor that becomes readable when the screen was resized, or this process was stopped and continued. Enter
    it before reading the size.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGWINCH, signal.SIGCONT):
        signal.signal(number, lambda _number, _frame: None)
    try:
        yield woken
    finally:
        signal.set_wakeup_fd(-1)
        os.close(woken)
        os.close(wake)


def size() -> tuple[int, int]:
    """Columns and rows of this terminal; zeros where there is none."""
    for fd in (1, 0, 2):
        try:
            columns, rows = os.get_terminal_size(fd)
        except OSError:
            continue
        return columns, rows
    return 0, 0
