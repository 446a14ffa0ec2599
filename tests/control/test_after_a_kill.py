"""A lock that is held though the procman that signed it is dead: its guardian has it, and a start waits."""

import os
import socket

import pytest

from claiming import release
from procman.control import claim as claim_module
from procman.control import sockets
from procman.control.claim import Wanted, claim
from procman.control.places import start_places
from procman.errors import RefusedError


@pytest.fixture
def places(root, environ, tmp_path):
    return [place for place in start_places(str(root), None, environ) if place.socket.startswith(str(tmp_path))]


@pytest.fixture
def guardian(places):
    """Calls with a pid sign the lock with it and return how to end the one who holds it."""
    held = []

    def hold(pid, path=""):
        """Without a descriptor of the lock in a process of that pid."""
        fd = claim_module._lock(places[0], lambda _pid: None)
        os.pwrite(fd, f"{pid}\n{path}\n".encode(), 0)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:  # flock(2): the lock is held as long as any copy of the descriptor is open
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(fd)
        os.close(reader)
        held.append((child, writer))
        return end

    def end():
        while held:
            child, writer = held.pop()
            os.close(writer)
            os.waitpid(child, 0)

    yield hold
    end()


def dead_pid():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_a_start_waits_until_what_a_dead_one_left_has_ended_and_says_so_once(places, guardian):
    pid = dead_pid()
    end = guardian(pid)
    waits = []

    def on_wait(dead):
        waits.append(dead)
        end()

    made = claim(Wanted(places), on_wait)
    assert waits == [pid]
    assert sockets.answers(made.place.socket)
    release(made)


def test_a_pid_that_is_somebody_elses_by_now_does_not_refuse_a_start(places, guardian):
    """It lives, but has nothing to do with the lock."""
    end = guardian(os.getppid())
    waits = []
    release(claim(Wanted(places), lambda pid: (waits.append(pid), end())))
    assert waits == [os.getppid()]


def test_one_that_answers_on_its_socket_is_not_dead_whatever_its_pid(places, guardian, tmp_path):
    """As from another PID namespace, where its pid is another."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        guardian(dead_pid(), tmp_path / "s")
        with pytest.raises(RefusedError, match=f"pid {os.getpid()}.*already runs here"):
            claim(Wanted(places), pytest.fail)


def test_one_that_waits_is_refused_when_another_start_gets_the_place(places, guardian):
    end = guardian(dead_pid())
    made = []

    def on_wait(_pid):
        end()
        made.append(claim(Wanted(places)))

    with pytest.raises(RefusedError, match=f"pid {os.getpid()}.*already runs here"):
        claim(Wanted(places), on_wait)
    release(made[0])
