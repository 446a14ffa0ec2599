"""`python -m procman.companions.watcher`, run by procman in the root, with its socket in PROCMAN_SOCKET.

Waits for changes and asks procman to restart, each time over a new connection: it asks rarely, and then talks to
whichever program runs by that time.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import watchfiles
from watchfiles._rust_notify import WatchfilesRustInternalError

from procman.companions.program import LONGEST_REASON, TRIES
from procman.companions.registry import own_settings
from procman.companions.watcher import WatchSettings
from procman.companions.watcher.rules import Rule, concerned, instances
from procman.companions.watcher.tree import Tree
from procman.control.client import Client, ClosedError
from procman.errors import NotRunningError, ProcmanError
from procman.text.lines import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET_MS, LATEST_MS = 200, 5000
"""Milliseconds without a change after which a burst is over, and after which an endless burst is reported all the same."""

INTERVAL_MS = 1000
"""Milliseconds between two comparisons of what the system reports no changes of: one stat(2) for each link."""


def main(settings: WatchSettings) -> int:
    rules = [Rule.of(name, pattern) for name, of_type in settings.patterns.items() for pattern in of_type]
    root = os.getcwd()
    tree = Tree(rules, root)
    named: list[str] | None = None
    try:
        while True:
            before, named = named, tree.begin()
            if named != before:
                print(f"watching {', '.join(os.path.relpath(place, root) for place in named) or 'nothing'}", flush=True)
            for paths in _changes(tree):
                _restart(concerned(rules, {os.path.relpath(path, root) for path in paths}))
                if tree.is_stale:
                    break
    except NotRunningError:
        return 0
    except (OSError, WatchfilesRustInternalError) as error:
        hint = "; more than fs.inotify.max_user_watches folders? name fewer in `watch:`" if _is_full(error) else ""
        print(f"cannot watch: {error}{hint}", flush=True)
        return 1
    return 0


def _changes(tree: Tree) -> Iterator[set[str]]:
    """The changed paths, burst by burst, and at least once in each interval what the tree has found changed itself."""
    for changes in _reported(tree.places):
        by_kind = {kind: {path for one, path in changes if one is kind} for kind in watchfiles.Change}
        found = tree.changed(by_kind[watchfiles.Change.added], by_kind[watchfiles.Change.deleted])
        yield {path for _, path in changes} | found


def _reported(places: list[str]) -> Iterator[set[tuple[watchfiles.Change, str]]]:
    """What the system reports of these folders; nothing at the end of each interval."""
    if places:
        yield from watchfiles.watch(
            *places,
            watch_filter=None,
            step=QUIET_MS,
            debounce=LATEST_MS,
            rust_timeout=INTERVAL_MS,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
    while True:
        time.sleep(INTERVAL_MS / 1000)
        yield set()


def _restart(types: dict[str, list[str]]) -> None:
    """Ask for restarts. A refusal (procman is stopping, say) is printed, and not tried again."""
    for type_name, paths in types.items():
        try:
            _ask(type_name, paths)
        except NotRunningError:
            raise
        except ProcmanError as error:
            print(f"{error.message}: {type_name} not restarted", flush=True)


def _ask(type_name: str, paths: list[str]) -> None:
    for tries_left in reversed(range(TRIES)):
        try:
            with Client(os.environ["PROCMAN_SOCKET"]) as client:
                names = instances(client.ps().fleet, type_name)
                if names:
                    print(f"restarting {type_name}: {_formatted(paths)} changed", flush=True)
                    client.restart(names, why=f"{_formatted(paths)} changed"[:LONGEST_REASON])
                return
        except ClosedError:
            if not tries_left:
                raise


def _formatted(paths: list[str]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    name = paths[0].encode(errors="replace").decode()  # a name that is not UTF-8 is not valid in JSON
    return f"{clean(name)}{more}"


def _is_full(error: Exception) -> bool:
    return "No space left" in str(error) or "max_user" in str(error) or "file watch limit" in str(error)


if __name__ == "__main__":
    sys.exit(main(own_settings(WatchSettings)))
