"""Listening sockets that outlive the processes that serve them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procman.core.policies import ListenSocket
from procman.core.spec import ProcessSpec
from procman.kernel.process import spawn
from procman.kernel.process.listeners import ABOVE, ListenError, Listeners, handed


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    made = Listeners()
    yield made
    made.close_all()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """procman's, in which relative paths are."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def port_of(fd: int) -> int:
    with socket.socket(fileno=os.dup(fd)) as one:
        port: int = one.getsockname()[1]
        return port


def connects(address: object, family: socket.AddressFamily = socket.AF_INET) -> bool:
    with socket.socket(family) as client:
        return client.connect_ex(address) == 0  # type: ignore[arg-type]


TCP = ListenSocket("http", "tcp://127.0.0.1:0")
UNIX = ListenSocket("admin", "unix://web.sock")


def test_a_socket_is_opened_once_and_takes_connections_that_nobody_has_accepted_yet(listeners: Listeners) -> None:
    [fd] = listeners.open("web", [TCP])
    assert listeners.open("web", [TCP]) == [fd]
    assert fd >= ABOVE
    assert not os.get_inheritable(fd)
    assert os.get_blocking(fd)
    assert connects(("127.0.0.1", port_of(fd)))
    listeners.close("web", [TCP])
    assert listeners.state() == ()


def test_an_address_that_is_taken_is_a_reason_and_leaves_nothing(listeners: Listeners) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = ListenSocket("http", f"tcp://127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(ListenError, match=r"cannot listen on tcp://127.0.0.1:\d+: address already in use"):
            listeners.open("web", [taken])
    assert len(os.listdir("/proc/self/fd")) == descriptors
    listeners.open("web", [taken])


def test_two_types_or_two_names_can_have_one_address_and_the_last_one_closes_it(listeners: Listeners) -> None:
    """As in a reload, which opens the new one before it closes the old one."""
    [fd] = listeners.open("web", [TCP])
    old = ListenSocket("old", f"tcp://127.0.0.1:{port_of(fd)}")
    new = ListenSocket("new", old.address)
    listeners.close("web", [TCP])
    [one] = listeners.open("web", [old])
    [other] = listeners.open("web", [new])
    assert one != other
    listeners.close("web", [old])
    assert connects(("127.0.0.1", port_of(other)))


def test_a_unix_socket_is_made_in_procmans_folder_and_removed_with_the_last(listeners: Listeners, folder: Path) -> None:
    listeners.open("web", [UNIX])
    assert connects(str(folder / "web.sock"), socket.AF_UNIX)
    listeners.close("web", [UNIX])
    assert not (folder / "web.sock").exists()


def test_what_a_killed_program_left_is_replaced_and_what_somebody_listens_on_is_not(
    listeners: Listeners, folder: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind("web.sock")
    listeners.open("web", [UNIX])
    other = Listeners()
    with pytest.raises(ListenError, match="address already in use"):
        other.open("web", [UNIX])
    assert connects(str(folder / "web.sock"), socket.AF_UNIX)


def test_a_file_that_is_no_socket_is_never_removed(listeners: Listeners, folder: Path) -> None:
    (folder / "web.sock").write_text("precious")
    with pytest.raises(ListenError):
        listeners.open("web", [UNIX])
    assert (folder / "web.sock").read_text() == "precious"


def test_another_program_with_the_same_descriptors_goes_on_with_them(listeners: Listeners, folder: Path) -> None:
    fds = listeners.open("web", [TCP, UNIX])
    other = Listeners()
    other.restore(listeners.state())
    assert other.open("web", [TCP, UNIX]) == fds
    listeners.restore(())
    other.close_all()
    assert not (folder / "web.sock").exists()


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:x", "tcp://nosuch.invalid:80", "ftp://127.0.0.1:80", "tcp://127.0.0.1:99999"]
)
def test_what_is_no_address_is_a_reason(listeners: Listeners, address: str) -> None:
    with pytest.raises(ListenError, match="cannot listen on"):
        listeners.open("web", [ListenSocket("a", address)])


@pytest.mark.processes
@pytest.mark.parametrize("step", ["plain", "in a folder", "with an operator"])
def test_a_program_finds_its_own_pid_and_its_sockets_from_three_on(
    listeners: Listeners, tmp_path: Path, step: str
) -> None:
    [http, admin] = listeners.open("web", [TCP, ListenSocket("admin", "tcp://127.0.0.1:0")])
    (tmp_path / "show.py").write_text(
        "import os, socket\n"
        "mine = os.environ['LISTEN_PID'] == str(os.getpid())\n"
        "ports = [socket.socket(fileno=fd).getsockname()[1] for fd in range(3, 3 + int(os.environ['LISTEN_FDS']))]\n"
        "print(mine, *ports, os.environ['LISTEN_FDNAMES'], sorted(os.listdir('/proc/self/fd'), key=int)[:5])\n"
    )
    command = f"{sys.executable} {tmp_path}/show.py"
    spec = ProcessSpec(
        type="web",
        command=f"true && exec {command}" if step == "with an operator" else command,
        cwd=str(tmp_path) if step == "in a folder" else "/",
        env={**os.environ, **handed(["http", "admin"])},
    )
    started = spawn.start(spawn.Launch(spec, spec.env, "/", sockets=(http, admin)))
    with open(started.stdout) as output:
        said = output.read()
    os.waitpid(started.pid, 0)
    assert said.split("[")[0].split() == ["True", str(port_of(http)), str(port_of(admin)), "http:admin"]
