"""Every order in which things can happen to one slot, to a fixed depth: no luck needed, and none that hides a bug.

From each state that is reached fair driving must come to rest, and a shutdown to one Finish. States that differ in
nothing are followed once.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from making import spec_of

from pretended import Nature
from procman.core.events import Restart, Scale, Stop
from procman.core.phases import Done, Down, Ready
from procman.core.policies import Rolling
from procman.core.spec import ProcessSpec, StopMode
from simulation import SimulatedOS, simulated

pytestmark = pytest.mark.timeout(600)  # 15 s alone, and a minute where others need the processors

DEPTH = 6

Move = Callable[[SimulatedOS], object]


def forked(nature: Nature) -> Move:
    def fork(os: SimulatedOS) -> None:
        os.natures.append(nature)
        os.fork()

    return fork


def next_deadline(os: SimulatedOS) -> None:
    timer = min(os.timers, key=lambda timer: timer.at)
    os.now = max(os.now, timer.at)
    os.fire(timer)


def moves(os: SimulatedOS) -> dict[str, Move]:
    """What can happen next."""
    possible: dict[str, Move] = {}
    if os.forks:
        possible |= {
            nature.name: forked(nature) for nature in (Nature.OBEYS, Nature.IGNORES, Nature.TREE, Nature.ABSENT)
        }
    if os.waiting():
        possible["deliver"] = lambda os: os.deliver(os.waiting()[0])
    if os.timers:
        possible["deadline"] = next_deadline
    if "web.1" in os.alive():
        possible |= {"dies": lambda os: os.exit("web.1", 1), "ends": lambda os: os.exit("web.1", 0)}
    if "web.2" in os.alive():
        possible |= {"extra dies": lambda os: os.exit("web.2", 1), "extra ends": lambda os: os.exit("web.2", 0)}
    if not os.fleet.stopping:
        possible |= {
            "stop": lambda os: os.command(Stop(("web.1",))) if os.fleet.get("web.1") else None,
            "restart": lambda os: os.command(Restart()),
            **({} if os.fleet.plan.types["web"].rolling is None else {"run": lambda os: os.run(4.0)}),
            "scale 0": lambda os: os.command(Scale(to={"web": 0})),
            "scale 1": lambda os: os.command(Scale(to={"web": 1})),
            "shutdown": SimulatedOS.shut_down,
        }
    elif not os.killing:
        possible["kill"] = SimulatedOS.kill
    return possible


def after(path: tuple[str, ...], spec: ProcessSpec, *, hasty: bool = False) -> SimulatedOS:
    os = simulated({"web": 1}, spec)
    os.hasty = hasty
    for name in path:
        moves(os)[name](os)
    return os


def state_of(os: SimulatedOS) -> str:
    """All that decides what can follow."""
    runs = [(run.generation, run.noticed, run.asked_at, run.called_at, sorted(run.procs)) for run in os.runs.values()]
    known = os.fleet._formation
    fleet = (os.fleet.instances(), os.fleet.counts, known.desired, known.slots._past, known.rollouts.state())
    return repr((os.now, fleet, runs, os.forks, os.queues, sorted((t.at, repr(t.key), t.token) for t in os.timers)))


def check(os: SimulatedOS) -> None:
    os.run(100.0)
    if not os.fleet.stopping:
        assert all(isinstance(i.phase, (Ready, Done, Down)) for i in os.fleet.instances())
        os.shut_down()
        os.run(100.0)
    assert len(os.finished) == 1
    assert not os.runs


@pytest.mark.parametrize(
    ("mode", "hasty"),
    [
        pytest.param(StopMode.TOP_DOWN, False, id="top-down"),
        pytest.param(StopMode.GROUP, False, id="group"),
        pytest.param(StopMode.TOP_DOWN, True, id="top-down, and no start can be cancelled"),
    ],
)
def test_every_order_of_what_can_happen_to_one_slot_comes_to_a_good_end(mode, hasty):
    explore(spec_of(stop={"mode": mode, "grace": 4.0}), DEPTH, hasty=hasty)


def test_every_order_of_what_can_happen_to_one_slot_and_its_extra_one_comes_to_a_good_end():
    """A few seconds of fair driving are one step, so that a rollout is within the depth."""
    explore(spec_of(stop={"grace": 4.0}, rolling=Rolling(surge=1)), DEPTH - 2, ("run", "restart"))


def explore(spec: ProcessSpec, depth: int, begin: tuple[str, ...] = (), *, hasty: bool = False) -> None:
    seen: set[str] = set()
    reached: list[tuple[str, ...]] = [begin]
    for _ in range(depth):
        longer = []
        for path in reached:
            for name in moves(after(path, spec, hasty=hasty)):
                os = after((*path, name), spec, hasty=hasty)
                assert os.stuck() == [], (*path, name)
                key = state_of(os)
                if key not in seen:
                    seen.add(key)
                    longer.append((*path, name))
        reached = longer
    for path in reached:
        check(after(path, spec, hasty=hasty))
