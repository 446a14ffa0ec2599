"""The file watcher of `start --watch`: restarts the types whose files change.

Here is what procman needs to start it; the program is `__main__`, which alone needs watchfiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procman.companions import companion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procman.core.spec import Plan, ProcessSpec

NAME = "@watch"

EVERYTHING = "**"


def watcher(plan: Plan, environ: Mapping[str, str]) -> ProcessSpec:
    """The watcher for this plan: types with patterns of their own watch those; if none has any, all watch everything.

    A type with an empty list watches nothing.
    """
    patterns = plan.watch if any(plan.watch.values()) else dict.fromkeys(plan.types, (EVERYTHING,)) | plan.watch
    args = [f"{name}={pattern}" for name, of_type in patterns.items() for pattern in of_type]
    return companion(NAME, "watcher", args, plan.root, environ)
