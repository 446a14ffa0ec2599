"""Explains a plan to a person: which types wait for others, what makes each ready, and which restarts lose requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from procman.cli.show.table import columns
from procman.core.spec import room_of
from procman.known.advice import port_taken
from procman.known.recognise import recognise
from procman.later import later
from procman.text.shell import is_plain
from procman.text.shellline import may_exec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procman.companions import autoscaler
    from procman.core import autoscale_settings, policies, rollout
    from procman.core.autoscale_settings import Autoscale
    from procman.core.spec import Plan, ProcessSpec
else:
    autoscaler = later(__name__, "procman.companions.autoscaler")
    autoscale_settings = later(__name__, "procman.core.autoscale_settings")
    policies = later(__name__, "procman.core.policies")
    rollout = later(__name__, "procman.core.rollout")


_WORKS = re.compile(r"(?:^|[-_])(?:worker|queue|job|scheduler|cron|clock)s?$", re.IGNORECASE)
"""Names of types that serve no requests, although their program could (`node worker.js`)."""

LOSES_SOCKETS = ("npm", "npx", "yarn", "pnpm")
"""Programs that start others without the descriptors that they were handed."""


def explanation(plan: Plan) -> list[str]:
    """The explanation; empty if all types start at once, are ready after a second, and keep their counts."""
    if not (plan.groups or any(map(_needs_explanation, plan.types.values()))):
        return _listed({FOLLOWS: _demand(plan)})
    sections: dict[str, list[tuple[str, ...]]] = {
        "Starts in this order, and stops the other way round:": _order(plan),
        "Ready:": _readiness(plan),
        "Restarted or reloaded:": _restarts(plan),
        "Groups:": [
            (group.name, _strategy(group.strategy.value), ", ".join(group.members), _intensity(group))
            for group in plan.groups
        ],
        FOLLOWS: _demand(plan),
        "Mind:": _cautions(plan),
    }
    return _listed(sections)


FOLLOWS = "Follows demand:"


def _listed(sections: dict[str, list[tuple[str, ...]]]) -> list[str]:
    lines: list[str] = []
    for title, rows in sections.items():
        if rows:
            lines += ["", title, *(f"  {line}" for line in columns(rows).splitlines())]
    return lines


def _needs_explanation(spec: ProcessSpec) -> bool:
    return bool(
        spec.ready or spec.health or spec.depends_on or spec.rolling or spec.recycle or spec.sockets or spec.stop.drain
    )


# ---- order


def stages(plan: Plan) -> list[list[str]]:
    """Types by when they can start: those of the first stage at once, those of each next stage once all before it have."""
    placed: dict[str, int] = {}
    left = list(plan.types)
    while left:
        ready = [name for name in left if placed.keys() >= {one.type for one in plan.types[name].depends_on}]
        ready = [name for name in ready if placed.keys() >= set(_before(plan, name))]
        stage = max(placed.values(), default=-1) + 1
        placed |= dict.fromkeys(ready or left, stage)  # the inputs have been checked for circles
        left = [name for name in left if name not in placed]
    return [[name for name in plan.types if placed[name] == n] for n in range(max(placed.values(), default=-1) + 1)]


def _order(plan: Plan) -> list[tuple[str, ...]]:
    if not (plan.groups or any(spec.depends_on for spec in plan.types.values())):
        return []
    started = [[name for name in stage if plan.counts[name]] for stage in stages(plan)]
    return [
        (f"{number}." if name == stage[0] else "", name, _needs(plan, name))
        for number, stage in enumerate(filter(None, started), 1)
        for name in stage
    ]


def _needs(plan: Plan, name: str) -> str:
    """`when redis is ready and migrate is done`."""
    needed = [_need(one) for one in plan.types[name].depends_on if plan.counts[one.type]]
    absent = [one.type for one in plan.types[name].depends_on if not plan.counts[one.type]]
    known = {one.type for one in plan.types[name].depends_on}
    needed += [
        f"{before} is {'done' if plan.types[before].oneshot else 'ready'}, before it in its group"
        for before in _before(plan, name)[-1:]
        if plan.counts[before] and before not in known
    ]
    text = f"when {' and '.join(needed)}" if needed else ""
    followed = [one.type for one in plan.types[name].depends_on if one.restart]
    text += f"{'; ' if text else ''}restarted after {' and '.join(followed)}" if followed else ""
    return text + (f"{'; ' if text else ''}not waiting for {', '.join(absent)}, whose count is 0" if absent else "")


def _before(plan: Plan, name: str) -> tuple[str, ...]:
    """The members of its group that start before it."""
    members = next((group.members for group in plan.groups if name in group.members), (name,))
    return members[: members.index(name)]


def _need(one: policies.Dependency) -> str:
    reached = {policies.Until.STARTED: "started", policies.Until.READY: "ready", policies.Until.DONE: "done"}[one.until]
    return f"every {one.type} is {reached}" if one.every else f"{one.type} is {reached}"


# ---- readiness


def _readiness(plan: Plan) -> list[tuple[str, ...]]:
    return [(name, _ready_by(spec), _health_of(spec)) for name, spec in plan.types.items()]


def _ready_by(spec: ProcessSpec) -> str:
    if spec.ready is not None:
        return f"{_probe(spec.ready.probe, spec)}, within {spec.ready.timeout:g} s"
    return "when it has ended, with success" if spec.oneshot else "a second after its start"


def _health_of(spec: ProcessSpec) -> str:
    health = spec.health
    if health is None:
        return ""
    then = "it is restarted" if health.on_failure is policies.OnUnhealthy.RESTART else "it is out of rotation"
    return f"then {_probe(health.probe, spec)} every {health.interval:g} s; {health.failures} failures: {then}"


def _probe(probe: policies.Probe, spec: ProcessSpec) -> str:
    match probe:
        case policies.TcpProbe(port, host):
            return f"tcp {host}:{spec.port if port is None else port}"
        case policies.HttpProbe(url):
            return f"http {url}"
        case policies.LogProbe(pattern):
            return f"a line that matches '{pattern}'"
        case policies.ExecProbe(command):
            return f"exec {command!r}"
        case policies.NotifyProbe():
            return "notify (sd_notify; MAINPID is not followed)"
        case policies.FileProbe(path):
            return f"the file {path}"


# ---- restarts


def _restarts(plan: Plan) -> list[tuple[str, ...]]:
    return [
        (name, _restart(plan, spec))
        for name, spec in plan.types.items()
        if _serves(spec) or (spec.rolling is not None and spec.rolling.surge)
    ]


def _serves(spec: ProcessSpec) -> bool:
    """Whether other processes seem to connect to it."""
    asked = [of.probe for of in (spec.ready, spec.health) if of is not None]
    known = recognise(spec.command)
    return (
        bool(spec.sockets)
        or (known is not None and known.program.listens is not None and not _WORKS.search(spec.type))
        or any(isinstance(probe, policies.TcpProbe | policies.HttpProbe) for probe in asked)
        or "PORT" in spec.command
    )


def _alone(spec: ProcessSpec) -> str | None:
    """Why no second instance may run beside it, if that is known."""
    known = recognise(spec.command)
    rules = known.program.rules if known is not None else ()
    own = next((rule.why for rule in rules if rule.key == "max" and not rule.when), None)
    if own is not None:
        return own
    match spec.ready.probe if spec.ready is not None else None:
        case policies.TcpProbe(port=int(port)) if port != spec.port:
            return port_taken(port)
        case _:
            return "`max: 1`" if spec.max == 1 else None


def _has_surge(plan: Plan, spec: ProcessSpec) -> bool:
    """Whether an extra instance starts first: the settings ask for it, and there is room for it."""
    asked = spec.rolling is not None and spec.rolling.surge > 0
    return asked and plan.counts[spec.type] < room_of(plan, spec.type)


def _restart(plan: Plan, spec: ProcessSpec) -> str:
    """Whether a restart loses requests, and why."""
    count, surge = plan.counts[spec.type], _has_surge(plan, spec)
    if spec.sockets and not surge:
        return "no connection is refused: the socket stays open"
    alone = _alone(spec)
    if count < 2 and not surge and alone is not None:
        return f"it is away until the new one is ready, because only one may run: {alone}"
    if count < 2 and not surge:
        return "requests fail meanwhile, as it is the only instance; a second one, `rolling: {surge: 1}` or `socket:` prevents that"
    if spec.ready is None:
        return (
            "requests may fail: without `ready:` an instance counts as ready after a second, whether it listens or not"
        )
    if surge:
        return f"an extra instance starts first, then 1 of {count} at a time: none is missing"
    drain = "" if spec.stop.drain else "; with `stop: {drain: 2.5}` a load balancer learns of each stop 2.5 s before it"
    away = (spec.rolling or policies.Rolling()).away(count)
    return f"{away} of {count} at a time, the next once the new one has been ready for {rollout.SETTLE:g} s{drain}"


# ---- demand


def _demand(plan: Plan) -> list[tuple[str, ...]]:
    """Each type whose count follows demand: its bounds, and what asks for instances."""
    if "autoscale" not in plan.sections:
        return []
    found = autoscaler.settings(plan)
    types = found.types if found is not None else {}
    return [(name, _bounds(one.settings), _metrics(one.settings)) for name, one in types.items()]


def _bounds(settings: Autoscale) -> str:
    scheduled = "; other bounds by the calendar" if settings.schedule else ""
    return f"{settings.min} to {settings.max} instances{scheduled}"


def _metrics(settings: Autoscale) -> str:
    """`by queue celery (target 10), read every 15 s`."""
    rule = autoscale_settings.rule_of(settings)
    named = ", ".join(f"{metric.name} (target {metric.target:g})" for metric in rule.metrics)
    return f"by {named or 'nothing but its bounds'}, every {rule.every:g} s"


# ---- what may surprise


def _strategy(word: str) -> str:
    return {
        "one_for_one": "each is restarted by itself:",
        "one_for_all": "all are restarted with one:",
        "rest_for_one": "one is restarted with those after it:",
    }[word]


def _intensity(group: policies.Group) -> str:
    """`more than 3 restarts in 60 s: all are failed`."""
    many = "restart" if group.intensity == 1 else "restarts"
    return f"more than {group.intensity} {many} in {group.period:g} s: all are failed"


def _cautions(plan: Plan) -> list[tuple[str, ...]]:
    return [(name, text) for name, spec in plan.types.items() for text in _cautions_of(plan, spec)]


def _cautions_of(plan: Plan, spec: ProcessSpec) -> Iterator[str]:
    if spec.sockets and not _becomes_program(spec):
        yield "its line keeps a shell: write `exec` before the program that is to have the socket (LISTEN_PID is its own pid)"
    if spec.rolling is not None and spec.rolling.surge and not _has_surge(plan, spec):
        room = room_of(plan, spec.type)
        limits = {spec.max: "`max`", plan.port_step if spec.port is not None else None: "the port step"}
        yield f"there is no room for an extra instance in a rollout: {limits.get(room, 'the highest number')} is {room}"
    alone = _alone(spec)
    if alone is not None and (plan.counts[spec.type] > 1 or _has_surge(plan, spec)):
        yield f"a second instance is dangerous: {alone}"
    probe = spec.ready.probe if spec.ready is not None else None
    if isinstance(probe, policies.FileProbe) and plan.counts[spec.type] > 1:
        yield f"its instances share the file {probe.path}: what one of them writes makes the others count as ready"
    if spec.sockets and spec.command.removeprefix("exec ").split(" ")[0] in LOSES_SOCKETS:
        yield "npm and similar tools close the socket that they are passed: start the program itself (`node server.js`)"
    if spec.oneshot and plan.counts[spec.type] > 1:
        yield f"it runs to its end {plan.counts[spec.type]} times at once"


def _becomes_program(spec: ProcessSpec) -> bool:
    """Whether the process is the program itself, and not a shell."""
    return is_plain(spec.command) or spec.command.lstrip().startswith("exec ") or may_exec(spec.command, spec.shell)
