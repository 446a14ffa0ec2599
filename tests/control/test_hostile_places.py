"""What somebody else may have put where procman's socket, lock and folder would be, and who is believed to be procman."""

import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from claiming import as_root, mode
from procman.control import sockets
from procman.control.channel import MAX_MESSAGE
from procman.control.client import Client
from procman.control.find import find
from procman.control.places import start_places
from procman.errors import NotRunningError, ProcmanError, RefusedError

STRANGER = 65534


@contextlib.contextmanager
def listening_as(uid, path):
    """A process of that user that listens on the path and answers nothing."""
    ready, tell = os.pipe()
    end, hold = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(hold)
            os.setgid(uid)
            os.setuid(uid)
            with socket.socket(socket.AF_UNIX) as listener, sockets.address_of(path) as address:
                listener.bind(address)
                Path(path).chmod(0o666)
                listener.listen()
                os.write(tell, b".")
                os.read(end, 1)
        finally:
            os._exit(0)
    os.close(tell)
    os.close(end)
    assert os.read(ready, 1), "the stranger cannot listen"
    try:
        yield child
    finally:
        os.close(hold)
        os.waitpid(child, 0)
        os.close(ready)


@pytest.fixture
def shared(tmp_path):
    """A folder as /tmp is: anyone may put something there, and nobody may take away what is another's."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == os.geteuid() and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    return folder


@pytest.fixture
def own(root, tmp_path, environ):
    """The first place of this root, in its folder."""
    [place] = [p for p in start_places(str(root), None, environ) if p.socket.startswith(str(tmp_path / "run"))]
    Path(place.lock).parent.mkdir(mode=0o700)
    return place


@pytest.fixture
def claim_here(root, environ, claimed):
    return lambda: claimed(root, environ)


# ---- what stands in the way


@pytest.mark.parametrize(
    "trap",
    [
        lambda lock, _victim: os.mkfifo(lock, 0o600),
        lambda lock, victim: lock.symlink_to(victim),
        lambda lock, victim: (victim.write_text("precious"), lock.hardlink_to(victim)),
        lambda lock, _victim: lock.mkdir(),
        lambda lock, _victim: os.mknod(lock, 0o600 | stat.S_IFSOCK),
    ],
    ids=["fifo", "symlink", "hard link", "folder", "socket"],
)
def test_whatever_stands_in_the_place_of_the_lock_is_passed_over_and_left_alone(trap, own, claim_here, tmp_path):
    victim = tmp_path / "victim"
    trap(Path(own.lock), victim)
    assert claim_here().place.socket.startswith(str(tmp_path / "tmp"))
    assert not victim.exists() or victim.read_text() == "precious"


@as_root
def test_a_lock_file_of_somebody_else_is_passed_over(own, root, claimed, environ, tmp_path):
    Path(own.lock).touch()
    os.chown(own.lock, STRANGER, STRANGER)
    assert claimed(root, environ).place.socket.startswith(str(tmp_path / "tmp"))


@pytest.mark.parametrize(
    "trap",
    [lambda path: path.write_text("no socket"), lambda path: path.symlink_to("elsewhere"), lambda path: path.mkdir()],
    ids=["file", "symlink", "folder"],
)
def test_what_is_no_socket_is_not_removed_from_its_place(trap, own, claim_here, tmp_path):
    trap(Path(own.socket))
    assert claim_here().place.socket.startswith(str(tmp_path / "tmp"))
    assert os.path.lexists(own.socket)


@as_root
def test_a_socket_that_a_stranger_left_in_our_folder_is_taken_over(own, root, claimed, environ, shared):
    """From when others could write there: it must not keep us from starting for ever."""
    folder = Path(own.socket).parent
    folder.chmod(0o777)
    with listening_as(STRANGER, own.socket):
        made = claimed(root, environ)
        assert made.place.socket == own.socket
        assert mode(folder) == 0o700
        assert find(str(root), None, environ) == own.socket


@as_root
def test_an_explicit_socket_that_a_stranger_holds_is_refused(root, claimed, environ, shared):
    os.seteuid(1000)  # who may not remove the stranger's
    try:
        with listening_as_root(STRANGER, shared / "s"), pytest.raises((RefusedError, ProcmanError)):
            claimed(root, environ, explicit=str(shared / "s"))
    finally:
        os.seteuid(0)
    assert (shared / "s").is_socket()


@contextlib.contextmanager
def listening_as_root(uid, path):
    mine = os.geteuid()
    os.seteuid(0)
    with listening_as(uid, str(path)) as child:
        os.seteuid(mine)
        try:
            yield child
        finally:
            os.seteuid(0)
    os.seteuid(mine)


@as_root
@pytest.mark.parametrize("how", ["owner", "link", "file"])
def test_a_folder_made_before_us_in_the_shared_temporary_directory_is_not_used(how, root, claimed, shared):
    folder = shared / f"procman-{os.geteuid()}"
    match how:
        case "owner":
            folder.mkdir(mode=0o777)
            os.chown(folder, STRANGER, STRANGER)
        case "link":
            (shared / "theirs").mkdir()
            folder.symlink_to(shared / "theirs")
        case "file":
            folder.touch()
    assert claimed(root, {"TMPDIR": str(shared)}) is None
    with pytest.raises(NotRunningError):
        find(str(root), None, {"TMPDIR": str(shared)})


# ---- who is believed


@as_root
def test_a_client_does_not_talk_to_a_stranger_who_took_the_place_of_a_socket(shared):
    """A socket in /tmp whose procman has gone: anyone can listen there now."""
    path = str(shared / "s")
    with listening_as(STRANGER, path):
        with pytest.raises(RefusedError, match=r"cannot trust the socket .*s: nobody listens there"):
            Client(path)
        os.seteuid(1000)
        try:
            with pytest.raises(RefusedError, match="cannot trust"):
                Client(path)
        finally:
            os.seteuid(0)


@as_root
def test_root_talks_to_the_owner_of_the_folder_that_the_socket_is_in(shared, tmp_path):
    folder = shared / "app"
    folder.mkdir()
    os.chown(folder, STRANGER, STRANGER)
    with listening_as(STRANGER, str(folder / "s")):
        Client(str(folder / "s")).close()
        folder.chmod(0o777)
        with pytest.raises(RefusedError, match="cannot trust"):
            Client(str(folder / "s"))


@as_root
def test_everybody_talks_to_roots(shared):
    path = str(shared / "s")
    with listening_as(0, path):
        os.seteuid(1000)
        try:
            Client(path).close()
        finally:
            os.seteuid(0)


@as_root
def test_a_stranger_with_the_pid_of_a_dead_one_is_not_found_on_its_explicit_socket(root, environ, claimed, shared):
    path = str(shared / "s")
    made = claimed(root, environ, explicit=path)
    made.release()
    with listening_as(STRANGER, path) as pid:
        for lock in (place.lock for place in start_places(str(root), None, environ)):
            if os.path.exists(lock) and lock.startswith(environ["TMPDIR"]):
                Path(lock).write_bytes(b"%d\n%s\n" % (pid, os.fsencode(path)))
        with pytest.raises(NotRunningError):
            find(str(root), None, environ)


def test_an_answer_without_end_is_not_waited_for(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        client = Client(path)
        connected, _ = listener.accept()
        child = os.fork()
        if child == 0:
            client.close()
            with contextlib.suppress(OSError):
                while True:
                    connected.sendall(b"x" * 1_000_000)
            os._exit(0)
        connected.close()
        with pytest.raises(ProcmanError, match=f"more than {MAX_MESSAGE} bytes"):
            client.ps()
        client.close()
        os.waitpid(child, 0)


def test_the_places_of_a_client_without_any_variable_are_no_others(root):
    assert all(p.socket.startswith(("/run/user/", "/tmp/procman-")) for p in start_places(str(root), None, {}))
    assert sockets.answers("/nonexistent/socket") is False
