"""The plan of a running procman, with the companions that it needs: read at the start, and again at each reload."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from procman.config.environment import inherited
from procman.config.load import load
from procman.errors import ConfigError, Fault, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection

    from procman.app.parts import Reach, ReloadInputs
    from procman.core.spec import Plan


def with_companions(plan: Plan, inputs: ReloadInputs) -> Plan:
    """The plan with the companions that were asked for."""
    if inputs.companions is None or not (inputs.companions or plan.sections):
        return plan
    from procman.companions.registry import wanted  # noqa: PLC0415  only where one is asked for

    return replace(plan, companions=wanted(plan, inputs.companions, inherited(inputs.environ)))


def refuse_companions(options: Collection[str]) -> None:
    """Raises UsageError if a companion that was asked for could not run."""
    if not options:
        return
    from importlib.util import find_spec  # noqa: PLC0415  only where one is asked for

    from procman.companions.registry import COMPANIONS  # noqa: PLC0415  as above

    for row in COMPANIONS:
        if row.option in options and row.needs is not None and find_spec(row.needs) is None:
            from procman.extras import how_to_install  # noqa: PLC0415  only on the way to an error

            text = f"cannot {row.option} files: {row.needs} is not installed"
            raise UsageError(text, f"`{how_to_install(row.needs)}` installs it")


def refuse_quiet(quiet: tuple[str, ...], plan: Plan) -> None:
    """Raises ConfigError if --quiet names an unknown type."""
    faults = [
        Fault("", 0, f"cannot find the process type '{name}' of --quiet", nearest(name, plan.types))
        for name in quiet
        if name not in plan.types
    ]
    if faults:
        raise ConfigError(faults)


def reload(inputs: ReloadInputs, reach: Reach, old: Plan) -> Plan:
    """The plan of the inputs as they are now. Raises ConfigError, with everything unchanged.

    The current folder is then the present root, which may have changed: a link such as `/srv/app/current` may point to
    the next release.
    """
    reach.renew()
    try:
        _enter_start_dir(inputs)
        plan = load(inputs.options, inputs.environ, old.positions, inputs.kept)
        if leads_elsewhere(plan.root, inputs.root):
            reach.follow(plan.root, "`procman restart` moves the rest")
        _enter_root(plan.root, inputs.root)
    except ConfigError:
        os.fchdir(inputs.root)
        raise
    return with_companions(plan, inputs)


def leads_elsewhere(path: str, descriptor: int) -> bool:
    """Whether the path leads to a folder other than that of this descriptor."""
    try:
        return os.path.isdir(path) and not os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:  # deleted meanwhile, which entering it will report
        return False


def locate_root(inputs: ReloadInputs, reach: Reach, root: str) -> str:
    """The present name of the folder that procman works in: `root`, as long as that leads there. So a new process finds
    its programs, its folder and PWD in one place. Only a reload moves procman to another folder, unless this one was
    removed. Raises ConfigError if it was removed and nothing has taken its name.
    """
    try:
        if os.path.samestat(os.stat(root), os.fstat(inputs.root)):
            return root
    except OSError:  # renamed or removed
        pass
    try:
        return os.getcwd()
    except OSError:  # removed
        if not os.path.isdir(root):
            raise ConfigError(f"its folder {root} was removed") from None
    reach.follow(root, "`procman reload` reads its Procfile")
    _enter_root(root, inputs.root)
    return root


def _enter_start_dir(inputs: ReloadInputs) -> None:
    """Enter the folder of the start by its name, as it may have been replaced; else by its descriptor, as it may have
    been renamed.
    """
    try:
        os.chdir(inputs.start_dir)
    except OSError:
        os.fchdir(inputs.start_fd)


def _enter_root(path: str, descriptor: int) -> None:
    """Change into the root, and let its descriptor refer to that folder from now on."""
    try:
        os.chdir(path)
        entered = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"cannot use {path} as the root: {error.strerror}") from None
    os.dup2(entered, descriptor, inheritable=False)
    os.close(entered)
