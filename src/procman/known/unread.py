"""What a project sets for another process manager, and procman does not read. Pure.

Whoever comes from overmind or foreman keeps its settings in `.overmind.env`, in `.foreman`, or in variables. procman has
its own (the options of overmind 2.5, of honcho 2.0 and of foreman 0.90); a setting that silently has no effect is a riddle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FILES = {".overmind.env": "overmind", ".foreman": "foreman"}
"""Files of other process managers with options for their start."""

_OF_OVERMIND = ("OVERMIND_", "HIVEMIND_")
_OF_A_PROCESS = "OVERMIND_PROCESS_"
"""What overmind gives its processes: no setting."""

_OWN = "PROCMAN_START_"

_SAME = {
    "DAEMONIZE": "DETACH",
    "FORMATION": "FORMATION",
    "IGNORED_PROCESSES": "EXCEPT",
    "NO_PORT": "NO_PORT",
    "PORT": "PORT",
    "PORT_STEP": "PORT_STEP",
    "PROCFILE": "PROCFILE",
    "ROOT": "ROOT",
    "SHELL": "SHELL",
    "TIMEOUT": "TIMEOUT",
}
"""The rest of the name of a variable there, and here."""

_PAGE = "docs/how-to/migrating.md names what takes its place"


def notes(present: Iterable[str], in_shell: Iterable[str], in_files: Iterable[str]) -> list[str]:
    """A line for each. `present` are the names of FILES that are in the root; the others are names of variables, in the
    environment that procman was started in and in its environment files.
    """
    lines = [f"note: procman does not read {name}, a file of {FILES[name]}; {_PAGE}" for name in sorted(present)]
    for name in sorted(in_shell):
        lines += [f"note: {name} has no effect; {_in_place_of(name)}"] if _is_setting(name) else []
    for name in sorted(in_files):
        if _is_setting(name) or name == "PROCFILE":
            lines.append(f"note: {name} in the environment file has no effect; {_in_place_of(name)}")
        elif name.startswith(_OWN):
            lines.append(f"note: {name} in the environment file has no effect; set it in the shell's environment")
    return lines


def _is_setting(name: str) -> bool:
    return name.startswith(_OF_OVERMIND) and not name.startswith(_OF_A_PROCESS)


def _in_place_of(name: str) -> str:
    rest = name
    for prefix in _OF_OVERMIND:
        rest = rest.removeprefix(prefix)
    same = _SAME.get(rest)
    return f"set {_OWN}{same} in the shell's environment" if same is not None else _PAGE
