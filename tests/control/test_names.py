"""One folder, one procman, whatever the environment says; and found by whatever leads to the folder."""

import contextlib
import os
import pwd
import shutil
from pathlib import Path

import pytest

from claiming import as_root, environment, release
from procman.control import names, places
from procman.control.claim import Wanted, claim
from procman.control.client import Client
from procman.control.find import find
from procman.control.places import logical, names_of, start_places
from procman.control.sockets import listen
from procman.errors import NotRunningError, RefusedError

STRANGER = 65534

pytestmark = pytest.mark.skipif(not names.AVAILABLE, reason="abstract sockets are Linux's")


@pytest.fixture
def starts(tmp_path):
    """Claims a root as `procman start` does, with places in the test's folder alone."""
    made = []

    def start(root, environ, *more):
        wanted = Wanted(
            [p for p in start_places(str(root), None, environ) if p.socket.startswith(str(tmp_path))],
            (str(root), *map(str, more)),
        )
        made.append(claim(wanted))
        return made[-1]

    yield start
    for one in made:
        release(one)


def elsewhere(tmp_path, name):
    """An environment that shares no folder with another."""
    (tmp_path / name).mkdir(exist_ok=True)
    return environment(tmp_path / name, "run")


def refused():
    return pytest.raises(RefusedError, match=rf"procman \(pid {os.getpid()}\) already runs here")


def test_a_second_start_with_another_temporary_and_runtime_folder_is_refused(root, tmp_path, starts):
    starts(root, elsewhere(tmp_path, "A"))
    with refused():
        starts(root, elsewhere(tmp_path, "B"))


def test_a_client_with_another_environment_finds_it(root, tmp_path, starts):
    made = starts(root, elsewhere(tmp_path, "A"))
    path = find(str(root), None, elsewhere(tmp_path, "B"))
    assert path in made.names


def test_a_folder_reached_by_a_link_and_a_linked_parent_is_one(root, tmp_path, starts):
    starts(root, elsewhere(tmp_path, "A"))
    (tmp_path / "link").symlink_to(root)
    with refused():
        starts(tmp_path / "link", elsewhere(tmp_path, "B"))


def test_two_folders_have_names_of_their_own(root, tmp_path, starts):
    starts(root, elsewhere(tmp_path, "A"))
    (tmp_path / "other").mkdir()
    assert starts(tmp_path / "other", elsewhere(tmp_path, "A")) is not None


def test_without_any_folder_that_can_be_written_it_is_claimed_and_found_all_the_same(root, starts):
    made = starts(root, {"TMPDIR": "/nonexistent"})
    assert made.place.socket.startswith("@procman/")
    assert find(str(root), None, {"TMPDIR": "/nonexistent"}) in {made.place.socket, *made.names}
    with refused():
        starts(root, {"TMPDIR": "/nonexistent"})
    made.release()
    with pytest.raises(NotRunningError):
        find(str(root), None, {"TMPDIR": "/nonexistent"})


def test_a_released_name_can_be_claimed_again(root, tmp_path, starts):
    starts(root, elsewhere(tmp_path, "A")).release()
    assert starts(root, elsewhere(tmp_path, "B")).names


# ---- a root that is held as a path and as a folder


def test_a_link_that_leads_to_the_next_release_still_finds_it_and_keeps_a_second_start_away(tmp_path, starts):
    for release_ in ("1", "2"):
        (tmp_path / "releases" / release_).mkdir(parents=True)
        (tmp_path / "releases" / release_ / "Procfile").write_text("web: true\n")
    current = tmp_path / "current"
    current.symlink_to("releases/1")
    starts(current, elsewhere(tmp_path, "A"))
    current.unlink()
    current.symlink_to("releases/2")
    assert find(str(current), None, elsewhere(tmp_path, "B"))
    assert find(str(tmp_path / "releases" / "1"), None, elsewhere(tmp_path, "B"))
    with refused():
        starts(current, elsewhere(tmp_path, "B"))


def test_a_folder_removed_and_made_anew_still_finds_it(root, tmp_path, starts):
    starts(root, elsewhere(tmp_path, "A"))
    root.rmdir()
    root.mkdir()
    assert find(str(root), None, elsewhere(tmp_path, "B"))
    with refused():
        starts(root, elsewhere(tmp_path, "B"))


def test_after_a_move_it_is_found_by_the_new_folder_and_by_the_old_one(root, tmp_path, starts):
    made = starts(root, elsewhere(tmp_path, "A"))
    (tmp_path / "new").mkdir()
    assert len(made.follow(str(tmp_path / "new"))) == 2
    assert made.follow(str(tmp_path / "new")) == []
    for folder in (root, tmp_path / "new"):
        assert find(str(folder), None, elsewhere(tmp_path, "B")) in made.names


def test_it_does_not_move_to_where_another_runs(root, tmp_path, starts):
    made = starts(root, elsewhere(tmp_path, "A"))
    (tmp_path / "new").mkdir()
    starts(tmp_path / "new", elsewhere(tmp_path, "B"))
    before = dict(made.names)
    with refused():
        made.follow(str(tmp_path / "new"))
    assert made.names == before


def test_pwd_is_the_name_of_the_folder_where_it_tells_the_truth(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    assert logical(str(root), {"PWD": str(tmp_path / "link")}) == str(tmp_path / "link")
    for lie in (str(tmp_path), "link", "/nonexistent", ""):
        assert logical(str(root), {"PWD": lie}) == str(root)


# ---- a socket that has gone


def test_a_socket_whose_folder_has_gone_is_made_again(root, tmp_path, starts):
    environ = elsewhere(tmp_path, "A")
    made = starts(root, environ)
    assert made.renew() is None
    shutil.rmtree(Path(made.place.socket).parent)
    fresh = made.renew()
    assert fresh is made.listener
    assert find(str(root), None, environ) == made.place.socket


def test_a_socket_that_alone_has_gone_is_made_again(root, tmp_path, starts):
    environ = elsewhere(tmp_path, "A")
    made = starts(root, environ)
    Path(made.place.socket).unlink()
    assert made.renew() is not None
    assert find(str(root), None, environ) == made.place.socket


def test_a_socket_whose_folder_cannot_be_made_stays_away_and_it_is_found_by_its_name(root, tmp_path, starts):
    environ = elsewhere(tmp_path, "A")
    made = starts(root, environ)
    shutil.rmtree(Path(made.place.socket).parents[1])
    assert made.renew() is None
    assert find(str(root), None, environ) in made.names


def test_one_that_listens_nowhere_any_more_is_named_by_its_lock(root, tmp_path, environ, claimed):
    made = claimed(root, environ)  # without a name, as in a sandbox
    Path(made.place.socket).unlink()
    with pytest.raises(NotRunningError) as error:
        find(str(root), None, environ)
    assert error.value.message == (
        f"cannot reach procman: pid {os.getpid()} runs for {os.path.realpath(root)}, but its socket is gone"
    )
    assert f"kill -HUP {os.getpid()}" in error.value.hint


# ---- other users, other containers


def run_as(uid, call):
    """What `call` returns, as text, in a process of that user; None for this one's own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.write(writer, str(call()).encode())
        except BaseException as error:  # noqa: BLE001
            os.write(writer, f"{type(error).__name__}: {getattr(error, 'message', error)}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = file.read().decode()
    os.waitpid(pid, 0)
    return answer


@pytest.fixture
def open_root(root):
    """One that everybody may enter."""
    for above in (root, *root.parents):
        if above.stat().st_uid == os.geteuid() and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    return root


@pytest.fixture
def run_by(open_root):
    """A process of another user that has the folder's names, as its procman would; in the folder, or not."""
    ending = []

    def run(uid, *, inside=True):
        ready, tell = os.pipe()
        end, hold = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(hold)
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.chdir(open_root if inside else "/")
            claim(Wanted([], (str(open_root),)))
            os.write(tell, b".")
            os.read(end, 1)
            os._exit(0)
        os.close(end)
        os.close(tell)
        assert os.read(ready, 1)
        os.close(ready)
        ending.append((pid, hold))
        return pid

    yield run
    for pid, hold in ending:
        os.close(hold)
        os.waitpid(pid, 0)


@as_root
def test_root_is_refused_beside_a_user_who_runs_there_and_finds_that_one(open_root, tmp_path, run_by, starts):
    pid = run_by(STRANGER)
    with pytest.raises(RefusedError, match=rf"procman \(pid {pid}, user .+\) already runs here"):
        starts(open_root, elsewhere(tmp_path, "A"))
    Client(find(str(open_root), None, elsewhere(tmp_path, "A"))).close()


@as_root
@pytest.mark.parametrize("asking", [STRANGER, 1002])
def test_a_user_learns_whose_procman_runs_there(open_root, tmp_path, starts, run_by, asking):
    if asking == STRANGER:
        starts(open_root, elsewhere(tmp_path, "A"))
        pid = os.getpid()
    else:
        pid = run_by(STRANGER)
    owner = pwd.getpwuid(0 if asking == STRANGER else STRANGER).pw_name
    answer = run_as(asking, lambda: find(str(open_root), None, {}))
    runs = f"pid {pid} of user {owner} runs for {open_root}, and only that user and root may use it"
    assert answer == f"NotRunningError: cannot reach procman: {runs}"


@as_root
def test_a_user_is_refused_beside_root(open_root, tmp_path, starts):
    starts(open_root, elsewhere(tmp_path, "A"))
    answer = run_as(STRANGER, lambda: claim(Wanted([], (str(open_root),))))
    assert answer == f"RefusedError: cannot start: procman (pid {os.getpid()}, user root) already runs here"


@as_root
def test_a_stranger_who_takes_a_name_from_afar_keeps_nobody_away(open_root, tmp_path, run_by, starts):
    run_by(STRANGER, inside=False)
    assert starts(open_root, elsewhere(tmp_path, "A")).names


@as_root
def test_two_users_in_the_folder_of_a_third_keep_nobody_away(open_root, run_by):
    """Neither can tell whether the other is there at all; root, and who owns the folder, can."""
    run_by(1001)
    assert "Refused" not in run_as(1002, lambda: claim(Wanted([], (str(open_root),))))
    os.chown(open_root, 1001, 1001)
    assert "Refused" in run_as(1002, lambda: claim(Wanted([], (str(open_root),))))


@as_root
def test_a_stranger_under_our_own_name_is_not_taken_for_procman(open_root, tmp_path, starts):
    with contextlib.closing(listen(f"{names_of(str(open_root))[0]}/1002")):  # root listens there, where 1002 would
        answer = run_as(1002, lambda: claim(Wanted([], (str(open_root),))).names)
        assert "Refused" not in answer
        with pytest.raises(NotRunningError):
            find(str(open_root), None, elsewhere(tmp_path, "A"))


def test_another_pid_namespace_has_other_names_and_other_files(root, monkeypatch):
    here = start_places(str(root), None, {}), names_of(str(root))
    monkeypatch.setattr(places, "pid_namespace", lambda: 4026532999)
    there = start_places(str(root), None, {}), names_of(str(root))
    assert not {p.socket for p in here[0]} & {p.socket for p in there[0]}
    assert not set(here[1]) & set(there[1])


def test_an_older_procman_of_this_container_is_found_and_respected(root, environ, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "pid_namespace", lambda: places.FIRST_NAMESPACE)  # as the older one names its files
    older = [p for p in start_places(str(root), None, environ) if p.socket.startswith(str(tmp_path))]
    made = claim(Wanted(older))
    monkeypatch.setattr(places, "pid_namespace", lambda: 4026532999)
    assert find(str(root), None, environ) == made.place.socket
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with refused():
        claim(Wanted([], (str(root),)))
    release(made)


def test_a_new_folder_never_has_the_number_of_a_removed_one_that_is_still_claimed(tmp_path, starts):
    """Most file systems give the lowest free inode, which is that of the folder that was removed last."""
    root = tmp_path / "root"
    root.mkdir()
    starts(root, elsewhere(tmp_path, "A"))
    shutil.rmtree(root)
    for n in range(20):
        fresh = tmp_path / f"fresh-{n}"
        fresh.mkdir()
        starts(fresh, elsewhere(tmp_path, f"B{n}"))


def test_a_folder_that_was_left_by_a_reload_keeps_its_number_too(tmp_path, starts):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    starts(first, elsewhere(tmp_path, "A")).follow(str(second))
    for gone in (first, second):
        shutil.rmtree(gone)
    for n in range(20):
        fresh = tmp_path / f"fresh-{n}"
        fresh.mkdir()
        starts(fresh, elsewhere(tmp_path, f"B{n}"))


def test_a_released_claim_keeps_no_descriptor(root, tmp_path, starts):
    before = os.listdir("/proc/self/fd")
    starts(root, elsewhere(tmp_path, "A"), root).release()
    assert os.listdir("/proc/self/fd") == before


def test_who_gives_a_name_up_while_it_is_asked_about_does_not_hold_it(root, tmp_path, monkeypatch):
    """It could be connected to a moment ago, and the table does not have it any more: the next start may try again."""
    listener = names.hold(names_of(str(root))[0], str(root), lambda _pid: None)
    name = f"{names_of(str(root))[0]}/{os.geteuid()}"
    assert names.holder_of(name).alive
    monkeypatch.setattr(names, "TABLE", str(tmp_path / "table"))
    (tmp_path / "table").write_text("Num       RefCount Protocol Flags    Type St Inode Path\n")
    assert names.holder_of(name) is None
    listener.close()
