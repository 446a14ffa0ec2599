"""Carries out commands: what is desired changes, the moves that are possible are made, and the client is answered.

Whether a command is granted is decided in commands.py and reload.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from procman.core import commands, wording
from procman.core.actions import Publish, Refuse, Reply
from procman.core.commands import Granted
from procman.core.desired import Desired, is_rolling
from procman.core.events import Command, Reload
from procman.core.formation import Formation
from procman.core.operations import Need, Want
from procman.core.phases import AT_REST
from procman.core.requests import Hold, Shutdown
from procman.core.spec import Plan
from procman.core.view import Kind
from procman.later import later

if TYPE_CHECKING:
    from procman.core import followers, groups, reload, replacing
else:
    followers = later(__name__, "procman.core.followers")
    groups = later(__name__, "procman.core.groups")
    reload = later(__name__, "procman.core.reload")
    replacing = later(__name__, "procman.core.replacing")


def execute(formation: Formation, command: Command, request: int, now: float) -> None:
    """Do what a client asks for, or refuse it."""
    match command:
        case Shutdown(why):
            _shut_down(formation, why or "procman shutdown", request, now)
        case _ if formation.stopping:
            formation.out.append(Refuse(request, wording.STOPPING))
        case Reload(plan):
            _carry_out(formation, _reload(formation, plan), request, now)
        case _:
            decision = commands.decide(command, formation.world)
            if isinstance(decision, Granted):
                _carry_out(formation, decision, request, now)
            else:
                formation.out.append(Refuse(request, *decision))


def scale_by_signal(formation: Formation, by: int, now: float) -> None:
    """Scale by a signal, which names no type."""
    stopped = (wording.STOPPING, "") if formation.stopping else None
    decision = stopped or commands.scale_by_signal(by, formation.world)
    if isinstance(decision, Granted):
        _carry_out(formation, decision, 0, now)
    else:
        formation.publish(Kind.COMMAND, wording.by_signal(decision[0]))


def _shut_down(formation: Formation, why: str, request: int, now: float) -> None:
    names = tuple(i.name for i in formation.slots if not isinstance(i.phase, AT_REST))
    number = formation.begin("procman shutdown", dict.fromkeys(names, Need(Want.DOWN)))
    formation.out.append(Reply(request, names, dict(formation.desired.counts), number))
    formation.shut_down(0, why, now)
    formation.move_on(number, names, now)


def _carry_out(formation: Formation, granted: Granted, request: int, now: float) -> None:
    formation.desired = _in_order(formation, granted.desired, formation.plan)
    if granted.holds is not None:
        _hold(formation, granted.holds)
    formation.keep_counts()  # before the answer: counts that are answered are kept
    number, superseded = formation.operations.begin(granted.what, granted.needs) if granted.what else (0, [])
    if request:  # the client waits for nothing of the rest
        formation.out.append(Reply(request, tuple(granted.touched), dict(formation.desired.counts), number))
    formation.out += granted.actions
    if granted.change is not None:
        formation.out.append(Publish(granted.change))
    formation.out += superseded
    formation.move_on(number, granted.needs, now)
    if granted.touched:
        formation.watch_stop(now)


def _hold(formation: Formation, hold: Hold) -> None:
    """Let stops of these types wait for the client that asks for it."""
    formation.holds.pop(hold.by, None)
    if hold.seconds > 0 and hold.names:
        formation.holds[hold.by] = hold


def _reload(formation: Formation, plan: Plan) -> Granted:
    """Take the new plan, and return what is desired under it."""
    reloaded = reload.decide(plan, formation.world)
    before, formation.plan = formation.plan, plan
    for type_name in reloaded.difference.removed:
        formation.crashes.forget(type_name)
        formation.rollouts.running.pop(type_name, None)
    formation.groups = (formation.groups or groups.Groups()) if plan.groups else None
    formation.share_sockets(before)
    formation.desired = _in_order(formation, reloaded.granted.desired, before)
    formation.slots.arrange(plan.types)
    for i in reloaded.respecified:
        formation.slots.put(i)
    return replace(reloaded.granted, desired=formation.desired)


def _in_order(formation: Formation, desired: Desired, before: Plan) -> Desired:
    """What is desired, in the order of dependencies and groups, and with the rollouts that a command leads to. Rollouts
    that fail go back to the previous specs.
    """
    if formation.plan.has_followers:
        desired = followers.in_order(desired, formation.plan)
    if formation.groups is not None:
        formation.groups.begin(replace(formation.world, desired=desired))
    return replacing.begin(formation, desired, before) if any(map(is_rolling, desired.moves.values())) else desired
