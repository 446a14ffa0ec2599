"""The state diagram of an instance, drawn from the machine itself: every phase, every event, what `step` makes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from msgspec.structs import replace

from procman.core.events import (
    Adopted,
    Emptied,
    Exited,
    ExitStatus,
    HaltWanted,
    KillAsked,
    Probed,
    Released,
    RestartWanted,
    SlotEvent,
    Spawned,
    SpawnFailed,
    StartWanted,
    StopWanted,
    TimerFired,
    WaitWanted,
)
from procman.core.instance import step
from procman.core.phases import PHASES, Clearing, Instance, Phase
from procman.core.policies import Drain, Health, TcpProbe
from procman.core.spec import ProcessSpec, RestartPolicy, StopPolicy
from procman.core.timers import SlotTimer
from procman.core.view import Reason, ReasonCode

SPEC = ProcessSpec(
    type="web",
    command="serve",
    cwd="/",
    env={},
    restart=RestartPolicy(no_retry_exit_codes=(2, 126)),
    health=Health(probe=TcpProbe()),
    stop=StopPolicy(drain=Drain(seconds=5.0)),
)
WHY = Reason(ReasonCode.STOPPED, "stop")
CODES = (0, 1, 2)
"""An end that is good, one that is tried again, one that is not."""


def events(i: Instance) -> Iterator[SlotEvent]:
    """Everything that can be said to the instance as it stands."""
    yield from (StartWanted(), StopWanted(WHY), RestartWanted(SPEC, WHY), KillAsked())
    yield Spawned(i.name, i.generation, 1)
    yield from (SpawnFailed(i.name, i.generation, code, "why") for code in (127, 126))
    yield from (Exited(i.name, i.generation, ExitStatus(code)) for code in CODES)
    yield from (Adopted(i.name, i.generation, 2, in_group) for in_group in (True, False))
    yield from (Probed(i.name, i.generation, ok) for ok in (True, False))
    yield WaitWanted(("redis",))
    yield from (HaltWanted(WHY, failed=failed) for failed in (False, True))
    yield Released(i.name, i.generation, "balancer")
    yield from (Emptied(i.name, i.generation), TimerFired(SlotTimer(i.name), i.token))


def shape(i: Instance) -> tuple[object, ...]:
    """What decides where an event leads; numbers and times do not."""
    phase = i.phase
    parts = [
        getattr(phase, name) for name in ("reason", "step", "then", "exit", "held_by", "retry") if hasattr(phase, name)
    ]
    return type(phase), i.wanted, *parts


def moves() -> dict[tuple[type[Phase], type[Phase]], set[str]]:
    """The events that lead from each phase to each other, found by following all of them from a new slot."""
    found: dict[tuple[type[Phase], type[Phase]], set[str]] = {}
    first = Instance(name="web.1", index=1, spec=SPEC)
    seen, reached = {shape(first)}, deque([first])
    while reached:
        before = reached.popleft()
        for event in events(before):
            after, _, _ = step(before, event, getattr(before.phase, "kill_at", getattr(before.phase, "until", 0.0)))
            if type(after.phase) is not type(before.phase):
                found.setdefault((type(before.phase), type(after.phase)), set()).add(type(event).__name__)
            record = after.record
            few = replace(record, failures=min(record.failures, 1), early_exits=min(record.early_exits, 1))
            after = replace(after, record=few)
            if shape(after) not in seen:
                seen.add(shape(after))
                reached.append(after)
    return found


def name_of(phase: type[Phase]) -> str:
    return phase.__name__.upper()


def shown_as(phase: type[Phase]) -> str:
    return "the phase that follows" if phase is Clearing else str(phase.shown)


def render() -> str:
    """The phases and their names for users, and a Mermaid diagram. Deterministic."""
    order = {phase: place for place, phase in enumerate(PHASES)}
    rows = [f"| {name_of(phase)} | {shown_as(phase)} |" for phase in PHASES]
    arrows = [
        f"    {name_of(old)} --> {name_of(new)}: {', '.join(sorted(names))}"
        for (old, new), names in sorted(moves().items(), key=lambda move: (order[move[0][0]], order[move[0][1]]))
    ]
    diagram = ["```mermaid", "stateDiagram-v2", "    [*] --> DOWN", *arrows, "    DOWN --> [*]: slot removed", "```"]
    return "\n".join(["| phase | shown as |", "|---|---|", *rows, "", *diagram])
