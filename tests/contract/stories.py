"""Stories of runs, each with the events that must reach the core: from the pretended system and by the real one."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from pretended import Nature
from procman.core.events import (
    Adopted,
    Command,
    Emptied,
    Event,
    Exited,
    KillAsked,
    Restart,
    Scale,
    ShutdownAsked,
    Spawned,
    SpawnFailed,
    Stop,
)
from procman.core.spec import Plan, ProcessSpec, RestartPolicy, StopPolicy, When


class Saw(NamedTuple):
    """Go on once this event has reached the core."""

    text: str


class Up(NamedTuple):
    """Go on once this run is as its nature says: signals are set up, children are forked."""

    generation: int


class Order(NamedTuple):
    command: Command


class Ends(NamedTuple):
    """The leader is killed by somebody else."""


class Ask(NamedTuple):
    """A signal to procman."""

    event: ShutdownAsked | KillAsked


Step: TypeAlias = Saw | Up | Order | Ends | Ask

TERM = Ask(ShutdownAsked("SIGTERM"))
LEFTOVERS = ("Adopted", "OrphanReaped")
"""What the kernel may see of a group that is dying of KILL, or may not."""


class Story(NamedTuple):
    """One type `a` with one instance. `indifferent` are kinds of events that do not count."""

    nature: Nature
    steps: tuple[Step, ...]
    events: tuple[str, ...]
    code: int = 0
    policy: When = When.ON_FAILURE
    grace: float = 20.0
    indifferent: tuple[str, ...] = ()

    def plan(self, command: str, cwd: str, env: dict[str, str]) -> Plan:
        restart = RestartPolicy(policy=self.policy, delay=0.05, max_delay=0.1)
        spec = ProcessSpec(
            type="a", command=command, cwd=cwd, env=env, restart=restart, stop=StopPolicy(grace=self.grace)
        )
        return Plan(root=cwd, types={"a": spec}, counts={"a": 1}, positions={"a": 0})

    def counted(self, events: list[str]) -> tuple[str, ...]:
        return tuple(text for text in events if text.split()[0] not in self.indifferent)


def text_of(event: Event) -> str | None:
    """`Exited 1 143`: kind, run, and what tells it apart; None for what is asked, and for deadlines."""
    match event:
        case Exited(_, generation, status):
            return f"Exited {generation} {status.code}"
        case Adopted(_, generation, _, in_group):
            return f"Adopted {generation} {'inside' if in_group else 'outside'}"
        case SpawnFailed(_, generation, code):
            return f"SpawnFailed {generation} {code}"
        case Spawned() | Emptied():
            return f"{type(event).__name__} {event.generation}"
        case _:
            return None


STORIES = {
    "term ends it and procman": Story(Nature.OBEYS, (Up(1), TERM), ("Spawned 1", "Exited 1 143", "Emptied 1")),
    "a crash brings a new run": Story(
        Nature.OBEYS,
        (Up(1), Ends(), Up(2), TERM),
        ("Spawned 1", "Exited 1 137", "Emptied 1", "Spawned 2", "Exited 2 143", "Emptied 2"),
    ),
    "stop and restart": Story(
        Nature.OBEYS,
        (Up(1), Order(Stop(("a",))), Saw("Emptied 1"), Order(Restart(("a",))), Up(2), TERM),
        ("Spawned 1", "Exited 1 143", "Emptied 1", "Spawned 2", "Exited 2 143", "Emptied 2"),
    ),
    "restart while it runs": Story(
        Nature.OBEYS,
        (Up(1), Order(Restart(())), Up(2), TERM),
        ("Spawned 1", "Exited 1 143", "Emptied 1", "Spawned 2", "Exited 2 143", "Emptied 2"),
    ),
    "scaled to nothing and back before it has ended": Story(
        Nature.OBEYS,
        (Up(1), Order(Scale(to={"a": 0})), Order(Scale(to={"a": 1})), Up(2), TERM),
        ("Spawned 1", "Exited 1 143", "Emptied 1", "Spawned 2", "Exited 2 143", "Emptied 2"),
    ),
    "one that ignores the signal is killed at its grace": Story(
        Nature.IGNORES, (Up(1), TERM), ("Spawned 1", "Exited 1 137", "Emptied 1"), grace=0.4
    ),
    "a second interrupt kills": Story(
        Nature.IGNORES, (Up(1), TERM, Ask(KillAsked())), ("Spawned 1", "Exited 1 137", "Emptied 1"), code=130
    ),
    "each of a chain is adopted when the one above has gone": Story(
        Nature.TREE, (Up(1), TERM), ("Spawned 1", "Exited 1 143", "Adopted 1 inside", "Adopted 1 inside", "Emptied 1")
    ),
    "a leftover member that ignores the signal is killed": Story(
        Nature.STUBBORN_TREE, (Up(1), TERM), ("Spawned 1", "Exited 1 143", "Adopted 1 inside", "Emptied 1"), grace=0.4
    ),
    "what a crash leaves in the group is killed before the next run": Story(
        Nature.STUBBORN_TREE,
        (Up(1), Ends(), Up(2), TERM),
        ("Spawned 1", "Exited 1 137", "Emptied 1", "Spawned 2", "Exited 2 143", "Emptied 2"),
        grace=0.4,
        indifferent=LEFTOVERS,
    ),
    "a daemon is adopted while its instance runs, and ends with it": Story(
        Nature.DAEMON,
        (Up(1), Saw("Adopted 1 outside"), TERM),
        ("Spawned 1", "Adopted 1 outside", "Exited 1 143", "Emptied 1"),
    ),
    "what cannot be started is tried again": Story(
        Nature.ABSENT, (Saw("SpawnFailed 2 127"), TERM), ("SpawnFailed 1 127", "SpawnFailed 2 127")
    ),
    "one run where the policy is never": Story(
        Nature.DIES, (), ("Spawned 1", "Exited 1 1", "Emptied 1"), code=1, policy=When.NEVER
    ),
}
