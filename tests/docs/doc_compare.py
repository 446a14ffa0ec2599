"""Whether what a page shows is what came, apart from what is different each time: times, pids, ports, sizes, folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

FIRST_PORT = 5000
"""The port that the pages count from; a test has another one."""

FOLDER = "/srv/shop"
"""The folder that the pages are about."""

ROW = re.compile(
    r"(?P<name>[\w-]+\.\d+) +(?P<phase>[a-z]+) +"
    r"(?:(?P<pid>\d+) +(?P<up>\d+\.\d s|\d+ s|\d+[mhd] \d+[smh]) +)?"
    r"(?P<restarts>\d+)(?: +(?P<port>\d{4,5}))?(?: +(?P<cpu>[\d.]+ %) +(?P<memory>\d+ [kMG]?B))?(?: +(?P<reason>\S.*))?"
)
"""A row of `procman ps`."""

_VARYING = (
    (r"\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d", "<date>"),
    (r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b", "<time>"),
    (r"\d{4}-\d\d-\d\dT<time>\S*?(?=[\"\s])", "<date>"),
    (r"\bpid \d+", "pid <n>"),
    (r"\b\d+m \d+s\b|\b\d+(?:\.\d+)? s\b", "<seconds>"),
    (r"/\S*/[0-9a-f]{16}(?:-[0-9a-f]+)?\.", "<socket>."),
)


class Comparison:
    """What may differ on one page: `base` is the first port in place of `first`, `folder` the one in place of FOLDER."""

    def __init__(self, base: int, folder: str, varying: Sequence[str] = (), first: int = FIRST_PORT) -> None:
        self._base = base
        self._first = first
        self._folder = folder
        self._varying = [re.compile(pattern) for pattern in varying]
        self._pids: dict[str, str] = {}

    def typed(self, line: str) -> str:
        """A command of the page with this run's pids and ports in it."""
        port = rf"(?:(?<=:)|(?<=-p )|(?<=PORT_REDIS=)){self._first // 1000}\d{{3}}\b"
        line = re.sub(port, lambda match: str(int(match[0]) - self._first + self._base), line)
        return re.sub(r"\b\d{3,}\b", lambda match: self._pids.get(match[0], match[0]), line)

    def is_like(self, shown: Sequence[str], came: Sequence[str]) -> bool:
        """Whether all of it came in this order, and nothing else; `…` alone in a line stands for any number of lines."""
        wanted, lines = [self.plain(line) for line in shown], [self.plain(self._here(line)) for line in came]
        if "…" in wanted:
            at = wanted.index("…")
            tail = len(wanted) - at - 1
            return wanted[:at] == lines[:at] and wanted[at + 1 :] == lines[len(lines) - tail :]
        return wanted == lines

    def missing(self, shown: Iterable[str], came: Iterable[str]) -> list[str]:
        """The lines that are shown and did not come, in whatever order."""
        there = {self.plain(self._here(line)) for line in came}
        return [line for line in shown if line != "…" and self.plain(line) not in there]

    def learn(self, shown: Sequence[str], came: Sequence[str]) -> None:
        """Remember which pid here is which on the page, by the rows of `ps`."""
        here = {row["name"]: row["pid"] for line in came if (row := ROW.fullmatch(line))}
        for line in shown:
            row = ROW.fullmatch(line)
            if row and row["pid"] and here.get(row["name"]):
                self._pids[row["pid"]] = here[row["name"]]

    def plain(self, line: str) -> str:
        """The line without what varies, and with single blanks: columns are as wide as their contents."""
        row = ROW.fullmatch(line.rstrip())
        if row:
            known = "pid" if row["pid"] else "none"
            line = f"{row['name']} {row['phase']} {known} {row['restarts']} {row['port']} {row['reason'] or ''}"
        for pattern, name in _VARYING:
            line = re.sub(pattern, name, line)
        for varying in self._varying:
            line = varying.sub("", line)
        return " ".join(line.split())

    def _here(self, line: str) -> str:
        """The line with the folder and the ports of the page."""

        def on_the_page(match: re.Match[str]) -> str:
            offset = int(match[0]) - self._base
            return str(self._first + offset) if 0 <= offset < 1000 else match[0]

        return re.sub(r"(?<![\w.])\d{4,5}(?![\w.])", on_the_page, line.replace(self._folder, FOLDER))
