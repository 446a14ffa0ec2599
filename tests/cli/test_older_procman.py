"""The verbs against an older procman, as it was recorded: what they ask fits its protocol, or they say what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from procman.control.client import Client, LackingError
from procman.control.messages import Accepted
from procman.control.methods import Access, Method
from procman.core.view import Kind
from recorded import OlderServer, Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RECORDING = Recording()


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., OlderServer]]:
    """Make an older procman that every verb of this test finds: as it was while these verbs were called."""
    made: list[OlderServer] = []

    def make(*verbs: str) -> OlderServer:
        monkeypatch.setenv("PROCMAN_SOCKET", str(tmp_path / "s"))
        made.append(OlderServer(str(tmp_path / "s"), RECORDING, *verbs))
        return made[0]

    yield make
    for server in made:
        server.close()


def test_an_older_procman_is_scaled_and_waited_for(older, procman):
    older("scale --wait")
    done = procman("scale", "web=2", "--wait")
    assert (done.code, done.out, done.err) == (0, "web -> 2\n", "")


def test_an_older_procman_restarts_and_is_waited_for(older, procman):
    older("restart --wait")
    done = procman("restart", "web.2", "--wait")
    assert (done.code, done.out) == (0, "restarting web.2\n")


@pytest.mark.parametrize(
    "words",
    [
        ["scale"],
        ["scale", "web=2", "worker-1"],
        ["ps"],
        ["stop", "web.1", "--no-wait"],
        ["stop", "--all", "--no-wait"],
        ["signal", "HUP", "web"],
        ["signal", "HUP", "web", "--leader"],
        ["reload"],
        ["restart"],
        ["shutdown", "--no-wait"],
    ],
    ids=" ".join,
)
def test_what_a_verb_asks_is_what_an_older_procman_reads(older, procman, words):
    server = older()
    assert procman(*words).code == 0
    fits = RECORDING.validator("request")
    assert [request for request in server.asked if not fits.is_valid(request)] == []


def test_the_changes_that_an_older_procman_tells_are_followed(older, tmp_path):
    older("events")
    with Client(str(tmp_path / "s")) as client, Client(str(tmp_path / "s")) as other:
        changes = client.events()
        other.ps()  # what is told follows it
        told = [next(changes) for _ in range(3)]
    assert [one.change.event for one in told] == [Kind.COMMAND, Kind.STOPPING, Kind.STARTED]


class DrainParams(Struct, frozen=True, omit_defaults=True):
    """What a later version may have."""

    to: dict[str, int] = {}
    hold: float = 0.0


@pytest.mark.parametrize(
    ("method", "params", "lacking"),
    [("drain", DrainParams({"web": 1}), "`drain`"), ("scale", DrainParams({"web": 1}, 2.5), "`scale.hold`")],
)
def test_what_an_older_procman_lacks_is_named(older, tmp_path, method, params, lacking):
    older()
    row = Method(method, DrainParams, Accepted, Access.CHANGE, "a later method")
    with Client(str(tmp_path / "s")) as client:
        with pytest.raises(LackingError) as error:
            client._call(row, params)
        assert client.scale({"web": 1}).formation  # it goes on
    assert error.value.lines() == [
        f"cannot do that: the running procman (0.1.0) does not know {lacking}",
        "`procman upgrade` replaces it with the installed version",
    ]


def test_a_member_at_its_default_is_not_sent_to_an_older_procman(older, tmp_path):
    server = older()
    row = Method("scale", DrainParams, Accepted, Access.CHANGE, "a later method")
    with Client(str(tmp_path / "s")) as client:
        client._call(row, DrainParams({"web": 1}))
    assert [request["params"] for request in server.asked] == [{"to": {"web": 1}}]
