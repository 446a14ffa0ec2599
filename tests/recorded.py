"""What an older procman and its client said to each other: recorded, and played to those of today.

`recordings/VERSION.jsonl` has each message with the verb that was called, the connection and who sent it;
`VERSION.schema.json` is the schema of that version's protocol, which says what its peers can read.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from typing import Any

import jsonschema

FOLDER = Path(__file__).with_name("recordings")
VERSION = "0.1.0"

Message = dict[str, Any]

RESULTS = {
    "hello": "Hello",
    "ps": "Ps",
    "scale": "Accepted",
    "restart": "Accepted",
    "stop": "Accepted",
    "signal": "Accepted",
    "reload": "Accepted",
    "shutdown": "Accepted",
    "events": "StreamStarted",
    "logs": "StreamStarted",
}
"""What each method answers."""


class Recording:
    """One version's."""

    def __init__(self, version: str = VERSION) -> None:
        self._said = [json.loads(line) for line in (FOLDER / f"{version}.jsonl").read_text().splitlines()]
        schema = json.loads((FOLDER / f"{version}.schema.json").read_text())
        self.definitions: dict[str, Message] = schema["$defs"]

    def frames(self, sender: str, *verbs: str) -> list[Message]:
        """Everything that one side said, in its order, while these verbs were called (all where none is named)."""
        return [m["frame"] for m in self._said if m["from"] == sender and (not verbs or m["verb"] in verbs)]

    def request(self, method: str, *verbs: str, at: int = 0) -> Message:
        """What the client asked, the n-th time."""
        return [frame for frame in self.frames("client", *verbs) if frame["method"] == method][at]

    def results(self, method: str, *verbs: str) -> list[Message]:
        """What procman answered to a method, in its order."""
        return [result for _, result in self.answers(method, *verbs)]

    def answers(self, method: str, *verbs: str) -> list[tuple[Message, Message]]:
        """The parameters that a method was called with, and what was answered."""
        asked = {_key(m): m["frame"]["params"] for m in self._said if m["frame"].get("method") == method}
        return [
            (asked[_key(m)], m["frame"]["result"])
            for m in self._said
            if "result" in m["frame"] and _key(m) in asked and (not verbs or m["verb"] in verbs)
        ]

    def validator(self, name: str) -> jsonschema.Draft202012Validator:
        """What that version reads as `request`, `notification` or one of its results."""
        return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": self.definitions})


def _key(said: Message) -> tuple[object, ...]:
    """What an answer and its request have in common."""
    return said["verb"], said["connection"], said["frame"].get("id")


class OlderServer:
    """Answers as the recorded procman did while a verb was called: to the same parameters the same, else the n-th time as it
    then was.

    What its protocol does not have is refused, in its words. What it told unasked follows the next `ps` after a stream
    was opened.
    """

    def __init__(self, path: str, recording: Recording, *verbs: str) -> None:
        self.asked: list[Message] = []
        self._recording = recording
        self._request = recording.validator("request")
        self._answers = {method: recording.answers(method, *verbs) or recording.answers(method) for method in RESULTS}
        self._news = [frame for frame in recording.frames("server", *verbs) if "method" in frame]
        self._stream: socket.socket | None = None
        self._peers: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

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
                request = json.loads(line)
                self.asked.append(request)
                if request["method"] in ("events", "logs"):
                    self._stream = peer  # before the answer, which may be followed by a `ps` at once
                self._send(peer, self._answer(request) | {"id": request["id"]})
                if request["method"] == "ps" and self._stream is not None:
                    self._send(self._stream, *self._news)
                    self._news = []
                    del self._answers["ps"][:-1]  # as it was after all that

    def _answer(self, request: Message) -> Message:
        method = request["method"]
        if method not in RESULTS:
            return self._refusal(-32601, "'wait'", f"'{method}'")
        if not self._request.is_valid(request):
            return self._refusal(
                -32602, "of scale: Object contains unknown field `remove`", f"of {method}: an unknown field"
            )
        answers = self._answers[method]
        same = [n for n, (params, _) in enumerate(answers) if _given(params) == _given(request["params"])]
        at = same[0] if same else 0
        _, result = answers[at] if len(answers) == 1 else answers.pop(at)
        return {"jsonrpc": "2.0", "result": result}

    def _refusal(self, code: int, recorded: str, text: str) -> Message:
        frames = self._recording.frames("server", "newer members")
        error = next(
            f["error"] for f in frames if f.get("error", {}).get("code") == code and recorded in f["error"]["message"]
        )
        return {"jsonrpc": "2.0", "error": error | {"message": error["message"].replace(recorded, text)}}

    @staticmethod
    def _send(peer: socket.socket, *messages: Message) -> None:
        peer.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))


def _given(params: Message) -> Message:
    """Without what the older client sent although it was the default."""
    return {name: value for name, value in params.items() if value}
