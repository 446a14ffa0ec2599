"""What the autoscaler keeps in files beside procman's socket, and for how long it means something."""

from __future__ import annotations

import os
import threading

import pytest

from procman.companions.autoscaler import store as stored
from procman.companions.autoscaler.store import AutoscaleStatus, AutoscaleStore, Control, TypeStatus
from procman.core.autoscale import decide
from procman.core.demand import Bounds, Decided, Observation, Scaler, ScalingRule
from procman.errors import ProcmanError

RULE = ScalingRule(max=3, metrics=())


def decided(at: float = 0.0) -> Decided:
    seen = Observation(count=1)
    _, decision = decide(RULE, Scaler(), seen, at)
    return Decided(type="web", at=at, rule=RULE, state=Scaler(), seen=seen, decision=decision)


@pytest.fixture
def socket(tmp_path):
    path = tmp_path / "abc.sock"
    path.touch()
    return path


def test_what_was_asked_for_holds_while_this_procman_runs(socket):
    AutoscaleStore.beside(str(socket)).control("web", paused=True)
    AutoscaleStore.beside(str(socket)).control("web", bounds=Bounds(min=1, max=2))
    kept = AutoscaleStore.beside(str(socket)).controls().types
    assert kept == {"web": Control(paused=True, bounds=Bounds(min=1, max=2))}


def test_the_next_procman_of_a_folder_knows_nothing_of_it(socket):
    store = AutoscaleStore.beside(str(socket))
    store.control("web", paused=True)
    store.save_status(AutoscaleStatus(types={"web": TypeStatus(at=0.0, ready=1, decided=decided())}))
    os.utime(socket, (1, 1))  # as made anew
    following = AutoscaleStore.beside(str(socket))
    assert following.controls().types == {}
    assert following.status().types == {}


def test_what_was_asked_for_holds_over_an_upgrade(socket):
    """The first version wrote another name for the id of the socket, and for the proposals."""
    store = AutoscaleStore.beside(str(socket))
    store.control("web", paused=True)
    store.save_status(AutoscaleStatus(types={"web": TypeStatus(at=0.0, ready=1, decided=decided())}))
    store.add_decision(1.0, decided())
    for path in socket.parent.glob("*autoscale-*.json*"):
        path.write_text(path.read_text().replace("socket_id", "life").replace('"proposals"', '"wishes"'))
    following = AutoscaleStore.beside(str(socket))
    assert following.controls().types == {"web": Control(paused=True)}
    assert following.status().types["web"].ready == 1
    assert [at for at, _ in following.decisions()] == [1.0]


def test_requests_at_the_same_time_are_all_kept(socket):
    names = [f"type{n}" for n in range(20)]
    begin = threading.Barrier(len(names))

    def ask(name):
        begin.wait(60)
        AutoscaleStore.beside(str(socket)).control(name, paused=True)

    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(AutoscaleStore.beside(str(socket)).controls().types) == sorted(names)


def test_a_request_is_noticed(socket):
    store = AutoscaleStore.beside(str(socket))
    before = store.stamp()
    store.control("web", paused=True)
    assert store.stamp() != before


def test_decisions_come_back_in_their_order_without_one_that_was_cut_short(socket):
    store = AutoscaleStore.beside(str(socket))
    for at in (1.0, 2.0):
        store.add_decision(at, decided(at))
    (path,) = socket.parent.glob("*decisions*")
    path.write_bytes(path.read_bytes() + b'{"at": 3.0, "deci')
    assert [at for at, _ in store.decisions()] == [1.0, 2.0]
    assert path.stat().st_mode & 0o077 == 0


def test_the_oldest_decisions_make_room(socket, monkeypatch):
    monkeypatch.setattr(stored, "KEPT", 3)
    store = AutoscaleStore.beside(str(socket))
    for at in range(20):
        store.add_decision(float(at), decided())
    kept = [at for at, _ in store.decisions()]
    assert kept[-3:] == [17.0, 18.0, 19.0]
    assert len(kept) <= 6


def test_no_socket_is_said(tmp_path):
    with pytest.raises(ProcmanError, match=r"cannot find .*gone\.sock"):
        AutoscaleStore.beside(str(tmp_path / "gone.sock"))
