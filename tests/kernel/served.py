"""A server over a real reactor and real sockets, with a backend in memory; driven step by step from the test."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from procman.core.actions import Refuse, Reply
from procman.core.events import Released, Reported
from procman.core.view import Change, FleetView, InstanceView, Kind, TypeView
from procman.kernel.loop.reactor import Reactor
from procman.kernel.output.history import History
from procman.serve.connection import ConnectionLimits
from procman.serve.lazyserver import LazyServer

DEADLINE = 10.0


class Backend:
    """Remembers the commands and answers each with `reply`."""

    def __init__(self, root="/srv/app"):
        self.root = root
        self.history = History()
        self.output = None  # see test_attachments
        self.formation = {"web": 2, "worker": 0}
        self.types: tuple[TypeView, ...] = ()
        self.companions = ()
        self.commands = []
        self.faults = []
        self.reply = lambda _command: Reply(0, ("web.1",), self.formation, 7)
        self.upgrades = 0
        self.operations = {}
        self.released = []
        self.reported = []
        self.upgrading = []

    def view(self):
        names = [f"{t}.{n + 1}" for t, count in self.formation.items() for n in range(count)]
        rows, companions = tuple(map(instance, names)), tuple(map(instance, self.companions))
        return FleetView(
            formation=self.formation, instances=rows, companions=companions, stopping=False, types=self.types
        )

    @property
    def fleet(self):
        return SimpleNamespace(counts=self.formation)

    def why(self, name):
        return (f"{name} is ready",)

    def post(self, event):
        match event:
            case Released():
                self.released.append((event.name, event.generation, event.by))
            case Reported():
                self.reported.append((event.name, event.generation, event.fault))

    def operation(self, number):
        return self.operations.get(number)

    def command(self, command, answer):
        self.commands.append(command)
        answer(self.reply(command))

    def reload(self, answer):
        answer(self.reply(None))

    def upgrade(self, answer):
        self.upgrading.append(answer)

    def fault(self, error):
        self.faults.append(error)


def instance(name):
    return InstanceView(
        name=name,
        type=name.rpartition(".")[0],
        phase="ready",
        pid=4242,
        port=5000,
        restarts=0,
        generation=1,
        uptime=1.0,
        age=1.0,
        reason=None,
        last_exit=None,
        crash_loop=False,
    )


def change(text="web.1 is ready"):
    return Change(event=Kind.READY, text=text, instance="web.1", type="web", phase="ready")


def refuse(message, hint=""):
    return lambda _command: Refuse(0, message, hint)


class Peer:
    """A raw client: sends bytes as they are and collects the lines that come."""

    def __init__(self, served, connected):
        self.served = served
        self.socket = connected
        self.socket.setblocking(False)
        self.received = b""
        self.closed = False

    def send(self, *lines):
        """Send every byte, or as many as are taken before the server closes."""
        left = memoryview(
            b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
        )

        def sent():
            nonlocal left
            try:
                left = left[self.socket.send(left) :]
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                left = left[:0]
            return not left

        self.served.drive(sent)

    def poll(self):
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.received += data
        self.closed = self.closed or not data

    def caught_up(self, newest):
        """Take notifications until the text of one ends so: how many characters they told, and how many bytes were missed."""
        told = missed = 0
        text = ""
        while not text.endswith(newest):
            params = self.messages(1)[0]["params"]
            text = params["text"]
            told += len(text)
            missed += params.get("missed", 0)
        return told, missed

    def messages(self, count):
        """The next `count` messages."""

        def enough():
            self.poll()
            return self.received.count(b"\n") >= count or self.closed

        self.served.drive(enough)
        *lines, rest = self.received.split(b"\n", count)
        assert len(lines) == count, (lines, rest)
        self.received = rest
        return [json.loads(line) for line in lines]

    def ask(self, method, params=None, id=1):  # noqa: A002
        """The answer to one request."""
        self.send(request(method, params, id))
        return self.messages(1)[0]

    def wait_closed(self):
        def gone():
            self.poll()
            return self.closed

        self.served.drive(gone)


def request(method, params=None, id=1):  # noqa: A002
    message = {"jsonrpc": "2.0", "id": id, "method": method}
    return message if params is None else message | {"params": params}


class Served:
    """Everything together; a context manager."""

    def __init__(self, folder, limits=None, listener=None):
        self.path = str(folder / "s")
        self.reactor = Reactor()
        self.backend = Backend()
        self.peers = []
        if listener is None:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self.path)
        listener.listen(512)
        self.listener = listener
        self.listening = LazyServer(self.reactor, [listener], self.backend, limits or ConnectionLimits())
        self.server = self.listening.load()
        self.open = True
        self.threads = ThreadPoolExecutor(4)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for peer in self.peers:
            peer.socket.close()
        self.close()
        self.threads.shutdown(wait=True)
        self.reactor.close()

    def close(self):
        if self.open:
            self.open = False
            self.listening.close()

    def peer(self):
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(self.path)
        peer = Peer(self, connected)
        self.peers.append(peer)
        return peer

    def drive(self, until, seconds=DEADLINE):
        """Run the loop until something holds; fails at the deadline."""
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "not reached in time"
            self.reactor.call_at(time.monotonic() + 0.001, lambda: None)
            self.reactor._round()

    def blocking(self, function, *args):
        """The result of a function that blocks, run beside the loop."""
        future = self.threads.submit(function, *args)
        self.drive(future.done)
        return future.result()

    def is_alive(self):
        """A new client is answered."""
        peer = self.peer()
        alive = peer.ask("hello")["result"]["root"] == self.backend.root
        peer.socket.close()
        return alive
