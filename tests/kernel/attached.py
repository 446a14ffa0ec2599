"""Instances that somebody is attached to, with real pseudo-terminals behind a real server."""

import base64
import os
import signal
import tty
from contextlib import suppress

from served import Served

from procman.kernel.output import terminals as terminal
from procman.kernel.output.formatting import Format
from procman.kernel.output.multiplexer import Multiplexer
from procman.kernel.output.sinks import Sink
from procman.serve.connection import ConnectionLimits


class Stage(Served):
    """A server whose instances are pseudo-terminals, and pipes, of this test. The first terminal installs handlers of
    signals: they are put back at the end.
    """

    def __init__(self, folder):
        super().__init__(folder, ConnectionLimits(streams=4))
        self.handlers = {number: signal.getsignal(number) for number in (signal.SIGWINCH, signal.SIGCONT)}
        self.null = os.open(os.devnull, os.O_WRONLY)
        sink = Sink(self.reactor, self.null, on_trouble=print)
        self.out = self.backend.output = Multiplexer(self.reactor, sink, self.backend.history, Format(timestamps=False))
        self.sides = []

    def __exit__(self, *exc):
        super().__exit__(*exc)
        for fd in (*self.sides, *(stream.fd for stream in self.out._reader.streams), self.null):
            os.close(fd)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def terminal(self, name="web.1"):
        """A run with a terminal: its stream, and the program's side of it, raw and non-blocking."""
        made = terminal.open_terminal(self.out.terminals.size_of(name))
        tty.setraw(made.slave)
        os.set_blocking(made.slave, False)
        self.sides.append(made.slave)
        return self.out.open(name, "web", made.master, terminal=True), made.slave

    def pipe(self, name="web.1"):
        read, write = os.pipe()
        self.sides.append(write)
        return self.out.open(name, "web", read), write

    def end(self, stream, side):
        """The run is over."""
        self.sides.remove(side)
        os.close(side)
        self.out.close(stream)

    def read(self, side, count):
        """So many bytes that were typed."""
        found = b""

        def enough():
            nonlocal found
            with suppress(BlockingIOError):
                found += os.read(side, 65536)
            return len(found) >= count

        self.drive(enough)
        return found


def attach(peer, name="web.1", **params):
    return peer.ask("attach", {"instance": name, **params})["result"]


def type_into(peer, attached, text, id=7):  # noqa: A002
    return peer.ask("input", {"stream": attached["stream"], "text": text}, id)


def output_of(peer, count):
    """So many bytes of output, from as many notifications as there are; nothing else may come."""
    found = b""
    while len(found) < count:
        message = peer.messages(1)[0]
        assert message["method"] == "output", message
        params = message["params"]
        found += base64.b64decode(params["base64"]) if "base64" in params else params.get("text", "").encode()
    return found


def keyboard_of(peer):
    message = peer.messages(1)[0]
    assert message["method"] == "keyboard", message
    return message["params"]["keyboard"]


def size_of(side):
    return tuple(os.get_terminal_size(side))
