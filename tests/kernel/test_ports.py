"""Who listens on a port."""

from __future__ import annotations

import os
import socket

import pytest

from procman.kernel.process.ports import stranger_on

NOBODY = 2**22


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
