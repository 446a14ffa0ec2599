"""Where the socket is, who may claim it, and how clients find it."""

import contextlib
import os
import socket
from pathlib import Path

import pytest

from claiming import as_root, environment, mode
from procman.control import claim as claim_module
from procman.control import sockets
from procman.control.find import find
from procman.control.places import start_places
from procman.errors import NotRunningError, RefusedError


def descriptors():
    return len(list(Path("/dev/fd").iterdir()))


def test_the_places_are_those_of_the_specification_in_order(root):
    places = start_places(str(root), None, {"XDG_RUNTIME_DIR": "/x", "TMPDIR": "/t"})
    uid = os.geteuid()
    assert [str(Path(p.socket).parent) for p in places] == [
        "/x/procman",
        f"/run/user/{uid}/procman",
        f"/t/procman-{uid}",
    ]


def test_a_folder_named_twice_is_one_place(root):
    places = start_places(str(root), None, {"XDG_RUNTIME_DIR": f"/run/user/{os.geteuid()}/"})
    assert len(places) == 2


def test_a_relative_runtime_folder_is_ignored(root):
    assert len(start_places(str(root), None, {"XDG_RUNTIME_DIR": "run"})) == 2


def test_a_link_to_the_root_has_the_same_place(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    assert start_places(str(tmp_path / "link"), None, {}) == start_places(str(root), None, {})


def test_two_roots_have_different_places(root, tmp_path):
    assert start_places(str(tmp_path), None, {})[0] != start_places(str(root), None, {})[0]


# ---- claiming


def test_a_claim_listens_with_mode_0600_in_a_0700_folder(root, environ, claimed):
    before = os.umask(0)
    try:
        made = claimed(root, environ)
    finally:
        assert os.umask(before) == 0
    assert (mode(made.place.socket), mode(made.place.lock)) == (0o600, 0o600)
    assert mode(Path(made.place.socket).parent) == 0o700
    with contextlib.closing(sockets.connect(made.place.socket)) as peer:
        assert sockets.peer_of(peer)[0] == os.getpid()


def test_a_second_claim_is_refused_with_the_pid_of_the_first(root, environ, claimed):
    claimed(root, environ)
    with pytest.raises(RefusedError) as refused:
        claimed(root, environ)
    assert refused.value.message == f"cannot start: procman (pid {os.getpid()}) already runs here"


def test_a_second_claim_from_another_runtime_folder_is_refused_too(root, tmp_path, environ, claimed):
    claimed(root, environ)
    with pytest.raises(RefusedError, match=f"pid {os.getpid()}"):
        claimed(root, environment(tmp_path, "other"))


def test_a_refused_claim_keeps_no_descriptor(root, environ, claimed):
    claimed(root, environ)
    before = descriptors()
    with pytest.raises(RefusedError):
        claimed(root, environ)
    assert descriptors() == before


def test_the_pid_of_a_dead_holder_is_not_told(root, environ, claimed, tmp_path):
    first = claimed(root, environ)
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    os.pwrite(first.lock_fd, b"%d\n" % dead, 0)
    for guard in first.guards:
        os.pwrite(guard, b"%d\n" % dead, 0)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # another start, while the holder has not yet said who it is
        try:
            os.write(writer, b"ready")
            claimed(root, environ)
        except RefusedError as error:
            os.write(writer, error.message.encode())
        finally:
            os._exit(0)
    assert os.read(reader, 5) == b"ready"
    for fd in (first.lock_fd, *first.guards):
        claim_module._sign(fd, first.place)
    os.waitpid(child, 0)
    assert os.read(reader, 1000).decode() == f"cannot start: procman (pid {os.getpid()}) already runs here"
    os.close(reader)
    os.close(writer)


def test_a_released_place_can_be_claimed_again_and_its_lock_file_stays(root, environ, claimed):
    first = claimed(root, environ)
    inode = Path(first.place.lock).stat().st_ino
    first.release()
    assert not Path(first.place.socket).exists()
    second = claimed(root, environ)
    assert Path(second.place.lock).stat().st_ino == inode


def test_a_dead_ones_socket_is_taken_over(root, environ, claimed):
    first = claimed(root, environ)
    first.listener.close()
    for fd in (first.lock_fd, *first.guards):  # as the kernel does for a killed process
        os.close(fd)
    assert Path(first.place.socket).exists()
    second = claimed(root, environ)
    assert sockets.answers(second.place.socket)


def test_a_living_one_whose_lock_file_was_cleaned_away_is_not_taken_over(root, environ, claimed, tmp_path):
    first = claimed(root, environ)
    for lock in tmp_path.rglob("*.lock"):
        lock.unlink()
    with pytest.raises(RefusedError, match="already runs here"):
        claimed(root, environ)
    assert sockets.answers(first.place.socket)


def test_a_folder_that_others_may_enter_is_repaired(root, environ, claimed, tmp_path):
    (tmp_path / "run" / "procman").mkdir(mode=0o777)
    made = claimed(root, environ)
    assert made.place.socket.startswith(str(tmp_path / "run"))
    assert mode(tmp_path / "run" / "procman") == 0o700


def test_a_folder_that_is_a_link_is_passed_over(root, environ, claimed, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "procman").symlink_to(tmp_path / "elsewhere")
    assert claimed(root, environ).place.socket.startswith(str(tmp_path / "tmp"))
    assert list((tmp_path / "elsewhere").iterdir()) == []


@as_root
def test_a_folder_of_somebody_else_is_passed_over(root, environ, claimed, tmp_path):
    (tmp_path / "run" / "procman").mkdir()
    os.chown(tmp_path / "run" / "procman", 65534, 65534)
    assert claimed(root, environ).place.socket.startswith(str(tmp_path / "tmp"))


def test_a_lock_that_is_a_link_is_not_followed(root, environ, claimed, tmp_path):
    [place] = [p for p in start_places(str(root), None, environ) if p.socket.startswith(str(tmp_path / "run"))]
    Path(place.lock).parent.mkdir(mode=0o700)
    Path(place.lock).symlink_to(tmp_path / "victim")
    assert claimed(root, environ).place.socket.startswith(str(tmp_path / "tmp"))
    assert not (tmp_path / "victim").exists()


def test_without_a_usable_folder_there_is_no_claim(root, claimed, tmp_path):
    nowhere = {"XDG_RUNTIME_DIR": str(tmp_path / "none"), "TMPDIR": str(tmp_path / "none")}
    assert claimed(root, nowhere) is None


def test_a_long_path_can_be_listened_on_and_connected_to(root, claimed, tmp_path):
    folder = tmp_path.joinpath(*["d" * 50] * 4)
    folder.mkdir(parents=True)
    made = claimed(root, {"XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)})
    assert len(made.place.socket) > 200
    assert find(str(root), None, {"XDG_RUNTIME_DIR": str(folder)}) == made.place.socket


def test_a_long_root_is_no_trouble(tmp_path, environ, claimed):
    root = tmp_path.joinpath(*["r" * 50] * 4)
    root.mkdir(parents=True)
    made = claimed(root, environ)
    assert find(str(root), None, environ) == made.place.socket


def test_of_many_starts_at_once_one_wins_and_the_others_name_it(root, environ, claimed):
    reader, writer = os.pipe()
    end_reader, end_writer = os.pipe()
    children = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            os.close(end_writer)
            start_and_tell(lambda: claimed(root, environ), writer, end_reader)
        children.append(pid)
    os.close(writer)
    lines = []
    while len(lines) < 8:
        lines += os.read(reader, 1000).decode().splitlines()
    os.close(end_writer)  # the winner may go
    for pid in children:
        os.waitpid(pid, 0)
    os.close(reader)
    os.close(end_reader)
    [winner] = [line.removeprefix("won ") for line in lines if line.startswith("won")]
    losers = [line for line in lines if not line.startswith("won")]
    assert losers == [f"cannot start: procman (pid {winner}) already runs here"] * 7


def start_and_tell(start, writer, until):
    """A competitor; never returns."""
    try:
        start()
        os.write(writer, b"won %d\n" % os.getpid())
        os.read(until, 1)
    except RefusedError as error:
        os.write(writer, error.message.encode() + b"\n")
    finally:
        os._exit(0)


# ---- finding


def test_a_running_procman_is_found_from_its_root_and_from_below(root, environ, claimed):
    made = claimed(root, environ)
    below = root / "a" / "b"
    below.mkdir(parents=True)
    assert find(str(root), None, environ) == made.place.socket
    assert find(str(below), None, environ) == made.place.socket


def test_the_search_stops_at_the_first_folder_with_a_procfile(root, environ, claimed):
    claimed(root, environ)
    below = root / "inner" / "deep"
    below.mkdir(parents=True)
    (root / "inner" / "Procfile").write_text("web: true\n")
    with pytest.raises(NotRunningError) as error:
        find(str(below), None, environ)
    assert error.value.message == f"cannot reach procman: no procman runs for {os.path.realpath(root / 'inner')}"
    assert error.value.hint == "start it with `procman start`"


def test_without_any_procman_the_folder_asked_from_is_named(root, environ):
    with pytest.raises(NotRunningError, match=f"no procman runs for {os.path.realpath(root)}$"):
        find(str(root), None, environ)


def test_without_a_procfile_the_hint_names_the_way_to_another_folder(root, environ):
    with pytest.raises(NotRunningError) as error:
        find(str(root), None, environ)
    assert error.value.hint == "start it with `procman start`, or name the folder of one that runs: -d DIR"


def test_a_folder_that_is_not_there_is_named(root, environ):
    with pytest.raises(NotRunningError) as error:
        find(str(root / "nope"), None, environ)
    assert error.value.message == f"cannot reach procman: there is no folder {root / 'nope'}"


def test_a_procman_that_died_is_not_running(root, environ, claimed):
    made = claimed(root, environ)
    made.listener.close()
    with pytest.raises(NotRunningError):
        find(str(root), None, environ)


def test_a_client_with_another_runtime_folder_finds_it(root, tmp_path, environ, claimed):
    made = claimed(root, environ)
    assert find(str(root), None, environment(tmp_path, "other")) == made.place.socket
    assert find(str(root), None, {"TMPDIR": environ["TMPDIR"]}) == made.place.socket


def test_an_override_wins_over_the_folder(root, tmp_path, environ, claimed):
    claimed(root, environ)
    (tmp_path / "other-app").mkdir()
    other = claimed(tmp_path / "other-app", environ).place.socket
    assert find(str(root), None, environ | {"PROCMAN_SOCKET": other}) == other
    assert find(str(root), other, environ | {"PROCMAN_SOCKET": "/nowhere"}) == other


def test_an_override_on_which_nobody_listens_is_not_running(root, environ, claimed):
    claimed(root, environ)
    with pytest.raises(NotRunningError, match="nothing listens on /nowhere"):
        find(str(root), None, environ | {"PROCMAN_SOCKET": "/nowhere"})


def test_a_folder_that_others_may_write_is_not_trusted(root, environ, claimed, tmp_path):
    claimed(root, environ)
    for folder in (tmp_path / "run" / "procman", tmp_path / "tmp" / f"procman-{os.geteuid()}"):
        folder.chmod(0o777)
    with pytest.raises(NotRunningError):
        find(str(root), None, environ)


@as_root
def test_root_finds_the_procman_of_the_folders_owner(root, environ, tmp_path):
    os.chown(root, 65534, 65534)
    folder = tmp_path / "tmp" / "procman-65534"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    path = str(folder / Path(start_places(str(root), None, {})[0].socket).name)
    with socket.socket(socket.AF_UNIX) as listener, sockets.address_of(path) as address:
        listener.bind(address)
        listener.listen()
        assert find(str(root), None, environ) == path


@as_root
def test_a_socket_planted_by_somebody_else_is_not_found(root, environ, tmp_path):
    folder = tmp_path / "run" / "procman"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    path = str(folder / Path(start_places(str(root), None, {})[0].socket).name)
    with socket.socket(socket.AF_UNIX) as listener, sockets.address_of(path) as address:
        listener.bind(address)
        listener.listen()
        with pytest.raises(NotRunningError):
            find(str(root), None, environ)


def test_a_full_queue_of_connections_still_answers(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as waiting:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting.enter_context(contextlib.closing(sockets.connect(str(tmp_path / "s"), timeout=0.01)))
        assert sockets.answers(str(tmp_path / "s"), timeout=0.01)
