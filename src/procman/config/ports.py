"""Assigns a port to each type: the first type's port, the distance to the next, and faults. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.config.source import plain
from procman.config.specs import one_offs
from procman.core.spec import LAST_PORT
from procman.errors import Fault
from procman.later import later

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procman.config.environment import Assignment
    from procman.config.options import Options
    from procman.config.specs import Document, Inputs
    from procman.core import policies
    from procman.core.spec import Plan
else:
    policies = later(__name__, "procman.core.policies")

DEFAULT_PORT = 5000
DEFAULT_STEP = 100

NO_PLACE = -1
"""The position of a one-off, which has no port."""


def place_types(inputs: Inputs, positions: Mapping[str, int]) -> dict[str, int]:
    """Give each type the position that its ports follow from: known types keep theirs, new ones follow after all that ever
    existed.
    """
    placed = dict(positions)
    following = max(placed.values(), default=NO_PLACE) + 1
    without = one_offs(inputs)
    for name in inputs.entries:
        if name in without:
            placed.setdefault(name, NO_PLACE)
        elif placed.get(name, NO_PLACE) == NO_PLACE:
            placed[name] = following
            following += 1
    return placed


def port_step(options: Options) -> int:
    return DEFAULT_STEP if options.port_step is None else options.port_step


def base_port(port: Assignment, options: Options) -> tuple[int, list[Fault]]:
    """The first type's port: --port, else PORT of the environment. An empty PORT is unset, as in ${PORT:-5000}."""
    if options.no_port or not port.value:
        return DEFAULT_PORT, []
    digits = port.value.strip()
    if digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= LAST_PORT:
        return int(digits), []
    message = f"cannot use PORT={plain(port.value)} as the first port: expected 1 to {LAST_PORT}"
    if not port.file:
        message = message.replace("PORT=", "--port " if options.port is not None else "the environment's PORT=")
    return DEFAULT_PORT, [Fault(port.file, port.line, message, "--port N sets another, --no-port none")]


def refuse_probes(document: Document, plan: Plan) -> list[Fault]:
    """Refuse probes of a port on types that have none."""
    faults = []
    for name, spec in plan.types.items():
        for key, policy in (("ready", spec.ready), ("health", spec.health)) if spec.port is None else ():
            match policy.probe if policy is not None else None:
                case policies.TcpProbe(port=None):
                    what = "tcp: true"
                case policies.HttpProbe(url=url) if url.startswith("/"):
                    what = f"http: {plain(url)}"
                case _:
                    continue
            message = f"cannot probe {what}: {name} has no port of its own"
            hint = "name the port or the whole URL, or use log, exec, notify or file"
            faults.append(document.fault(f"processes.{name}.{key}", message, hint))
    return faults


def refuse_of_one_offs(document: Document, plan: Plan) -> list[Fault]:
    """Refuse a `port:` of a one-off, which gets no PORT."""
    return [
        document.fault(
            f"processes.{name}.port",
            f"cannot give {name} a port: it is a one-off, which has none",
            "remove `port:`; a type that listens all the time has `oneshot: false`",
        )
        for name, section in document.processes.items()
        if name in plan.types and plan.types[name].oneshot and isinstance(section.port, int)
    ]


def refuse_overlap(document: Document, plan: Plan) -> list[Fault]:
    """Refuse ports that two types would share, which is possible only where one has a `port:` of its own."""
    faults: list[Fault] = []
    own = {name: section.port for name, section in document.processes.items() if isinstance(section.port, int)}
    if not own:
        return faults
    ranges = {
        name: range(spec.port, spec.port + plan.counts[name])
        for name, spec in plan.types.items()
        if spec.port is not None and plan.counts[name]
    }
    for name in own:
        mine = ranges.get(name, range(0))
        for other, taken in ranges.items():
            both = range(max(mine.start, taken.start), min(mine.stop, taken.stop))
            if other != name and mine and both:
                message = f"cannot give {name} port {both.start}: {other} has it"
                faults.append(document.fault(f"processes.{name}.port", message, "choose another port"))
    return faults
