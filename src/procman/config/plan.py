"""Makes a Plan of what was read: counts, ports, one ProcessSpec for each type, and what does not go together. Opens
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from procman.config.formation import RELEASE, RequestedCounts, choose_counts, parse_formation
from procman.config.options import YEAR, Options
from procman.config.ports import base_port, place_types, port_step, refuse_of_one_offs, refuse_overlap, refuse_probes
from procman.config.procfile import ALL
from procman.config.source import brief, plain
from procman.config.specs import Inputs, SpecBuilder, one_offs
from procman.core.spec import OnEnd, Plan, ProcessSpec, refuse_count
from procman.errors import Fault, nearest
from procman.later import later

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from procman.core import policies
else:
    policies = later(__name__, "procman.core.policies")


def build_plan(inputs: Inputs, options: Options, positions: Mapping[str, int]) -> tuple[Plan, list[Fault]]:
    """Build the plan, which is usable only if there is no fault. `positions` are those of the types known so far."""
    base, faults = base_port(inputs.port, options)
    faults += refuse_config(inputs)
    placed = place_types(inputs, positions)
    specs, more = build_specs(inputs, options, placed, base)
    faults += more
    release = options.release or (inputs.document.settings is not None and inputs.document.settings.release)
    if release:
        faults += _refuse_release(inputs)
        specs = released_first(specs)
    formation, more = parse_formation(options.formation)
    faults += more + _refuse_asked(inputs, options, formation, positions)
    asked = RequestedCounts(
        types=options.types,
        leave_out=options.leave_out,
        formation=formation,
        configured=inputs.document.formation,
        release=release,
    )
    plan = Plan(
        root=inputs.root,
        types=specs,
        counts=choose_counts(specs, asked),
        positions=placed,
        port_step=port_step(options),
        procfile=inputs.procfile,
        sections=_companion_sections(inputs),
        groups=_groups(inputs),
        keep_counts=inputs.document.settings is not None and inputs.document.settings.keep_counts,
    )
    bad_numbers = _refuse_options(options)  # with a step of 0 every count would be refused as well
    return plan, faults + (bad_numbers or _refuse_counts(inputs, plan, formation))


def build_specs(
    inputs: Inputs, options: Options, placed: Mapping[str, int], base: int
) -> tuple[dict[str, ProcessSpec], list[Fault]]:
    """How every type is run, each with its port: they count from `base`."""
    builder = SpecBuilder(inputs, options)
    step = port_step(options)
    portless = inputs.entries.keys() if options.no_port else one_offs(inputs)
    specs = {}
    faults: list[Fault] = []
    for name in inputs.entries:
        specs[name], more = builder.build(name, None if name in portless else base + step * placed[name])
        faults += more
    return specs, faults


def _refuse_release(inputs: Inputs) -> list[Fault]:
    """Refuse `release: true` without a type `release`."""
    if RELEASE in inputs.entries or RELEASE in inputs.claimed or not inputs.entries:
        return []
    message = f"cannot run {RELEASE} before anything else: {inputs.procfile} has no such type"
    return [Fault("", 0, message, f"add a line '{RELEASE}: command', or leave --release out")]


def released_first(specs: dict[str, ProcessSpec]) -> dict[str, ProcessSpec]:
    """Let every type wait for `release`, except the types that `release` depends on; its failure ends everything."""
    release = specs.get(RELEASE)
    if release is None:
        return specs
    before = {RELEASE}
    waiting = [RELEASE]
    while waiting:
        needed = [one.type for one in specs[waiting.pop()].depends_on if one.type in specs and one.type not in before]
        before.update(needed)
        waiting += needed
    first = policies.Dependency(type=RELEASE, until=policies.Until.DONE)
    others = {
        name: replace(spec, depends_on=(first, *(one for one in spec.depends_on if one.type != RELEASE)))
        for name, spec in specs.items()
        if name not in before
    }
    return specs | others | {RELEASE: replace(release, on_end=OnEnd.EXIT_ON_FAILURE)}


def _groups(inputs: Inputs) -> tuple[policies.Group, ...]:
    settings = inputs.document.settings
    if settings is None or not settings.groups:
        return ()
    from procman.config.policies import groups  # noqa: PLC0415  only with a procman.yml

    return groups(settings.groups, inputs.elsewhere.difference(inputs.entries))


def _companion_sections(inputs: Inputs) -> dict[str, dict[str, Any]]:
    """The settings in procman.yml that are meant for companions, by key, then by type."""
    if not inputs.document.processes:
        return {}
    from procman.config.keys import companion_values  # noqa: PLC0415  only with a procman.yml

    found: dict[str, dict[str, Any]] = {}
    for name, section in inputs.document.processes.items():
        for key, value in companion_values(section) if name in inputs.entries else ():
            found.setdefault(key, {})[name] = value
    return found


def _refuse_options(options: Options) -> list[Fault]:
    """Refuse numbers out of their range, and options that exclude each other. That they are numbers has been checked."""
    faults = []
    if options.port_step is not None and options.port_step < 1:
        faults.append(
            Fault("", 0, f"cannot use --port-step {options.port_step}: expected 1 or more", "the default is 100")
        )
    if options.timeout is not None and not 0 <= options.timeout <= YEAR:
        faults.append(Fault("", 0, f"cannot use --timeout {options.timeout:g}: expected seconds, 0 to {YEAR}"))
    if options.tty and options.split_streams:
        message = "cannot use --tty with --split-streams: a terminal is one stream"
        faults.append(Fault("", 0, message, "leave one of them out"))
    if options.max_restarts is not None and options.max_restarts < 0:
        faults.append(Fault("", 0, f"cannot use --max-restarts {options.max_restarts}: expected 0 or more"))
    return faults


def refuse_config(inputs: Inputs) -> list[Fault]:
    """Refuse unknown process types in procman.yml, and report faults of its `defaults`."""
    document = inputs.document
    if document.settings is None:
        return []
    from procman.config.crosschecks import default_faults, group_faults, order_faults  # noqa: PLC0415  only with a procman.yml

    sections = (("formation", document.formation), ("processes", document.processes))
    faults = [
        document.fault(f"{section}.{plain(name)}", *_no_type(inputs, name))
        for section, names in sections
        for name in _unknown(inputs, names)
        if name not in inputs.elsewhere
    ]
    types = {**inputs.entries, **dict.fromkeys(sorted(inputs.elsewhere))}
    return [*faults, *default_faults(document), *group_faults(document, types), *order_faults(document)]


def _refuse_asked(
    inputs: Inputs, options: Options, formation: Mapping[str, int], positions: Mapping[str, int]
) -> list[Fault]:
    """Refuse unknown process types on the command line. A type that was known before may disappear by a reload."""
    faults: dict[str, Fault] = {}  # report each name once
    named = {
        "": options.types,
        " (--except)": options.leave_out,
        " (--exit-on)": options.exit_on,
        " (--formation)": [name for name in formation if name != ALL],
    }
    for origin, names in named.items():
        for name in _unknown(inputs, names):
            message, hint = _no_type(inputs, name)
            if name not in positions and name not in faults:
                faults[name] = Fault("", 0, message + origin, _formation_hint(name, inputs) or hint)
    return list(faults.values())


def _formation_hint(name: str, inputs: Inputs) -> str:
    """The hint to write `start web=2` as `start -m web=2`."""
    type_name, equals, _ = name.partition("=")
    return f"counts are given by -m {name}" if equals and type_name in inputs.entries else ""


def _unknown(inputs: Inputs, names: Iterable[str]) -> list[str]:
    """Report each unknown type once, except where the Procfile has no entry at all, or has the name on a faulty line:
    those have faults of their own.
    """
    known = inputs.claimed.union(inputs.entries)
    return [name for name in dict.fromkeys(names) if name not in known] if inputs.entries else []


def _no_type(inputs: Inputs, name: str) -> tuple[str, str]:
    message = f"cannot find the process type {brief(name)} in {inputs.procfile}"
    return message, nearest(name, inputs.entries)


def _refuse_counts(inputs: Inputs, plan: Plan, formation: Mapping[str, int]) -> list[Fault]:
    faults = []
    for name, count in plan.counts.items():
        refused = refuse_count(plan, name, count)
        if refused and count == inputs.document.formation.get(name) and name not in formation:
            faults.append(inputs.document.fault(f"formation.{name}", *refused))
        elif refused:
            faults.append(Fault("", 0, *refused))
    faults = faults or refuse_overlap(inputs.document, plan)
    return faults + refuse_of_one_offs(inputs.document, plan) + refuse_probes(inputs.document, plan)
