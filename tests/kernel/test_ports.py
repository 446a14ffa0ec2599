"""Who listens on a port."""

from __future__ import annotations

import os
import socket

import pytest

from procman.core.spec import ProcessSpec
from procman.kernel.process import ports
from procman.kernel.process.ports import PortNotes, holder_of
from procman.kernel.process.table import Process

NOBODY = 2**22


def stranger_on(port: int, group: int, *, is_own: bool = False) -> str:
    listener = ports._listener(port)
    return holder_of(port, listener, (group,), lambda _pid: is_own) if listener is not None else ""


def test_a_free_port_has_no_stranger() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert stranger_on(port, NOBODY) == ""


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_stranger_is_named_with_pid_and_program(family: socket.AddressFamily, address: str) -> None:
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip("no such address here")
    with server:
        port = server.getsockname()[1]
        text = stranger_on(port, NOBODY)
    assert text.startswith(f"port {port} is held by pid {os.getpid()} (")


def test_one_of_the_same_group_is_no_stranger() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert stranger_on(server.getsockname()[1], os.getpgrp()) == ""


def test_a_socket_that_only_uses_the_port_does_not_hold_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = client.getsockname()[1]
        assert stranger_on(port, NOBODY) == ""


def test_a_leftover_of_procmans_own_is_called_that() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = stranger_on(server.getsockname()[1], NOBODY, is_own=True)
    assert f"held by its own leftover, pid {os.getpid()} (" in text


def test_a_socket_of_this_user_that_no_process_shows_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a worker which is just ending."""
    monkeypatch.setattr(ports, "_holder", lambda _inode: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert stranger_on(server.getsockname()[1], NOBODY) == ""


def test_one_that_no_process_shows_for_long_is_not_just_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a program in another container with the same network."""
    monkeypatch.setattr(ports, "_holder", lambda _inode: None)
    with socket.create_server(("0.0.0.0", 0)) as server:
        spec = ProcessSpec(type="a", command="x", cwd="/", env={}, port=server.getsockname()[1])
        notes = PortNotes(can_search=True, is_own=lambda _pid: False)
        told = [notes.note(Process("a.1", 1, spec, NOBODY, at), at) for at in (100.0, 100.5, 101.5)]
    assert told[:2] == ["", ""]
    assert "held by a process that cannot be seen from here" in told[2]


def test_one_of_another_user_that_shows_nothing_is_named_by_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_holder", lambda _inode: None)
    listener = ports.ListeningSocket(b"1", 54321)
    assert holder_of(80, listener, (NOBODY,), lambda _pid: False) == "port 80 is held by a process of uid 54321"


def test_the_second_of_two_crashes_is_told_the_name_as_well_without_a_search() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        spec = ProcessSpec(type="a", command="x", cwd="/", env={}, port=server.getsockname()[1])
        notes = PortNotes(can_search=True, is_own=lambda _pid: False)
        told = [notes.note(Process("a.1", 1, spec, NOBODY, 100.0), at) for at in (100.0, 100.01)]
    assert told[0] == told[1]
    assert f"pid {os.getpid()} (" in told[0]
