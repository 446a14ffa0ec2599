"""`wait`: answered once, when it is so, can never be so, or the time is over; and bounded, whoever asks."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace
from served import Served, change, request

from procman.core.view import Operation, OperationState, Reason, ReasonCode
from procman.serve.waits import MOST


@pytest.fixture
def phases(served):
    """The phases of the instances that procman shows; what is put there is told as a change."""
    seen = {"web.1": "starting", "web.2": "ready"}
    plain = served.backend.view
    more = {}

    def view():
        rows = plain().instances
        rows = tuple(replace(row, phase=seen[row.name], **more.get(row.name, {})) for row in rows if row.name in seen)
        return replace(plain(), instances=rows)

    served.backend.view = view

    def put(name, phase, **how):
        more[name] = how
        if phase is None:
            del seen[name]
        else:
            seen[name] = phase
        served.server.publish(1.0, change())

    return put


def ask(peer, id=1, **params):  # noqa: A002
    peer.send(request("wait", params, id))


def outcome(peer):
    return peer.messages(1)[0]["result"]


def test_what_is_so_is_answered_at_once(served, peer, phases):
    assert peer.ask("wait", {"names": ["web.2"]})["result"] == {"outcome": "reached"}


def test_it_is_answered_once_it_is_so(served, peer, phases):
    ask(peer, names=["web"])
    assert served.is_alive()
    assert peer.received == b""
    phases("web.1", "ready")
    assert outcome(peer) == {"outcome": "reached"}


def test_it_is_answered_once_it_never_will_be(served, peer, phases):
    ask(peer)
    phases("web.1", "failed", reason="exit 78")
    assert outcome(peer) == {
        "outcome": "failed",
        "reason": "cannot keep waiting for web.1: it has failed: exit 78",
        "hint": "`procman restart web.1` starts it",
    }


def test_at_the_deadline_it_names_who_is_waited_for(served, peer, phases):
    ask(peer, timeout=0.01)
    assert outcome(peer) == {"outcome": "late", "pending": ["web.1 (starting)"]}


def test_without_any_time_it_is_a_question(served, peer, phases):
    assert peer.ask("wait", {"timeout": 0})["result"]["outcome"] == "late"


def test_a_later_deadline_is_kept_behind_an_earlier_one(served, phases):
    early, late = served.peer(), served.peer()
    ask(late, timeout=0.05)
    ask(early, timeout=0.01)
    assert outcome(early)["outcome"] == outcome(late)["outcome"] == "late"


def test_other_requests_are_answered_meanwhile(served, peer, phases):
    ask(peer, id=1)
    assert peer.ask("hello", id=2)["id"] == 2
    phases("web.1", "done")
    assert peer.messages(1)[0]["id"] == 1


@pytest.mark.parametrize("params", [{"names": ["wbe"]}, {"until": "soon"}, {"timeout": -1}, {"timeout": "x"}])
def test_what_means_nothing_is_refused(served, peer, phases, params):
    assert "error" in peer.ask("wait", params)
    assert served.is_alive()


def test_who_has_gone_waits_no_more(served, phases):
    peer = served.peer()
    ask(peer)
    served.is_alive()
    assert served.server.waits._waits
    peer.socket.close()
    served.drive(lambda: not served.server.waits._waits)


def test_there_is_an_end_to_how_many_wait(served, peer, phases):
    for n in range(MOST):
        ask(peer, id=n)
    assert "clients wait already" in peer.ask("wait", id=MOST)["error"]["message"]
    assert peer.ask("hello")["result"]


def test_a_burst_of_changes_is_one_check(served, peer, phases):
    ask(peer)
    served.is_alive()
    looks = []
    view = served.backend.view
    served.backend.view = lambda: looks.append(1) or view()
    for _ in range(50):
        served.server.publish(1.0, change())
    phases("web.1", "ready")
    assert outcome(peer)["outcome"] == "reached"
    assert len(looks) <= 2


def test_those_who_come_and_go_leave_no_alarm_for_long(served, phases):
    for n in range(20):
        peer = served.peer()
        ask(peer, timeout=1_000_000 - n)
        served.is_alive()
        peer.socket.close()
    served.drive(lambda: not served.server.waits._waits)
    assert all(when < time.monotonic() + 61 for when, _, _ in served.reactor._timers)


def test_a_fault_in_a_check_ends_no_procman(served, peer, phases):
    ask(peer)
    served.is_alive()
    view = served.backend.view
    served.backend.view = lambda: 1 / 0
    served.server.publish(1.0, change())
    served.drive(lambda: served.backend.faults)
    served.backend.view = view
    assert served.is_alive()


def test_its_wait_is_over_with_the_connection(tmp_path):
    with Served(tmp_path) as served:
        served.backend.formation = {"web": 1}
        peer = served.peer()
        ask(peer, until="stopped")
        served.is_alive()
        served.server.upgrade()
        assert peer.messages(1)[0]["method"] == "upgrading"
        assert not served.server.waits._waits


def test_what_is_so_in_the_end_is_answered_before_it(served, peer, phases):
    ask(peer, until="done", names=["web.1"])
    served.is_alive()
    phases("web.1", "done")
    served.close()
    assert outcome(peer) == {"outcome": "reached"}


def test_the_changes_that_led_to_an_answer_come_before_it_on_the_same_connection(served, peer, phases):
    assert "result" in peer.ask("events")
    ask(peer, names=["web.1"], id=7)
    served.is_alive()
    phases("web.1", "ready")
    served.server.waits.judge()  # in the round of the change, as one that was due before it
    assert [message.get("method", message.get("id")) for message in peer.messages(2)] == ["event", 7]


def test_the_last_changes_come_before_the_answer_at_the_end_of_procman(served, peer, phases):
    assert "result" in peer.ask("events")
    ask(peer, names=["web.1"], until="done", id=7)
    served.is_alive()
    phases("web.1", "done")
    served.close()
    assert [message.get("method", message.get("id")) for message in peer.messages(3)] == ["event", 7, "end"]


def test_one_that_has_gone_with_several_waits_takes_no_answer_from_others(served, peer, phases):
    leaving = served.peer()
    ask(leaving, id=1)
    ask(leaving, id=2)
    served.is_alive()
    ask(peer, id=3)
    served.is_alive()
    phases("web.1", "ready")
    leaving.socket.close()
    served.server.waits.judge()  # before the hang-up is noticed
    assert outcome(peer) == {"outcome": "reached"}
    assert not served.backend.faults


# ---- operations


@pytest.fixture
def operation(served):
    """Something that was asked for, and how it stands."""

    def put(state, **how):
        one = Operation(id=7, what="procman restart: web.1", state=state, **how)
        served.backend.operations[7] = one
        served.server.operation_ended(one)

    put(OperationState.RUNNING, left=("web.1",))
    return put


def test_an_operation_is_waited_for_to_its_end(served, peer, operation):
    ask(peer, operation=7)
    served.is_alive()
    assert peer.received == b""
    operation(OperationState.DONE)
    assert outcome(peer) == {"outcome": "reached"}


def test_an_operation_that_is_over_is_answered_at_once(served, peer, operation):
    operation(OperationState.DONE)
    assert peer.ask("wait", {"operation": 7})["result"] == {"outcome": "reached"}


@pytest.mark.parametrize("state", [OperationState.FAILED, OperationState.SUPERSEDED])
def test_an_operation_that_cannot_come_any_more_says_why(served, peer, operation, state):
    ask(peer, operation=7)
    operation(state, reason=Reason(ReasonCode.CANNOT_START, "web.1 failed: exit 78"), left=("web.1",))
    told = outcome(peer)
    assert (told["outcome"], told["reason"]) == ("failed", "cannot keep waiting: web.1 failed: exit 78")


def test_an_operation_is_late_with_whom_it_waits_for(served, peer, operation):
    assert peer.ask("wait", {"operation": 7, "timeout": 0})["result"] == {
        "outcome": "late",
        "pending": ["web.1 (ready)"],
    }


def test_an_operation_that_nobody_knows_is_refused(served, peer):
    assert "cannot find the operation 8" in peer.ask("wait", {"operation": 8})["error"]["message"]


def test_an_operation_that_is_forgotten_meanwhile_is_told(served, peer, operation):
    ask(peer, operation=7)
    served.is_alive()
    del served.backend.operations[7]
    served.server.publish(1.0, change())
    assert outcome(peer)["outcome"] == "failed"
