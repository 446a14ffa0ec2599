"""A system that is only pretended: it performs a fleet's actions and says what follows, late and in any order.

It owns processes, groups, adoption, pending forks, deadlines and the clock, and knows nothing of how the fleet decides.
It keeps to what the kernel room promises: of one life Spawned, Exited, Adopted and Emptied come in that order; a
signal reaches only what is in its table; whatever else is asked of it is a fault of the fleet and an AssertionError.
Who drives it chooses what is delivered next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import assert_never

from pretended import Life, Nature, Proc
from procman.core.actions import (
    Action,
    CancelSpawn,
    CloseSockets,
    Finish,
    KeepCounts,
    OpenSockets,
    OperationEnded,
    Publish,
    ReclaimDaemons,
    Refuse,
    Remove,
    Reply,
    RunHelper,
    SetTimer,
    ShareDaemon,
    Signal,
    SignalProcess,
    Spawn,
    StartProbe,
    StopProbe,
    Target,
)
from procman.core.desired import RestartMove
from procman.core.events import (
    Adopted,
    Command,
    Commanded,
    Emptied,
    Event,
    Exited,
    ExitStatus,
    FormationStarted,
    KillAsked,
    Orphaned,
    OrphanReaped,
    Probed,
    ShutdownAsked,
    SpawnCancelled,
    Spawned,
    SpawnFailed,
    TimerFired,
)
from procman.core.fleet import Fleet
from procman.core.phases import (
    AfterClearing,
    AfterSpawn,
    Backoff,
    Clearing,
    Done,
    Down,
    Draining,
    Failed,
    Instance,
    Ready,
    Spawning,
    Starting,
    Stopping,
    StopReason,
    Unhealthy,
    Waiting,
)
from procman.core.restart import backoff
from procman.core.spec import DEFAULT_GRACE, Plan, ProcessSpec
from procman.core.timers import OrphansTimer, SlotTimer
from procman.core.view import Kind

NUMBERS = {"TERM": 15, "INT": 2, "KILL": 9, "QUIT": 3}
EPSILON = 1e-6


class SimulatedOS:
    """Performs actions at once, and holds what follows until `deliver`, `fire` or `fork` lets it happen."""

    def __init__(self, plan: Plan, now: float = 1000.0) -> None:
        self.now = now
        self.fleet = Fleet(plan)
        self.natures: deque[Nature] = deque()  # of the next lives; then what is usual for the type
        self.usual: dict[str, Nature] = {}
        self.jitter = 0.0
        self.hasty = False
        self.wanted: Callable[[Spawn], bool] = lambda _spawn: True
        self.forks: list[Spawn] = []
        self.lives: dict[str, Life] = {}  # by instance: until Emptied is told
        self.queues: dict[str, deque[Event]] = {}  # by instance, "" for orphans
        self.timers: list[SetTimer] = []
        self.probes: dict[str, StartProbe] = {}
        self.kept_counts: dict[str, int] = {}
        self.nature_of: Callable[[Spawn], Nature] | None = None
        self.closed_at: float | None = None  # when everything was first asked to end
        self.ended: dict[str, float] = {}  # by instance: when the end of its last process was told
        self.fired: list[Event] = []  # everything told so far
        self.kept: dict[str, dict[int, Proc]] = {}
        self.orphans: dict[int, Proc] = {}
        self.orphans_kill_at: dict[int, float] = {}
        self.orphans_told: dict[int, float] = {}  # and not yet told to be gone: since when
        self.strangers: set[int] = set()  # whoever has the numbers of the dead: they are given out again at once
        self.killing = False
        self.stopping = False
        self.finished: list[int] = []
        self.log: list[tuple[float, Action]] = []
        self.answers: dict[int, Reply | Refuse] = {}
        self._pids = iter(range(100, 10**9))
        self._requests = iter(range(1, 10**9))
        self._failures: dict[
            str, tuple[float, int]
        ] = {}  # by instance: when it last ended by itself, how often in a row
        self._specs: dict[str, ProcessSpec] = {}  # by instance: of its last start
        self._touched: set[str] = set()  # instances that a command has named since their last start
        self._commanding = False
        self._subject: Event | None = None

    # ---- the one way to the fleet

    def start(self) -> None:
        self._perform(self.fleet.handle(FormationStarted(), self.now))

    def tell(self, event: Event) -> list[Action]:
        self._subject = event
        self.fired.append(event)
        moves = (
            self.fleet._formation.desired.moves
        )  # what is to be replaced anyway is so at once where it ends by itself
        self._touched.update(name for name, move in moves.items() if isinstance(move, RestartMove))
        self._touched.update(
            i.name
            for i in self.fleet.instances()
            if i.ended_for_good or (isinstance(i.phase, Spawning) and i.phase.then is not AfterSpawn.RUN)
        )  # and tried again by nobody: somebody wants a new life of it
        actions = self.fleet.handle(event, self.now)
        self._touched.update(i.name for i in self.fleet.instances() if _is_replaced(i))  # by a move of this event
        if self.closed_at is None and self.fleet.stopping:
            self.closed_at = self.now
        self._perform(actions)
        return actions

    def command(self, command: Command) -> Reply | Refuse:
        request = next(self._requests)
        self._commanding = True
        self.tell(Commanded(command, request))
        self._commanding = False
        answer = self.answers[request]
        if isinstance(answer, Reply):
            self._touched.update(answer.instances)
        return answer

    def shut_down(self) -> None:
        self.stopping = True
        self.tell(ShutdownAsked("SIGTERM"))

    def kill(self) -> None:
        self.stopping = self.killing = True
        self.tell(KillAsked())

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            self.log.append((self.now, action))
            assert not self.finished or not isinstance(action, Spawn | Signal | Finish), f"{action} after the end"
            match action:
                case Spawn():
                    self._spawn(action)
                case CancelSpawn():
                    self._cancel(action)
                case Signal():
                    self._signal(action)
                case SignalProcess():
                    self._signal_process(action)
                case ShareDaemon():
                    self._keep(action)
                case ReclaimDaemons():
                    self._inherit(action)
                case SetTimer():
                    self.timers.append(action)
                case Reply() | Refuse():
                    self.answers[action.request] = action
                case Finish():
                    self.finished.append(action.code)
                case StartProbe():
                    self._start_probe(action)
                case StopProbe():
                    self.probes.pop(action.name, None)
                case RunHelper():
                    assert action.name in self.lives, f"{action} is for nobody"
                case OpenSockets() | CloseSockets():
                    pass
                case KeepCounts():
                    self.kept_counts = action.counts
                case Remove():
                    self._failures.pop(action.name, None)  # a later slot of that name has not failed
                case Publish() | OperationEnded():
                    pass
                case _:
                    assert_never(action)

    # ---- lives begin

    def _spawn(self, action: Spawn) -> None:
        assert not self.stopping, f"{action.name} is spawned after a shutdown was asked for"
        assert not self.fleet.stopping, f"{action.name} is spawned after procman decided to end"
        assert self.wanted(action), f"{action.name} is spawned and not wanted, or not so"
        assert action.name not in self.lives, f"{action.name} is spawned while its last life is not over"
        assert all(fork.name != action.name for fork in self.forks), f"{action.name} is spawned twice"
        self._check_backoff(action)
        self.forks.append(action)

    def _cancel(self, action: CancelSpawn) -> None:
        """A start that has not begun is taken back; with `hasty` each has begun by then."""
        waiting = [fork for fork in self.forks if (fork.name, fork.generation) == (action.name, action.generation)]
        if waiting and not self.hasty:
            self.forks.remove(waiting[0])
            self._queue(action.name, SpawnCancelled(action.name, action.generation))

    def _check_backoff(self, action: Spawn) -> None:
        """The least that an instance which ended by itself must wait, counted from outside."""
        at, failures = self._failures.get(action.name, (self.now, 0))
        anew = self._specs.get(action.name, action.spec) != action.spec  # back to the old spec, say: not its own retry
        self._specs[action.name] = action.spec
        if anew or self._commanding or action.name in self._touched:
            self._touched.discard(action.name)
            self._failures.pop(action.name, None)
        elif failures:
            earliest = at + backoff(action.spec.restart, failures, 0.0)
            assert self.now >= earliest - EPSILON, f"{action.name} is back {earliest - self.now} s early"

    def _failed(self, life: Life | None, name: str) -> None:
        _, failures = self._failures.get(name, (0.0, 0))
        lived = self.now - life.told_at if life is not None and life.told_at is not None else 0.0
        long = life is not None and lived >= life.spec.restart.reset_after
        self._failures[name] = (self.now, 1 if long else failures + 1)

    def fork(self, which: int = 0) -> None:
        """A pending fork is done: the process lives, or could not be made."""
        action = self.forks.pop(which)
        usual = self.nature_of(action) if self.nature_of else self.usual.get(action.spec.type, Nature.OBEYS)
        nature = self.natures.popleft() if self.natures else usual
        if nature is Nature.ABSENT:
            self._queue(action.name, SpawnFailed(action.name, action.generation, 127, "no such command", self.jitter))
            return
        leader = self._pid()
        shell = nature in (Nature.SHELL, Nature.DEAF_SHELL)
        life = self.lives[action.name] = Life(action, leader, shell=shell)
        obeys = nature not in (Nature.IGNORES, Nature.IMMORTAL, Nature.SHELL, Nature.DEAF_SHELL)
        life.nature = nature
        life.add(Proc(leader, 0, in_group=True, obeys=obeys, immortal=nature is Nature.IMMORTAL))
        self._queue(action.name, Spawned(action.name, action.generation, leader, shell))
        if nature in (Nature.TREE, Nature.STUBBORN_TREE):
            child = life.add(Proc(self._pid(), leader, in_group=True, obeys=nature is Nature.TREE))
            if nature is Nature.TREE:
                life.add(Proc(self._pid(), child.pid, in_group=True, obeys=True))
        if nature is Nature.SHELL:
            life.add(Proc(self._pid(), leader, in_group=True, obeys=True))
        if nature is Nature.DAEMON:
            self.daemon(life)
        if nature is Nature.DIES:
            self.exit(action.name)

    def daemon(self, life: Life) -> None:
        """A double fork: the one in between has ended, so the daemon is adopted at once."""
        daemon = life.add(Proc(self._pid(), 0, in_group=False, obeys=True))
        self._queue(life.name, Adopted(life.name, life.generation, daemon.pid, in_group=False))

    def _pid(self) -> int:
        return next(self._pids)

    def _start_probe(self, action: StartProbe) -> None:
        life = self.lives.get(action.name)
        assert life is not None, f"{action} is for nobody"
        assert life.generation == action.generation, f"{action} is for life {life.generation}"
        if life.leads:  # its end may be on its way
            self.probes[action.name] = action

    def answer(self, name: str, *, ok: bool) -> None:
        """The probe of that instance has an answer."""
        probe = self.probes[name]
        self._queue(name, Probed(name, probe.generation, ok, "ok" if ok else "refused"))

    def _unanswered(self) -> list[str]:
        """Whose readiness would be seen by now."""
        return [
            name
            for name, probe in self.probes.items()
            if not probe.health and self.lives[name].nature is not Nature.UNREADY and self.lives[name].leads
        ]

    # ---- and end

    def exit(self, name: str, code: int = 1) -> None:
        """The leader ends by itself."""
        self._die(self.lives[name], self.lives[name].leader, ExitStatus(code))

    def thaw(self, name: str) -> None:
        """What not even KILL could end is gone at last."""
        life = self.lives[name]
        for pid in [pid for pid, proc in life.procs.items() if proc.immortal]:
            self._die(life, pid, ExitStatus(137, "KILL"))

    def member_ends(self, name: str) -> None:
        """One that is not the leader ends by itself."""
        life = self.lives[name]
        for pid in [pid for pid in life.procs if pid != life.leader][:1]:
            self._die(life, pid, ExitStatus(0))

    def _die(self, life: Life, pid: int, status: ExitStatus) -> None:
        del life.procs[pid]
        self.strangers.add(pid)
        if pid == life.leader:
            self.probes.pop(life.name, None)
            self._queue(life.name, Exited(life.name, life.generation, status, "", self.jitter))
        elif life.shell and life.leads and len(life.procs) == 1:  # what the shell has waited for
            self._die(life, life.leader, status)
            return
        for child in life.procs.values():
            if child.parent == pid:
                child.parent = 0
                adopted = Adopted(life.name, life.generation, child.pid, in_group=child.in_group)
                self._queue(life.name, adopted)
        self._bury(life)

    def _bury(self, life: Life) -> None:
        if not life.over and life.noticed and not life.procs:
            life.over = True
            self._queue(life.name, Emptied(life.name, life.generation))

    def appear(self, *, in_life: str | None = None, generation: int = 0) -> None:
        """A process nobody started becomes procman's child: an orphan, or one of a life that is over."""
        pid = self._pid()
        self.orphans[pid] = Proc(pid, 0, in_group=False, obeys=True)
        event = Orphaned(pid) if in_life is None else Adopted(in_life, generation, pid, in_group=False)
        self._queue("", event)

    def orphan_dies(self, pid: int) -> None:
        del self.orphans[pid]
        self.strangers.add(pid)
        self._queue("", OrphanReaped(pid))

    # ---- signals

    def _signal(self, action: Signal) -> None:
        life = self.lives.get(action.name)
        assert life is not None, f"{action} is for nobody"
        assert life.generation == action.generation, f"{action} is for life {life.generation}"
        if action.signal == "KILL":
            self._check_kill(life, action.target)
        elif action.signal == life.spec.stop.signal:
            life.asked_at = self.now if life.asked_at is None else life.asked_at
            life.polite = life.polite or action.target is Target.TOP
            if action.target is Target.ALL:
                assert not life.polite or (life.shell and not life.noticed), (
                    f"{life.name}: its program gets a second TERM"
                )
                life.called_at = self.now
            self._check_repeat(life)
        for pid in life.aimed_at(action.target):
            self._hit(life, pid, action.signal)

    def _check_kill(self, life: Life, target: Target) -> None:
        if self.closed_at is not None and self.fleet._formation.desired.closing is not None:
            closing = self.fleet._formation.desired.closing
            if self.now >= closing.since + closing.grace - EPSILON:
                return  # the whole stop is over
        if self.killing or (target is Target.GROUP and life.noticed and not life.leads and life.asked_at is None):
            return  # a second INT; a crash
        stop = life.spec.stop
        assert life.asked_at is not None or stop.grace <= 0, f"{life.name} is killed unasked"
        asked_at = self.now if life.asked_at is None else life.asked_at
        assert self.now >= asked_at + stop.grace - EPSILON, f"{life.name} is killed before its grace"
        if life.polite and life.shell and life.leads:
            assert life.called_at is not None, f"{life.name} is killed without a signal to its group"
            notice = min(2.0, stop.grace / 2)
            assert self.now >= life.called_at + notice - EPSILON, (
                f"{life.name} is killed right after its group was asked"
            )

    def _check_repeat(self, life: Life) -> None:
        """A program gets the stop signal once; twice only where it was asked to end in its first two seconds."""
        life.asked_leader += life.leads
        assert life.asked_at is not None
        young = life.told_at is not None and life.asked_at - life.told_at < 2.0
        assert life.asked_leader <= 1 + young + life.shell, f"{life.name} gets the stop signal too often"

    def _hit(self, life: Life, pid: int, signal: str) -> None:
        assert pid not in self.strangers, f"a stranger ({pid}) gets {signal}"
        proc = life.procs.get(pid)
        if proc is not None and proc.dies_of(signal, life.spec.stop.signal):
            self._die(life, pid, ExitStatus(128 + NUMBERS[signal], signal))

    def _signal_process(self, action: SignalProcess) -> None:
        pid = action.pid
        told = isinstance(self._subject, Adopted | Orphaned) and self._subject.pid == pid
        assert told or pid in self.orphans_told, f"{pid} gets {action.signal} and is none of ours"
        if pid in self.orphans:
            if action.signal == "KILL" and not self.fleet.stopping:
                assert self.now >= self.orphans_kill_at[pid] - EPSILON, f"orphan {pid} is killed early"
            if self.orphans[pid].dies_of(action.signal, "TERM"):
                self.orphan_dies(pid)
            return
        for life in self.lives.values():
            if pid in life.procs:
                self._hit(life, pid, action.signal)
                return

    def _grace_of(self, event: Orphaned | Adopted) -> float:
        """What is left of an ended life is stopped as its type is, as far as that is still there."""
        type_name = event.name.rpartition(".")[0] if isinstance(event, Adopted) else ""
        types = self.fleet.plan.types
        longest = max((spec.stop.grace for spec in types.values()), default=DEFAULT_GRACE)
        return types[type_name].stop.grace if type_name in types else longest

    def _keep(self, action: ShareDaemon) -> None:
        life = self.lives.get(action.name)
        if life is not None and action.pid in life.procs:
            self.kept.setdefault(life.spec.type, {})[action.pid] = life.procs.pop(action.pid)
            self._bury(life)

    def _inherit(self, action: ReclaimDaemons) -> None:
        life = self.lives[action.name]
        assert life.generation == action.generation
        for pid, proc in self.kept.pop(life.spec.type, {}).items():
            life.procs[pid] = proc
            self._hit(life, pid, action.signal)

    # ---- what can happen next

    def _queue(self, name: str, event: Event) -> None:
        self.queues.setdefault(name, deque()).append(event)

    def waiting(self) -> list[str]:
        """Whose events wait to be delivered."""
        return sorted(name for name, queue in self.queues.items() if queue)

    def deliver(self, name: str) -> list[Action]:
        """The oldest event of that instance is told."""
        event = self.queues[name].popleft()
        life = self.lives.get(name)
        match event:
            case Spawned() if life is not None:
                life.told_at = self.now
            case SpawnFailed():
                self._failed(None, name)
            case Exited() if life is not None:
                life.noticed = True
                self.ended[name] = self.now
                i = self.fleet.get(name)
                if life.asked_at is None and not (i is not None and isinstance(i.phase, Draining)):
                    self._failed(life, name)
            case Emptied():
                del self.lives[name]
            case Orphaned() | Adopted() if not name:
                self.orphans_told[event.pid] = self.now
                self.orphans_kill_at[event.pid] = self.now + self._grace_of(event)
            case OrphanReaped():
                self.orphans_told.pop(event.pid, None)
            case _:
                pass
        actions = self.tell(event)
        if isinstance(event, Exited) and life is not None:  # it is reaped only now
            self._bury(life)
        return actions

    def due(self) -> list[SetTimer]:
        return [timer for timer in self.timers if timer.at <= self.now]

    def fire(self, timer: SetTimer) -> list[Action]:
        self.timers.remove(timer)
        return self.tell(TimerFired(timer.key, timer.token))

    def stuck(self) -> list[Instance]:
        """Instances that are unsettled with nothing on its way that could move them."""
        timers = {(timer.key, timer.token) for timer in self.timers}
        orphans = self.fleet._formation.orphans
        due = (OrphansTimer(), orphans._token) in timers
        assert due or not (orphans._ending or orphans._killed), "the orphans are stuck"
        return [i for i in self.fleet.instances() if not self._has_a_mover(i, (SlotTimer(i.name), i.token) in timers)]

    def _has_a_mover(self, i: Instance, deadline: bool) -> bool:
        match i.phase:
            case Spawning():
                return any(fork.name == i.name for fork in self.forks) or bool(self.queues.get(i.name))
            case Starting() if self.fleet.stopping and i.name in self.fleet._formation.desired.moves:
                return True  # it waits for its turn to stop
            case Starting() | Backoff() | Draining():
                return deadline
            case Stopping() | Clearing():
                return deadline or i.unkillable
            case Down() | Waiting() | Ready() | Unhealthy() | Failed() | Done():
                return True
            case _:
                assert_never(i.phase)

    # ---- fair driving

    def drain(self) -> None:
        """Everything that can happen without time passing, the kernel's way: forks and exits before deadlines."""
        for _ in range(100_000):
            if self.forks:
                self.fork()
            elif self.waiting():
                self.deliver(self.waiting()[0])
            elif unanswered := self._unanswered():
                self.answer(unanswered[0], ok=True)
                self.deliver(unanswered[0])
            elif self.due():
                self.fire(min(self.due(), key=lambda timer: timer.at))
            else:
                return
        raise AssertionError("it never comes to rest")

    def until(self, at: float) -> None:
        """Let time pass, deadline by deadline."""
        self.drain()
        while upcoming := [timer.at for timer in self.timers if timer.at <= at]:
            self.now = max(self.now, min(upcoming))
            self.drain()
        self.now = max(self.now, at)
        self.drain()

    def run(self, seconds: float) -> None:
        self.until(self.now + seconds)

    def spawns(self, name: str) -> list[float]:
        """When each life of an instance was asked for."""
        return [at for at, action in self.log if isinstance(action, Spawn) and action.name == name]

    def kinds(self) -> list[Kind]:
        """What has been told, in order."""
        return [action.change.event for _, action in self.log if isinstance(action, Publish)]

    def signals(self) -> list[Signal]:
        return [action for _, action in self.log if isinstance(action, Signal)]

    def alive(self) -> list[str]:
        """Instances whose leader lives."""
        return sorted(name for name, life in self.lives.items() if life.leads)


def _is_replaced(i: Instance) -> bool:
    """Whether its life ends so that another one begins."""
    match i.phase:
        case Draining() | Stopping():
            return i.phase.reason is StopReason.REPLACED
        case Clearing():
            return i.phase.then is AfterClearing.RESPAWN
        case _:
            return False


def simulated(counts: dict[str, int], *specs: ProcessSpec, natures: tuple[Nature, ...] = ()) -> SimulatedOS:
    """A formation that has been started; natures are those of the first lives."""
    given = {spec.type: spec for spec in specs}
    types = {
        name: given.get(name) or ProcessSpec(type=name, command=f"serve {name}", cwd="/app", env={}) for name in counts
    }
    plan = Plan(root="/app", types=types, counts=counts, positions={name: at for at, name in enumerate(types)})
    system = SimulatedOS(plan)
    system.natures.extend(natures)
    system.start()
    return system
