"""A scripted procman: answers over a real socket, from a list of fleets that each look moves on by one."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable

import msgspec

from procman.control import codec, messages, methods
from procman.control.codec import Error, Request
from procman.control.messages import Happened, Hello, Ps, StreamEnded, StreamStarted
from procman.core.view import Change, FleetView, InstanceView, Kind

NOW = 1_700_000_000.0


def instance(name: str, phase: str = "ready", **fields: object) -> InstanceView:
    """A row of the fleet; everything that is not given is unremarkable."""
    row = {
        "pid": None,
        "port": None,
        "restarts": 0,
        "generation": 1,
        "uptime": None,
        "age": 10.0,
        "reason": None,
        "last_exit": None,
        "crash_loop": False,
    }
    return InstanceView(name=name, type=name.rpartition(".")[0], phase=phase, **(row | fields))


def fleet(*rows: InstanceView, stopping: bool = False) -> FleetView:
    formation: dict[str, int] = {}
    for row in rows:
        formation[row.type] = formation.get(row.type, 0) + 1
    return FleetView(formation=formation, instances=rows, stopping=stopping)


class Script:
    """What the server says. Each `ps` while somebody watches is followed by an event, and the next fleet."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fleets = [fleet()]
        self.answers: dict[str, msgspec.Struct] = {"hello": Hello("9.9.9", 1, "/app", 1)}
        self.after: dict[str, Callable[[], object]] = {}  # what is done after an answer, by method
        self.stream: list[msgspec.Struct] = []
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.asked_event = threading.Condition()
        self._watchers: list[socket.socket] = []
        self._peers: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for(self, method: str) -> None:
        """Block until somebody has called the method."""
        with self.asked_event:
            assert self.asked_event.wait_for(lambda: any(name == method for name, _ in self.asked), timeout=10)

    def tell(self, *messages: msgspec.Struct) -> None:
        """Tell these to whoever has opened a stream last."""
        for message in messages:
            name = next(n for n, kind in methods.NOTIFICATIONS.items() if isinstance(message, kind))
            self._watchers[-1].sendall(codec.encode_notification(name, message))

    def drop(self) -> None:
        """End every connection and go on listening, as procman does when it is replaced by a newer one."""
        peers, self._peers = self._peers, []
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """Say that another program takes over, and end."""
        for peer in self._peers:
            with contextlib.suppress(OSError):  # gone already
                peer.sendall(codec.encode_notification("upgrading", messages.Upgrading()))
        os.unlink(self.path)
        self.close()

    def close(self) -> None:
        for peer in (self._listener, *self._peers):
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peers.append(peer)
                threading.Thread(target=self._serve, args=[peer], daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer, peer.makefile("rb") as lines:
            for line in lines:
                request = msgspec.json.decode(line, type=Request)
                with self.asked_event:
                    self.asked.append((request.method, msgspec.json.decode(request.params)))
                    self.asked_event.notify_all()
                self._answer(peer, request)

    def _answer(self, peer: socket.socket, request: Request) -> None:
        match request.method:
            case "ps":
                view = self.fleets[0]
                peer.sendall(codec.encode_result(request.id, Ps(1, "/app", NOW, view)))
                if self._watchers and len(self.fleets) > 1:
                    del self.fleets[0]
                    self._watchers[-1].sendall(codec.encode_notification("event", happened(Kind.READY, "ready")))
            case "events" | "logs" | "attach":
                self._watchers.append(peer)  # before the answer, which may be followed by a `ps` at once
                peer.sendall(codec.encode_result(request.id, self.answers.get(request.method, StreamStarted(1))))
                self.tell(*self.stream)
            case "shutdown":
                peer.sendall(codec.encode_result(request.id, self.answers["shutdown"]))
                self.close()
            case method if method not in self.answers:
                text = f"cannot find the method '{method}'"
                peer.sendall(codec.encode_error(request.id, codec.Code.METHOD_NOT_FOUND, text))
            case _:
                answer = self.answers[request.method]
                if isinstance(answer, Error):
                    peer.sendall(codec.encode_error(request.id, answer.code, answer.message, answer.data.hint))
                else:
                    peer.sendall(codec.encode_result(request.id, answer))
                self.after.get(request.method, lambda: None)()


def happened(kind: Kind, text: str, **fields: object) -> Happened:
    return Happened(1, NOW, Change(event=kind, text=text, **fields))


END = StreamEnded(1)
