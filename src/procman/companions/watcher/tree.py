"""Finds the changes that the system does not report: of files behind links, of a folder that took the place of a
watched one, and in a new folder before it was watched.

inotify(7) watches what a name led to, so links and watched folders are compared with what they lead to now.
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, TypeAlias

from procman.companions.watcher.rules import is_ignored

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from procman.companions.watcher.rules import Rule

Mark: TypeAlias = tuple[int, ...] | None
"""A value that changes when a name leads to something else; None if it leads nowhere."""


GRANULARITY_NS = 20_000_000
"""How far the time of a file may be behind the clock: the system's tick is 4 or 10 ms."""


class Tree:
    """The folders to watch, and the links in them, from the start of one watch to the start of the next. Paths are
    absolute.
    """

    def __init__(self, rules: Collection[Rule], root: str) -> None:
        self.places: list[str] = []
        self.is_stale = True
        self._rules = rules
        self._root = root
        self._marks: dict[str, Mark] = {}  # of the places, and of the links below them
        self._compared_at = time.time_ns()
        self._since: int | None = None  # until the first comparison: when the changes begin that no watch has seen

    def begin(self) -> list[str]:
        """Find the folders to watch from now on; none if the root is gone."""
        self.places = folders(self._rules, self._root)
        self._marks = {place: _mark(place) for place in self.places}
        for place in self.places:
            self._find_links(place)
        self.is_stale = False
        self._since = self._compared_at - GRANULARITY_NS
        return self.places

    def changed(self, added: Iterable[str], deleted: Collection[str]) -> set[str]:
        """The changed files that the system does not report itself, found from those that it reports. Afterwards the
        watch is stale if one of them is in a folder that it does not know.
        """
        self._compared_at = time.time_ns()
        paths = self._unseen()
        for path in added:
            if os.path.isdir(path):
                paths |= self._files(path)
                self._find_links(path)
            if os.path.islink(path):
                self._marks.setdefault(path, None)
        for path, before in list(self._marks.items()):
            now = _mark(path)
            if now == before and path not in deleted:
                continue
            self._marks[path] = now
            paths |= self._files(path) or {path}
            self.is_stale = self.is_stale or path in self.places or os.path.isdir(path)
            if path not in self.places and not os.path.islink(path):
                del self._marks[path]
        current = folders(self._rules, self._root)
        if current != self.places:
            self.is_stale = True
            paths |= {path for place in set(current).difference(self.places) for path in self._files(place)}
        return paths

    def _unseen(self) -> set[str]:
        """The files that have changed between the end of the last watch and the beginning of this one."""
        since, self._since = self._since, None
        if since is None:
            return set()
        return {path for place in self.places for path in self._files(place) if _changed_at(path) >= since}

    def _find_links(self, folder: str) -> None:
        self._marks |= {path: _mark(path) for path in self._below(folder) if os.path.islink(path)}

    def _files(self, folder: str) -> set[str]:
        return {path for path in self._below(folder) if not os.path.isdir(path)}

    def _below(self, folder: str) -> Iterator[str]:
        """Everything below a folder that a rule can concern. Links are not followed."""
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:  # no folder, gone meanwhile, or not readable, in which case nothing in it can be watched either
            return
        for entry in found:
            name = os.path.relpath(entry.path, self._root)
            if is_ignored(name):
                continue
            yield entry.path
            if entry.is_dir(follow_symlinks=False) and any(rule.leads_to(name) for rule in self._rules):
                yield from self._below(entry.path)


def folders(rules: Iterable[Rule], root: str) -> list[str]:
    """The folders to watch, none inside another. For a path that does not exist, the folder in which it may appear. None
    while the root does not exist.
    """
    wanted = set()
    for rule in rules if os.path.isdir(root) else ():
        folder = os.path.normpath(os.path.join(root, rule.base()))
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        wanted.add(folder)
    return [folder for folder in sorted(wanted) if not any(folder.startswith(f"{other}/") for other in wanted)]


def _changed_at(path: str) -> int:
    try:
        return os.stat(path).st_ctime_ns
    except OSError:  # gone, or a link that leads nowhere
        return 0


def _mark(path: str) -> Mark:
    """For a regular file this includes its time and size: those of a folder change with each file in it, those of a
    terminal with each line.
    """
    try:
        status = os.stat(path)
    except OSError:  # leads nowhere, at present
        return None
    which = status.st_dev, status.st_ino
    return (*which, status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else which
