"""A client of an older version, as it was recorded, with the procman of today: all that it is told it can read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from harness import Line, Supervisor, UpgradedError, World
from upgrades import upgrade

from recorded import RESULTS, Recording

RECORDING = Recording()
NOTIFICATION = RECORDING.validator("notification")


class OlderLine(Line):
    """A connection of the older client, which ends at what it cannot read."""

    def play(self, request: dict[str, Any], **changed: Any) -> dict[str, Any]:
        """Ask what was recorded."""
        method = request["method"]
        answer = self.ask(method, **(request["params"] | changed))
        RECORDING.validator(RESULTS[method]).validate(answer)
        return answer

    def next(self) -> dict[str, Any]:
        message = super().next()
        if "method" in message:
            NOTIFICATION.validate(message)
        return message

    def until(self, method: str, **wanted: str) -> dict[str, Any]:
        """The next notification of this kind whose text, or whose change, is so."""
        while True:
            message = self.next()
            params = message["params"]
            if message["method"] == method and wanted.items() <= (params.get("change") or params).items():
                return dict(params)

    def numbers(self) -> list[int]:
        """Those of the changes that are told until procman is replaced."""
        found = []
        with suppress(UpgradedError):
            while True:
                found.append(self.next()["params"]["number"])
        return found


@contextmanager
def older(supervisor: Supervisor) -> Iterator[OlderLine]:
    with supervisor.connected() as line:
        yield OlderLine(line.peer)


@pytest.fixture
def supervisor(world: World) -> Supervisor:
    world.procfile(web='echo "web on $PORT"; exec sleep 1000', worker="echo worker; exec sleep 1000")
    started = world.start()
    started.phase(web_1="ready", worker_1="ready")
    return started


def test_it_scales_and_waits(supervisor):
    verb = "scale --wait"
    with older(supervisor) as calls, older(supervisor) as changes:
        assert calls.play(RECORDING.request("scale", verb))["formation"] == {"web": 1, "worker": 1}
        assert calls.play(RECORDING.request("scale", verb, at=1))["instances"] == ["web.2"]
        calls.play(RECORDING.request("ps", verb))
        changes.play(RECORDING.request("events", verb))
        changes.until("event", event="ready", instance="web.2")
        rows = calls.play(RECORDING.request("ps", verb))["fleet"]["instances"]
        assert {row["name"]: row["phase"] for row in rows}["web.2"] == "ready"


def test_it_follows_events_through_an_upgrade(supervisor):
    with older(supervisor) as line:
        line.play(RECORDING.request("events", "events"))
        supervisor.ask("scale", to={"web": 2})
        line.until("event", event="scaled")
        line.until("event", event="ready", instance="web.2")
        supervisor.ask("restart", names=["web.2"])
        upgrade(supervisor)
        number = line.numbers()[-1]
    with older(supervisor) as line:
        assert line.play(RECORDING.request("events", "upgrade"), after=number)["upgrades"] == 1
        assert line.until("event", event="upgraded").get("missed", 0) == 0
        supervisor.ask("restart", names=["web.1"])
        line.until("event", event="started", instance="web.1")
        supervisor.ask("scale", to={"web": 1})
        line.until("event", event="stopped", instance="web.2")


def test_it_follows_output_through_an_upgrade(supervisor):
    with older(supervisor) as line:
        after = line.play(RECORDING.request("logs", "logs -f"))["after"]
        for text in ("web on 5000\n", "worker\n"):
            told = line.until("output", text=text)
            after[told["instance"]] = told["after"]
        upgrade(supervisor)
        with pytest.raises(UpgradedError):
            line.next()
    with older(supervisor) as line:
        assert line.play(RECORDING.request("logs", "upgrade2"), after=after)["upgrades"] == 1
        supervisor.ask("restart", names=["worker"])
        assert line.until("output", instance="worker.1")["after"] == after["worker.1"] + len("worker\n")
