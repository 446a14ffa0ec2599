"""What procman says to systemd: READY once everything is up, what runs, that it ends, and that it is alive."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procman.core.view import Change, FleetView, InstanceView, Kind
from procman.kernel.loop.reactor import Reactor
from procman.kernel.survive import service
from procman.kernel.survive.service import Service

DEADLINE = 20.0


class Manager:
    """A service manager, and a formation that the test moves."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.setblocking(False)
        self.reactor = Reactor()
        self.reactor._running = True
        self.phases = {"web.1": "starting", "web.2": "starting", "job.1": "done"}
        self.crash_loops: set[str] = set()
        self.got: list[str] = []
        self.service = Service(self.reactor, {"NOTIFY_SOCKET": str(folder / "notify"), **more}, self.view)
        self.service.start()

    def view(self) -> FleetView:
        rows = [
            InstanceView(
                name=name,
                type=name[:-2],
                phase=phase,
                pid=None,
                generation=1,
                reason=None,
                crash_loop=name in self.crash_loops,
            )
            for name, phase in self.phases.items()
        ]
        return FleetView(formation={"web": 2, "job": 1}, instances=tuple(rows), stopping=False)

    def change(self, kind: Kind) -> None:
        self.service.changed(0.0, Change(event=kind, text=""))

    def turn(self, until: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE
        while not until():
            assert time.monotonic() < end, self.got
            self.reactor.call_at(time.monotonic() + 0.005, lambda: None)
            self.reactor._round()
            try:
                self.got.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                continue


@pytest.fixture
def managed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Manager]]:
    monkeypatch.setattr(service, "STATUS_AFTER", 0.02)
    made: list[Manager] = []

    def make(**more: str) -> Manager:
        made.append(Manager(tmp_path, **more))
        return made[-1]

    yield make
    for manager in made:
        manager.reactor.close()
        manager.socket.close()


def test_a_crash_loop_and_what_waits_for_it_do_not_keep_it_from_being_ready(managed: Callable[..., Manager]) -> None:
    """Else systemd would end the whole service at TimeoutStartSec=, for one broken worker."""
    manager = managed()
    manager.phases |= {"web.1": "backoff", "web.2": "waiting"}
    manager.change(Kind.ENDED)
    manager.turn(lambda: manager.got)
    assert "READY=1" not in manager.got
    manager.crash_loops.add("web.1")
    manager.change(Kind.CRASH_LOOP)
    manager.turn(lambda: "READY=1" in manager.got)


def test_it_is_ready_once_everything_is_and_says_so_once(managed: Callable[..., Manager]) -> None:
    manager = managed()
    manager.turn(lambda: manager.got)
    assert manager.got == ["STATUS=web 0/2, job 0/1"]
    manager.phases["web.1"] = "ready"
    manager.change(Kind.READY)
    manager.turn(lambda: "STATUS=web 1/2, job 0/1" in manager.got)
    assert "READY=1" not in manager.got
    manager.phases["web.2"] = "ready"
    manager.change(Kind.READY)
    manager.turn(lambda: "STATUS=web 2/2, job 0/1" in manager.got)
    manager.phases["web.2"] = "backoff"
    manager.change(Kind.BACKOFF)
    manager.turn(lambda: manager.got[-1] == "STATUS=web 1/2, job 0/1")
    assert manager.got.count("READY=1") == 1


def test_a_reload_and_the_end_are_said_at_once(managed: Callable[..., Manager]) -> None:
    manager = managed()
    manager.change(Kind.RELOADED)
    manager.change(Kind.SHUTDOWN)
    manager.turn(lambda: "STOPPING=1" in manager.got)
    reloading, ready = manager.got[:2]
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert ready == "READY=1"


def test_the_watchdog_is_fed_twice_in_its_time(managed: Callable[..., Manager]) -> None:
    manager = managed(WATCHDOG_USEC="100000", WATCHDOG_PID=str(os.getpid()))
    manager.turn(lambda: manager.got.count("WATCHDOG=1") == 3)


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "50000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
def test_the_watchdog_of_another_process_is_not_fed(managed: Callable[..., Manager], more: dict[str, str]) -> None:
    manager = managed(**more)
    end = time.monotonic() + 0.2
    manager.turn(lambda: time.monotonic() > end)
    assert "WATCHDOG=1" not in manager.got


def test_a_manager_that_has_gone_is_not_missed(managed: Callable[..., Manager]) -> None:
    manager = managed()
    manager.socket.close()
    manager.change(Kind.SHUTDOWN)
    manager.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
