"""A socket that the user names: it is used or refused, and the root is still claimed only once."""

import os
import socket

import pytest

from claiming import as_root, mode
from procman.control import sockets
from procman.control.claim import Wanted, claim
from procman.control.find import find
from procman.control.places import Place, start_places
from procman.errors import NotRunningError, RefusedError


def test_an_explicit_socket_is_the_first_place_and_the_others_guard_the_root(root):
    environ = {"XDG_RUNTIME_DIR": "/x"}
    explicit = Place("/a/b", "/a/b.lock", explicit=True)
    assert start_places(str(root), "/a/b", environ) == [explicit, *start_places(str(root), None, environ)]


def test_an_explicit_socket_is_claimed_where_it_is_named(root, tmp_path, environ, claimed):
    made = claimed(root, environ, str(tmp_path / "my.sock"))
    assert made.place.socket == str(tmp_path / "my.sock")
    assert mode(tmp_path / "my.sock") == 0o600


@pytest.mark.parametrize("named", [(None, "s"), ("s", None), ("s", "t")])
def test_a_root_is_claimed_once_whatever_sockets_are_named(root, tmp_path, environ, claimed, named):
    first, second = named
    claimed(root, environ, first and str(tmp_path / first))
    with pytest.raises(RefusedError, match=rf"procman \(pid {os.getpid()}\) already runs here"):
        claimed(root, environ, second and str(tmp_path / second))


def test_an_explicit_socket_of_another_root_is_refused(root, tmp_path, environ, claimed):
    claimed(root, environ, str(tmp_path / "s"))
    with pytest.raises(RefusedError, match=f"pid {os.getpid()}"):
        claimed(tmp_path, environ, str(tmp_path / "s"))


def test_an_explicit_socket_needs_no_default_place(root, tmp_path, claimed):
    nowhere = {"XDG_RUNTIME_DIR": str(tmp_path / "none"), "TMPDIR": str(tmp_path / "none")}
    assert claimed(root, nowhere, str(tmp_path / "s")).guards == ()


def test_an_explicit_socket_in_a_default_place_does_not_meet_its_own_lock(root, environ, claimed):
    default = claimed(root, environ)
    default.release()
    assert claimed(root, environ, default.place.socket).place.explicit


def test_two_names_of_one_folder_are_locked_once(root, tmp_path, environ, claimed):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    assert claimed(root, environ | {"TMPDIR": f"{tmp_path}/run/procman/.."}) is not None
    places = [Place(f"{tmp_path}/{name}/s", f"{tmp_path}/{name}/s.lock", explicit=True) for name in ("run", "link")]
    made = claim(Wanted(places))
    assert made.guards == ()
    made.release()


def plant_link(lock, tmp_path):
    (tmp_path / "victim").write_text("mine")
    os.link(tmp_path / "victim", lock)


def plant_pipe(lock, _tmp_path):
    os.mkfifo(lock)


def plant_foreign(lock, _tmp_path):
    lock.write_text("theirs")
    os.chown(lock, 65534, 65534)


@pytest.mark.parametrize("plant", [plant_link, plant_pipe, pytest.param(plant_foreign, marks=as_root)])
def test_a_planted_lock_file_of_an_explicit_socket_is_refused_and_not_written(root, tmp_path, environ, claimed, plant):
    lock = tmp_path / "s.lock"
    plant(lock, tmp_path)
    before = lock.stat().st_size
    with pytest.raises(RefusedError, match="its lock file is not this user's own"):
        claimed(root, environ, str(tmp_path / "s"))
    assert lock.stat().st_size == before


@pytest.mark.parametrize(
    "case",
    [("none/s", "No such file or directory"), ("n" * 200, "longer than"), ("file", "not a socket is in its place")],
)
def test_an_explicit_socket_that_cannot_be_used_is_refused(root, tmp_path, environ, claimed, case):
    name, why = case
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RefusedError, match=why) as refused:
        claimed(root, environ, str(tmp_path / name))
    assert refused.value.message.startswith(f"cannot use the socket {tmp_path / name}: ")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_explicit_socket_on_which_a_stranger_listens_is_not_taken(root, tmp_path, environ, claimed):
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(tmp_path / "s"))
        stranger.listen()
        with pytest.raises(RefusedError, match="already runs here"):
            claimed(root, environ, str(tmp_path / "s"))
        assert sockets.answers(str(tmp_path / "s"))


def test_an_explicit_socket_is_found_from_its_root(root, tmp_path, environ, claimed):
    made = claimed(root, environ, str(tmp_path / "s"))
    assert find(str(root), None, environ) == made.place.socket


def test_a_dead_ones_explicit_socket_that_another_root_uses_now_is_not_found(root, tmp_path, environ, claimed):
    first = claimed(root, environ, str(tmp_path / "s"))
    first.listener.close()
    for fd in first.guards:  # a procman that has died since
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n%s\n" % (os.getppid(), os.fsencode(tmp_path / "s")), 0)
    for fd in (first.lock_fd, *first.guards):
        os.close(fd)
    (tmp_path / "other-app").mkdir()
    other = claimed(tmp_path / "other-app", environ, str(tmp_path / "s"))
    assert find(str(tmp_path / "other-app"), None, environ) == other.place.socket
    with pytest.raises(NotRunningError):
        find(str(root), None, environ)
