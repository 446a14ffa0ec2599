"""A system that is only pretended: it performs a fleet's actions and says what follows, late and in any order.

It owns processes, groups, adoption, pending forks, deadlines and the clock, and knows nothing of how the fleet decides.
It keeps to what the kernel room promises: of one run Spawned, Exited, Adopted and Emptied come in that order; a
signal reaches only what is in its table; whatever else is asked of it is a fault of the fleet and an AssertionError.
Who drives it chooses what is delivered next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import assert_never

from pretended import Nature, Proc, Run
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
        self.natures: deque[Nature] = deque()  # of the next runs; then what is usual for the type
        self.usual: dict[str, Nature] = {}
        self.jitter = 0.0
        self.hasty = False
        self.wanted: Callable[[Spawn], bool] = lambda _spawn: True
        self.forks: list[Spawn] = []
        self.runs: dict[str, Run] = {}  # by instance: until Emptied is handled
        self.queues: dict[str, deque[Event]] = {}  # by instance, "" for orphans
        self.timers: list[SetTimer] = []
        self.probes: dict[str, StartProbe] = {}
        self.kept_counts: dict[str, int] = {}
        self.nature_of: Callable[[Spawn], Nature] | None = None
        self.closed_at: float | None = None  # when everything was first asked to end
        self.ended: dict[str, float] = {}  # by instance: when the end of its last process was handled
        self.fired: list[Event] = []  # every event so far
        self.kept: dict[str, dict[int, Proc]] = {}
        self.orphans: dict[int, Proc] = {}
        self.orphans_kill_at: dict[int, float] = {}
        self.orphans_reported: dict[int, float] = {}  # until their end is handled: since when
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

    def handle(self, event: Event) -> list[Action]:
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
        )  # and tried again by nobody: somebody wants a new run of it
        actions = self.fleet.handle(event, self.now)
        self._touched.update(i.name for i in self.fleet.instances() if _is_replaced(i))  # by a move of this event
        if self.closed_at is None and self.fleet.stopping:
            self.closed_at = self.now
        self._perform(actions)
        return actions

    def command(self, command: Command) -> Reply | Refuse:
        request = next(self._requests)
        self._commanding = True
        self.handle(Commanded(command, request))
        self._commanding = False
        answer = self.answers[request]
        if isinstance(answer, Reply):
            self._touched.update(answer.instances)
        return answer

    def shut_down(self) -> None:
        self.stopping = True
        self.handle(ShutdownAsked("SIGTERM"))

    def kill(self) -> None:
        self.stopping = self.killing = True
        self.handle(KillAsked())

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
                    if isinstance(action, Reply):
                        assert self.kept_counts.items() <= action.formation.items(), "it is answered before it is kept"
                    self.answers[action.request] = action
                case Finish():
                    self.finished.append(action.code)
                case StartProbe():
                    self._start_probe(action)
                case StopProbe():
                    self.probes.pop(action.name, None)
                case RunHelper():
                    assert action.name in self.runs, f"{action} is for nobody"
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

    # ---- runs begin

    def _spawn(self, action: Spawn) -> None:
        assert not self.stopping, f"{action.name} is spawned after a shutdown was asked for"
        assert not self.fleet.stopping, f"{action.name} is spawned after procman decided to end"
        assert self.wanted(action), f"{action.name} is spawned and not wanted, or not so"
        assert action.name not in self.runs, f"{action.name} is spawned while its last run is not over"
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

    def _failed(self, run: Run | None, name: str) -> None:
        _, failures = self._failures.get(name, (0.0, 0))
        lived = self.now - run.started_at if run is not None and run.started_at is not None else 0.0
        long = run is not None and lived >= run.spec.restart.reset_after
        self._failures[name] = (self.now, 1 if long else failures + 1)

    def fork(self, which: int = 0) -> None:
        """A pending fork is done: the process exists, or could not be made."""
        action = self.forks.pop(which)
        usual = self.nature_of(action) if self.nature_of else self.usual.get(action.spec.type, Nature.OBEYS)
        nature = self.natures.popleft() if self.natures else usual
        if nature is Nature.ABSENT:
            self._queue(action.name, SpawnFailed(action.name, action.generation, 127, "no such command", self.jitter))
            return
        leader = self._pid()
        shell = nature in (Nature.SHELL, Nature.DEAF_SHELL)
        run = self.runs[action.name] = Run(action, leader, shell=shell)
        obeys = nature not in (Nature.IGNORES, Nature.IMMORTAL, Nature.SHELL, Nature.DEAF_SHELL)
        run.nature = nature
        run.add(Proc(leader, 0, in_group=True, obeys=obeys, immortal=nature is Nature.IMMORTAL))
        self._queue(action.name, Spawned(action.name, action.generation, leader, shell))
        if nature in (Nature.TREE, Nature.STUBBORN_TREE):
            child = run.add(Proc(self._pid(), leader, in_group=True, obeys=nature is Nature.TREE))
            if nature is Nature.TREE:
                run.add(Proc(self._pid(), child.pid, in_group=True, obeys=True))
        if nature is Nature.SHELL:
            run.add(Proc(self._pid(), leader, in_group=True, obeys=True))
        if nature is Nature.DAEMON:
            self.daemon(run)
        if nature is Nature.DIES:
            self.exit(action.name)

    def daemon(self, run: Run) -> None:
        """A double fork: the one in between has ended, so the daemon is adopted at once."""
        daemon = run.add(Proc(self._pid(), 0, in_group=False, obeys=True))
        self._queue(run.name, Adopted(run.name, run.generation, daemon.pid, in_group=False))

    def _pid(self) -> int:
        return next(self._pids)

    def _start_probe(self, action: StartProbe) -> None:
        run = self.runs.get(action.name)
        assert run is not None, f"{action} is for nobody"
        assert run.generation == action.generation, f"{action} is for run {run.generation}"
        if run.leads:  # its end may be on its way
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
            if not probe.health and self.runs[name].nature is not Nature.UNREADY and self.runs[name].leads
        ]

    # ---- and end

    def exit(self, name: str, code: int = 1) -> None:
        """The leader ends by itself."""
        self._die(self.runs[name], self.runs[name].leader, ExitStatus(code))

    def thaw(self, name: str) -> None:
        """What not even KILL could end is gone at last."""
        run = self.runs[name]
        for pid in [pid for pid, proc in run.procs.items() if proc.immortal]:
            self._die(run, pid, ExitStatus(137, "KILL"))

    def member_ends(self, name: str) -> None:
        """One that is not the leader ends by itself."""
        run = self.runs[name]
        for pid in [pid for pid in run.procs if pid != run.leader][:1]:
            self._die(run, pid, ExitStatus(0))

    def _die(self, run: Run, pid: int, status: ExitStatus) -> None:
        del run.procs[pid]
        self.strangers.add(pid)
        if pid == run.leader:
            self.probes.pop(run.name, None)
            self._queue(run.name, Exited(run.name, run.generation, status, "", self.jitter))
        elif run.shell and run.leads and len(run.procs) == 1:  # what the shell has waited for
            self._die(run, run.leader, status)
            return
        for child in run.procs.values():
            if child.parent == pid:
                child.parent = 0
                adopted = Adopted(run.name, run.generation, child.pid, in_group=child.in_group)
                self._queue(run.name, adopted)
        self._end_run(run)

    def _end_run(self, run: Run) -> None:
        if not run.over and run.noticed and not run.procs:
            run.over = True
            self._queue(run.name, Emptied(run.name, run.generation))

    def appear(self, *, in_life: str | None = None, generation: int = 0) -> None:
        """A process nobody started becomes procman's child: an orphan, or one of a run that is over."""
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
        run = self.runs.get(action.name)
        assert run is not None, f"{action} is for nobody"
        assert run.generation == action.generation, f"{action} is for run {run.generation}"
        if action.signal == "KILL":
            self._check_kill(run, action.target)
        elif action.signal == run.spec.stop.signal:
            run.asked_at = self.now if run.asked_at is None else run.asked_at
            run.polite = run.polite or action.target is Target.TOP
            if action.target is Target.ALL:
                assert not run.polite or (run.shell and not run.noticed), f"{run.name}: its program gets a second TERM"
                run.called_at = self.now
            self._check_repeat(run)
        for pid in run.aimed_at(action.target):
            self._hit(run, pid, action.signal)

    def _check_kill(self, run: Run, target: Target) -> None:
        if self.closed_at is not None and self.fleet._formation.desired.closing is not None:
            closing = self.fleet._formation.desired.closing
            if self.now >= closing.since + closing.grace - EPSILON:
                return  # the whole stop is over
        if self.killing or (target is Target.GROUP and run.noticed and not run.leads and run.asked_at is None):
            return  # a second INT; a crash
        stop = run.spec.stop
        assert run.asked_at is not None or stop.grace <= 0, f"{run.name} is killed unasked"
        asked_at = self.now if run.asked_at is None else run.asked_at
        assert self.now >= asked_at + stop.grace - EPSILON, f"{run.name} is killed before its grace"
        if run.polite and run.shell and run.leads:
            assert run.called_at is not None, f"{run.name} is killed without a signal to its group"
            notice = min(2.0, stop.grace / 2)
            assert self.now >= run.called_at + notice - EPSILON, f"{run.name} is killed right after its group was asked"

    def _check_repeat(self, run: Run) -> None:
        """A program gets the stop signal once; twice only where it was asked to end in its first two seconds."""
        run.asked_leader += run.leads
        assert run.asked_at is not None
        young = run.started_at is not None and run.asked_at - run.started_at < 2.0
        assert run.asked_leader <= 1 + young + run.shell, f"{run.name} gets the stop signal too often"

    def _hit(self, run: Run, pid: int, signal: str) -> None:
        assert pid not in self.strangers, f"a stranger ({pid}) gets {signal}"
        proc = run.procs.get(pid)
        if proc is not None and proc.dies_of(signal, run.spec.stop.signal):
            self._die(run, pid, ExitStatus(128 + NUMBERS[signal], signal))

    def _signal_process(self, action: SignalProcess) -> None:
        pid = action.pid
        told = isinstance(self._subject, Adopted | Orphaned) and self._subject.pid == pid
        assert told or pid in self.orphans_reported, f"{pid} gets {action.signal} and is none of ours"
        if pid in self.orphans:
            if action.signal == "KILL" and not self.fleet.stopping:
                assert self.now >= self.orphans_kill_at[pid] - EPSILON, f"orphan {pid} is killed early"
            if self.orphans[pid].dies_of(action.signal, "TERM"):
                self.orphan_dies(pid)
            return
        for run in self.runs.values():
            if pid in run.procs:
                self._hit(run, pid, action.signal)
                return

    def _grace_of(self, event: Orphaned | Adopted) -> float:
        """What is left of an ended run is stopped as its type is, as far as that is still there."""
        type_name = event.name.rpartition(".")[0] if isinstance(event, Adopted) else ""
        types = self.fleet.plan.types
        longest = max((spec.stop.grace for spec in types.values()), default=DEFAULT_GRACE)
        return types[type_name].stop.grace if type_name in types else longest

    def _keep(self, action: ShareDaemon) -> None:
        run = self.runs.get(action.name)
        if run is not None and action.pid in run.procs:
            self.kept.setdefault(run.spec.type, {})[action.pid] = run.procs.pop(action.pid)
            self._end_run(run)

    def _inherit(self, action: ReclaimDaemons) -> None:
        run = self.runs[action.name]
        assert run.generation == action.generation
        for pid, proc in self.kept.pop(run.spec.type, {}).items():
            run.procs[pid] = proc
            self._hit(run, pid, action.signal)

    # ---- what can happen next

    def _queue(self, name: str, event: Event) -> None:
        self.queues.setdefault(name, deque()).append(event)

    def waiting(self) -> list[str]:
        """Whose events wait to be delivered."""
        return sorted(name for name, queue in self.queues.items() if queue)

    def deliver(self, name: str) -> list[Action]:
        """The oldest event of that instance is handled."""
        event = self.queues[name].popleft()
        run = self.runs.get(name)
        match event:
            case Spawned() if run is not None:
                run.started_at = self.now
            case SpawnFailed():
                self._failed(None, name)
            case Exited() if run is not None:
                run.noticed = True
                self.ended[name] = self.now
                i = self.fleet.get(name)
                if run.asked_at is None and not (i is not None and isinstance(i.phase, Draining)):
                    self._failed(run, name)
            case Emptied():
                del self.runs[name]
            case Orphaned() | Adopted() if not name:
                self.orphans_reported[event.pid] = self.now
                self.orphans_kill_at[event.pid] = self.now + self._grace_of(event)
            case OrphanReaped():
                self.orphans_reported.pop(event.pid, None)
            case _:
                pass
        actions = self.handle(event)
        if isinstance(event, Exited) and run is not None:  # it is reaped only now
            self._end_run(run)
        return actions

    def due(self) -> list[SetTimer]:
        return [timer for timer in self.timers if timer.at <= self.now]

    def fire(self, timer: SetTimer) -> list[Action]:
        self.timers.remove(timer)
        return self.handle(TimerFired(timer.key, timer.token))

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
        """When each run of an instance was asked for."""
        return [at for at, action in self.log if isinstance(action, Spawn) and action.name == name]

    def kinds(self) -> list[Kind]:
        """What has been handled, in order."""
        return [action.change.event for _, action in self.log if isinstance(action, Publish)]

    def signals(self) -> list[Signal]:
        return [action for _, action in self.log if isinstance(action, Signal)]

    def alive(self) -> list[str]:
        """Instances whose leader is alive."""
        return sorted(name for name, run in self.runs.items() if run.leads)


def _is_replaced(i: Instance) -> bool:
    """Whether its run ends so that another one begins."""
    match i.phase:
        case Draining() | Stopping():
            return i.phase.reason is StopReason.REPLACED
        case Clearing():
            return i.phase.then is AfterClearing.RESPAWN
        case _:
            return False


def simulated(counts: dict[str, int], *specs: ProcessSpec, natures: tuple[Nature, ...] = ()) -> SimulatedOS:
    """A formation that has been started; natures are those of the first runs."""
    given = {spec.type: spec for spec in specs}
    types = {
        name: given.get(name) or ProcessSpec(type=name, command=f"serve {name}", cwd="/app", env={}) for name in counts
    }
    plan = Plan(root="/app", types=types, counts=counts, positions={name: at for at, name in enumerate(types)})
    system = SimulatedOS(plan)
    system.natures.extend(natures)
    system.start()
    return system
