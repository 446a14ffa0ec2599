"""What HAProxy is told so that its backend is as it is wanted."""

from __future__ import annotations

import pytest
from answered import FakeHaproxy, slot
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from procman.companions.balancer.answers import BackendServer, HaproxyError, Refusal
from procman.companions.balancer.fleet import BalancedInstance
from procman.companions.balancer.planning import BackendSpec, included, plan, slots_of

BACKEND = BackendSpec(name="web", type="web", prefix="web", section=("balance roundrobin",))


def at(number, *, serves=True):
    return BalancedInstance(name=f"web.{number}", type="web", generation=1, port=20010 + number, ready=serves)


def server(number, port=None, *, maintenance=False, drain=False, used=0):
    """A dynamic server, of an instance's name."""
    return BackendServer(
        backend="web",
        name=f"web.{number}",
        address="127.0.0.1",
        port=port or 20010 + number,
        running=True,
        maintenance=maintenance,
        drain=drain,
        used=used,
    )


LEAVING = at(1, serves=False)
READY = {"maintenance": False}

# wanted, slots -> commands without `set server web/`, gone, draining
SLOT_TABLE = {
    "nothing wanted, nothing there": ([], [slot(1)], [], (), ()),
    "the first takes the first slot": (
        [at(1)],
        [slot(1), slot(2)],
        ["web1 addr 127.0.0.1 port 20011", "web1 state ready"],
        (),
        (),
    ),
    "in step, nothing is told": ([at(1)], [slot(1, 20011, **READY)], [], (), ()),
    "back from a drain": ([at(1)], [slot(1, 20011, **READY, drain=True)], ["web1 state ready"], (), ()),
    "back from maintenance": ([at(1)], [slot(1, 20011)], ["web1 state ready"], (), ()),
    "a leaving one drains": ([LEAVING], [slot(1, 20011, **READY, used=3)], ["web1 state drain"], (), ("web.1",)),
    "drain comes first, also where nothing is in use": (
        [LEAVING],
        [slot(1, 20011, **READY)],
        ["web1 state drain"],
        (),
        ("web.1",),
    ),
    "it waits while connections are in use": (
        [LEAVING],
        [slot(1, 20011, **READY, drain=True, used=3)],
        [],
        (),
        ("web.1",),
    ),
    "drained, it goes": ([LEAVING], [slot(1, 20011, **READY, drain=True)], ["web1 state maint"], ("web.1",), ()),
    "who was never there is gone": ([LEAVING], [slot(1)], [], ("web.1",), ()),
    "who is in maintenance is gone": ([LEAVING], [slot(1, 20011)], [], ("web.1",), ()),
    "nobody's address goes at once": ([], [slot(1, 20011, **READY, used=3)], ["web1 state maint"], (), ()),
    "one place in two slots is one too many": (
        [at(1)],
        [slot(1, 20011, **READY), slot(2, 20011, **READY)],
        ["web2 state maint"],
        (),
        (),
    ),
    "a slot with connections is not given away": (
        [at(2)],
        [slot(1, 20011, used=2), slot(2)],
        ["web2 addr 127.0.0.1 port 20012", "web2 state ready"],
        (),
        (),
    ),
    "the tenth slot comes after the second": (
        [at(1)],
        [slot(10), slot(2)],
        ["web2 addr 127.0.0.1 port 20011", "web2 state ready"],
        (),
        (),
    ),
}


@pytest.mark.parametrize("name", SLOT_TABLE)
def test_slots_are_told(name):
    wanted, slots, commands, gone, draining = SLOT_TABLE[name]
    planned = plan(BACKEND, wanted, slots)
    assert [c.removeprefix("set server web/") for c in planned.commands] == commands
    assert (planned.gone, planned.draining) == (gone, draining)


def test_whose_time_is_over_goes_with_its_connections():
    planned = plan(BACKEND, [LEAVING], [slot(1, 20011, **READY, drain=True, used=3)], {"web.1"})
    assert planned.commands == ("set server web/web1 state maint",)
    assert planned.gone == ("web.1",)


def test_who_finds_no_slot_is_named():
    planned = plan(BACKEND, [at(1), at(2), at(3)], [slot(1, 20011, maintenance=False), slot(2)])
    assert planned.homeless == ("web.3",)


def test_what_is_not_ours_is_not_touched():
    spare = replace(slot(1, 9999, maintenance=False), name="spare")
    other = replace(slot(1, 9999, maintenance=False), backend="api")
    for ours in (slot(2), server(2, maintenance=True, used=1)):
        assert plan(BACKEND, [], [spare, other, ours]).commands == ()


DYNAMIC_TABLE = {
    "a new one is added, checked and made ready": (
        [at(1)],
        [],
        ["add server web/web.1 127.0.0.1:20011 check", "enable health web/web.1", "set server web/web.1 state ready"],
        (),
    ),
    "in step, nothing is told": ([at(1)], [server(1)], [], ()),
    "added and not made ready before a kill": (
        [at(1)],
        [server(1, maintenance=True)],
        ["set server web/web.1 state ready"],
        (),
    ),
    "a leaving one drains": ([LEAVING], [server(1, used=1)], ["set server web/web.1 state drain"], ()),
    "drained, it goes": ([LEAVING], [server(1, drain=True)], ["set server web/web.1 state maint"], ("web.1",)),
    "whose instance is gone is deleted": (
        [],
        [server(1)],
        ["set server web/web.1 state maint", "del server web/web.1"],
        (),
    ),
    "with connections it waits for its deletion": ([], [server(1, maintenance=True, used=1)], [], ()),
    "another port is another server": (
        [at(1)],
        [server(1, 20099)],
        ["set server web/web.1 state maint", "del server web/web.1"],
        (),
    ),
    "another port, and connections in use": (
        [at(1)],
        [server(1, 20099, used=1)],
        ["set server web/web.1 state maint"],
        (),
    ),
}


@pytest.mark.parametrize("name", DYNAMIC_TABLE)
def test_dynamic_servers_are_told(name):
    wanted, servers, commands, gone = DYNAMIC_TABLE[name]
    planned = plan(BACKEND, wanted, servers)
    assert list(planned.commands) == commands
    assert planned.gone == gone


def test_without_a_check_none_is_enabled():
    planned = plan(replace(BACKEND, options="weight 5"), [at(1)], [])
    assert planned.commands == ("add server web/web.1 127.0.0.1:20011 weight 5", "set server web/web.1 state ready")


def test_an_address_of_version_six_is_written_in_brackets():
    endpoint = replace(at(1), host="::1", port=1234)
    assert "add server web/web.1 [::1]:1234 check" in plan(BACKEND, [endpoint], []).commands
    assert "    server web.1 [::1]:1234 check\n" in included(BACKEND, [endpoint])


def test_slots_are_seen_in_the_backend():
    assert slots_of(BACKEND, [slot(1), server(2), replace(slot(3), backend="api")]) == [slot(1)]


def test_a_written_backend_has_those_that_serve():
    text = included(BACKEND, [at(1), at(2, serves=False)])
    assert text.split("\n")[1:] == [
        "backend web",
        "    balance roundrobin",
        "    server web.1 127.0.0.1:20011 check",
        "",
    ]


endpoints = st.lists(
    st.builds(at, st.integers(1, 6), serves=st.booleans()),
    unique_by=lambda e: e.name,
    max_size=6,
)
slots = st.lists(
    st.builds(
        slot,
        st.integers(1, 8),
        st.integers(20011, 20016) | st.just(1),
        maintenance=st.booleans(),
        drain=st.booleans(),
        used=st.integers(0, 1),
    ),
    unique_by=lambda s: s.name,
    min_size=1,
    max_size=8,
)
servers = st.lists(
    st.builds(
        server,
        st.integers(1, 6),
        st.integers(20011, 20016),
        maintenance=st.booleans(),
        drain=st.booleans(),
        used=st.integers(0, 1),
    ),
    unique_by=lambda s: s.name,
    max_size=6,
)


def carried_out(haproxy, command):
    try:
        haproxy.change(command)
    except HaproxyError as error:
        return error.kind
    return None


@pytest.mark.parametrize("present", [slots, servers], ids=["slots", "dynamic"])
@given(data=st.data())
def test_from_any_state_with_a_kill_at_any_command_it_comes_to_what_is_wanted(present, data):
    """Each round may break off after any command, as when the companion is killed; a new one begins from what is."""
    wanted = data.draw(endpoints)
    overdue = {e.name for e in wanted if data.draw(st.booleans())}
    haproxy = FakeHaproxy(*data.draw(present))
    before = {e.port for e in wanted if e.serves} & haproxy.serving()
    for left in (data.draw(st.integers(0, 6)), data.draw(st.integers(0, 6)), 99, 99, 99):
        for command in plan(BACKEND, wanted, haproxy.servers("web"), overdue).commands[:left]:
            assert carried_out(haproxy, command) in {None, Refusal.EXISTS, Refusal.NO_SERVER, Refusal.CONNECTED}
            if present is slots:
                assert before <= haproxy.serving()  # who serves and stays is never out of service
        for name, each in haproxy.all.items():
            if not each.serves:
                haproxy.use(name, 0)
    planned = plan(BACKEND, wanted, haproxy.servers("web"), overdue)
    assert planned.commands == ()
    homeless = {e.port for e in wanted if e.name in planned.homeless}
    assert haproxy.serving() == {e.port for e in wanted if e.serves} - homeless
    assert set(planned.gone) == {e.name for e in wanted if not e.serves}
