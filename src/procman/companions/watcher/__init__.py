"""The file watcher of `start --watch`: restarts the types whose files change.

This file has what procman needs to start it; the program is `__main__`, which alone needs watchfiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from procman.core.spec import Plan

EVERYTHING = "**"


class WatchSettings(Struct, frozen=True):
    """Patterns of files by type."""

    patterns: dict[str, tuple[str, ...]]


def settings(plan: Plan) -> WatchSettings:
    """Types with patterns of their own watch those; if none has any, all watch everything. An empty list watches nothing."""
    own = plan.sections.get("watch", {})
    patterns = own if any(own.values()) else dict.fromkeys(plan.types, (EVERYTHING,)) | own
    return WatchSettings({name: tuple(of_type) for name, of_type in patterns.items()})
