"""States of fleets as released versions wrote them: each is read, and goes on, in every later version.

`python tests/core/test_golden_states.py` writes that of this version; one that has been released is never changed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from making import Story, plan_of, spec_of
from msgspec.structs import replace

from procman.core.actions import Finish
from procman.core.events import Adopted, Commanded, Orphaned, Restart, Scale, ShutdownAsked, Spawned, Stop
from procman.core.fleet import Fleet
from procman.core.phases import Backoff, Clearing, Done, Down, Failed, Ready, Spawning, Starting, Stopping
from procman.core.snapshot import decode, encode
from procman.core.spec import When

STATES = Path(__file__).parents[1] / "cases" / "states"
VERSION = 4
"""That of the state which an upgrade hands over (kernel/survive/handover.py)."""

PHASES = {
    "web.1": Ready,
    "web.2": Stopping,
    "web.3": Clearing,
    "web.4": Backoff,
    "web.5": Starting,
    "web.6": Spawning,
    "web.7": Down,
    "once.1": Failed,
    "once.2": Done,
}


def story() -> Story:
    """One slot in each phase, an operation under way, an orphan, a crash loop."""
    once = spec_of("once", restart={"policy": When.NEVER}, env={"A": "1"})
    told = Story(plan_of({"web": 7, "once": 2}, replace(once)))
    told.ready("web.1", "web.2", "web.3", "web.4", "web.7", "once.1", "once.2")
    told.happens(Commanded(Restart(("web.2",)), 1))
    told.exited("web.3", 1)
    told.ends("web.4", 1)
    told.happens(Commanded(Stop(("web.7",)), 2))
    told.ends("web.7", 143, "TERM")
    told.ends("once.1", 3)
    told.ends("once.2", 0)
    told.spawned("web.5")
    told.happens(Orphaned(77))
    told.happens(Adopted("web.1", 1, 78, in_group=False))
    return told


@pytest.mark.parametrize("version", [VERSION])
def test_a_state_that_was_written_by_an_earlier_version_goes_on(version):
    state = decode((STATES / f"{version}.msgpack").read_bytes())
    fleet = Fleet(state.plan, state)
    assert {i.name: type(i.phase) for i in fleet.instances()} == PHASES
    fleet.handle(Commanded(Scale(to={"web": 8}), 3), 2000.0)
    fleet.handle(Spawned("web.6", 1, 600), 2000.0)
    actions = fleet.handle(ShutdownAsked("SIGTERM"), 2001.0)
    assert not any(isinstance(action, Finish) for action in actions)
    assert decode(encode(fleet.state())) == fleet.state()


def test_the_states_phases_are_those_of_this_version():
    assert {i.name: type(i.phase) for i in story().fleet.instances()} == PHASES


if __name__ == "__main__":
    (STATES / f"{VERSION}.msgpack").write_bytes(encode(story().fleet.state()))
