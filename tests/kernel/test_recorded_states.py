"""What a released version handed over at an upgrade is taken over by this one (ADR 9).

`tests/recordings/states` has what each release wrote, while everything ran and while everything was being stopped;
`tests/record_state.py` says what ran, and records those of a new release. The phases that pass too quickly to be
recorded are in the states of `tests/core/test_golden_states.py`.
"""

from __future__ import annotations

import fcntl
import gzip
import os

import pytest

from procman import __version__
from procman.app.resume import SavedState, check
from procman.core.actions import Finish, Signal, Spawn
from procman.core.events import Commanded, Emptied, Exited, ExitStatus, KillAsked, OrphanReaped, Probed, Scale
from procman.core.fleet import Fleet
from procman.core.snapshot import unpack
from procman.kernel.survive import handover
from procman.kernel.survive.handover import Received
from record_state import RUNNING, STATES

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are no memory files here")

VERSIONS = ("0.1.0",)
KINDS = [f"{version}{kind}" for version in VERSIONS for kind in ("", "-closing")]

LATER = 1e9
"""A time after every deadline of a recording."""


def sealed(name: str) -> int:
    """The descriptor of a memory file with a recorded state, as an upgrade hands over one."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, gzip.decompress((STATES / f"{name}.state").read_bytes()))
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, handover.SEALS)
    return fd


def state_of(name: str) -> SavedState:
    received = Received(sealed(name))
    state = received.state(SavedState)
    received.close()
    return state


def fleet_of(name: str) -> Fleet:
    packed = state_of(name).kernel.fleet
    return Fleet(packed.state.plan, unpack(packed))


@pytest.mark.parametrize("name", KINDS)
def test_this_version_says_that_it_can_take_over(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(sealed(name)) == 0
    assert capsys.readouterr().out == f"{handover.CAN}{__version__}\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_instance_goes_on_in_its_phase(version: str) -> None:
    fleet = fleet_of(version)
    view = fleet.view(LATER)
    assert {row.name: row.phase for row in view.instances} == RUNNING
    assert {row.name for row in view.companions} == {"@watch.1", "@balancer.1", "@autoscale.1"}
    assert view.formation["web"] == 3
    assert next(row for row in view.types if row.type == "web").rollout is not None


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_kernel_holds_for_the_instances_is_there(version: str) -> None:
    state = state_of(version)
    kernel = state.kernel
    assert {process.name for process in kernel.processes.processes} >= {
        n for n, phase in RUNNING.items() if phase == "ready"
    }
    assert [listener.type for listener in kernel.on_demand.listeners] == ["web"]
    assert "says.1" in kernel.on_demand.notify
    assert {probe.action.name for probe in kernel.on_demand.probes} >= {"web.1", "never.1", "ill.1"}
    assert kernel.guardian is not None
    assert kernel.deadlines
    assert state.claimed is not None
    assert state.files is not None
    assert len(set(state.descriptors())) == len(state.descriptors())


@pytest.mark.parametrize("version", VERSIONS)
def test_its_rolling_restart_is_carried_on(version: str) -> None:
    """Its first instance is ready at last, so the next one is asked to end."""
    fleet = fleet_of(version)
    web = fleet.get("web.1")
    assert web is not None
    actions = fleet.handle(Probed("web.1", web.generation, ok=True), LATER)
    actions += fleet.handle(Commanded(Scale(to={"web": 3}), 1), LATER + 100)
    assert "web.2" in {action.name for action in actions if isinstance(action, Signal)}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_waited_is_started_once_its_dependency_is_ready(version: str) -> None:
    fleet = fleet_of(version)
    never = fleet.get("never.1")
    assert never is not None
    actions = fleet.handle(Probed("never.1", never.generation, ok=True), LATER)
    assert "later.1" in {action.name for action in actions if isinstance(action, Spawn)}


@pytest.mark.parametrize("name", KINDS)
def test_it_is_stopped_to_its_end(name: str) -> None:
    state = state_of(name)
    fleet = fleet_of(name)
    actions = fleet.handle(KillAsked(), LATER)
    for process in state.kernel.processes.processes:
        actions += fleet.handle(Exited(process.name, process.generation, ExitStatus(137, "KILL")), LATER)
        actions += fleet.handle(Emptied(process.name, process.generation), LATER)
    for pid in sorted(state.kernel.fleet.state.orphans.alone):
        actions += fleet.handle(OrphanReaped(pid), LATER)
    assert [action for action in actions if isinstance(action, Finish)] == [Finish(130)]
