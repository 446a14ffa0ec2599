"""Former workers of a HAProxy that was reloaded: they finish their requests, and no command reaches them.

If a process is stopped meanwhile, such a request fails, and the new worker does not count it. (Measured: 19 of 40,000
requests of 20 ms failed where instances were stopped right after a reload.) The command line of the new worker names
them, after `-sf` or `-st`; where it cannot be read (another PID namespace, not Linux) none are known.
"""

from __future__ import annotations

import re

PROC = "/proc"


def former_workers(pid: int, proc: str = PROC) -> tuple[int, ...]:
    """Workers that `pid` has replaced and that still run."""
    words = _read(f"{proc}/{pid}/cmdline").split("\0")
    named: list[int] = []
    follows = False
    for word in words:
        if word in {"-sf", "-st"}:
            follows = True
        elif follows and re.fullmatch(r"[0-9]{1,10}", word):
            named.append(int(word))
        else:
            follows = False
    program = _program(proc, pid)
    return tuple(number for number in named if program and _program(proc, number) == program)


def _program(proc: str, pid: int) -> str:
    """The name of a process's program, "" where it has ended: its number may belong to another one by now."""
    name, _, rest = _read(f"{proc}/{pid}/stat").partition("(")[2].rpartition(")")
    return "" if not rest or rest.split()[0] in "ZX" else name


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:  # ended, or not visible from here
        return ""
