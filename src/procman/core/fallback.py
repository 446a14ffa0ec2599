"""Decides once the fleet has raised: it starts nothing, keeps what runs, and stops it by the stop signal and then KILL.
It shares no code with the fleet, which has failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from procman.core import actions as do
from procman.core import events as saw
from procman.core.requests import Shutdown
from procman.core.spec import Plan, is_companion
from procman.core.survivor import AT_FAULT, Survivor
from procman.core.timers import FallbackTimer
from procman.core.view import Change, FleetView, Kind

KILL, GIVE_UP, GIVE_UP_AFTER = 1, 2, 5.0  # tokens of a process's timer; seconds after KILL
HINT = "`procman shutdown` stops what runs, and `procman start` starts everything again"


class Fallback:
    """Its first event is ShutdownAsked where everything is to end at once, else FormationStarted."""

    def __init__(self, plan: Plan, counts: Mapping[str, int], left: Iterable[Survivor]) -> None:
        self.plan, self.counts, self.stopping, self._finished = plan, dict(counts), False, False
        self.stuck: list[int] = []
        self._left = {survivor.name: survivor for survivor in left}
        self._killed: set[str] = set()

    @property
    def ending(self) -> bool:
        return self.stopping

    def get(self, _name: str) -> None:
        return None

    def operation(self, _number: int) -> None:
        return None

    def why(self, _name: str, _now: float) -> tuple[str, ...]:
        return (AT_FAULT,)

    def view(self, _now: float) -> FleetView:
        phase, left = "stopping" if self.stopping else "ready", self._left.values()
        rows = tuple(survivor.view(phase) for survivor in left if not is_companion(survivor.spec.type))
        return FleetView(formation=dict(self.counts), instances=rows, stopping=self.stopping)

    def handle(self, event: saw.Event, now: float) -> list[do.Action]:
        """What to do about an event. Most need nothing: nothing is started, and the kernel ends orphans and daemons."""
        actions: list[do.Action] = []
        match event:
            case saw.Exited(name, _, status) if name in self._left:
                text = f"{name} ended: {status}" if self.stopping else f"{name} ended: {status}; {AT_FAULT}"
                actions = [_publish(Kind.ENDED, text), *([] if self.stopping else self._kill([name], now))]
            case saw.Emptied(name):
                self._left.pop(name, None)
            case saw.Adopted(name, _, pid) if name not in self._left or name in self._killed:
                actions = [do.SignalProcess(pid, "KILL")]
            case saw.Adopted(name, _, pid) if self.stopping:
                actions = [do.SignalProcess(pid, self._left[name].spec.stop.signal), do.SignalProcess(pid, "CONT")]
            case saw.TimerFired(FallbackTimer(name), token) if name in self._left:
                actions = self._kill([name], now, late=True) if token == KILL else self._give_up(name)
            case saw.ShutdownAsked() | saw.InterruptAsked() if not self.stopping:
                actions = self._stop(now)
            case saw.KillAsked() | saw.InterruptAsked():
                actions = [*self._stop(now), *self._kill(self._left, now)]
            case saw.Commanded(Shutdown(), request):
                actions = [*self._stop(now), do.Reply(request, tuple(self._left), self.counts)]
            case saw.Commanded(_, request):
                actions = [do.Refuse(request, f"cannot do that: {AT_FAULT}", HINT)]
        return self._settled(actions)

    def _stop(self, now: float) -> list[do.Action]:
        actions: list[do.Action] = []
        for survivor in self._left.values() if not self.stopping else ():
            actions += survivor.signal(survivor.spec.stop.signal, "CONT", target=do.Target.TOP)
            actions.append(do.SetTimer(FallbackTimer(survivor.name), KILL, now + survivor.spec.stop.grace))
        published = [] if self.stopping else [_publish(Kind.SHUTDOWN, f"stopping all that runs ({len(self._left)})")]
        self.stopping = True
        return [*published, *actions]

    def _kill(self, names: Iterable[str], now: float, *, late: bool = False) -> list[do.Action]:
        self._killed.update(names)
        published = [_publish(Kind.KILLED, f"{name} did not stop in time: killed") for name in names if late]
        kills = [kill for name in names for kill in self._left[name].signal("KILL", target=do.Target.ALL)]
        return [*published, *kills, *(do.SetTimer(FallbackTimer(name), GIVE_UP, now + GIVE_UP_AFTER) for name in names)]

    def _give_up(self, name: str) -> list[do.Action]:
        del self._left[name]
        return [_publish(Kind.UNKILLABLE, f"{name} is unkillable: still there after KILL")]

    def _settled(self, actions: list[do.Action]) -> list[do.Action]:
        last = not self._left and not self._finished
        self._finished = self._finished or last
        return [*actions, do.Finish(1)] if last else actions


def _publish(kind: Kind, text: str) -> do.Publish:
    return do.Publish(Change(event=kind, text=text))
