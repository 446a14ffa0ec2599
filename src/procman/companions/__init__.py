"""Programs of procman's own that run beside the formation: clients of the control socket, supervised like instances.

A fault in one never takes a worker down. What they are started with is a `ProcessSpec` among `Plan.companions`; this
module makes it, and each program is a package of its own below. They know `control` and `core`, and no other room.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from procman.core.spec import ProcessSpec, RestartPolicy, StopPolicy, When

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GRACE = 2.0
"""Seconds from TERM to KILL: a companion has nothing to finish."""


def companion(name: str, program: str, args: Sequence[str], root: str, environ: Mapping[str, str]) -> ProcessSpec:
    """How the package `program` of this room is run as the companion `name` (`@watch`).

    It gets procman's own environment, not the application's, whose PYTHONPATH is not meant for it. `-P`: what lies in
    the application's folder, which is the current one, is no module of procman's.
    """
    words = [sys.executable, "-P", "-m", f"procman.companions.{program}", *args]
    return ProcessSpec(
        type=name,
        command=f"exec {shlex.join(words)}",
        cwd=root,
        env=dict(environ),
        restart=RestartPolicy(policy=When.ALWAYS),
        stop=StopPolicy(grace=GRACE),
    )
