"""Every guard of the core is needed: each mutation below takes one away, and the core's tests must notice.

Run as `python tests/mutations.py` (about a minute on two cores; part of CI, not of the default test run); words on the
command line choose the mutations whose names contain one of them. Each replaces a text that occurs exactly once, in a
copy of the package of its own. A mutation that survives, or whose text is gone, makes the run fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "src" / "procman"
NOT_NEEDED = ("test_autoscale_model",)
"""What looks at no guard, or at those that others look at in a fraction of the time."""
FAST = [str(path) for path in sorted((TESTS / "core").glob("test_*.py")) if path.stem not in NOT_NEEDED]
SLOW = ("test_interleavings", "test_simulation")
"""Last, where the tables have not noticed."""


class Mutation(NamedTuple):
    name: str
    file: str
    text: str
    instead: str


MUTATIONS = [
    # ---- companions
    Mutation(
        "forget what a companion reports",
        "readiness",
        "case Ready(leader, ready_at) if event.fault:",
        "case Ready(leader, ready_at) if False:",
    ),
    Mutation(
        "keep counts where nobody asked for it",
        "desired",
        " if plan.keep_counts else {}",
        "",
    ),
    Mutation(
        "begin with kept counts as if they were the files'",
        "desired",
        "scaled=plan.kept, ",
        "",
    ),
    Mutation(
        "keep the first of a companion's faults",
        "readiness",
        "replace(i, phase=replace(phase, answer=event.fault))",
        "i",
    ),
    # ---- one instance
    Mutation("drop the generation check", "instance", " if event.generation == i.generation else Step(i)", ""),
    Mutation("drop the token check", "instance", "if event.token == i.token else Step(i)", ""),
    Mutation(
        "forget a stop during a spawn",
        "instance",
        "STOP_AFTER_SPAWN.get(phase.then) if i.wanted else StopReason.ASKED",
        "STOP_AFTER_SPAWN.get(phase.then)",
    ),
    Mutation(
        "a start that is not wanted any more is not cancelled",
        "instance",
        "return Step(replace(i, phase=replace(phase, why=why)), (CancelSpawn(i.name, i.generation),))",
        "return Step(replace(i, phase=replace(phase, why=why)))",
    ),
    Mutation(
        "a start that was cancelled and is wanted again is forgotten",
        "ends",
        "return spawn(afresh(i), now) if i.wanted else down(i, why, now)",
        "return down(i, why, now)",
    ),
    Mutation("what cannot be read goes on", "stopping", "why), kill_all(i))) if i.alive", "why),)) if i.alive"),
    Mutation(
        "forget a restart during a spawn",
        "phases",
        "    AfterSpawn.REPLACE: StopReason.REPLACED,\n",
        "",
    ),
    Mutation(
        "forget a kill during a spawn",
        "instance",
        "replace(i, wanted=False, phase=replace(phase, then=AfterSpawn.KILL))",
        "replace(i, wanted=False)",
    ),
    Mutation(
        "a restart takes a kill during a spawn back",
        "instance",
        "AfterSpawn.KILL if phase.then is AfterSpawn.KILL else AfterSpawn.REPLACE",
        "AfterSpawn.REPLACE",
    ),
    Mutation(
        "a shell is not known as one", "instance", "phase.stop, event.shell, probed)", "phase.stop, False, probed)"
    ),
    Mutation(
        "note an end twice",
        "phases",
        "(isinstance(phase, Stopping) and phase.exit is None)",
        "isinstance(phase, Stopping)",
    ),
    Mutation(
        "a stop of one that ended by itself is forgotten",
        "instance",
        "then=AfterClearing.RESPAWN, why=why)",
        "why=why)",
    ),
    Mutation("ready is never early again", "readiness", "noted(i, early_exits=0) if i.record.early_exits else i", "i"),
    Mutation(
        "a person's word does not start anew",
        "phases",
        "return i if i.record is NO_RECORD else noted(i, failures=0, early_exits=0, died_at=None, died_before=None)",
        "return i",
    ),
    Mutation(
        "an automatic restart is not counted",
        "instance",
        "case Waiting(retry=True):\n            return spawn(noted(i, restarts=i.record.restarts + 1), now)",
        "case Waiting(retry=True):\n            return spawn(i, now)",
    ),
    Mutation(
        "a phase keeps the deadline of the last", "phases", "phase_since=now, token=i.token + 1, ", "phase_since=now, "
    ),
    Mutation(
        "a crash starts again at once",
        "ends",
        "            return _back_off(i, why, delay, now)",
        "            return spawn(i, now)",
    ),
    Mutation("a daemon is not kept", "instance", "(ShareDaemon(i.name, event.pid), wording", "(wording"),
    Mutation(
        "a stop leaves a backoff waiting",
        "instance",
        "case Waiting() | Backoff() | Failed() | Done():\n            return ends.down(",
        "case Waiting() | Failed() | Done():\n            return ends.down(",
    ),
    Mutation("reset_after is ignored", "phases", "now - i.phase.ready_at >= i.spec.restart.reset_after", "False"),
    Mutation("any ready run starts anew", "phases", "now - i.phase.ready_at >= i.spec.restart.reset_after", "True"),
    # ---- a stop
    Mutation(
        "KILL without grace",
        "stopping",
        "kill_at = now + leader.stop.grace",
        "kill_at = now",
    ),
    Mutation("the group of a shell is not asked", "stopping", "_signals(i, phase.leader, Target.ALL)", "()"),
    Mutation("the group of a program is asked, too", "stopping", "if not leader.shell or leader", "if leader"),
    Mutation("the group of a shell that is gone is asked", "stopping", "phase.exit is None and _lead", "_lead"),
    Mutation(
        "KILL right after the group was asked late",
        "stopping",
        "max(phase.kill_at, now + _lead(phase.leader))",
        "phase.kill_at",
    ),
    Mutation(
        "no repeat to a young one",
        "stopping",
        "        at = min(at, now + REPEAT_AFTER)\n",
        "        pass\n",
    ),
    Mutation(
        "what only listens gets no repeat",
        "stopping",
        "return not isinstance(ready.probe, policies.TcpProbe | policies.HttpProbe)",
        "return True",
    ),
    Mutation(
        "repeats also to the old",
        "stopping",
        "if repeat and now - phase.leader.started_at < YOUNG:",
        "if repeat:",
    ),
    Mutation(
        "repeats each second",
        "stopping",
        "(*again, _next(i, phase, now, repeat=False))",
        "(*again, _next(i, phase, now, repeat=True))",
    ),
    Mutation(
        "a dead leader gets the repeat",
        "stopping",
        "now < _group_at(phase) and phase.exit is None",
        "now < _group_at(phase)",
    ),
    Mutation("no CONT", "stopping", 'return stop, Signal(i.name, i.generation, "CONT", target)', "return (stop,)"),
    Mutation("the rest of a crash lives", "stopping", "return kill, *_signals(", "return *_signals("),
    Mutation(
        "never unkillable",
        "stopping",
        "(kill_all(i), SetTimer(SlotTimer(i.name), i.token, now + UNKILLABLE_AFTER))",
        "(kill_all(i),)",
    ),
    Mutation(
        "a second KILL is put off",
        "instance",
        "Step(replace(i, wanted=False), (stopping.kill_all(i),))",
        "Step(replace(i, wanted=False))",
    ),
    Mutation(
        "one that is adopted after KILL is asked",
        "stopping",
        '    if phase.step in (StopStep.KILL_SENT, StopStep.UNKILLABLE):\n        return (SignalProcess(event.pid, "KILL"),)\n    stop',
        "    stop",
    ),
    Mutation(
        "no half time",
        "stopping",
        "return GROUP_TERM_LEAD if leader.stop.grace >= 2 * GROUP_TERM_LEAD else leader.stop.grace / 2",
        "return GROUP_TERM_LEAD",
    ),
    # ---- arithmetic
    Mutation("no doubling", "restart", "policy.delay * 2.0**doublings", "policy.delay"),
    Mutation("doubling starts too soon", "restart", "min(failures - 1, 40)", "min(failures, 40)"),
    Mutation(
        "no largest delay",
        "restart",
        "min(policy.delay * 2.0**doublings, policy.max_delay)",
        "policy.delay * 2.0**doublings",
    ),
    Mutation("jitter subtracts", "restart", "(1 + JITTER * jitter)", "(1 - JITTER * jitter)"),
    Mutation("crash loop after two", "restart", "EARLY_DEATHS = 3", "EARLY_DEATHS = 2"),
    Mutation("crash loop after four", "restart", "EARLY_DEATHS = 3", "EARLY_DEATHS = 4"),
    Mutation("crash loop after six of a type", "restart", "MANY_DEATHS = 5", "MANY_DEATHS = 6"),
    Mutation("old deaths count", "restart", "if now - at < WINDOW", "if True"),
    Mutation("one restart too many", "restart", "failures > policy.max_restarts", "failures >= policy.max_restarts"),
    Mutation(
        "a failed start can be a success",
        "restart",
        "return _tried_on(spec.restart, None if code == 1 else code, failures)",
        "return judge(spec, ExitStatus(code), failures)",
    ),
    # ---- the formation
    Mutation("one too few in scale", "commands", "count), count - len(stay)))", "count), count - len(stay) - 1))"),
    Mutation("one stays in scale", "commands", "not in remove][:count]", "not in remove][: count + 1]"),
    Mutation(
        "a number on its way out is taken",
        "commands",
        "frozenset(world.slots.taken(world.plan.types[type_name])) if count > 1 else frozenset[int]()",
        "frozenset[int]()",
    ),
    Mutation(
        "a single instance does not wait",
        "commands",
        "if count > 1 else frozenset[int]()",
        "if True else frozenset[int]()",
    ),
    Mutation(
        "numbers above the room stay",
        "commands",
        "if number <= room and number not in remove",
        "if number not in remove",
    ),
    Mutation("numbers have no end", "commands", "numbers = range(1, room + 1)", "numbers = range(1, 1001)"),
    Mutation("more run than `max`", "spec", "spec.max if spec.max is not None else MAX_COUNT", "MAX_COUNT"),
    Mutation(
        "scale of several is not all or none",
        "commands",
        "        if refusal:\n            return refusal\n        if type_name in plan",
        "        if type_name in plan",
    ),
    Mutation("a surplus slot is kept", "formation", "            self.slots.remove(after)\n", ""),
    Mutation(
        "what was scaled is not kept",
        "commands",
        "scaled=tuple(sorted({*desired.scaled, *target}))",
        "scaled=desired.scaled",
    ),
    Mutation(
        "counts are answered before they are kept",
        "execution",
        "formation.out.append(Reply(request, tuple(granted.touched)",
        "formation.out.insert(0, Reply(request, tuple(granted.touched)",
    ),
    Mutation(
        "what is desired is not handed over",
        "formation",
        "self.desired = state.desired",
        "self.desired = wanted.first(plan)",
    ),
    Mutation("a new slot counts from one", "slots", "self._past.pop(name, (0, 0))", "(0, 0)"),
    Mutation(
        "a shutdown stops nobody",
        "closing",
        "moves = {i.name: stop for i in stopped}",
        "moves: dict[str, Move] = {}",
    ),
    Mutation("a companion outlives a shutdown", "formation", "[*living, *self.slots.companions()]", "living"),
    Mutation("who waits for its turn is started again", "closing", "slots.put(replace(i, wanted=False))", "pass"),
    Mutation("what had ended before is named as stopped", "closing", "i.phase_since >= since or ", "True or "),
    Mutation(
        "the last line forgets who ended by themselves",
        "closing",
        "by_themselves = all_ended(slots)",
        "by_themselves = False",
    ),
    Mutation(
        "a companion is waited for by nobody",
        "slots",
        "        if isinstance(i.phase, AT_REST) or",
        "        if is_companion(i.spec.type) or isinstance(i.phase, AT_REST) or",
    ),
    Mutation(
        "a companion escapes a kill",
        "formation",
        "for i in [*self.slots.everyone()]:\n            self.step(i, KillAsked(), now)",
        "for i in [*self.slots]:\n            self.step(i, KillAsked(), now)",
    ),
    Mutation(
        "a reload leaves companions alone",
        "reload",
        "    desired = desired.moving(companions(plan, world.slots))\n",
        "",
    ),
    Mutation(
        "companions count as formation",
        "slots",
        "for name, slots in types if not is_companion(name) for i in slots",
        "for slots in self._by_type.values() for i in slots",
    ),
    Mutation("commands while stopping", "execution", "case _ if formation.stopping:", "case _ if False:"),
    Mutation(
        "the daemons are not reclaimed",
        "formation",
        "self.out.append(ReclaimDaemons(i.name, i.generation, signal))",
        "pass",
    ),
    Mutation(
        "the daemons are reclaimed at each end",
        "formation",
        "if not self.slots.any_alive(i.spec.type):",
        "if True:",
    ),
    Mutation(
        "first failure by name, not by time",
        "closing",
        "key=lambda record: (record.ended_at, record.died_at != record.ended_at)",
        "key=lambda record: 0",
    ),
    Mutation(
        "the last failure, not the first",
        "closing",
        "min(failed, key=",
        "max(failed, key=",
    ),
    Mutation(
        "reload restarts the unchanged",
        "reload",
        "if t in old.types and new.types[t] != old.types[t]),",
        "if t in old.types),",
    ),
    Mutation(
        "reload starts the stopped",
        "reload",
        "if i.wanted and not isinstance(desired.moves.get(i.name), StopMove):",
        "if True:",
    ),
    Mutation(
        "reload forgets counts set at run time",
        "reload",
        "counts.get(type_name, 0) if type_name in scaled else configured",
        "configured",
    ),
    Mutation(
        "a slot that comes back runs the old command",
        "formation",
        "restart is not None or i.spec != spec",
        "restart is not None",
    ),
    Mutation(
        "a restart reaches what is on its way out",
        "slots",
        "[i for i in self.slots if self.desired.role(i.spec.type, i.index) is Role.REGULAR]",
        "[*self.slots]",
    ),
    Mutation(
        "stopped ones count as ended",
        "closing",
        "if not isinstance(i.phase, ENDED_ITSELF):",
        "if not isinstance(i.phase, AT_REST):",
    ),
    Mutation("nothing at all ends procman", "closing", "return found", "return True"),
    Mutation(
        "a type scaled to 0 keeps nothing running",
        "fleet",
        " or closing.may_be_scaled_up(formation.desired, formation.plan)",
        "",
    ),
    Mutation("a one-off scaled to 0 keeps procman running", "closing", " and not spec.oneshot", ""),
    Mutation(
        "a type that follows demand keeps nothing running",
        "closing",
        "plan.autoscaled if plan.companions else ()",
        "()",
    ),
    Mutation("a shutdown waits for the unkillable", "slots", "AT_REST) or i.unkillable:", "AT_REST):"),
    Mutation("the unkillable is no failure", "fleet", "Finish(1 if stuck else", "Finish("),
    Mutation("orphans are not waited for", "fleet", "settled or formation.orphans.left:", "settled:"),
    Mutation(
        "on_end is forgotten",
        "formation",
        "                if i.spec.on_end is OnEnd.EXIT:",
        "                if False:",
    ),
    Mutation(
        "what was ended for its state ends nothing",
        "formation",
        "is not OnEnd.STAY and not fact",
        "is None and not fact",
    ),
    Mutation("an exit 0 before it was ready is a success", "closing", "return failure_of(i) if fails else", "return"),
    Mutation(
        "a scaling waits for what was stopped",
        "commands",
        "return stays or not i.wanted or isinstance(move, StopMove)",
        "return stays",
    ),
    Mutation(
        "what follows procman's signal is a status of its own",
        "closing",
        "if not record.exit_asked else",
        "if True else",
    ),
    Mutation("a failure may end procman with 0", "closing", "else 0) or 1\n", "else 0)\n"),
    Mutation(
        "on_end waits for the last try",
        "restart",
        "if spec.on_end is OnEnd.EXIT and policy.policy",
        "if False and policy.policy",
    ),
    Mutation("what is given up is in a crash loop", "restart", "self.looping or (retried and (", "self.looping or (("),
    Mutation("the healthy share the crash loop", "crashes", "return (again or", "return (True or"),
    Mutation("two deaths a day are a crash loop", "crashes", " and died_at - before < WINDOW", ""),
    Mutation("a crash loop of rare deaths is not shown", "crashes", " or i.record.early_exits >= EARLY_DEATHS", ""),
    Mutation("a crash loop is shown for ever", "crashes", " or now - died_at >= WINDOW", ""),
    Mutation("leftovers have ten seconds", "closing", "default=longest_grace(plan))", "default=DEFAULT_GRACE)"),
    Mutation("a crash loop never ends", "crashes", "watch is None or watch.token != token", "True"),
    Mutation("a crash loop ends too soon", "crashes", "watch is None or watch.token != token", "watch is None"),
    Mutation("Finish twice", "fleet", "        formation.finished = True\n", ""),
    Mutation(
        "the leftover of an old run is a daemon",
        "formation",
        "i is not None and i.generation == event.generation and not isinstance(i.phase, (*AT_REST",
        "i is not None and not isinstance(i.phase, (*AT_REST",
    ),
    # ---- operations
    Mutation("the opposite supersedes nothing", "operations", "old is not None and (old.want", "False and (old.want"),
    Mutation("a failure fails nothing", "operations", "case Failed(why):", "case Failed(why) if False:"),
    Mutation("a crash loop fails nothing", "operations", ") if loops(i):", ") if False:"),
    Mutation(
        "starts that are never ready are no crash loop for who waits",
        "operations",
        " | Stopping(reason=StopReason.NOT_READY | StopReason.UNHEALTHY, why=why)",
        "",
    ),
    Mutation(
        "a shutdown leaves them open",
        "formation",
        "self.out += self.operations.abort(Reason(ReasonCode.SHUTDOWN,",
        "(lambda _: None)(Reason(ReasonCode.SHUTDOWN,",
    ),
    # ---- readiness and health
    Mutation(
        "a probe's answer makes nobody ready",
        "readiness",
        "            if event.ok:\n                return _become_ready",
        "            if False:\n                return _become_ready",
    ),
    Mutation(
        "ready after a second in spite of a probe",
        "readiness",
        "    if ready is None:\n        return _become_ready",
        "    if True:\n        return _become_ready",
    ),
    Mutation("a good end before ready is done", "restart", "success = not unready and (", "success = ("),
    Mutation("one failed check restarts it", "readiness", "phase.failed_checks >= health.failures", "True"),
    Mutation("failed checks restart nobody", "readiness", "phase.failed_checks >= health.failures", "False"),
    Mutation(
        "unready restarts all the same",
        "readiness",
        "health.on_failure is policies.OnUnhealthy.RESTART and",
        "True and",
    ),
    Mutation(
        "the unhealthy are tried at once",
        "ends",
        "case Stopping(reason=StopReason.NOT_READY | StopReason.UNHEALTHY, why=why):",
        "case Stopping(why=why) if False:",
    ),
    Mutation(
        "what is asked to end is probed on",
        "stopping",
        "return (StopProbe(i.name, i.generation),) if probed else ()",
        "return ()",
    ),
    # ---- drain
    Mutation("no drain", "stopping", "if isinstance(i.phase, Starting) or until <= now:", "if True:"),
    Mutation(
        "one that was never ready drains",
        "stopping",
        "if isinstance(i.phase, Starting) or until <= now:",
        "if until <= now:",
    ),
    Mutation("one release is enough", "stopping", "if left or not i.phase.held_by:", "if not i.phase.held_by:"),
    Mutation(
        "a drain outlasts the end",
        "stopping",
        "return until if kill_by is None else min(until, kill_by",
        "return until if True else min(until, kill_by",
    ),
    Mutation(
        "KILL comes after the end of the whole stop",
        "stopping",
        "kill_at if cause.kill_by is None else min(kill_at, cause.kill_by)",
        "kill_at",
    ),
    Mutation(
        "an end while it drains is a crash",
        "ends",
        "if isinstance(i.phase, Draining) or not i.wanted:",
        "if not i.wanted:",
    ),
    # ---- order
    Mutation("nobody waits", "turn", "if not (spec.depends_on or self._groups) or", "if True or"),
    Mutation("a dependency at nought is waited for", "order", "if desired.count(one.type) > 0 and not", "if not"),
    Mutation("one is as good as all", "order", "(len(numbers) if one.every else 1)", "1"),
    Mutation(
        "all stop at once",
        "turn",
        "return order.may_stop(type_name, self._needed_by",
        "return True or order.may_stop(type_name, self._needed_by",
    ),
    Mutation(
        "the order of the stop has no end",
        "turn",
        "if self._now >= order.all_asked_at(closing.since, closing.grace):",
        "if False:",
    ),
    Mutation("the order skips a type that is not there", "order", "        left += needed_by.get(other, ())\n", ""),
    # ---- who follows whom
    Mutation(
        "a follower does not wait",
        "turn",
        "        if gated and followers.is_held(",
        "        if False and followers.is_held(",
    ),
    Mutation(
        "nobody follows",
        "formation",
        "self.desired = self.desired.moving(followers.owed(i, self.plan, self.desired, self.slots))",
        "pass",
    ),
    Mutation(
        "a follower is restarted twice",
        "execution",
        "followers.in_order(desired, formation.plan)",
        "desired",
    ),
    Mutation(
        "one that is scaled away is followed", "followers", " or desired.role(ended, one.index) is Role.LEAVING:", ":"
    ),
    Mutation(
        "what ended for good follows", "followers", "return ended or isinstance(i.phase, AT_REST)", "return ended"
    ),
    Mutation("one that is away is back", "followers", "return bool(back) and all(", "return bool(back) or all("),
    Mutation(
        "the old socket is closed at once",
        "reload",
        "over = {t for t in lingering if t not in rollouts and t not in moving}",
        "over = {*lingering}",
    ),
    Mutation(
        "the old socket stays open for ever",
        "reload",
        "over = {t for t in lingering if t not in rollouts and t not in moving}",
        "over: set[str] = set()",
    ),
    Mutation("operations pile up", "operations", "if len(self.open) >= OPEN:", "if False:"),
    # ---- more time
    Mutation("time is taken for ever", "stopping", "kill_at = min(now + seconds, latest)", "kill_at = now + seconds"),
    Mutation("a shell that was given time is never killed", "stopping", "phase.step is StopStep.TERM_SENT and ", ""),
    Mutation(
        "the end of everything leaves a group unasked",
        "stopping",
        "    if not late:\n        return Step(replace(i, phase=phase))\n    i = _stay(i, phase)\n    return Step(i, (_next(i, phase, now, repeat=False),))",
        "    if not late:\n        return Step(replace(i, phase=phase))\n    i = _stay(i, phase)\n    return Step(i, (SetTimer(SlotTimer(i.name), i.token, phase.kill_at),))",
    ),
    Mutation("time is taken away", "stopping", " or kill_at <= phase.kill_at:", ":"),
    Mutation(
        "more time at the end of everything",
        "stopping",
        "latest if phase.kill_by is None else min(latest, phase.kill_by)",
        "latest",
    ),
    Mutation("the end leaves what was given", "stopping", "kill_at=min(phase.kill_at, kill_by))", ")"),
    Mutation(
        "a start is made shorter",
        "readiness",
        "max(phase.leader.started_at + ready.timeout, now + min(event.extend, MOST_TIME))",
        "now + min(event.extend, MOST_TIME)",
    ),
    # ---- groups
    Mutation(
        "a group is stopped at once",
        "groups",
        "return Halt(None, done=False)\n        return Halt(StopWanted",
        "pass\n        return Halt(StopWanted",
    ),
    Mutation("members start at once", "groups", "        waited += [\n", "        waited = [\n"),
    Mutation("members start together", "groups", "if i.spec.type in before and i.wanted", "if False and i.wanted"),
    Mutation(
        "a round is over at once",
        "groups",
        "if all(\n                isinstance(i.phase",
        "if True or all(\n                isinstance(i.phase",
    ),
    Mutation(
        "a one-off that runs has started",
        "groups",
        "(not i.spec.oneshot and isinstance(i.phase, Ready | Unhealthy))",
        "isinstance(i.phase, Ready | Unhealthy)",
    ),
    Mutation("restarts count for ever", "groups", "if now - at <= group.period", "if True"),
    Mutation(
        "a group has one restart too many",
        "groups",
        "len(recent) > group.intensity",
        "len(recent) > group.intensity + 1",
    ),
    Mutation(
        "a death while it is stopped counts",
        "groups",
        "not i.wanted or isinstance(move, RegroupMove):",
        "not i.wanted:",
    ),
    Mutation("one that is given up takes others along", "groups", "not died.retried or not i.wanted", "not i.wanted"),
    Mutation(
        "those before it are restarted, too",
        "groups",
        "types = group.members[group.members.index(i.spec.type) + 1 :]",
        "types = group.members",
    ),
    Mutation(
        "a temporary one is started again",
        "groups",
        "if rests and (move.failed or once):",
        "if rests and move.failed:",
    ),
    Mutation(
        "an added one does not wait",
        "groups",
        "if i is None or isinstance(i.phase, (Waiting, *AT_REST)):",
        "if i is not None and isinstance(i.phase, (Waiting, *AT_REST)):",
    ),
    Mutation(
        "a backoff ends out of turn",
        "formation",
        "if i is None or not isinstance(i.phase, Backoff) or i.token != token:",
        "if True:",
    ),
    Mutation(
        "members end together",
        "order",
        "extend(group.members[position + 1 :])",
        "extend(())",
    ),
    Mutation(
        "an abort leaves those that wait",
        "replacing",
        "moves=owed | waiting | rest | back)",
        "moves=owed | rest | back)",
    ),
    Mutation(
        "a group that is gone leaves its stops",
        "groups",
        "    return Halt(None, done=False) if halting else None\n",
        "    return None\n",
    ),
    Mutation(
        "what is replaced does not wait for its turn",
        "instance",
        "case Clearing(then=AfterClearing.RESPAWN) as phase if i.wanted:",
        "case Clearing(then=AfterClearing.RESPAWN) as phase if False:",
    ),
    # ---- how long a start took
    Mutation(
        "a part is counted from the start",
        "startup",
        "before[1] if before is not None else",
        "0 * before[1] if before is not None else",
    ),
    Mutation("the first dependency determines", "startup", "return max(met, key=", "return min(met, key="),
    Mutation(
        "the last of a type lets others begin", "startup", "(max if one.every else min)", "(min if one.every else max)"
    ),
    Mutation(
        "a one-off counts from its start",
        "startup",
        "Until.DONE if spec.oneshot else",
        "Until.STARTED if spec.oneshot else",
    ),
    Mutation(
        "only the first time counts", "startup", "case BecameReady() if moments.ready is None:", "case BecameReady():"
    ),
    Mutation(
        "told before everything is ready",
        "startup",
        "        return (state if start is not None else None), ()\n    if start.state is not OperationState.DONE:",
        "        pass\n    if start is None:",
    ),
    # ---- explained
    Mutation(
        "who is asked before its turn is not named",
        "closing",
        "isinstance(i.phase, UP) and needing is not None",
        "False",
    ),
    Mutation("one that was stopped is waited for in silence", "order", "(Failed, Down)) for i in", "Failed) for i in"),
    Mutation("a restart that is due is not shown", "overview", "not isinstance(move, RestartMove) or not", "True or"),
    Mutation(
        "one that waits for its turn to stop is not shown",
        "overview",
        "desired.closing is None or not isinstance(desired.moves",
        "True or not isinstance(desired.moves",
    ),
    Mutation("one on trial is not shown", "rollout", "or not self.is_on_trial(i):", "or True:"),
    # ---- rollouts
    Mutation(
        "all are replaced at once",
        "turn",
        "            if self._budgets[spec.type] <= 0:\n                return False\n",
        "",
    ),
    Mutation("one too many is away", "rollout", "free = limit - away(regular)", "free = limit - away(regular) + 1"),
    Mutation("a batch need not settle", "rollout", "return min(free, limit - len(rollout.batch))", "return free"),
    Mutation(
        "the last batch need not settle",
        "replacing",
        "    if not rollout.back and not {*rollout.batch}",
        "    if False and not {*rollout.batch}",
    ),
    Mutation(
        "the way back settles as well",
        "replacing",
        "    if not rollout.back and not {*rollout.batch}",
        "    if not {*rollout.batch}",
    ),
    Mutation(
        "one that is unhealthy on trial has stayed ready",
        "rollout",
        "settled_at=at if ready else None)",
        "settled_at=at if ready else rollout.settled_at)",
    ),
    Mutation(
        "a deadline of before settles it", "rollout", "rollout.settled_at is None or now < rollout.settled_at", "False"
    ),
    Mutation(
        "a death of one that has settled holds nobody up",
        "rollout",
        "settled_at=None, batch=rollout.replaced)",
        "settled_at=None)",
    ),
    Mutation(
        "an operation is done before its rollout has settled",
        "formation",
        " and not self.rollouts.is_on_trial(after):",
        ":",
    ),
    Mutation(
        "an operation never hears that its rollout has settled",
        "replacing",
        "if formation.rollouts.settled(type_name, now):\n        _judge(",
        "formation.rollouts.settled(type_name, now)\n    if False:\n        _judge(",
    ),
    Mutation(
        "one that is down for good is on trial",
        "rollout",
        "return on_trial and isinstance(i.phase, BACK)",
        "return on_trial",
    ),
    Mutation("a single one does not go back", "reload", " or _can_go_back(i)", ""),
    Mutation("a one-off goes back", "reload", " and not i.spec.oneshot", ""),
    Mutation("one that never was ready goes back", "reload", "return isinstance(i.phase, Ready) and", "return"),
    Mutation(
        "a rollout is never aborted",
        "formation",
        "                if rollout is not None:\n                    replacing.abort",
        "                if False:\n                    replacing.abort",
    ),
    Mutation("the first death aborts it", "rollout", "FAILURES = 3", "FAILURES = 1"),
    Mutation("late is not worse than dead", "rollout", "died.retried and not died.late", "died.retried"),
    Mutation(
        "an abort leaves the new spec in force",
        "replacing",
        "formation.plan, replace(formation.plan, types=formation.plan.types | {type_name: old})",
        "formation.plan, formation.plan",
    ),
    Mutation(
        "an abort leaves what was touched",
        "replacing",
        "moves=owed | waiting | rest | back)",
        "moves=owed | waiting | rest)",
    ),
    Mutation(
        "one that is away is counted as replaced",
        "rollout",
        "desired.pending(type_name) + away(",
        "desired.pending(type_name) + 0 * away(",
    ),
    Mutation(
        "who was stopped holds up the others",
        "rollout",
        "wanted = {i.name: i for i in slots if i.wanted}",
        "wanted = {i.name: i for i in slots}",
    ),
    # ---- an extra instance
    Mutation("nobody waits for the extra one", "rollout", "            free -= away([extra])", "            pass"),
    Mutation(
        "with an extra one as many go as without", "rollout", "limit = 1 if extra is not None else (", "limit = ("
    ),
    Mutation(
        "the extra one proves nothing",
        "replacing",
        'f"{type_name}.{number}",) if number',
        'f"{type_name}.{number}",)[:0] if number',
    ),
    Mutation(
        "one of another spec proves it",
        "replacing",
        "number is not None and not outdated else ()",
        "number is not None else ()",
    ),
    Mutation(
        "a later version is no other rollout",
        "replacing",
        " or before.types.get(t) != specs[t]]",
        "]",
    ),
    Mutation(
        "an abort leaves those that were to be started again",
        "replacing",
        "return asked or isinstance(one.phase, Waiting)",
        "return isinstance(one.phase, Waiting)",
    ),
    Mutation(
        "a second rollout begins with those that still run the old version",
        "replacing",
        "moves=first_again | desired.moves)",
        "moves=desired.moves | first_again)",
    ),
    Mutation(
        "the extra one outlives its rollout",
        "replacing",
        "        dismiss(formation, type_name, wording.ROLLED_OUT, now)",
        "        pass",
    ),
    Mutation(
        "one that ends with success counts", "replacing", "if rollout is not None and not rollout.back:", "if False:"
    ),
    Mutation("deaths of the extra one do not count", "rollout", "not (extra or i.name in", "not (i.name in"),
    Mutation(
        "the way back waits for what may never come",
        "rollout",
        "not (back and isinstance(extra.phase, HOPELESS))",
        "True",
    ),
    Mutation(
        "an extra one without a port",
        "replacing",
        "range(1, room_of(formation.plan, type_name) + 1) if",
        "range(1, 1001) if",
    ),
    Mutation(
        "a port is taken twice",
        "slots",
        "numbers |= {port - spec.port + 1 for port in ports if port is not None}",
        "pass",
    ),
    Mutation("a number is taken twice", "replacing", "n not in held and n not in taken)", "n not in held)"),
    Mutation(
        "an extra one for nobody",
        "replacing",
        "if not any(isinstance(i.phase, Ready) and is_rolling",
        "if False and any(isinstance(i.phase, Ready) and is_rolling",
    ),
    Mutation("the extra one keeps the new spec", "replacing", "formation.slots.put(replace(i, spec=old))", "pass"),
    Mutation(
        "an extra one that fails is left to it",
        "replacing",
        "extra = _extra_goes_back(formation, old) if touched or away(regular) else []",
        "extra: list[str] = []",
    ),
    Mutation("an abort drops the extra one", "replacing", "if touched or type_name in desired.surge:", "if touched:"),
    Mutation(
        "a reload replaces a ready extra one",
        "reload",
        "if role is Role.SURGE and isinstance(i.phase, Ready):",
        "if False:",
    ),
    Mutation(
        "the extra one of a type that is gone stays", "reload", "        if t in desired.surge:", "        if False:"
    ),
    Mutation("the extra one is commanded by name", "commands", "_refuse_extras(names, world) or select", "select"),
    Mutation(
        "what a failed extra one wrote is lost",
        "replacing",
        "        formation.rollouts.kept.add(i.name)",
        "        pass",
    ),
    Mutation(
        "who follows is forgotten with its rollout",
        "replacing",
        "owed | waiting | rest | back",
        "waiting | rest | back",
    ),
    Mutation("the extra one is recycled", "replacing", " or i.index not in desired.numbers(type_name):", ":"),
    Mutation(
        "the extra one is needed by an operation",
        "reload",
        "[name for name in desired.names(t) if name in moves]",
        "[*moves]",
    ),
    Mutation(
        "the extra one stays for what may never be back",
        "desired",
        " and move.why.code is not ReasonCode.FOLLOWED for move",
        " for move",
    ),
    Mutation(
        "a restart waits for what nothing brings back",
        "followers",
        "or _are_coming(late, desired, slots))",
        "or True)",
    ),
    Mutation(
        "a restart waits for what KILL did not remove",
        "followers",
        "    if i.unkillable:\n        return False\n",
        "",
    ),
    Mutation(
        "a restart waits for what is scaled away",
        "followers",
        "if desired.count(t) and not _is_back",
        "if not _is_back",
    ),
    Mutation(
        "a restart does not wait for what still tries",
        "followers",
        "    if i.wanted and not isinstance(i.phase, (Ready, *AT_REST)):\n        return True\n    move =",
        "    move =",
    ),
    Mutation(
        "a restart waits for one that is held for ever",
        "followers",
        "isinstance(move, RestartMove) and is_held(move, desired, slots):",
        "False:",
    ),
    Mutation(
        "a single one has no rollout",
        "commands",
        "several and spec.max != 1",
        "desired.count(spec.type) > 1 and spec.max != 1",
    ),
    Mutation("a removal needs no lower count", "commands", "len(removed) > count - target.get(t, count):", "False:"),
    Mutation("a named one waits for its turn", "commands", "i.name not in names and several", "several"),
    Mutation(
        "a failed replacement of the large is tried at once",
        "replacing",
        "or now < formation.rollouts.pauses",
        "or now > formation.rollouts.pauses",
    ),
    Mutation("a pause outlasts the next rollout", "rollout", "            self.pauses.pop(type_name, None)\n", ""),
    Mutation("an upgrade ends a pause", "rollout", "dict(state.pauses)", "{}"),
    Mutation("the large are not replaced", "replacing", "event.memory > recycle.memory", "False"),
    # ---- orphans
    Mutation("a stale deadline ends orphans", "orphans", "if token != self._token:", "if False:"),
    Mutation(
        "orphans outlive a kill",
        "orphans",
        "kill_at if self._closing is None else min(kill_at, self._closing)",
        "kill_at",
    ),
    Mutation(
        "orphans are ended at once",
        "orphans",
        "            self._alone.add(pid)\n            return []\n",
        "            return self._end([pid], now, now + 10.0)\n",
    ),
    # ---- capacity
    Mutation("the smallest proposal wins", "autoscale", "= max(known, key", "= min(known, key"),
    Mutation("a failed metric lets go", "autoscale", "if failed and count <= seen.count:", "if False:"),
    Mutation("no window", "autoscale", "held = min(max(highest, choice.count), seen.count)", "held = choice.count"),
    Mutation("no pace", "autoscale", "    choice = _paced(rule, choice, state.changes, seen, now)\n", ""),
    Mutation("no guard", "autoscale", "    choice = _guarded(choice, seen)\n", ""),
    Mutation("idle is not waited for", "autoscale", "now - idle_since < rule.idle", "False"),
    Mutation(
        "a failed reading is idle", "autoscale", "if reading.value == 0 and not reading.error", "if not reading.value"
    ),
    Mutation("a pause is none", "autoscale", "if seen.paused:", "if False:"),
    Mutation("a stopped type is scaled", "autoscale", "not any(map(is_active, seen.replicas))", "False"),
    Mutation("bounds of a person come first", "autoscale", "(seen.window, seen.asked)", "(seen.asked, seen.window)"),
    Mutation("a fallback at once", "autoscale", "failed >= rule.fallback_after", "failed >= 1"),
    Mutation("no tolerance", "autoscale", "<= tolerance + 1e-9", "<= 1e-9"),
    Mutation("young ones are busy", "autoscale", "[0.0] * (young if dampened else 0)", "[]"),
    Mutation("missing ones are idle", "autoscale", "metric.target if ratio < 1 else 0.0", "0.0"),
    Mutation("a direction is turned round", "autoscale", " or (ratio < 1) != (corrected < 1)", ""),
    Mutation("all that stand are ready", "autoscale", "m.ready_for < rule.young", "False"),
    Mutation("a password is shown", "addresses", 'host = parts.hostname or ""', "host = parts.netloc"),
    Mutation(
        "every quick end is that of an input",
        "hints",
        "return re.search(_READS_INPUT, spec.command) is not None",
        "return True",
    ),
    Mutation("what a watcher leaves in its group is a daemon", "hints", " and not (empty and event.in_group)", ""),
    Mutation("an orphan is killed before its grace", "orphans", "if at <= now], now)", "if True], now)"),
]


def survives(mutation: Mutation, folder: Path) -> str:
    """Why the mutation is a fault of the tests or of this list; empty where the tests have noticed it."""
    copy = folder / mutation.name.replace(" ", "-")
    shutil.copytree(PACKAGE, copy / "procman", ignore=shutil.ignore_patterns("__pycache__"))
    source = copy / "procman" / "core" / f"{mutation.file}.py"
    text = source.read_text(encoding="utf-8")
    if text.count(mutation.text) != 1:
        return f"its text occurs {text.count(mutation.text)} times in {mutation.file}.py"
    mutated = text.replace(mutation.text, mutation.instead)
    compile(mutated, str(source), "exec")  # what is no Python is noticed by everything and proves nothing
    source.write_text(mutated, encoding="utf-8")
    fast = [path for path in FAST if Path(path).stem not in SLOW]
    slow = [path for path in FAST if Path(path).stem in SLOW]
    return "" if not all(passes(copy, tests) for tests in (fast, slow)) else "no test noticed"


def passes(path: Path, tests: list[str]) -> bool:
    env = os.environ | {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:xdist", *tests]
    done = subprocess.run(command, env=env, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or "during collection" in done.stdout:  # pytest has failed: nothing is proven
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def check_the_copy_is_what_runs(folder: Path) -> None:
    shutil.copytree(PACKAGE, folder / "procman", ignore=shutil.ignore_patterns("__pycache__"))
    probe = [sys.executable, "-c", "import procman.core.fleet as f; print(f.__file__)"]
    env = os.environ | {"PYTHONPATH": str(folder)}
    where = subprocess.run(probe, env=env, cwd=TESTS.parent, capture_output=True, text=True, check=True).stdout
    if not where.startswith(str(folder)):
        sys.exit(f"cannot mutate: the tests import {where.strip()} and not the copy")
    if not passes(folder, [path for path in FAST if Path(path).stem not in SLOW]):
        sys.exit("cannot mutate: the tests fail without any mutation")


def main(words: list[str]) -> int:
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        check_the_copy_is_what_runs(folder / "unchanged")
        verdicts = list(pool.map(lambda mutation: survives(mutation, folder), chosen))
    for mutation, verdict in zip(chosen, verdicts, strict=True):
        if verdict:
            print(f"SURVIVED {mutation.file}: {mutation.name}: {verdict}")
    survivors = sum(map(bool, verdicts))
    print(f"{len(chosen) - survivors} of {len(chosen)} mutations noticed in {time.monotonic() - started:.0f} s")
    return 1 if survivors or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
