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
    KillAsked,
    StopWanted,
    StartWanted,
    RestartWanted,
    SlotEvent,
    Spawned,
    SpawnFailed,
    TimerFired,
)
from procman.core.instance import step
from procman.core.spec import ProcessSpec, RestartPolicy
from procman.core.state import Instance, Phase

SPEC = ProcessSpec(type="web", command="serve", cwd="/", env={}, restart=RestartPolicy(no_retry_exit_codes=(2, 126)))
CODES = (0, 1, 2)
"""An end that is good, one that is tried again, one that is not."""


def events(i: Instance) -> Iterator[SlotEvent]:
    """Everything that can be said to the instance as it stands."""
    yield from (StartWanted(), StopWanted("stop"), RestartWanted(SPEC, "restart"), KillAsked())
    yield Spawned(i.name, i.generation, 1)
    yield from (SpawnFailed(i.name, i.generation, code, "why") for code in (127, 126))
    yield from (Exited(i.name, i.generation, ExitStatus(code)) for code in CODES)
    yield from (Adopted(i.name, i.generation, 2, in_group) for in_group in (True, False))
    yield from (Emptied(i.name, i.generation), TimerFired(i.name, i.token))


def shape(i: Instance) -> tuple[object, ...]:
    """What decides where an event leads; numbers and times do not."""
    return i.phase, i.wanted, i.cause, i.stage, i.exit is None, i.ready_at is None


def moves() -> dict[tuple[Phase, Phase], set[str]]:
    """The events that lead from each phase to each other, found by following all of them from a new slot."""
    found: dict[tuple[Phase, Phase], set[str]] = {}
    first = Instance(name="web.1", index=1, spec=SPEC)
    seen, reached = {shape(first)}, deque([first])
    while reached:
        before = reached.popleft()
        for event in events(before):
            after, _ = step(before, event, before.deadline)
            if after.phase is not before.phase:
                found.setdefault((before.phase, after.phase), set()).add(type(event).__name__)
            after = replace(after, failures=min(after.failures, 1), early=min(after.early, 1))
            if shape(after) not in seen:
                seen.add(shape(after))
                reached.append(after)
    return found


def render() -> str:
    """The phases and their names for users, and a Mermaid diagram. Deterministic."""
    order = {phase: place for place, phase in enumerate(Phase)}
    shown = {phase: Instance(name="web.1", index=1, spec=SPEC, phase=phase).shown for phase in Phase}
    rows = [f"| {phase.name} | {shown[phase]} |" for phase in Phase]
    arrows = [
        f"    {old.name} --> {new.name}: {', '.join(sorted(names))}"
        for (old, new), names in sorted(moves().items(), key=lambda move: (order[move[0][0]], order[move[0][1]]))
    ]
    diagram = ["```mermaid", "stateDiagram-v2", "    [*] --> DOWN", *arrows, "    DOWN --> [*]: slot removed", "```"]
    return "\n".join(["| phase | shown as |", "|---|---|", *rows, "", *diagram])
